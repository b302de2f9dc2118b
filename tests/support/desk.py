"""The desk as its user meets it: a process, its table of addresses, its end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from simulator.desk import DEFAULT_APP, PORTS
from tests.support.front_door import Phone

ROOT = Path(__file__).parents[2]
START_SECONDS = 30

ENVIRONMENT = dict(os.environ)
"""As it was before the desk of other tests set its own."""


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_ports() -> int:
    """Find the first of five free ports in a row; each process looks elsewhere first."""
    for first in range(20_000 + os.getpid() * 50 % 10_000, 60_000, 5):
        if all(is_free(first + offset) for offset in range(len(PORTS))):
            return first
    raise AssertionError("no five free ports")


def start(*flags: str, environ: Mapping[str, str] = {}, cwd: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *flags],
        cwd=cwd,
        env={**ENVIRONMENT, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait until it ends by itself; give status, output and errors."""
    out, errors = process.communicate(timeout=START_SECONDS)
    return process.returncode, out, errors


@dataclass
class RunningDesk:
    """A desk that is ready; `log` and `errors` are there once it has ended."""

    process: subprocess.Popen[str]
    port: int
    said: list[str]
    log: str = ""
    errors: str = ""

    @property
    def urls(self) -> dict[str, str]:
        """The addresses of its table, by name."""
        rows = (line.split() for line in self.said)
        return {row[0]: row[1] for row in rows if row[1:] and "://" in row[1]}


@contextmanager
def running(
    environ: Mapping[str, str] = {}, cwd: Path = ROOT, end: signal.Signals = signal.SIGTERM
) -> Iterator[RunningDesk]:
    """Run a desk on five free ports until the block ends; see that it ends well."""
    port = free_ports()
    process = start("--port", str(port), environ=environ, cwd=cwd)
    desk = RunningDesk(process, port, [])
    try:
        # A line, and a table between two empty lines.
        assert process.stdout
        while desk.said.count("") < 2:
            line = process.stdout.readline()
            assert line, process.communicate()
            desk.said.append(line.rstrip())
        yield desk
    finally:
        process.send_signal(end)
        try:
            desk.log, desk.errors = process.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0


def patiently(send: Callable[[], requests.Response]) -> requests.Response:
    """Send, and once more if the gate is busy, as it says."""
    for _ in range(10):
        answer = send()
        if answer.status_code != 503:
            break
    return answer


def post_login(
    urls: Mapping[str, str], phone_of: str = DEFAULT_APP, **members: str
) -> requests.Response:
    """Send a code of a phone to the gate."""

    def send() -> requests.Response:
        body = {"code": Phone(urls["WeChat"], appid=phone_of).code(), **members}
        return requests.post(f"{urls['gate']}/login", json=body, timeout=10)

    return patiently(send)


def log_in(urls: Mapping[str, str], phone_of: str = DEFAULT_APP) -> str:
    return str(post_login(urls, phone_of).json()["token"])


def call_api(urls: Mapping[str, str], token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return patiently(lambda: requests.get(f"{urls['gate']}/api/me", headers=headers, timeout=10))
