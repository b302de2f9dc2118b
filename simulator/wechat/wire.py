"""The sockets: HTTP/1.1 with keep-alive, able to answer badly, late, in pieces or never."""

import os
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

from simulator.wechat.faces import WeChat
from simulator.wechat.messages import Answer, Call, Delivery

BODY_LIMIT = 1_000_000  # bytes
LINE_LIMIT = 65_536


def serve(
    wechat: WeChat,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    drip_delay: float = 0.4,
    hold: float = 60.0,
) -> "Server":
    """Serve a WeChat until close(); port 0 takes a free one, OSError where the port is in use.

    drip_delay is the seconds between two bytes of a dripped answer, hold those after which a
    connection that never gets its answer is closed.
    """
    server = Server((host, port), wechat.answer, drip_delay, hold)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


class Server(socketserver.TCPServer):
    """A listening WeChat, one daemon thread per connection."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[Call], Answer],
        drip_delay: float,
        hold: float,
    ) -> None:
        super().__init__(address, Exchange)
        self.answer = answer
        self.drip_delay = drip_delay
        self.hold = hold
        self.closing = threading.Event()
        self._open: dict[Any, threading.Thread] = {}

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://{self.server_address[0]!s}:{self.port}"

    def close(self) -> None:
        """Stop listening and cut every open connection, also one that is held or dripping."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection, thread in list(self._open.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(1)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the thread of a new connection."""
        target = self._converse
        thread = threading.Thread(target=target, args=(request, client_address), daemon=True)
        self._open[request] = thread
        thread.start()

    def _converse(self, request: Any, client_address: Any) -> None:
        try:
            with suppress(ConnectionError):
                self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)
            del self._open[request]


class Exchange(BaseHTTPRequestHandler):
    """One connection: reads calls, delivers their answers."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def converse(self) -> None:
        """Read the call whose head has been parsed, and deliver its answer."""
        try:
            body = self._body()
        except ValueError:
            return self.send_error(411)
        if body is None:
            return self.send_error(413)
        path, _, query = self.path.partition("?")
        call = Call(self.command, path, first_values(query), body)
        return self._deliver(self.server.answer(call))

    # The names are those that http.server looks for.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = converse

    def log_message(self, *_: object) -> None:
        """Keep silent; the log is in the control face."""

    def _body(self) -> bytes | None:
        """Read the body: None where it is absurdly long, ValueError where its length is unclear."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            return self._chunks()
        if not (length.isascii() and length.isdigit()):
            raise ValueError
        return self.rfile.read(int(length)) if int(length) <= BODY_LIMIT else None

    def _chunks(self) -> bytes | None:
        if self.headers["Transfer-Encoding"].lower() != "chunked":
            raise ValueError
        body = b""
        while size := int(self.rfile.readline(LINE_LIMIT).partition(b";")[0], 16):
            if not 0 < size <= BODY_LIMIT - len(body):
                return None
            body += self.rfile.read(size)
            self.rfile.readline(LINE_LIMIT)
        while self.rfile.readline(LINE_LIMIT).strip():
            pass
        return body

    def _deliver(self, answer: Answer) -> None:
        self.server.closing.wait(answer.delay)
        if answer.delivery is Delivery.NEVER:
            self._hold()
        elif answer.delivery is Delivery.RESET:
            self._reset()
        elif answer.delivery is Delivery.DRIP:
            self.wfile.write(self._head(answer))
            for byte in answer.body:
                self.server.closing.wait(self.server.drip_delay)
                self.wfile.write(bytes([byte]))
        else:
            body = b"" if self.command == "HEAD" else answer.body
            # One write, so that no client waits for a second packet.
            self.wfile.write(self._head(answer) + body)

    def _head(self, answer: Answer) -> bytes:
        phrase = self.responses.get(answer.status, ("Unknown",))[0]
        lines = [
            f"HTTP/1.1 {answer.status} {phrase}",
            f"Connection: {'close' if self.close_connection else 'keep-alive'}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            f"Date: {self.date_time_string()}",
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _hold(self) -> None:
        self.close_connection = True
        until = time.monotonic() + self.server.hold
        with suppress(TimeoutError):
            while (left := until - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(4096):
                    return

    def _reset(self) -> None:
        self.close_connection = True
        # Closed with no time to linger, and by its descriptor: a shutdown would say a decent FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def first_values(query: str) -> dict[str, str]:
    """Read a query string; of a parameter that comes twice the first value counts."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, value)
    return values
