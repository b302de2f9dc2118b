"""The locks hold what pyproject.toml pins, with hashes, and name no place to fetch it from."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
SHIPPED = PROJECT["project"]["dependencies"]
LOCKS = {
    "requirements.txt": SHIPPED,
    "simulator/requirements.txt": [*SHIPPED, *GROUPS["simulator"]],
    "tests/requirements.txt": [*SHIPPED, *GROUPS["simulator"], *GROUPS["tests"]],
    "infrastructure/requirements.txt": GROUPS["deployment"],
}


def pins(lock: str) -> dict[str, str]:
    """The locked versions of a file, by name."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_is_pinned_by_hashes_and_from_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    for requirement in (each for each in LOCKS[lock] if isinstance(each, str)):
        name, _, version = requirement.partition(";")[0].strip().partition("==")
        assert pins(lock)[name.partition("[")[0].lower()] == version
    requirements = re.findall(r"^[\w.-]+==.*$", text, re.MULTILINE)
    assert all(line.endswith("\\") for line in requirements), "each is followed by its hashes"
    assert not re.search(r"://|^-", text, re.MULTILINE)


def test_what_ships_is_the_same_in_every_lock() -> None:
    for lock in ("simulator/requirements.txt", "tests/requirements.txt"):
        assert pins("requirements.txt").items() <= pins(lock).items()
