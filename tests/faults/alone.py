"""The gate in a process of its own, as Lambda runs it: one that can be killed, or measured."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.attacks.world import Exchange, World
from tests.support.fakes import NOW

ROOT = Path(__file__).parent.parent.parent

MEMORY = 200
"""MB that the process may have at its peak, whatever a peer sends."""

SERVING = f"""
import json, sys, app
from benchmarks.memory import peak
app.services.clock = lambda: {NOW}
status = app.app(json.load(sys.stdin), None)["statusCode"]
print(json.dumps([status, peak()]))
"""


def start(world: World, event: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Serve one event; the last line of the output will be the status and the peak in MB."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING],
        cwd=ROOT,
        env={**os.environ, **world.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(event).encode())
    process.stdin.close()
    return process


def stays_small(world: World, exchange: Exchange) -> None:
    """Serve the event of an exchange once more: it ends alike, and below MEMORY."""
    with start(world, exchange.event) as process:
        assert process.stdout is not None
        status, peak = json.loads(process.stdout.read().splitlines()[-1])
    assert status == exchange.answer.status
    assert peak < MEMORY
