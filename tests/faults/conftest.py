"""One world for all faults, apart from the attacks' one: what they do to it differs."""

from collections.abc import Iterator

import pytest

from tests.attacks.world import World


@pytest.fixture(scope="session")
def world(moto_url: str) -> Iterator[World]:
    """The app among the servers that are told to fail."""
    world = World(moto_url)
    yield world
    world.close()


@pytest.fixture(scope="session")
def token(world: World) -> str:
    """A token of user A."""
    return world.door.login()
