"""The gate in a process of its own, as Lambda runs it: one that can be killed, or measured."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.gateway import answer_of
from tests.attacks.world import World
from tests.support.fakes import NOW
from tests.support.front_door import Answer
from tests.support.loopback import Act, Loopback, self_signed

ROOT = Path(__file__).parents[2]

SERVING = f"""
import json, os, sys
for environ, event in json.load(sys.stdin):
    os.environ.update(environ)
    if environ:
        sys.modules.pop("app", None)
    import app
    app.services.clock = lambda: {NOW}
    answer = app.app(event, None)
    counted = open("/proc/self/status") if os.path.exists("/proc/self/status") else ()
    peak = [int(line.split()[1]) / 1000 for line in counted if line.startswith("VmHWM")]
    print(json.dumps({{"answer": answer, "peak": sum(peak)}}))
"""

Case = tuple[dict[str, str], dict[str, Any]]
"""What of the environment differs, for which the app starts anew, and an event."""


def start(world: World, *cases: Case) -> subprocess.Popen[bytes]:
    """Serve one event after another."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING],
        cwd=ROOT,
        env={**os.environ, **world.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(cases).encode())
    process.stdin.close()
    return process


@dataclass(frozen=True)
class Outcome:
    """An answer, the log line of its request, and the process's peak of memory in MB."""

    answer: Answer
    line: dict[str, Any]
    peak: float


def serve(world: World, *cases: Case) -> list[Outcome]:
    """Serve events, and wait for what comes of them."""
    with start(world, *cases) as process:
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout.read().splitlines()]
    requests = [line for line in lines if line.get("event") == "request"]
    results = [line for line in lines if "peak" in line]
    answers = [answer_of(result["answer"]) for result in results]
    return [
        Outcome(Answer(status, dict(headers), body), line, result["peak"])
        for (status, headers, body), line, result in zip(answers, requests, results, strict=True)
    ]


FLAWS: dict[str, dict[str, Any]] = {
    "self-signed": {},
    "expired": {"days": -1},
    "wrong name": {"name": "other.test"},
    "none": {},
}
"""What is wrong with a certificate; all but the self-signed one are in SSL_CERT_FILE."""


@contextmanager
def with_certificates(act: Act, folder: Path) -> Iterator[tuple[dict[str, Loopback], Path]]:
    """Give a TLS server for each flaw, and the file of certificates that are trusted.

    A process reads that file once, so each test needs one of its own.
    """
    servers, trusted = {}, ""
    with ExitStack() as stack:
        for flaw, options in FLAWS.items():
            tls, certificate = self_signed(folder, **options)
            servers[flaw] = stack.enter_context(Loopback(act, tls=tls))
            if flaw != "self-signed":
                trusted += certificate.read_text()
        certificate.write_text(trusted)
        yield servers, certificate
