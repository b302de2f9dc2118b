"""The judge of mutants sees what lives, and the page that explains it tells of what is there."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mutation import judge, pacing
from mutation.plain import left_alone, without_decorators
from mutation.verdicts import Change, Mutant, Verdict, change_of, function_of, mutants

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/mutants.md").read_text()
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
FILES = {
    path.removeprefix("chalicelib/").removesuffix(".py").replace("/", "."): ROOT / path
    for path in SETTINGS["only_mutate"]
}
"""The mutated modules: name → file."""

EXPLAINED = dict(judge.explained(PAGE))
WHOLE = {function for functions in judge.WHOLE.values() for function in functions}
SKIPPED = [f"{m}.{name}" for m, path in FILES.items() for name in left_alone(path.read_text())]

CHANGE = Change("tokens.Token.new", "a | b", "a")


def functions() -> Iterator[tuple[str, str]]:
    """Every function of the mutated modules as (name, its source on one line)."""
    for module, path in FILES.items():
        source = path.read_text()
        tree = ast.parse(source)
        owners = [(module, tree), *((f"{module}.{c.name}", c) for c in classes(tree))]
        for owner, node in owners:
            for function in node.body:
                if isinstance(function, ast.FunctionDef):
                    lines = (ast.get_source_segment(source, function) or "").splitlines()
                    yield f"{owner}.{function.name}", " ".join(line.strip() for line in lines)


def classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


SOURCES = dict(functions())


def mutant(verdict: Verdict, change: Change = CHANGE) -> Mutant:
    return Mutant("chalicelib.tokens.x", change.function.partition(".")[0], change, verdict)


KILLED = [mutant(Verdict.KILLED)] * 99


# --- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", EXPLAINED, ids=lambda change: change.function)
def test_what_is_explained_is_in_the_code(change: Change) -> None:
    assert change.removed in SOURCES[change.function]


def test_every_row_is_read_and_stands_once() -> None:
    """Guards the test above, and the judge: a row in another spelling would explain nothing."""
    section = PAGE.partition("## What may live")[2]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) == len(EXPLAINED)


def test_every_explanation_is_more_than_a_word() -> None:
    told = [reason for reason in EXPLAINED.values() if reason != "As above."]
    assert [reason for reason in told if len(reason.split()) < 4] == []


def test_nothing_that_must_be_whole_is_explained_away() -> None:
    assert {change.function for change in EXPLAINED} & WHOLE == set()


def test_the_page_names_what_must_be_whole() -> None:
    section = PAGE.partition("## What must be whole")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| (`.+`) \|$", section, re.MULTILINE)
    assert {check: tuple(re.findall(r"`([^`]+)`", names)) for check, names in rows} == judge.WHOLE


def test_the_page_names_what_is_not_mutated() -> None:
    section = PAGE.partition("## What is not tried")[2].partition("\n## ")[0]
    named = [name for name in re.findall(r"`(\w[\w.]+)`", section) if name in SOURCES]
    assert sorted(named) == sorted(SKIPPED)


def test_the_page_names_the_modules_that_are_not_mutated() -> None:
    section = PAGE.partition("- The other modules:")[2].partition("\n")[0]
    files = (ROOT / "chalicelib").rglob("*.py")
    shipped = {".".join(f.relative_to(ROOT / "chalicelib").with_suffix("").parts) for f in files}
    named = {name for name in shipped if not name.endswith("__init__")} - FILES.keys()
    assert set(re.findall(r"`(\w+)`", section)) == named


# --- what is mutated, and by what it is judged ---------------------------------------------------


@pytest.mark.parametrize("function", sorted(WHOLE))
def test_what_must_be_whole_exists_and_is_mutated(function: str) -> None:
    assert function in SOURCES
    assert function not in SKIPPED


def test_the_tests_that_judge_exist() -> None:
    names = [name for name in SETTINGS["pytest_add_cli_args_test_selection"] if "/" in name]
    assert len(names) > 10
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_module_has_its_own_tests_among_those_that_judge() -> None:
    judging = SETTINGS["pytest_add_cli_args_test_selection"]
    own = [f"tests/test_{module}.py" for module in FILES if not module.startswith("handlers.")]
    assert [name for name in own if name not in judging] == []
    assert "tests/handlers" in judging


# --- the judge -----------------------------------------------------------------------------------


def test_dead_mutants_are_no_fault() -> None:
    assert list(judge.faults([*KILLED, mutant(Verdict.TIMEOUT)], [])) == []


@pytest.mark.parametrize("verdict", [Verdict.SURVIVED, Verdict.UNTESTED])
def test_a_mutant_that_lives_must_be_explained(verdict: Verdict) -> None:
    found = [*KILLED, mutant(verdict)]
    assert list(judge.faults(found, [CHANGE])) == []
    (fault,) = judge.faults(found, [])
    assert judge.row(CHANGE, "…") in fault


def test_no_explanation_helps_where_all_must_die() -> None:
    change = Change("opendata.unpad", "a", "b")
    (fault,) = judge.faults([*KILLED, mutant(Verdict.SURVIVED, change)], [change])
    assert "lives, in what guards the padding" in fault


def test_a_mutant_that_was_stopped_is_not_killed_where_all_must_die() -> None:
    change = Change("paths.checked_path", "a", "b")
    (fault,) = judge.faults([*KILLED, mutant(Verdict.TIMEOUT, change)], [])
    assert "stopped, not killed, in what guards the path check" in fault


def test_an_explanation_of_what_does_not_live_is_a_fault() -> None:
    (fault,) = judge.faults(KILLED, [CHANGE])
    assert "does not live" in fault


def test_less_than_nine_in_ten_are_too_few() -> None:
    found = [*[mutant(Verdict.KILLED)] * 9, mutant(Verdict.SURVIVED)]
    assert list(judge.faults(found, [CHANGE])) == []
    (fault,) = judge.faults([*found, mutant(Verdict.SURVIVED)], [CHANGE])
    assert "Only 81.8%" in fault


def test_none_at_all_are_too_few() -> None:
    assert len(list(judge.faults([], []))) == 1


@pytest.mark.parametrize("verdict", [Verdict.UNTRIED, Verdict.ODD])
def test_a_mutant_without_an_honest_end_is_a_fault(verdict: Verdict) -> None:
    assert len(list(judge.faults([*KILLED, mutant(verdict)], []))) == 1


@pytest.mark.parametrize(
    "change",
    [CHANGE, Change("a.b", "", "x"), Change("a.b", "x || y", ""), Change("a.B.c", "|", "é")],
)
def test_a_row_is_read_as_it_was_written(change: Change) -> None:
    assert dict(judge.explained(judge.row(change, "It is so."))) == {change: "It is so."}


def test_the_table_has_a_line_for_each_module_and_one_for_all() -> None:
    lines = judge.table([*KILLED, mutant(Verdict.SURVIVED, Change("paths.f", "a", "b"))])
    heads = [line.split()[0] for line in lines.splitlines()]
    assert heads == ["module", "paths", "tokens", "all"]
    assert lines.splitlines()[-1].split() == ["all", "100", "99", "0", "1", "0", "0", "0", "99.0%"]


# --- mutmut's files ------------------------------------------------------------------------------

FILE = """\
def x_pair__mutmut_orig(a, b):
    return (a, b)
def x_pair__mutmut_1(a, b):
    return (b, b)
def x_pair__mutmut_2(a, b):
    return (a,)
"""


def found_in(folder: Path, *statuses: int | None) -> list[Mutant]:
    module = folder / "chalicelib/handlers/login.py"
    module.parent.mkdir(parents=True)
    module.write_text(FILE)
    keys = [f"chalicelib.handlers.login.x_pair__mutmut_{n}" for n in range(1, len(statuses) + 1)]
    kept = {"exit_code_by_key": dict(zip(keys, statuses, strict=True))}
    module.with_suffix(".py.meta").write_text(json.dumps(kept))
    spans = {"x_pair__mutmut_orig": [1, 2], "x_pair__mutmut_1": [3, 4], "x_pair__mutmut_2": [5, 6]}
    module.with_suffix(".py.spans").write_text(json.dumps({"version": 1, "spans": spans}))
    return list(mutants(folder))


def test_the_files_of_mutmut_are_read(tmp_path: Path) -> None:
    first, second = found_in(tmp_path, 1, 0)
    assert (first.verdict, second.verdict) == (Verdict.KILLED, Verdict.SURVIVED)
    assert first.name == "chalicelib.handlers.login.x_pair__mutmut_1"
    assert first.module == "handlers.login"
    assert second.change == Change("handlers.login.pair", "return (a, b)", "return (a,)")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (None, Verdict.UNTRIED),
        (36, Verdict.TIMEOUT),
        (33, Verdict.UNTESTED),
        (-24, Verdict.TIMEOUT),
    ],
)
def test_a_status_has_its_verdict(tmp_path: Path, status: int | None, verdict: Verdict) -> None:
    assert found_in(tmp_path, status)[0].verdict is verdict


@pytest.mark.parametrize("status", [255, 3, 4, 35, -11, -9, 99])
def test_a_run_that_went_wrong_kills_nothing(tmp_path: Path, status: int) -> None:
    assert found_in(tmp_path, status)[0].verdict is Verdict.ODD


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("chalicelib.tokens.x_user_reference__mutmut_1", "tokens.user_reference"),
        ("chalicelib.tokens.x__checksum__mutmut_12", "tokens._checksum"),
        ("chalicelib.tokens.xǁTokenǁ__repr____mutmut_1", "tokens.Token.__repr__"),
        ("chalicelib.handlers.login.x_login__mutmut_3", "handlers.login.login"),
    ],
)
def test_a_mutants_name_tells_its_function(key: str, function: str) -> None:
    assert function_of(key) == function


def test_a_change_is_the_lines_that_differ() -> None:
    before = "def x_f__mutmut_orig(a):\n    g(\n        a,\n        1,\n    )"
    after = "def x_f__mutmut_7(a):\n    g(\n        a,\n    )"
    assert change_of("m.f", before, after) == Change("m.f", "1,", "")


def test_a_default_of_a_parameter_is_a_change() -> None:
    before, after = "def x_f__mutmut_orig(a=0): ...", "def x_f__mutmut_1(a=1): ..."
    assert change_of("m.f", before, after) == Change("m.f", "def _(a=0): ...", "def _(a=1): ...")


# --- a mutant's run ------------------------------------------------------------------------------

RUN = """
import pytest
@pytest.fixture
def before(): assert {before}
@pytest.fixture
def after():
    yield
    assert {after}
def test_it(before, after): assert {call}
def test_next(): assert {next}
"""


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ("nothing", 0),
        ("call", pacing.KILLED),
        ("before", pacing.SUSPICIOUS),
        ("after", pacing.SUSPICIOUS),
        ("before next", pacing.KILLED),
        ("after next", pacing.KILLED),
    ],
)
def test_a_mutant_is_killed_by_a_test_and_not_by_its_fixtures(
    tmp_path: Path, wrong: str, status: int
) -> None:
    parts = {part: part not in wrong for part in ("before", "call", "after", "next")}
    (tmp_path / "test_run.py").write_text(RUN.format(**parts))
    line = [sys.executable, "-m", "pytest", "-x", "-p", "mutation.pacing", "test_run.py"]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "MUTANT_UNDER_TEST": "x_f__mutmut_1"}
    done = subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert done.returncode == status, done.stdout


# --- decorators ----------------------------------------------------------------------------------

DECORATED = """
@contextmanager
def f(): ...
@other
def g(): ...
class C:
    @property
    def p(self):
        return 1
    @p.setter
    def p(self, value): ...
    @staticmethod
    def s(): ...
    @cached_property
    def c(self): ...
"""


def test_what_is_decorated_is_laid_out_plain() -> None:
    plain = without_decorators(DECORATED).splitlines()
    assert plain.index("f = contextmanager(f)") == plain.index("def f(): ...") + 1
    assert plain.index("    p = property(p)") == plain.index("        return 1") + 1
    assert plain[-1] == "    c = cached_property(c)"
    assert [line.strip() for line in plain if "@" in line] == [
        "@other",
        "@p.setter",
        "@staticmethod",
    ]


def test_what_stays_decorated_is_named_but_for_static_and_class_methods() -> None:
    assert left_alone(DECORATED) == ["g", "C.p"]


@pytest.mark.parametrize("path", FILES.values(), ids=list(FILES))
def test_the_plain_code_is_the_same_but_for_its_decorators(path: Path) -> None:
    source = path.read_text()
    plain = without_decorators(source)
    calls = re.compile(r" *(\w+) = (?:property|cached_property|contextmanager)\(\1\)")
    kept = [line for line in plain.splitlines() if not calls.fullmatch(line)]
    gone = ("@property", "@cached_property", "@contextmanager")
    assert kept == [line for line in source.splitlines() if line.strip() not in gone]
    compile(plain, str(path), "exec")
