"""The fixtures of this folder."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from simulator import parts
from simulator.desk import set_up
from simulator.serving import Desk as WholeDesk
from tests.simulator.wechat_desk import Desk
from tests.support import load_fixtures


def pytest_configure(config: pytest.Config) -> None:
    load_fixtures(config, "engines", "front_door")


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


@pytest.fixture
def desk_with() -> Iterator[Callable[..., WholeDesk]]:
    """Sets up a whole desk in this process, with variables and a first port, for this test."""
    before = dict(os.environ)
    with ExitStack() as running:

        def desk_with(port: int = 0, **variables: str) -> WholeDesk:
            os.environ.update(variables)
            whole = set_up(port, parts.read(variables))
            running.callback(whole.close)
            return whole

        yield desk_with
    os.environ.clear()
    os.environ.update(before)
