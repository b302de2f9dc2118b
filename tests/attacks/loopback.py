"""A TCP server on loopback that keeps the very bytes it receives and lets a script answer them.

A test chooses the script: an honest answer, a cut one, a drip, a reset, or silence.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

THREAD = "loopback"
"""How the threads of these servers are named: what they do is not the gate's doing."""

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Received:
    """One request as it stood on the wire."""

    method: str
    target: str
    headers: Pairs
    body: bytes
    raw: bytes = field(repr=False)

    def values(self, name: str) -> list[str]:
        """All values of a header, by lower-case name."""
        return [value for key, value in self.headers if key.lower() == name]


Script = Callable[[socket.socket, Received], None]


def answer(status: int, headers: Iterable[Iterable[str]] = (), body: bytes = b"") -> bytes:
    """Write an honest HTTP/1.1 answer; a Content-Length is added where none is given."""
    pairs = [(name, value) for name, value in headers]
    names = {name.lower() for name, _ in pairs}
    if not names & {"content-length", "transfer-encoding"} and status not in (204, 304):
        pairs.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {status} Phrase", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def sending(*parts: bytes) -> Script:
    """Script: send these bytes, then close."""

    def script(connection: socket.socket, _received: Received) -> None:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_RDWR)

    return script


def silence(connection: socket.socket, _received: Received) -> None:
    """Script: never answer; ends when the caller gives up."""
    with contextlib.suppress(OSError):
        connection.recv(1)


def reset(connection: socket.socket, _received: Received) -> None:
    """Script: answer with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def dripping(data: bytes, pause: float) -> Script:
    """Script: one byte, a pause of some seconds, the next byte."""

    def script(connection: socket.socket, _received: Received) -> None:
        connection.settimeout(pause)
        for byte in data:
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                if connection.recv(1) == b"":
                    return

    return script


class Loopback:
    """The server. `received` holds every request, `connections` counts what was accepted."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.received: list[Received] = []
        self.connections = 0
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def scripted(self, script: Script) -> Iterator[None]:
        """Answer by another script for a while."""
        before, self.script = self.script, script
        try:
            yield
        finally:
            self.script = before

    def close(self) -> None:
        """End it, with every connection that is still open."""
        self._shut(self._listener)
        for connection in list(self._open):
            self._shut(connection)
        for thread in self._threads:
            thread.join(timeout=5)

    @staticmethod
    def _shut(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=target, args=args, name=THREAD, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection.settimeout(5)
                connection = self._tls.wrap_socket(connection, server_side=True)
                connection.settimeout(None)
            self._open.add(connection)
            buffer = bytearray()
            while received := read_request(connection, buffer):
                self.received.append(received)
                self.script(connection, received)
        except OSError:
            pass  # the peer went away, or the script closed
        finally:
            self._open.discard(connection)
            connection.close()


def read_request(connection: socket.socket, buffer: bytearray) -> Received | None:
    """Read one request; what follows it stays in the buffer. None at the end."""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if not _more(connection, buffer):
            return None
    method, target, headers = _head(bytes(buffer[:end]))
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    size = end + 4 + (lengths[0] if lengths else 0)
    while len(buffer) < size:
        if not _more(connection, buffer):
            return None
    raw = bytes(buffer[:size])
    del buffer[:size]
    return Received(method, target, headers, raw[end + 4 :], raw)


def _more(connection: socket.socket, buffer: bytearray) -> bool:
    chunk = connection.recv(65_536)
    buffer += chunk
    return bool(chunk)


def _head(head: bytes) -> tuple[str, str, Pairs]:
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target = ([*request_line.split(" "), "", ""])[:2]
    pairs = [line.partition(":") for line in lines]
    return method, target, [(name, value.strip(" ")) for name, _, value in pairs]
