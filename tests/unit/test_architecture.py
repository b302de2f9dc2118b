"""The house: imports go down, one room reads the environment, keywords are the IAM policy."""

import ast
import inspect
import re
import tokenize
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

from chalicelib.handlers import decrypt, login, proxy
from chalicelib.services import Services

ROOT = Path(__file__).parents[2]

ROOMS = ("handlers", "front", "wechat", "sessions", "upstream", "network")

FLOORS = [
    ["app"],
    ["front.gate"],
    ["handlers.login", "handlers.proxy", "handlers.decrypt"],
    ["services"],
    ["wechat.api", "upstream.upstream", "sessions.sessions", "upstream.assertions"],
    [
        "settings",
        "front.request",
        "front.response",
        "network.secrets",
        "wechat.opendata",
        "network.aws",
    ],
    ["sessions.tokens", "network.connections", "strict_json", "upstream.paths", "logs", "metrics"],
    ["errors", "deadlines"],
    [
        "__init__",
        *(
            f"{room}.__init__"
            for room in ("handlers", "front", "wechat", "sessions", "upstream", "network")
        ),
    ],
]
"""Top to bottom; rooms on one floor do not know each other."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def source(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Every Python file of some folders, as (path below the root, syntax tree)."""
    for folder in folders:
        files = [ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).rglob("*.py"))
        assert files, folder
        for file in files:
            yield str(file.relative_to(ROOT)), ast.parse(file.read_text())


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in a file, also late or for types, in full."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def room_of(path: str) -> str:
    return path.removesuffix(".py").removeprefix("chalicelib/").replace("/", ".")


def rooms_in(names: set[str]) -> set[str]:
    """The rooms of chalicelib among imported names."""
    rooms = {name.removeprefix("chalicelib.") for name in names if name.startswith("chalicelib.")}
    return rooms & FLOOR.keys()


SHIPPED = list(source("app.py", "chalicelib"))


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path, _ in SHIPPED} == FLOOR.keys()


@pytest.mark.parametrize(("path", "tree"), SHIPPED, ids=[path for path, _ in SHIPPED])
def test_imports_only_go_down(path: str, tree: ast.Module) -> None:
    own = FLOOR[room_of(path)]
    assert [room for room in rooms_in(imported(tree)) if FLOOR[room] <= own] == []


def test_the_imports_are_seen() -> None:
    """Guards the test above: an import that it overlooks would pass it."""
    seen = {room_of(path): rooms_in(imported(tree)) for path, tree in SHIPPED}
    assert {"handlers.login", "handlers.proxy", "handlers.decrypt"} <= seen["app"]
    assert {"sessions.sessions", "wechat.api", "upstream.upstream"} <= seen["services"]
    assert {"wechat.opendata", "strict_json"} <= seen["handlers.decrypt"] | seen["wechat.api"]
    assert seen["errors"] == set()


def test_only_services_reads_the_environment() -> None:
    words = {"environ", "environb", "getenv", "getenvb"}
    readers = {
        path
        for path, tree in SHIPPED
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in words)
        or (isinstance(node, ast.ImportFrom) and words & {alias.name for alias in node.names})
    }
    assert readers == {"chalicelib/services.py"}


DESK = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"chalicelib"}
"""Every package of ours that does not ship."""


def test_nothing_that_ships_knows_the_desk_or_the_tests() -> None:
    assert {"simulator", "tests", "benchmarks", "infrastructure"} <= DESK
    for path, tree in SHIPPED:
        tops = {name.partition(".")[0] for name in imported(tree)}
        assert not tops & {*DESK, "pytest", "moto"}, path


def test_the_simulated_wechat_knows_nothing_of_the_gate() -> None:
    """Its cryptography is a witness only while it is written apart."""
    for path, tree in source("simulator/wechat"):
        tops = {name.partition(".")[0] for name in imported(tree)}
        assert not tops & {"app", "chalicelib", "tests"}, path


# The keyword list of a handler is the IAM policy of its Lambda function.
SERVICES = {
    login: {"wechat", "sessions"},
    proxy: {"sessions", "upstream", "assertions"},
    decrypt: {"sessions", "wechat", "assertions"},
}
VALUES = {"clock", "max_age"}


def keywords(handler: ModuleType) -> dict[str, set[str]]:
    """The keyword-only parameters of each public function that a handler's file defines."""
    return {
        name: {
            parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        for name, function in inspect.getmembers(handler, inspect.isfunction)
        if function.__module__ == handler.__name__ and not name.startswith("_")
    }


@pytest.mark.parametrize("handler", SERVICES)
def test_a_handlers_keywords_are_the_services_of_its_lambda_function(handler: ModuleType) -> None:
    taken = set[str]().union(*keywords(handler).values())
    assert taken - VALUES == SERVICES[handler]


def test_each_use_case_takes_what_it_needs_and_no_more() -> None:
    assert keywords(login) == {"login": {"wechat", "sessions"}, "logout": {"sessions"}}
    assert keywords(proxy) == {
        "proxy": {"sessions", "upstream", "assertions"},
        "health": set(),
        "key_set": {"assertions"},
    }
    assert keywords(decrypt) == {
        "decrypt": {"sessions", "assertions", *VALUES},
        "phone": {"sessions", "wechat", "assertions"},
        "session": {"sessions", "wechat"},
    }


def test_a_service_has_the_name_under_which_it_is_taken() -> None:
    for name in set[str]().union(*SERVICES.values()):
        assert hasattr(Services, name)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize(("path", "tree"), SHIPPED, ids=[path for path, _ in SHIPPED])
def test_no_function_is_longer_than_forty_lines(path: str, tree: ast.Module) -> None:
    long = [f.name for f in functions(tree) if (f.end_lineno or 0) - f.lineno + 1 > 40]
    assert long == []


def test_no_test_replaces_what_it_tests() -> None:
    """Two seams, no third: arguments and the environment."""
    for path, tree in source("tests", "benchmarks"):
        assert not {name for name in imported(tree) if "mock.patch" in name}, path
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        owners = {(ast.unparse(node.value).rpartition(".")[2], node.attr) for node in attributes}
        assert not owners & {("mock", "patch"), ("monkeypatch", "setattr")}, path
        assert ("mocker", "patch") not in owners, path


NOT_A_NAME = {
    *("utils", "common", "helpers", "base", "core"),
    *("manager", "processor", "misc", "data", "info"),
}


def test_a_file_says_what_is_in_it() -> None:
    for folder in ("chalicelib", "simulator", "tests", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not set(file.stem.split("_")) & NOT_A_NAME, file


# --- what is covered -----------------------------------------------------------------------------

UNGATED = {"app.py"}
"""Its Lambda functions run in processes of their own, where nothing is counted."""


def test_all_that_ships_is_in_the_coverage_gate() -> None:
    gate = re.search(r"--fail-under=100 --include='(.+)'", (ROOT / "Makefile").read_text())
    assert gate
    assert {path for path, _ in SHIPPED if not fnmatch(path, gate[1])} == UNGATED


def test_coverage_leaves_out_nothing_that_ships() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]
    assert settings["run"] == {"branch": True, "source": ["chalicelib", "app"]}
    assert settings["report"].keys() <= {"show_missing", "skip_covered", "exclude_also"}
    assert settings["report"]["exclude_also"] == ["if TYPE_CHECKING:"]


# --- what a tool is told to overlook -------------------------------------------------------------

SUPPRESSION = re.compile(
    r"noqa(?:: [A-Z0-9, ]+)?|nosec(?: [B0-9, ]+)?|type: ignore(?:\[[a-z, -]+\])?|pragma: no cover"
)
WORD = re.compile(r"[a-z]{2}")


def bare(comment: str) -> bool:
    """Whether a comment is a suppression without a word beside it."""
    said, suppressed = SUPPRESSION.subn("", comment)
    return bool(suppressed) and not WORD.search(said)


def comments(path: str) -> list[str]:
    with (ROOT / path).open("rb") as file:
        found = [
            token for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT
        ]
    return [f"{path}:{token.start[0]}: {token.string}" for token in found]


def test_a_suppression_says_why() -> None:
    paths = [path for path, _ in source("app.py", "chalicelib", *sorted(DESK))]
    found = [comment for path in paths for comment in comments(path)]
    suppressed = [comment for comment in found if SUPPRESSION.search(comment)]
    assert len(suppressed) > 20, "they are seen"
    assert [told for told in suppressed if bare(told.partition(": ")[2])] == []


@pytest.mark.parametrize(
    ("comment", "is_bare"),
    [
        ("# noqa", True),
        ("# noqa: S603, S607", True),
        ("# type: ignore[misc]", True),
        ("# nosec B603", True),
        ("# pragma: no cover", True),
        ("# noqa: S603 - our own interpreter", False),
        ("# type: ignore[misc]  # not in typeshed", False),
        ("# a plain one", False),
    ],
)
def test_a_bare_suppression_is_seen(comment: str, is_bare: bool) -> None:
    assert bare(comment) is is_bare


def unexplained(settings: str) -> list[str]:
    """The lines of pyproject.toml that switch a check off, without a comment there or above."""
    off = re.compile(r'^(?:"[^"]+" = \[|    "[A-Z]+[0-9]+", |ignore_missing_imports)')
    lines = settings.splitlines()
    pairs = zip(["", *lines], lines, strict=False)
    told = re.compile(r"(?:^|  )# .*[a-z]{2}")
    return [
        line
        for above, line in pairs
        if off.match(line) and not told.search(line) and not above.startswith("# ")
    ]


def test_a_rule_that_is_switched_off_says_why() -> None:
    settings = (ROOT / "pyproject.toml").read_text()
    assert unexplained(settings) == []
    bared = re.sub(r"(?m)  #.*$|^#.*\n", "", settings)
    assert len(unexplained(bared)) > 12, "they are seen"
