"""Fakes, engines and servers that several tests share."""

import os
from importlib import import_module

import pytest


def load_fixtures(config: pytest.Config, *names: str) -> None:
    """Load fixtures of this package once for all folders; a folder's conftest says which."""
    for name in names:
        module = f"{__name__}.{name}"
        if not config.pluginmanager.has_plugin(module):
            config.pluginmanager.register(import_module(module), module)


def need(missing: str | None) -> None:
    """Skip a test for which something is missing, but never in CI."""
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
