"""What sends the lists that others maintain: good items pass, and breaches are reported."""

from pathlib import Path

import pytest

from tests.attacks import foreign_lists
from tests.attacks.runner import Runner

TEXTS = {
    "y_array.json": b"[1]",
    "y_object_duplicated_key.json": b'{"a":1,"a":2}',
    "n_open.json": b'{"a":',
    "n_comma.json": b"[1,]",
    "i_latin.json": b'["\xe9"]',
    "i_surrogate.json": b'["\\ud800"]',
}


def test_a_text_is_read_as_its_name_says(runner: Runner) -> None:
    for name, text in TEXTS.items():
        assert list(foreign_lists.json_breaches(runner, name, text)) == [], name


def test_what_is_named_is_sent_counted_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["../etc/passwd", "..%2f..%2fetc", "", "orders", "orders", "?x=../..", "\\..\\", "é"]
    (tmp_path / "y_number.json").write_bytes(b"1")
    (tmp_path / "n_misnamed.json").write_bytes(b"1")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    named = ["--json", str(tmp_path), "--lists", str(tmp_path / "list.txt")]
    assert foreign_lists.main(named) == 1
    output = capsys.readouterr().out
    assert output.startswith("JSON, 'n_misnamed.json': is read, and is no JSON\n")
    assert output.endswith("JSON: 2 tried\nlist.txt: 6 tried\n1 breaches\n")
