"""Fakes, engines and servers that several tests share."""

from importlib import import_module

import pytest


def load_fixtures(config: pytest.Config, *names: str) -> None:
    """Load fixtures of this package once for all folders; a folder's conftest says which."""
    for name in names:
        module = f"{__name__}.{name}"
        if not config.pluginmanager.has_plugin(module):
            config.pluginmanager.register(import_module(module), module)
