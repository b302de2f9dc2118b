"""One world for all attacks: loading the app and its clients is the slow part."""

from collections.abc import Iterator

import pytest

from tests.attacks.runner import Runner
from tests.attacks.world import World
from tests.support import load_fixtures


def pytest_configure(config: pytest.Config) -> None:
    load_fixtures(config, "engines")


@pytest.fixture(scope="session")
def world(moto_url: str) -> Iterator[World]:
    world = World(moto_url)
    yield world
    world.close()


@pytest.fixture(scope="session")
def runner(world: World) -> Runner:
    return Runner(world)
