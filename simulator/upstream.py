"""A business API that echoes what the gate sent, as JSON. It has a log, and shows its events."""

import base64
import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler
from typing import Any

from simulator.serving import Server, serve

LOGGED = 1_000
"""Requests that the log remembers; older ones are forgotten, their numbers stay theirs."""

BODY_LOGGED = 4_096
"""Characters of a body that the log remembers."""


class Log:
    """The requests that the upstream received, numbered from 1.

    An entry is the echo with ``{n, time, status}``: time in epoch seconds.
    """

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=LOGGED)
        self._received = 0
        self._lock = threading.Lock()

    def add(self, echo: dict[str, Any], status: int) -> None:
        """Note a request and what it was answered."""
        entry = {**echo, "body": echo["body"][:BODY_LOGGED], "time": time.time(), "status": status}
        with self._lock:
            self._received += 1
            self._entries.append({**entry, "n": self._received})

    def after(self, n: int) -> list[dict[str, Any]]:
        """Return the entries numbered above n that are still remembered."""
        with self._lock:
            return [entry for entry in self._entries if entry["n"] > n]


def echoed(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """Describe a request; a body that is no UTF-8 is given as base64, and says so."""
    path, _, query = target.partition("?")
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    try:
        text, is_base64 = body.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body).decode("ascii"), True
    echo = {"method": method, "path": path, "query": query, "headers": joined, "body": text}
    return {**echo, "isBase64Encoded": True} if is_base64 else echo


SHOWN = 100
"""Events that are remembered, the newest last."""


class _Echo(BaseHTTPRequestHandler):
    log: Log
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    events: deque[dict[str, Any]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        echo = echoed(self.command, self.path, self.headers.items(), body)
        if self.command == "POST" and "X-WX-EVENT-ID" in self.headers:
            self.events.append(echo)
        elif self.command == "GET" and (here := self._events_at(echo["path"])):
            echo = {**echo, "events": here}
        data = json.dumps(echo, ensure_ascii=False, indent=2).encode()
        self.log.add(echo, 200)
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _events_at(self, path: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["path"] == path]

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the gate logs each request."""


def start(host: str, port: int, log: Log | None = None) -> Server:
    """Serve the echo, and note each request in `log`; a GET where events arrived shows `events`.

    Raises:
        OSError: if the port is in use.
    """
    members = {"log": log or Log(), "events": deque[dict[str, Any]](maxlen=SHOWN)}
    return serve(type("Echo", (_Echo,), members), host, port)
