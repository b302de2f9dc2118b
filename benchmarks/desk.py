"""The desk, `python -m simulator`, under load: requests per second, and how long each took.

Everything that answers is one Python process, moto and the simulated WeChat included, so this is
what a developer has on the desk. It says nothing of Lambda, where each container serves one
request at a time.
"""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass

from benchmarks import ROOT
from benchmarks.figures import Figure, percentile
from benchmarks.memory import GOAL, peak

APPID = "wx4f4bc4dec97d474b"
HOST = "127.0.0.1"
CLIENTS = 4
START_SECONDS = 60

LARGE = 4_000_000
"""Bytes of a body that still fits when the upstream echoes it."""

Headers = dict[str, str]


@dataclass(frozen=True)
class Call:
    """One request of the load."""

    method: str
    target: str
    body: str | None = None
    headers: Headers | None = None


@dataclass(frozen=True)
class Desk:
    """A running desk: its first port and its process id."""

    port: int
    pid: int

    def ask(self, offset: int, target: str, body: object) -> dict[str, str]:
        """Post JSON to a server of the desk, by its port's offset; give the answer's JSON."""
        with closing(
            http.client.HTTPConnection(HOST, self.port + offset, timeout=10)
        ) as connection:
            connection.request("POST", target, json.dumps(body), _JSON)
            answer: dict[str, str] = json.loads(connection.getresponse().read())
            return answer

    def code(self) -> str:
        """Get a login code from the simulated WeChat."""
        return self.ask(1, "/wx/login", {"appid": APPID, "user": "bench"})["code"]


_JSON = {"Content-Type": "application/json"}


def _free_ports() -> int:
    """Find five free ports in a row; give the first."""
    for first in range(20_000, 60_000, 7):
        try:
            for port in range(first, first + 5):
                with socket.socket() as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        return first
    raise RuntimeError("No five free ports.")


@contextmanager
def running(aws_url: str | None = None) -> Iterator[Desk]:
    """Run the desk as `make run` does, on another engine if told, until the block ends.

    Raises:
        RuntimeError: if it does not answer within START_SECONDS.
    """
    port = _free_ports()
    command = [sys.executable, "-m", "simulator", "--port", str(port)]
    command += ["--aws-url", aws_url] if aws_url else []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            _await(process, port)
            yield Desk(port, process.pid)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _await(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with closing(http.client.HTTPConnection(HOST, port, timeout=1)) as connection:
                connection.request("GET", "/health")
                connection.getresponse().read()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("The desk does not start.")


def _client(port: int, calls: list[Call]) -> list[float]:
    """Make the calls over one connection that stays open; give the seconds of each."""
    seconds = []
    with closing(http.client.HTTPConnection(HOST, port, timeout=30)) as connection:
        for call in calls:
            started = time.perf_counter()
            connection.request(call.method, call.target, call.body, call.headers or {})
            response = connection.getresponse()
            answered = response.read()
            seconds.append(time.perf_counter() - started)
            assert response.status == 200, answered
    return seconds


def load(port: int, calls: list[Call]) -> tuple[float, list[float]]:
    """Share calls among CLIENTS clients; give the requests per second and the seconds of each."""
    shares = [calls[start::CLIENTS] for start in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        started = time.perf_counter()
        answered = list(clients.map(lambda share: _client(port, share), shares))
        elapsed = time.perf_counter() - started
    return len(calls) / elapsed, [second for seconds in answered for second in seconds]


def _login(code: str) -> Call:
    return Call("POST", "/login", json.dumps({"code": code}), _JSON)


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure /health, logins and proxied requests; and the peak memory of the desk after them."""
    runs, count = (1, 20) if quick else (5, 300)
    figures: list[Figure] = []
    with running() as desk:
        bearer = {
            "Authorization": f"Bearer {desk.ask(0, '/login', {'code': desk.code()})['token']}"
        }
        mixes: dict[str, Callable[[], list[Call]]] = {
            "health": lambda: [Call("GET", "/health")] * (5 * count),
            "login": lambda: [_login(desk.code()) for _ in range(count)],
            "proxied request": lambda: [Call("GET", "/api/orders/7", None, bearer)] * count,
        }
        for name, calls in mixes.items():
            load(desk.port, calls()[:20])
            figures += _figures(name, [load(desk.port, calls()) for _ in range(runs)])
        load(desk.port, [Call("PUT", "/api/large", "x" * LARGE, bearer)])
        memory = Figure("peak memory, the whole desk", "MB", [peak(desk.pid)], GOAL)
    return [*figures, memory]


def _figures(name: str, loads: list[tuple[float, list[float]]]) -> list[Figure]:
    rates = [rate for rate, _ in loads]
    halves = [percentile(seconds, 0.5) * 1e3 for _, seconds in loads]
    tails = [percentile(seconds, 0.95) * 1e3 for _, seconds in loads]
    return [
        Figure(f"desk, {name}", "requests/s", rates),
        Figure(f"desk, {name}, p50", "ms", halves),
        Figure(f"desk, {name}, p95", "ms", tails),
    ]
