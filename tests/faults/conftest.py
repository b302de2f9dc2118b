"""One world for all faults, apart from the attacks' one: what they do to it differs."""

from collections.abc import Iterator

import pytest

from tests.attacks.world import KEYS, World
from tests.faults.corpus import CODE
from tests.support import load_fixtures


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that this folder needs."""
    load_fixtures(config, "engines")


@pytest.fixture(scope="session")
def world(moto_url: str) -> Iterator[World]:
    """The app among the servers that fail on demand."""
    world = World(moto_url)
    world.wechat.codes[CODE] = "openid A"
    world.secrets["code"] = set(world.wechat.codes)
    yield world
    world.close()


@pytest.fixture(scope="session")
def spent() -> set[str]:
    """The tokens of all tests before."""
    return set()


@pytest.fixture(autouse=True)
def token(world: World, spent: set[str]) -> str:
    """A token of user A. With it the app is warm, whatever the test before did to its secrets."""
    spent |= world.secrets["token"]
    world.secrets["token"] = set()
    world.door.send("GET", KEYS)
    return world.door.login(CODE)
