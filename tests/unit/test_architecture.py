"""The house: layers and what each may import, sizes, and what no file may do."""

import ast
import inspect
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from chalicelib.handlers import decrypt, deliver, events, login, proxy
from chalicelib.services import SERVICES, Services

ROOT = Path(__file__).parents[2]

LAYERS = [
    *(["app"], ["services", "handlers"], ["front"], ["sessions", "wechat", "upstream"]),
    ["network"],
    ["settings", "logs", "strict_json", "deadlines", "errors", "identity", "rules", ""],
]
"""Packages from top to bottom; "" is the version. Rooms of one layer do not know each other."""

WITHIN = {"settings": {"rules"}}
"""The imports that are allowed between modules of the ground floor."""

SHIPPED_LINES = 3_700 + 605 + 25  # may only fall; of the gate, of message push, of /sign
TESTS_PER_LINE = 4


def source(*folders: str) -> Iterator[tuple[str, ast.Module]]:
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


SHIPPED = list(source("app.py", "chalicelib"))
MODULES = {
    path.removesuffix(".py")
    .removesuffix("/__init__")
    .removeprefix("chalicelib")
    .lstrip("/")
    .replace("/", "."): tree
    for path, tree in SHIPPED
}
shipped = pytest.mark.parametrize(("path", "tree"), SHIPPED, ids=[path for path, _ in SHIPPED])


def layer_of(module: str) -> int:
    """The layer of a module, by its own name or its package's."""
    names = (module, module.partition(".")[0])
    return next(n for name in names for n, layer in enumerate(LAYERS) if name in layer)


def modules_in(names: set[str]) -> set[str]:
    """The modules of chalicelib among imported names."""
    below = {name.removeprefix("chalicelib.") for name in names if name.startswith("chalicelib.")}
    return below & MODULES.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_go_down(module: str) -> None:
    package = module.partition(".")[0]
    for other in modules_in(imported(MODULES[module])):
        same_room = other.partition(".")[0] == package and "." in module
        allowed = WITHIN.get(module, set())
        assert same_room or other in allowed or layer_of(other) > layer_of(module), other


def test_the_imports_are_seen() -> None:
    seen = {module: modules_in(imported(tree)) for module, tree in MODULES.items()}
    assert {"handlers.login", "handlers.proxy", "handlers.decrypt"} <= seen["app"]
    assert {"sessions.sessions", "wechat.api", "upstream.upstream"} <= seen["services"]
    assert {"network.secrets", "network.connections"} <= seen["services"]


def test_a_room_imports_itself_in_no_circle() -> None:
    edges = {module: modules_in(imported(tree)) for module, tree in MODULES.items()}

    def reached(module: str, seen: frozenset[str]) -> bool:
        return module in seen or any(reached(other, seen | {module}) for other in edges[module])

    assert [module for module in edges if reached(module, frozenset())] == []


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


@shipped
def test_nothing_that_ships_knows_the_desk_or_the_tests(path: str, tree: ast.Module) -> None:
    assert {"simulator", "tests", "benchmarks", "infrastructure"} <= DESK
    tops = {name.partition(".")[0] for name in imported(tree)}
    assert not tops & {*DESK, "pytest", "moto"}, path


def test_the_simulated_wechat_knows_nothing_of_the_gate() -> None:
    """Its cryptography is a second opinion only while it is written apart."""
    for path, tree in source("simulator/wechat"):
        tops = {name.partition(".")[0] for name in imported(tree)}
        assert not tops & {"app", "chalicelib", "tests"}, path


@shipped
def test_no_private_attribute_of_a_library_is_used(path: str, tree: ast.Module) -> None:
    """`self._x`, `cls._x`, and the private name of a class of the same file are our own."""
    own = {"self", "cls"} | {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ast.unparse(node.value)
            assert owner in own or owner == "super()", f"{path}:{node.lineno}"


@shipped
def test_http_client_is_left_to_urllib3(path: str, tree: ast.Module) -> None:
    assert not {name for name in imported(tree) if name.startswith("http.client")}, path


HANDLERS = {
    handler.__name__.rpartition(".")[2]: handler
    for handler in (login, proxy, decrypt, events, deliver)
}
VALUES = {"clock", "settings"}


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


@pytest.mark.parametrize("function", HANDLERS)
def test_a_handlers_keywords_are_the_services_of_its_lambda_function(function: str) -> None:
    taken = set[str]().union(*keywords(HANDLERS[function]).values())
    assert taken - VALUES == set(SERVICES[function])
    assert set(SERVICES[function]) <= vars(Services).keys()


@shipped
def test_no_function_is_longer_than_forty_lines(path: str, tree: ast.Module) -> None:
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > 40] == [], path


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


@shipped
def test_no_module_is_longer_than_220_lines(path: str, tree: ast.Module) -> None:
    assert lines_of(ROOT / path) <= 220


def test_what_ships_and_its_tests_stay_within_their_size() -> None:
    ships = sum(lines_of(ROOT / path) for path, _ in SHIPPED)
    tests = sum(lines_of(file) for file in (ROOT / "tests").rglob("*.py"))
    assert ships <= SHIPPED_LINES
    assert tests <= TESTS_PER_LINE * ships


def test_no_test_replaces_what_it_tests() -> None:
    """Two seams, no third: arguments and the environment."""
    for path, tree in source("tests"):
        assert not {name for name in imported(tree) if "mock.patch" in name}, path
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        owners = {(ast.unparse(node.value).rpartition(".")[2], node.attr) for node in attributes}
        assert not owners & {("mock", "patch"), ("monkeypatch", "setattr")}, path
        assert ("mocker", "patch") not in owners, path


def test_a_file_is_named_after_its_content() -> None:
    empty = {"utils", "common", "helpers", "base", "core", "manager", "processor", "misc", "info"}
    for folder in ("chalicelib", "simulator", "tests"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not set(file.stem.split("_")) & {*empty, "data"}, file


def test_coverage_leaves_out_nothing_that_ships() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]
    assert settings["run"] == {"branch": True, "source": ["chalicelib", "app"]}
    assert settings["report"].keys() <= {"show_missing", "skip_covered", "exclude_also"}
    assert settings["report"]["exclude_also"] == ["if TYPE_CHECKING:"]


SUPPRESSION = re.compile(
    r"noqa(?:: [A-Z0-9, ]+)?|nosec(?: [B0-9, ]+)?|type: ignore(?:\[[a-z, -]+\])?|pragma: no cover"
)


def comments(path: str) -> list[str]:
    with (ROOT / path).open("rb") as file:
        return [t.string for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT]


def is_bare(comment: str) -> bool:
    """Whether a comment suppresses a check without a word about why."""
    left, count = SUPPRESSION.subn("", comment)
    return bool(count) and not re.search(r"[a-z]{2}", left)


def test_a_suppression_says_why() -> None:
    paths = [path for path, _ in source("app.py", "chalicelib", *sorted(DESK))]
    assert [path for path in paths for comment in comments(path) if is_bare(comment)] == []
    assert is_bare("# type: ignore[misc]")
    assert not is_bare("# noqa: S603 - our own interpreter")
