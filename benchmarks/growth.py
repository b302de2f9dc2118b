"""Does it stay as fast as it grows? Requests beside 10, 1,000 and 100,000 stored sessions."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from statistics import median
from typing import Any

import boto3

from benchmarks import gate, surroundings
from benchmarks.figures import Figure, Goal, interleaved, ratios
from benchmarks.surroundings import Surroundings
from simulator import aws

SIZES = (10, 1_000, 100_000)
SESSIONS_OF_A_USER = (1, 10, 100, 1_000)
FLAT = Goal("≤", 1.2)
BATCH = 25
ROUNDS = 40


@contextmanager
def _gate_on(around: Surroundings, table: str) -> Iterator[gate.Gate]:
    environ = {**around.environ, "SESSIONS_TABLE": table}
    with gate.loaded(environ, around.urls["WeChat"]) as door:
        yield door


def _dynamodb(around: Surroundings) -> Any:
    url = around.urls.get("DynamoDB", around.urls["AWS"])
    return boto3.client("dynamodb", "us-east-1", endpoint_url=url)


def _fill(dynamodb: Any, table: str, count: int, user: bytes | None = None) -> None:
    """Write items of a session's size: of one user, or of as many users as items."""
    for start in range(0, count, BATCH):
        puts = [_put(user) for _ in range(min(BATCH, count - start))]
        dynamodb.batch_write_item(RequestItems={table: puts})


def _put(user: bytes | None) -> dict[str, Any]:
    item = {
        "user": {"B": user or os.urandom(16)},
        "item": {"B": os.urandom(32)},
        "version": {"N": "1"},
        "appid": {"S": "wx4f4bc4dec97d474b"},
        "openid": {"S": "o" * 28},
        "sealed_key": {"B": os.urandom(52)},
        "created_at": {"N": "1900000000"},
        "expires_at": {"N": "4000000000"},
    }
    return {"PutRequest": {"Item": item}}


def _milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1e3


def _flat(around: Surroundings, dynamodb: Any, runs: int, sizes: tuple[int, ...]) -> list[Figure]:
    taken: dict[str, list[float]] = {}
    with ExitStack() as stack:
        actions: dict[str, Callable[[], float]] = {}
        for size in sizes:
            aws.make_table(dynamodb, table := f"growth-{size}")
            _fill(dynamodb, table, size)
            door = stack.enter_context(_gate_on(around, table))
            proxied = door.event("GET", "/api/orders/7", token=door.log_in())
            actions[f"proxied request, {size:,} sessions"] = partial(
                _milliseconds, partial(door.answer, proxied)
            )
            actions[f"login, {size:,} sessions"] = partial(_login, door)
        for _ in range(runs):
            for name, samples in interleaved(actions, ROUNDS).items():
                taken.setdefault(name, []).append(median(samples))
    figures = [Figure(name, "ms", samples) for name, samples in taken.items()]
    for request in ("proxied request", "login"):
        least, most = (taken[f"{request}, {size:,} sessions"] for size in (sizes[0], sizes[-1]))
        name = f"{request}, {sizes[-1]:,} ÷ {sizes[0]:,} sessions"
        figures.append(Figure(name, "×", ratios(most, least), FLAT))
    return figures


def _login(door: gate.Gate) -> float:
    event = door.login_event()
    return _milliseconds(partial(door.answer, event))


def _logouts(around: Surroundings, dynamodb: Any, runs: int) -> list[Figure]:
    taken: dict[int, list[float]] = {count: [] for count in SESSIONS_OF_A_USER}
    aws.make_table(dynamodb, table := "growth-logout")
    with _gate_on(around, table) as door:
        for _ in range(runs):
            for count, samples in taken.items():
                token = door.log_in()
                user = dynamodb.scan(TableName=table, Limit=1)["Items"][0]["user"]["B"]
                _fill(dynamodb, table, count - 1, user)
                event = door.event("POST", "/logout", {"everywhere": True}, token)
                samples.append(_milliseconds(partial(door.answer, event, 204)))
    least, most = SESSIONS_OF_A_USER[-2:]
    grown = ratios(taken[most], taken[least])
    return [
        *(Figure(f"logout everywhere, {n:,} sessions", "ms", taken[n]) for n in taken),
        Figure(
            f"logout everywhere, {most:,} ÷ {least:,} sessions",
            "×",
            grown,
            Goal("≤", 1.2 * most / least),
        ),
    ]


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure milliseconds per request at each size of the table."""
    runs, sizes = (1, SIZES[:2]) if quick else (5, SIZES)
    with surroundings.running() as around:
        print(f"DynamoDB is {around.engine}.", file=sys.stderr)
        before = dict(os.environ)
        os.environ.update(around.environ)
        try:
            with closing(_dynamodb(around)) as dynamodb:
                flat = _flat(around, dynamodb, runs, sizes)
                return flat + _logouts(around, dynamodb, runs)
        finally:
            os.environ.clear()
            os.environ.update(before)
