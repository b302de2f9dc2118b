"""The fixtures of this folder."""

from collections.abc import Iterator

import pytest

from tests.simulator.wechat_desk import Desk
from tests.support import load_fixtures


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that this folder needs."""
    load_fixtures(config, "engines", "front_door")


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A simulated WeChat of this test's own."""
    with Desk() as desk:
        yield desk
