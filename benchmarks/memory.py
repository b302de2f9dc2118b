"""Peak memory of the gate alone: one process, as Lambda runs it, after the worst requests.

Linux's own count, VmHWM: the most that the process ever had in memory, its libraries included.
"""

import base64
import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import ROOT, surroundings
from benchmarks.figures import Figure, Goal
from benchmarks.surroundings import Surroundings

GOAL = Goal("<", 200)

LARGEST_BODY = 4_718_592
"""Bytes of the largest body that the gate takes."""

LARGEST_JSON = 1_048_576
"""Bytes of the largest JSON body that the gate takes."""


def peak(pid: int | str = "self") -> float:
    """Give the most memory that a process ever had, in MB (10⁶ bytes).

    Raises:
        OSError: where there is no /proc: elsewhere than on Linux.
    """
    return _counted("VmHWM", pid)


def resident(pid: int | str = "self") -> float:
    """Give the memory that a process has now, in MB (10⁶ bytes).

    Raises:
        OSError: where there is no /proc: elsewhere than on Linux.
    """
    return _counted("VmRSS", pid)


def forget_peak() -> None:
    """Let this process's peak be what it has now (proc(5), clear_refs: 5).

    Raises:
        OSError: where there is no /proc, or it cannot be written.
    """
    Path("/proc/self/clear_refs").write_text("5")


def _counted(name: str, pid: int | str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+([0-9]+) kB$", status, re.MULTILINE)
    assert found is not None, status
    return int(found[1]) * 1024 / 1e6


def _measured(environ: dict[str, str]) -> float:
    """Run `main` in a fresh process, whose memory is nobody else's; give its peak."""
    command = [sys.executable, "-m", "benchmarks.memory"]
    environ = {**os.environ, **environ}
    done = subprocess.run(
        command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300
    )
    return float(done.stdout)


def _environ(around: Surroundings) -> dict[str, str]:
    largest = around.urls["largest"]
    return {**around.environ, "UPSTREAM_URL": largest, "BENCHMARK_WECHAT": around.urls["WeChat"]}


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure the peak of a few fresh processes."""
    with surroundings.running() as around:
        peaks = [_measured(_environ(around)) for _ in range(1 if quick else 3)]
    return [Figure("peak memory, the gate alone", "MB", peaks, GOAL)]


# --- in the fresh process ------------------------------------------------------------------------


def _served(app: Any, event: dict[str, Any]) -> dict[str, Any]:
    """Serve an event from text to text, as Lambda's runtime does: those copies count."""
    answer = app(json.loads(json.dumps(event)), None)
    json.dumps(answer).encode()
    assert isinstance(answer, dict)
    return answer


def _event(method: str, target: str, token: str = "", **members: Any) -> dict[str, Any]:
    resource = "/api/{proxy+}" if target.startswith("/api/") else target
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    context = {"resourcePath": resource, "httpMethod": method, "path": f"/v1{target}"}
    return {
        "path": target,
        "headers": headers,
        "requestContext": context,
        "body": None,
        "isBase64Encoded": False,
        **members,
    }


def _worst(app: Any, code: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Serve the worst requests; give each answer and the status that it must have."""
    login = _served(app, _event("POST", "/login", body=json.dumps({"code": code})))
    yield login, 200
    token = json.loads(login["body"])["token"]
    body = base64.b64encode(os.urandom(LARGEST_BODY)).decode()
    yield _served(app, _event("PUT", "/api/put", token, body=body, isBase64Encoded=True)), 200
    for sort in ("text", "binary", "bomb"):
        yield _served(app, _event("GET", f"/api/{sort}", token)), 200
    # A JSON body of as many values as fit: each of them is a Python object.
    many = '{"kind":[' + "1.5," * ((LARGEST_JSON - 16) // 4) + "1]}"
    yield _served(app, _event("POST", "/decrypt", token, body=many)), 400


def main() -> None:
    """Serve the worst requests twice over and tell the peak."""
    wechat = os.environ["BENCHMARK_WECHAT"]
    app = importlib.import_module("app").app
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for _ in range(2):
            for answer, status in _worst(app, _code(wechat)):
                assert answer["statusCode"] == status, (status, str(answer)[:300])
    print(peak())


def _code(wechat: str) -> str:
    from urllib.request import Request, urlopen

    body = json.dumps({"appid": os.environ["WX_APPIDS"], "user": "bench"}).encode()
    request = Request(f"{wechat}/wx/login", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        code: str = json.loads(answer.read())["code"]
        return code


if __name__ == "__main__":
    main()
