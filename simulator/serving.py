"""HTTP servers of the desk, each in a thread of its own."""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server
from waitress.task import ErrorTask

THREADS = 16
CONNECTIONS = 500
"""That may stand at once, idle ones included; who comes then waits. A process may often open 1024
files, and the desk has five servers."""

MAX_BODY = 64 * 1024 * 1024
"""Bytes; the gateway has limits of its own, far below."""


@dataclass(frozen=True)
class Server:
    """A running server: where it is, and how to end it."""

    url: str
    close: Callable[[], None]


@dataclass
class Desk:
    """What runs, by name: its address and what it is; and how to end all of it."""

    urls: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _ends: ExitStack = field(default_factory=ExitStack)

    def add(self, name: str, server: Server, remark: str = "") -> str:
        """Remember a server under a name; give its address."""
        self._ends.callback(server.close)
        return self.name(name, server.url, remark)

    def name(self, name: str, url: str, remark: str = "") -> str:
        """Remember an address that is not the desk's to end."""
        self.urls[name] = url
        self.remarks[name] = remark
        return url

    def at_end(self, action: Callable[[], object]) -> None:
        """Do this too when everything ends."""
        self._ends.callback(action)

    def close(self) -> None:
        """End everything, the newest first."""
        self._ends.close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


def serve(handler: type[BaseHTTPRequestHandler], host: str, port: int) -> Server:
    """Serve a request handler class.

    Raises:
        OSError: if the port is in use.
    """
    server = _HttpServer((host, port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return Server(f"http://{host}:{server.server_port}", close)


Refuse = Callable[[int, str], tuple[int, list[tuple[str, str]], bytes]]
"""Writes the answer to what is no HTTP request, by waitress's status and words."""

BAD_TARGET = "Bad URI"


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:
            # Of urlsplit, for half a bracket: waitress would drop the connection without a word.
            raise ParsingError(BAD_TARGET) from None


def _channel(refuse: Refuse) -> type[HTTPChannel]:
    class Refusal(ErrorTask):  # type: ignore[misc]  # as above
        def execute(self) -> None:
            status, headers, body = refuse(self.request.error.code, self.request.error.body)
            self.status = f"{status} {HTTPStatus(status).phrase}"
            self.response_headers.extend(headers)
            self.set_close_on_finish()
            self.content_length = len(body)
            self.write(body)

    return type("Channel", (HTTPChannel,), {"parser_class": _Parser, "error_task_class": Refusal})


def serve_wsgi(application: Any, host: str, port: int, refuse: Refuse | None = None) -> Server:
    """Serve a WSGI application on waitress, which words the refusals of bad HTTP without `refuse`.

    Raises:
        OSError: if the port is in use.
    """
    # It warns of every queue and of every request that the end cuts off.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    channels: dict[int, Any] = {}
    # Bound here, since waitress leaves files open where it cannot bind.
    listening = socket.create_server((host, port))
    server = create_server(
        application,
        map=channels,
        sockets=[listening],
        threads=THREADS,
        connection_limit=CONNECTIONS,
        asyncore_use_poll=True,  # select takes no file above 1023
        ident="",
        # Bodies stay in memory: waitress forgets to close the files that it would put them in.
        inbuf_overflow=MAX_BODY,
        outbuf_overflow=MAX_BODY,
        max_request_body_size=MAX_BODY,
        clear_untrusted_proxy_headers=False,  # the gateway gives them as API Gateway does
    )
    if refuse is not None:
        server.channel_class = _channel(refuse)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()

    def close_channels() -> None:
        for channel in list(channels.values()):
            channel.close()

    def close() -> None:
        # Waitress's loop ends when nothing is left to watch; only its own thread may close. The
        # lock keeps that thread, woken by another, from closing the trigger before it is pulled.
        server.task_dispatcher.shutdown(timeout=1)  # first: what it answers needs its channel
        with server.trigger.lock:
            server.trigger.thunks.append(close_channels)
            server.trigger.pull_trigger()
        thread.join(timeout=5)

    return Server(f"http://{host}:{listening.getsockname()[1]}", close)
