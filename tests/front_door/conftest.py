"""The fixtures of this folder."""

import pytest

from tests.support import load_fixtures


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that this folder needs."""
    load_fixtures(config, "engines", "front_door")
