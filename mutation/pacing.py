"""A pytest plugin for one mutant's run: the cheap tests first, none for ever, none after a failure.

The first failure is enough, so the order decides how long a mutant lives; a mutant that waits for
ever is ended when the test has taken far longer than it takes unchanged. A process is left as it
stands: what a mutant has broken need not be put away, and may not even let itself.
"""

import gc
import json
import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

STATS = Path("mutmut-stats.json")
"""Beside the mutants: what mutmut measured of the unchanged code."""

ENGINES = {"moto_url", "running_desk"}
"""Fixtures that start servers; each mutant's process starts its own."""

PATIENCE = 20.0
"""Seconds that a test may take besides three times its own duration."""

KILLED, SUSPICIOUS, TIMEOUT = 1, 35, 36
"""Exit statuses, as mutmut reads them."""


@cache
def _durations() -> dict[str, float]:
    """Seconds of each test without a mutant; empty while they are being measured."""
    if not STATS.exists():
        return {}
    durations: dict[str, float] = json.loads(STATS.read_text())["duration_by_test"]
    return durations


def _is_mutant() -> bool:
    return "__mutmut_" in os.environ.get("MUTANT_UNDER_TEST", "")


def pytest_configure(config: pytest.Config) -> None:
    """Leave what the fork inherited out of pytest's garbage collections: half of a short run."""
    gc.freeze()
    if _is_mutant():
        config.option.maxfail = 0  # mutmut's -x would also end at what is no failure of a test


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort: tests without a server first, then by duration."""
    durations = _durations()
    items.sort(
        key=lambda item: (
            bool(ENGINES.intersection(getattr(item, "fixturenames", ()))),
            durations.get(item.nodeid, 0.0),
        )
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End the process where a test takes far too long."""
    taken = _durations().get(item.nodeid)
    if taken is None:
        return (yield)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(TIMEOUT))
    signal.setitimer(signal.ITIMER_REAL, 3 * taken + PATIENCE)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """End a mutant's process at the first failure of a test.

    One of its fixtures decides nothing, for a busy machine may not have started a server.
    """
    if report.failed and report.when == "call" and _is_mutant():
        os._exit(KILLED)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell that nothing but fixtures failed."""
    if session.testsfailed and _is_mutant():
        os._exit(SUSPICIOUS)
