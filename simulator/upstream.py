"""A business API that echoes: what the gate sent, as JSON. Where events arrive it shows them."""

import base64
import json
from collections import deque
from http.server import BaseHTTPRequestHandler
from typing import Any

from simulator.serving import Server, serve


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


def start(host: str, port: int) -> Server:
    """Serve the echo; a GET where events were posted shows them too, as `events`.

    Raises:
        OSError: if the port is in use.
    """
    return serve(type("Echo", (_Echo,), {"events": deque(maxlen=SHOWN)}), host, port)
