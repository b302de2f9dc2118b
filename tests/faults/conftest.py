"""One world for all faults, apart from the attacks' one: what they do to it differs."""

from collections.abc import Callable, Iterator

import pytest

from tests.attacks.world import KEYS, Door, World
from tests.faults.corpus import CODE
from tests.support import load_fixtures


def pytest_configure(config: pytest.Config) -> None:
    load_fixtures(config, "engines")


@pytest.fixture(scope="session")
def world(moto_url: str) -> Iterator[World]:
    """The app among the servers that fail on demand; no fault may leave a secret in the table."""
    world = World(moto_url)
    world.wechat.codes[CODE] = "openid A"
    world.secrets["code"] = set(world.wechat.codes)
    yield world
    assert world.secrets_in_table() == []
    world.close()


@pytest.fixture(autouse=True)
def token(world: World) -> str:
    """A token of user A. With it the app is warm, whatever the test before did to its secrets."""
    world.forget_failures()
    world.door.send("GET", KEYS)
    return world.door.login(CODE)


@pytest.fixture
def cold(world: World) -> Door:
    return world.open_door()


@pytest.fixture
def later(world: World) -> Iterator[Callable[[float], None]]:
    """Let time pass, or go back, until the end of a test."""
    before = world.clock.now
    yield world.clock.advance
    world.clock.now = before
