"""`python -m soak`: run the desk, soak it, judge; everything on loopback, and it ends by itself."""

import argparse
import json
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ROOT, desk, memory
from benchmarks.figures import percentile
from soak.traffic import Tally, send
from soak.visitor import Visitor
from tests import dynamodb_local

OUTPUT = ROOT / "build/soak.json"
MOST_SECONDS = 24 * 3600

GROWTH = 0.05
"""The part of its memory by which a desk may grow from the run's middle fifth to its last tenth."""

SETTLED = 20
"""Seconds before which the desk's start cannot be told from growth."""

REACHED = 0.95
"""The part of the rate that must be reached."""


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description="Soak the desk.")
    parser.add_argument("--rate", type=float, default=200, help="requests per second (200)")
    parser.add_argument("--seconds", type=float, default=600, help="how long (600)")
    parser.add_argument(
        "--any-rate", action="store_true", help="do not fail where the machine is too slow"
    )
    parser.add_argument("--users", type=int, default=100, help="how many visitors (100)")
    parser.add_argument("--seed", type=int, default=1, help="of what they do (1)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: build/soak.json")
    options = parser.parse_args(arguments)
    if not 0 < options.rate <= 1000 or not 0 < options.seconds <= MOST_SECONDS:
        parser.error("--rate is at most 1000, --seconds at most a day")
    if options.users < 2:
        parser.error("--users are at least 2")
    return options


@contextmanager
def _engine() -> Iterator[str | None]:
    """Run DynamoDB Local where it is found: it is the faster engine; else the desk's own moto."""
    if dynamodb_local.missing():
        yield None
        return
    process, url = dynamodb_local.start()
    try:
        yield url
    finally:
        process.kill()
        process.wait()


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Take a process's memory each second, in MB (10⁶ bytes), until the block ends."""
    sizes = [memory.resident(pid)]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            sizes.append(memory.resident(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def growth(sizes: Sequence[float]) -> float:
    """Give by which part the last tenth is above the middle fifth, where caches are full."""
    count = len(sizes)
    middle = statistics.median(sizes[count * 4 // 10 : count * 6 // 10 + 1])
    return statistics.median(sizes[count * 9 // 10 :]) / middle - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak the desk; print what happened, write it as JSON, give 1 if anything was not as due."""
    options = _arguments(arguments)
    names = [f"visitor-{number}" for number in range(options.users)]
    visitors = [Visitor(name, names[number - 1]) for number, name in enumerate(names)]
    with _engine() as url, desk.running(url) as running, _watched(running.pid) as sizes:
        tally = send(running.port, visitors, options.rate, options.seconds, options.seed)
    told = _told(tally, sizes, "DynamoDB Local" if url else "moto")
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(told, indent=2) + "\n")
    print("\n".join(f"{name:<24}{value}" for name, value in told.items()))
    broken = faults(tally, sizes, 0 if options.any_rate else options.rate)
    print(*broken or ["Every answer was its user's."], sep="\n", file=sys.stderr)
    return int(bool(broken))


def _told(tally: Tally, sizes: Sequence[float], engine: str) -> dict[str, object]:
    return {
        "engine": engine,
        "seconds": round(tally.elapsed, 1),
        "requests": len(tally.seconds),
        "requests per second": round(tally.rate, 1),
        "wrong users": tally.wrong_users,
        "errors": tally.errors,
        "first of them": tally.samples,
        "p50 ms": round(percentile(tally.seconds, 0.5) * 1e3, 1),
        "p95 ms": round(percentile(tally.seconds, 0.95) * 1e3, 1),
        "p99 ms": round(percentile(tally.seconds, 0.99) * 1e3, 1),
        "memory MB, middle": round(sizes[len(sizes) // 2], 1),
        "memory MB, end": round(sizes[-1], 1),
        "acts": dict(tally.acts.most_common()),
    }


def faults(tally: Tally, sizes: Sequence[float], rate: float) -> list[str]:
    """Say what was not as due, a sentence each; `rate` is the one that was asked for."""
    found = []
    if tally.wrong_users or tally.errors:
        found.append(f"{tally.wrong_users} wrong users, {tally.errors} errors.")
    if len(sizes) > SETTLED and growth(sizes) > GROWTH:
        found.append(f"Its memory grew by {growth(sizes):.0%}.")
    if tally.rate < REACHED * rate:
        found.append(f"Only {tally.rate:.1f} of {rate:g} requests/s: the machine is too slow.")
    return found


if __name__ == "__main__":
    sys.exit(main())
