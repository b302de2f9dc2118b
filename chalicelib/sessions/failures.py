"""Failed decryptions: at most MAX_FAILURES of a user are answered in one window.

Windows are aligned to the clock, and their number is part of the counter's sort key: a failure is
one unconditional ADD, and no old count has to be reset. So a user may fail twice MAX_FAILURES times
in FAILURE_WINDOW seconds, around the end of a window.
"""

from dataclasses import dataclass

FAILURE_WINDOW = 600
"""Seconds."""

MAX_FAILURES = 10

PREFIX = b"decrypt-failures-"
"""Of the sort keys of counters; those of sessions are SHA-256 digests."""


def window(now: float) -> tuple[bytes, int]:
    """Give the window of `now`: its counter's sort key, and its end in epoch seconds."""
    number = int(now // FAILURE_WINDOW)
    return PREFIX + b"%d" % number, (number + 1) * FAILURE_WINDOW


@dataclass(frozen=True)
class Failures:
    """How often a user failed in the window that ends at `until` (epoch seconds)."""

    count: int = 0
    until: int = 0

    @property
    def too_many(self) -> bool:
        """Whether the user has to wait until the window ends."""
        return self.count >= MAX_FAILURES

    def seconds_left(self, now: float) -> int:
        """Give the seconds to wait, at least one."""
        return max(1, self.until - int(now))
