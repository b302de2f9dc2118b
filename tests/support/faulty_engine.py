"""A DynamoDB that fails on cue: it stands between the store and an engine that works."""

import http.client
import json
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from simulator.serving import serve

Reply = tuple[int, list[tuple[str, str]], bytes]
Act = Callable[["Exchange"], None]
"""What to do with one request, in place of letting it through."""


class FaultyEngine:
    """Each request meets the next of `acts`; when none is left, the engine behind answers.

    `calls` are what came in: pairs of operation name and its JSON members.
    """

    def __init__(self, engine_url: str) -> None:
        self.acts: deque[Act] = deque()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._behind = urlsplit(engine_url)
        handler = type("Handler", (Exchange,), {"engine": self})
        self._server = serve(handler, "127.0.0.1", 0)
        self.url = self._server.url
        self.close = self._server.close

    def then(self, *acts: Act) -> None:
        """Do these with the next requests."""
        self.acts.extend(acts)

    def operations(self) -> list[str]:
        """The names of what was asked, in order; forget them."""
        names = [name for name, _ in self.calls]
        self.calls.clear()
        return names

    def forward(self, headers: dict[str, str], body: bytes) -> Reply:
        """Ask the engine behind."""
        host, port = self._behind.hostname or "", self._behind.port
        with closing(http.client.HTTPConnection(host, port, timeout=5)) as connection:
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            data = response.read()
            kept = ("content-type", "x-amz-crc32")
            return response.status, [h for h in response.getheaders() if h[0].lower() in kept], data


class Exchange(BaseHTTPRequestHandler):
    """One request of the SDK's and what becomes of it."""

    engine: FaultyEngine
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Note the call, and act."""
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        self.engine.calls.append((operation, json.loads(self.body)))
        act = self.engine.acts.popleft() if self.engine.acts else let_through
        act(self)

    def forward(self) -> Reply:
        """Ask the engine behind."""
        return self.engine.forward(dict(self.headers.items()), self.body)

    def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def cut(self) -> None:
        """End the connection."""
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def let_through(exchange: Exchange) -> None:
    """Answer as the engine does."""
    exchange.reply(*exchange.forward())


def lose_answer(exchange: Exchange) -> None:
    """Let the engine do it, but never tell."""
    exchange.forward()
    exchange.cut()


def die_after(exchange: Exchange) -> None:
    """Answer, then drop the connection unannounced: what a thaw finds after a freeze."""
    let_through(exchange)
    exchange.cut()


def silence(exchange: Exchange) -> None:
    """Say nothing until the caller goes away."""
    exchange.connection.settimeout(10)
    exchange.connection.recv(1)
    exchange.cut()


def drips(exchange: Exchange) -> None:
    """Send a body byte by byte, so that each read is answered in time."""
    exchange.send_response(200)
    exchange.send_header("Content-Length", "2000")
    exchange.end_headers()
    exchange.connection.settimeout(0.05)
    for _ in range(60):
        exchange.wfile.write(b" ")
        with suppress(TimeoutError):
            exchange.connection.recv(1)
    exchange.cut()


def refuse(code: str, status: int = 400, **members: object) -> Act:
    """Answer an error of DynamoDB's."""
    body = {
        "__type": f"com.amazonaws.dynamodb.v20120810#{code}",
        "message": "arn:secret",
        **members,
    }
    return say(body, status)


def cancel(*codes: str) -> Act:
    """Cancel a transaction, with one reason per item."""
    reasons = [{"Code": code} for code in codes]
    return refuse("TransactionCanceledException", CancellationReasons=reasons)


def say(body: object, status: int = 200) -> Act:
    """Answer JSON of the test's choice."""

    def act(exchange: Exchange) -> None:
        headers = [("Content-Type", "application/x-amz-json-1.0")]
        exchange.reply(status, headers, json.dumps(body).encode())

    return act


def page(exchange: Exchange) -> None:
    """Answer as something in between does: with success, and a page."""
    exchange.reply(200, [("Content-Type", "text/html")], b"<html>busy</html>")


def first(happens: Callable[[], object]) -> Act:
    """Let something happen before the engine gets the request."""

    def act(exchange: Exchange) -> None:
        happens()
        let_through(exchange)

    return act
