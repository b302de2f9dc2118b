"""The fixtures of this folder."""

from collections.abc import Callable

import pytest

from simulator import desk
from tests.support import load_fixtures
from tests.support.front_door import FrontDoor


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that this folder needs."""
    load_fixtures(config, "engines", "front_door")


@pytest.fixture
def reloaded(front_door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FrontDoor]:
    """Load the app anew under another environment."""

    def load(**environ: str) -> FrontDoor:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        front_door.module = desk.load_app()
        return front_door

    return load
