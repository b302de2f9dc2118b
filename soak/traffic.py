"""The traffic: many visitors at once, at one rate, and a tally of what became of it."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from soak.visitor import Answer, Fault, Headers, Visitor, WrongUser

HOST = "127.0.0.1"
WORKERS = 16
TIMEOUT = 30.0
GRACE = 5.0
"""Seconds after the last moment in which requests that are late may still be sent."""

SAMPLES = 10
"""Faults that are told in words; the others are counted."""


class Over(Exception):
    """The last request has been sent."""


class Pace:
    """Gives each request its moment, `rate` a second, `seconds` long, whatever the answers take.

    Where the answers take too long for the rate, the moments that are left at the end are lost.
    """

    def __init__(
        self, rate: float, seconds: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._rate = rate
        self._count = round(rate * seconds)
        self._next = itertools.count()
        self._clock = clock
        self._start = clock()
        self._end = self._start + seconds + GRACE

    def wait(self) -> float:
        """Wait for the next moment; give it, in seconds of the clock.

        Raises:
            Over: if there is none left, or the time is over.
        """
        number, now = next(self._next), self._clock()
        if number >= self._count or now > self._end:
            raise Over
        due = self._start + number / self._rate
        time.sleep(max(0.0, due - now))
        return due


@dataclass
class Tally:
    """What became of the traffic; `seconds` of each answer count from the moment it was due."""

    acts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong_users: int = 0
    errors: int = 0
    samples: list[str] = field(default_factory=list)
    elapsed: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rate(self) -> float:
        """The requests per second that were answered."""
        return len(self.seconds) / self.elapsed if self.elapsed else 0.0

    def add(self, act: str) -> None:
        """Count an act whose every answer was as due."""
        with self._lock:
            self.acts[act] += 1

    def add_fault(self, act: str, error: Exception) -> None:
        """Count what went wrong; the first few are kept in words that hold no secret."""
        words = str(error) if isinstance(error, Fault) else type(error).__name__
        with self._lock:
            self.wrong_users += isinstance(error, WrongUser)
            self.errors += not isinstance(error, WrongUser)
            if len(self.samples) < SAMPLES:
                self.samples.append(f"{act}: {words}")


class HttpLine:
    """One worker's connections to the gate and to the simulated WeChat; they stay open."""

    def __init__(self, port: int, pace: Pace, seconds: list[float]) -> None:
        self._gate = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
        self._wechat = http.client.HTTPConnection(HOST, port + 1, timeout=TIMEOUT)
        self._pace = pace
        self._seconds = seconds

    def gate(self, method: str, target: str, headers: Headers, body: bytes | None) -> Answer:
        """Send one request to the gate when its moment comes."""
        due = self._pace.wait()
        answer = _asked(self._gate, method, target, headers, body)
        self._seconds.append(time.perf_counter() - due)
        return answer

    def phone(self, call: str, members: dict[str, Any]) -> dict[str, Any]:
        """Make a wx call; these are not counted."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps(members).encode()
        told: dict[str, Any] = _asked(self._wechat, "POST", f"/wx/{call}", headers, body).json
        return told

    def close(self) -> None:
        """Close both connections."""
        self._gate.close()
        self._wechat.close()


def _asked(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Headers,
    body: bytes | None,
) -> Answer:
    try:
        connection.request(method, target, body, headers)
        answered = connection.getresponse()
        names = {name.lower(): value for name, value in answered.getheaders()}
        return Answer(answered.status, names, answered.read())
    except (OSError, http.client.HTTPException):
        connection.close()
        raise


def send(port: int, visitors: Sequence[Visitor], rate: float, seconds: float, seed: int) -> Tally:
    """Let the visitors act at the desk on `port` until their time is over; give the tally."""
    tally = Tally()
    pace = Pace(rate, seconds)
    locks = [(visitor, threading.Lock()) for visitor in visitors]
    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [
            pool.submit(_work, HttpLine(port, pace, tally.seconds), locks, Random(seed + n), tally)
            for n in range(WORKERS)
        ]:
            done.result()
    tally.elapsed = time.perf_counter() - started
    return tally


def _work(
    line: HttpLine,
    visitors: Sequence[tuple[Visitor, threading.Lock]],
    random: Random,
    tally: Tally,
) -> None:
    try:
        while True:
            visitor, lock = random.choice(visitors)
            if not lock.acquire(blocking=False):
                continue
            try:
                _act(visitor, line, random, tally)
            finally:
                lock.release()
    except Over:
        line.close()


def _act(visitor: Visitor, line: HttpLine, random: Random, tally: Tally) -> None:
    act = visitor.chosen(random)
    try:
        act(visitor, line, random)
    except (Fault, KeyError, TypeError, OSError, http.client.HTTPException) as error:
        tally.add_fault(act.__name__, error)
        visitor.tokens.clear()  # what he still has is not known: he begins afresh
    else:
        tally.add(act.__name__)
