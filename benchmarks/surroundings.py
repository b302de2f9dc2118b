"""What surrounds the gate, in a process of its own: its CPU time and memory are not the gate's.

WeChat, AWS and echo are the desk's; DynamoDB is DynamoDB Local where Java and its files are found,
else moto. A second upstream gives the biggest answers there are.
"""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from benchmarks import ROOT
from simulator.serving import Server, serve

LARGEST_TEXT = 6_200_000
"""Bytes of a text answer that just fits through Lambda."""

LARGEST_BINARY = 4_650_000
"""Bytes of a binary answer that just fits through Lambda, as base64."""

_TAKEN = ("WX_", "SESSIONS_", "SECRET_", "UPSTREAM_", "WECHAT_", "AWS_", "NO_PROXY")


@dataclass(frozen=True)
class Surroundings:
    """Addresses by name, and the environment that points a gate at them."""

    urls: dict[str, str]
    environ: dict[str, str]

    @property
    def engine(self) -> str:
        """The name of what plays DynamoDB."""
        return "DynamoDB Local" if "DynamoDB" in self.urls else "moto"


@contextmanager
def running() -> Iterator[Surroundings]:
    """Run the surroundings in a process that ends with the block, or with this process.

    Raises:
        RuntimeError: if they do not start; the reason is on standard error.
    """
    command = [sys.executable, "-m", "benchmarks.surroundings"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("The surroundings do not start.")
            yield Surroundings(**json.loads(line))
        finally:
            process.stdin.close()  # it waits for this
            process.wait(timeout=30)


class _Largest(BaseHTTPRequestHandler):
    """Answers with the most that the gate has to carry, one sort of it per path."""

    protocol_version = "HTTP/1.1"
    bodies = {  # noqa: RUF012 - never written
        "/text": (b"x" * LARGEST_TEXT, {}),
        "/binary": (os.urandom(LARGEST_BINARY), {}),
        # 4.6 MB that say nothing of how much they unpack to: 4.7 GB.
        "/bomb": (b"", {"Content-Encoding": "gzip"}),
    }

    def do_GET(self) -> None:
        self._answer(*self.bodies[self.path])

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"", {})

    def _answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def _bomb() -> bytes:
    """Pack zeros, member after member (RFC 1952 2.2): a thousand times as big when unpacked."""
    member = gzip.compress(bytes(1_000_000))
    return member * (LARGEST_BINARY // len(member))


def _largest() -> Server:
    _Largest.bodies["/bomb"] = (_bomb(), {"Content-Encoding": "gzip"})
    return serve(_Largest, "127.0.0.1", 0)


def _dynamodb_local(stack: ExitStack) -> str | None:
    from simulator import dynamodb_local

    if dynamodb_local.missing():
        return None
    process, url = dynamodb_local.start()
    stack.callback(process.wait)
    stack.callback(process.kill)
    return url


def main() -> None:
    """Start everything, tell in one line of JSON where it is, and end with standard input."""
    from simulator.desk import Parts, set_up

    with ExitStack() as stack:
        desk = set_up(0, Parts(aws_url=_dynamodb_local(stack)))
        stack.callback(desk.close)
        largest = _largest()
        stack.callback(largest.close)
        environ = {name: text for name, text in os.environ.items() if name.startswith(_TAKEN)}
        told = {"urls": {**desk.urls, "largest": largest.url}, "environ": environ}
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
