"""DynamoDB Local for tests and load."""

import os

from simulator.dynamodb_local import missing, start

__all__ = ["missing", "must_run", "start"]


def must_run() -> bool:
    """Tell whether a missing engine is a failure: in CI it is."""
    return os.environ.get("CI") == "true"
