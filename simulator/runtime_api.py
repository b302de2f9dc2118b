"""Lambda on the desk: the Runtime API, and function processes under AWS's own runtime client.

Source: AWS, «Using the Lambda runtime API» (2018-06-01). A function runs as in the cloud: its
package alone on the path, its own environment alone, one event at a time.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from importlib.metadata import distribution
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from simulator.serving import Server, serve

HOST = "127.0.0.1"
PREFIX = "/2018-06-01/runtime"
INIT_SECONDS = 30.0
"""A function that asks for no event within these does not start."""

ARN = "arn:aws:lambda:us-east-1:123456789012:function:"

_CLIENT = ("awslambdaric", "snapshot-restore-py", "simplejson")
"""The runtime client and what it needs; in the cloud they are in /var/runtime."""

# The client stands behind the package, as /var/runtime does, and nothing else is there: -I -S.
_BOOTSTRAP = """
import runpy, sys
package, client, handler = sys.argv[1:]
sys.path[:0] = [package]
sys.path.append(client)
sys.argv = ["awslambdaric", handler]
runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
"""


class FunctionError(RuntimeError):
    """The function did not start, or raised; the text is what it reported."""


@dataclass
class _Mailbox:
    """What stands between the caller and the function process."""

    events: "Queue[tuple[str, bytes, float]]" = field(default_factory=Queue)
    results: "Queue[tuple[bool, Any]]" = field(default_factory=Queue)
    asked: threading.Event = field(default_factory=threading.Event)
    asked_at: float = 0.0
    closed: bool = False

    def next_event(self) -> tuple[str, bytes, float] | None:
        """Wait for an event, as the runtime client does; None at the end."""
        if not self.asked.is_set():
            self.asked_at = time.perf_counter()
            self.asked.set()
        while not self.closed:
            try:
                return self.events.get(timeout=0.2)
            except Empty:
                continue
        return None


def _handler(mailbox: _Mailbox, name: str) -> type[BaseHTTPRequestHandler]:
    class RuntimeApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            """Hand out the next event."""
            found = mailbox.next_event() if self.path == f"{PREFIX}/invocation/next" else None
            if found is None:
                self.send_error(410)
                return
            request_id, event, seconds = found
            self._answer(200, event, _headers(request_id, name, seconds))

        def do_POST(self) -> None:
            """Take a result, or an error."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            succeeded = self.path.endswith("/response")
            mailbox.results.put((succeeded, json.loads(body or b"null")))
            if self.path == f"{PREFIX}/init/error":
                mailbox.asked.set()
            self._answer(202, b"", {})

        def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    return RuntimeApi


def _headers(request_id: str, name: str, seconds: float) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": request_id,
        "Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000)),
        "Lambda-Runtime-Invoked-Function-Arn": f"{ARN}{name}",
    }


class Function:
    """One Lambda function in a process of its own.

    `package` is the unpacked package, `client` a folder from `install_client`, `environment` all
    that the process sees besides what Lambda itself sets, `seconds` the function's timeout.
    """

    def __init__(
        self,
        name: str,
        handler: str,
        package: Path,
        client: Path,
        environment: Mapping[str, str],
        *,
        seconds: float = 25.0,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self.seconds = seconds
        self._mailbox = _Mailbox()
        self._server = serve(_handler(self._mailbox, name), HOST, 0)
        self._output = log.open("ab") if log else subprocess.DEVNULL
        self._started = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-I", "-S", "-B", "-c", _BOOTSTRAP, package, client, handler],
            cwd=package,
            env={**_lambda_environment(name, handler, self._server), **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def wait(self) -> float:
        """Wait until the function asks for its first event; give the seconds since its start.

        Raises:
            FunctionError: if it does not, with what it reported.
        """
        end = self._started + INIT_SECONDS
        while not self._mailbox.asked.wait(0.05):
            if self._process.poll() is not None or time.perf_counter() > end:
                raise FunctionError(f"{self.name} ended at its start, or never began.")
        if not self._mailbox.asked_at:
            raise FunctionError(str(self._mailbox.results.get()[1]))
        return self._mailbox.asked_at - self._started

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Hand over one event and wait for its result.

        Raises:
            FunctionError: if the function raised, ended or did not answer in time.
        """
        self._mailbox.events.put((str(uuid.uuid4()), json.dumps(event).encode(), self.seconds))
        try:
            succeeded, result = self._mailbox.results.get(timeout=self.seconds)
        except Empty:
            raise FunctionError(f"{self.name} did not answer in {self.seconds:g} s.") from None
        if not succeeded:
            raise FunctionError(str(result))
        return result

    @property
    def pid(self) -> int:
        """The function's process."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Give the time that the process has had a processor, whatever else the machine does.

        Source: Linux, Documentation/scheduler/sched-stats.rst: nanoseconds of the main thread.
        """
        told = Path(f"/proc/{self.pid}/schedstat").read_text()
        return int(told.split()[0]) / 1e9

    def close(self) -> None:
        """End the process and its API."""
        self._mailbox.closed = True
        self._process.kill()
        self._process.wait()
        self._server.close()
        if not isinstance(self._output, int):
            self._output.close()


def _lambda_environment(name: str, handler: str, server: Server) -> dict[str, str]:
    """What Lambda sets itself (AWS, «Defined runtime environment variables»)."""
    return {
        "AWS_LAMBDA_RUNTIME_API": server.url.removeprefix("http://"),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "_HANDLER": handler,
    }


def install_client(folder: Path) -> Path:
    """Copy AWS's runtime client out of this environment, so that it can stand alone."""
    for name in _CLIENT:
        for file in distribution(name).files or ():
            source = Path(str(file.locate()))
            if source.suffix in (".py", ".so", ".pyc") and ".." not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    return folder
