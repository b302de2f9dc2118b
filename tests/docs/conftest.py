"""The fixtures of this folder."""

import pytest

from tests.support import load_fixtures


def pytest_configure(config: pytest.Config) -> None:
    load_fixtures(config, "front_door")
