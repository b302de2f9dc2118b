"""The benchmarks' arithmetic, and that they run; no test looks at how fast anything is."""

import json
from pathlib import Path

import pytest

from benchmarks import opendata
from benchmarks.__main__ import main
from benchmarks.figures import (
    Figure,
    Goal,
    differences,
    interleaved,
    percentile,
    ratios,
    table,
    write,
)


def test_a_figure_is_the_median_of_its_runs_between_minimum_and_maximum() -> None:
    told = Figure("login", "ms", [3.0, 1.0, 10.0]).to_dict()
    assert (told["median"], told["min"], told["max"]) == (3.0, 1.0, 10.0)
    assert (told["goal"], told["met"]) == (None, None)


@pytest.mark.parametrize(
    ("goal", "met", "missed"),
    [(Goal("≤", 15), 15, 15.1), (Goal("<", 200), 199.9, 200), (Goal("≥", 1.2), 1.2, 1.19)],
    ids=str,
)
def test_the_median_meets_a_goal_or_misses_it(goal: Goal, met: float, missed: float) -> None:
    assert Figure("f", "u", [met, met, missed], goal).met is True
    assert Figure("f", "u", [met, missed, missed], goal).met is False


def test_ratios_and_differences_are_taken_pair_by_pair() -> None:
    assert ratios([2, 6], [1, 2]) == [2, 3]
    assert differences([2, 6], [1, 2]) == [1, 4]
    with pytest.raises(ValueError, match="zip"):
        ratios([1], [1, 2])


def test_a_percentile_is_one_of_the_values() -> None:
    values = range(100, 0, -1)
    assert [percentile(values, share) for share in (0, 0.5, 0.95, 1)] == [1, 50, 95, 100]


def test_actions_take_turns_and_the_warm_up_does_not_count() -> None:
    turns: list[str] = []

    def turn(name: str) -> float:
        turns.append(name)
        return len(turns)

    taken = interleaved({"a": lambda: turn("a"), "b": lambda: turn("b")}, 2, warm_up=1)
    assert turns == list("ababab")
    assert taken == {"a": [3, 5], "b": [4, 6]}


def test_the_table_and_the_file_tell_of_every_figure(tmp_path: Path) -> None:
    figures = [Figure("speed", "×", [1.5], Goal("≥", 1.2)), Figure("rate", "requests/s", [1234.5])]
    write(tmp_path / "new" / "bench.json", figures)
    written = json.loads((tmp_path / "new" / "bench.json").read_text())["figures"]
    assert [figure["name"] for figure in written] == ["speed", "rate"]
    assert written[0]["met"] is True
    assert "| speed  | ×          | 1.5    | 1.5  | 1.5  | ≥ 1.2 | yes |" in table(figures)


@pytest.mark.parametrize("kind", opendata.PLAINTEXTS)
def test_both_sides_of_the_comparison_open_the_same_data(kind: str) -> None:
    given = opendata.sample(kind)
    opened = opendata.wechatpys(given)
    assert opendata.ours(given) == {k: v for k, v in opened.items() if k != "watermark"}


def test_a_quick_run_prints_a_table_and_writes_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["opendata", "--quick", "--output", str(tmp_path / "bench.json")]) == 0
    names = [f["name"] for f in json.loads((tmp_path / "bench.json").read_text())["figures"]]
    printed = capsys.readouterr().out
    assert len(names) == 9
    assert all(name in printed for name in names)


def test_an_unknown_name_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["opendata", "nonsense", "--output", str(tmp_path / "bench.json")])
    assert not (tmp_path / "bench.json").exists()
