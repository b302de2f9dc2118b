"""DynamoDB Local for tests: a test is skipped where it cannot run, but never in CI."""

import os

from simulator.dynamodb_local import missing, start
from tests.support import need

__all__ = ["missing", "must_run", "skip_if_missing", "start"]


def must_run() -> bool:
    """Tell whether a missing engine is a failure: in CI it is."""
    return os.environ.get("CI") == "true"


def skip_if_missing() -> None:
    """Skip this test with one line if it cannot run here."""
    need(missing())
