"""Round trips per exchange: what 40 ms of distance to WeChat and the upstream cost a phone.

The same request goes to a server behind TLS and to the same server 20 ms further away in each
direction; the difference, divided by 40 ms, is the number of round trips that the phone waits
for. Beside the gate, in the same run, requests.Session makes the same exchange.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import requests

from benchmarks import gate, relays, surroundings
from benchmarks.figures import Figure, Goal, interleaved
from benchmarks.relays import Relays
from benchmarks.surroundings import Surroundings

DELAY = 0.020
"""Seconds each way."""

RUNS = 9
ROUNDS = 15
STEADY_GOAL = Goal("≤", 1.5)
FIRST_GOAL = Goal("≤", 4)


@dataclass
class Side:
    """The gate and requests.Session at one distance."""

    near: Surroundings
    relayed: Relays

    @property
    def environ(self) -> dict[str, str]:
        """The gate's environment: WeChat and the upstream behind the relays, AWS as it is."""
        return {
            **self.near.environ,
            **self.relayed.environ,
            "WECHAT_API_URL": self.relayed.urls["WeChat"],
            "UPSTREAM_URL": self.relayed.urls["upstream"],
        }

    def first(self, request: str) -> float:
        """Make a request with an app that has no connection yet; give its seconds."""
        with gate.loaded(self.environ, self.near.urls["WeChat"]) as door:
            # The other hop has its connection: only the one that is measured is opened.
            token = "" if request == "login" else door.log_in()
            return _seconds(partial(door.answer, _event(door, request, token)))

    @contextmanager
    def steady(self, request: str) -> Iterator[Callable[[], float]]:
        """Give what makes the request once more on kept connections and tells its seconds."""
        with gate.loaded(self.environ, self.near.urls["WeChat"]) as door:
            token = door.log_in()
            door.answer(_event(door, request, token))
            yield lambda: _seconds(partial(door.answer, _event(door, request, token)))

    @contextmanager
    def session(self, request: str) -> Iterator[Callable[[], float]]:
        """Give the same exchange by requests.Session."""
        target = (
            f"{self.relayed.urls['WeChat']}/sns/jscode2session?appid=a&secret=b&js_code=c"
            if request == "login"
            else f"{self.relayed.urls['upstream']}/orders/7"
        )
        method = "POST" if request == "POST" else "GET"
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.relayed.ca_bundle)
            ask = partial(session.request, method, target, timeout=10)
            ask()
            yield lambda: _seconds(ask)


def _event(door: gate.Gate, request: str, token: str) -> Any:
    if request == "login":
        return door.login_event()
    body = {"amount": 1} if request == "POST" else None
    return door.event(request, "/api/orders/7", body, token)


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _trips(far: list[float], near: list[float]) -> float:
    return (median(far) - median(near)) / (2 * DELAY)


def _steady(near: Side, far: Side, request: str, runs: int) -> list[Figure]:
    makers = {"the gate": "steady", "requests.Session": "session"}
    figures = []
    for name, maker in makers.items():
        samples = []
        for _ in range(runs):
            with getattr(near, maker)(request) as here, getattr(far, maker)(request) as there:
                taken = interleaved({"here": here, "there": there}, ROUNDS)
            samples.append(_trips(taken["there"], taken["here"]))
        goal = STEADY_GOAL if name == "the gate" else None
        figures.append(Figure(f"{request}, {name}", "round trips", samples, goal))
    return figures


def _first(near: Side, far: Side, request: str, runs: int) -> Figure:
    samples = []
    for _ in range(runs):
        taken = interleaved(
            {"here": partial(near.first, request), "there": partial(far.first, request)}, 3
        )
        samples.append(_trips(taken["there"], taken["here"]))
    return Figure(f"{request}, first exchange of the gate", "round trips", samples, FIRST_GOAL)


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure the round trips of a login (to WeChat), a GET and a POST (to the upstream)."""
    runs = 1 if quick else RUNS
    figures = []
    with ExitStack() as stack:
        around = stack.enter_context(surroundings.running())
        hops = {name: around.urls[name] for name in ("WeChat", "upstream")}
        near = Side(around, stack.enter_context(relays.running(hops)))
        far = Side(around, stack.enter_context(relays.running(hops, delay=DELAY)))
        for request in ("login", "GET", "POST"):
            figures += _steady(near, far, request, runs)
            figures.append(_first(near, far, request, max(1, runs // 3)))
    return figures
