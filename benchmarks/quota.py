"""Lambda's share of a processor: memory / 1769 MB of one, in periods of 20 ms.

Source: AWS, «Configure Lambda function memory»: at 1,769 MB a function has one vCPU. Lambda's
INIT runs unthrottled, requests do not.
"""

import os
from pathlib import Path

FULL = 1769
"""MB of memory that come with one processor."""

PERIOD = 20_000
"""Microseconds."""

_V1 = Path("/sys/fs/cgroup/cpu")
_V2 = Path("/sys/fs/cgroup")


def share(memory: int) -> float:
    """Give the part of one processor that a function of `memory` MB has."""
    return min(1.0, memory / FULL)


class Quota:
    """A control group with the share of `memory` MB; needs Linux and root."""

    def __init__(self, memory: int) -> None:
        microseconds = int(PERIOD * share(memory))
        name = f"wxgate-bench-{os.getpid()}-{memory}"
        if (_V1 / "cpu.cfs_quota_us").exists() or (_V1 / "cpu.shares").exists():
            self._group = _V1 / name
            settings = {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(microseconds)}
        else:
            self._group = _V2 / name
            settings = {"cpu.max": f"{microseconds} {PERIOD}"}
        self._group.mkdir(exist_ok=True)
        for file, value in settings.items():
            (self._group / file).write_text(value)

    @classmethod
    def of(cls, memory: int) -> "Quota | None":
        """Make the group, or give None where the machine does not allow it."""
        try:
            return cls(memory)
        except OSError:
            return None

    def hold(self, pid: int) -> None:
        """Throttle a process from now on, all of its threads included."""
        (self._group / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        """Remove the group; its processes must have ended."""
        self._group.rmdir()
