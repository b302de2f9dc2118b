"""The desk under load: its processes start with locust and end with it."""

import atexit
import logging
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import Any

import gevent
import psutil
import requests
from locust import events
from locust.env import Environment

from simulator import dynamodb_local
from tests.support.desk import ROOT, free_ports

HOST = "127.0.0.1"
START_SECONDS = 60

GROWTH = 0.05
"""Part by which the desk's memory may grow from the middle fifth of a run to its last tenth."""

SETTLED = 120
"""Seconds of a run before which caches that fill cannot be told from growth."""

_logger = logging.getLogger(__name__)
_running = ExitStack()
_sizes: list[int] = []

PORT = free_ports()
GATE, WECHAT = f"http://{HOST}:{PORT}", f"http://{HOST}:{PORT + 1}"


@events.init.add_listener
def start(environment: Environment, **_: Any) -> None:
    environment.events.quitting.add_listener(stop)
    atexit.register(_running.close)
    # None of the user's own parts may be under load.
    variables = {"PATH": os.environ["PATH"]}
    if (reason := dynamodb_local.missing()) and os.environ.get("CI") != "true":
        _logger.warning("%s; the load runs on moto.", reason)
    else:
        engine, variables["AWS_URL"] = dynamodb_local.start()
        _running.callback(engine.kill)
    command = [sys.executable, "-m", "simulator", "--port", str(PORT)]
    desk = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL)
    _running.callback(desk.terminate)
    end = time.monotonic() + START_SECONDS
    while desk.poll() is None and time.monotonic() < end:
        gevent.sleep(0.5)
        with suppress(requests.RequestException):
            requests.get(f"{GATE}/health", timeout=1)
            gevent.spawn(_watch, psutil.Process(desk.pid))
            return
    sys.exit("The desk does not start.")


def _watch(process: psutil.Process) -> None:
    while process.is_running():
        _sizes.append(process.memory_info().rss)
        gevent.sleep(1)


def stop(environment: Environment, **_: Any) -> None:
    _running.close()
    if len(_sizes) < SETTLED:
        return
    fifth, tenth = len(_sizes) // 5, len(_sizes) // 10
    before = statistics.median(_sizes[2 * fifth : 3 * fifth])
    after = statistics.median(_sizes[-tenth:])
    _logger.info("Memory: %.0f MB halfway, %.0f MB at the end.", before / 1e6, after / 1e6)
    if after > before * (1 + GROWTH):
        environment.process_exit_code = 1
