"""A server on loopback that does with each request what its script says, and keeps what it got.

It writes raw bytes, so it can say what no HTTP library would: half answers, wrong lengths, bad
headers, one byte now and then, nothing at all. A connection may carry several exchanges.
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import trustme

HOST = "127.0.0.1"
SMALL = 4096  # bytes of a socket's buffers that a test wants to fill quickly
THREAD = "loopback"  # the name of every thread of these servers: what they do is not the gate's
Headers = Iterable[Iterable[str]]


@dataclass(frozen=True)
class Request:
    """One request as it stood on the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes = field(repr=False)

    def values(self, name: str) -> list[str]:
        """All values of a header, by lower-case name."""
        return [value for key, value in self.headers if key.lower() == name]


class Peer:
    """The server's end of one connection; `received` holds every byte of it."""

    def __init__(self, server: "Loopback", sock: socket.socket) -> None:
        self.sock = sock
        self.closing = server.closing
        self.received = bytearray()
        self._server = server
        self.pending = bytearray()

    def read_request(self) -> Request:
        """Take a head, and as many bytes of body as it says; ConnectionError if the client ends."""
        while (end := self.pending.find(b"\r\n\r\n")) < 0:
            self.read_some()
        line, *lines = bytes(self.pending[:end]).decode("latin-1").split("\r\n")
        pairs = [(name, value.strip(" ")) for name, _, value in (ln.partition(":") for ln in lines)]
        lengths = [int(value) for name, value in pairs if name.lower() == "content-length"]
        size = end + 4 + (lengths[0] if lengths else 0)
        while len(self.pending) < size:
            self.read_some()
        raw = bytes(self.pending[:size])
        del self.pending[:size]
        method, target = [*line.split(" "), ""][:2]
        request = Request(method, target, pairs, raw[end + 4 :], raw)
        self._server.requests.append(request)
        return request

    def read_to_the_end(self, seconds: float | None = None) -> None:
        self.sock.settimeout(seconds)
        while self._read(65_536):
            pass

    def read_some(self, size: int = 65_536) -> None:
        if not self._read(size):
            raise ConnectionResetError

    def _read(self, size: int) -> int:
        data = self.sock.recv(size)
        self.received += data
        self.pending += data
        return len(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait(self, seconds: float) -> bool:
        """Let time pass; return whether the server goes on."""
        return not self.closing.wait(seconds)

    def cut(self) -> None:
        self.sock.close()

    def close(self) -> None:
        """End the connection, and count that."""
        self.cut()
        self._server.endings.release()

    def end(self) -> None:
        """Close for writing, and take what still comes."""
        self.sock.shutdown(socket.SHUT_WR)
        self._server.endings.release()
        self.read_to_the_end(2)
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


Act = Callable[[Peer], None]
"""One exchange. The connection stays open for the next one unless the act closes it."""


def whole(body: bytes = b"", *, status: int | str = "200 OK", headers: str | Headers = "") -> bytes:
    """Make a correct answer; `headers` are pairs, or lines that each end in CRLF.

    A Content-Length is added unless one of the pairs frames the body.
    """
    names: set[str] = set()
    if not isinstance(headers, str):
        pairs = [(name, value) for name, value in headers]
        names = {name.lower() for name, _ in pairs}
        headers = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    if not names & {"content-length", "transfer-encoding"}:
        headers += f"Content-Length: {len(body)}\r\n"
    line = f"{status} Phrase" if isinstance(status, int) else status
    return f"HTTP/1.1 {line}\r\n{headers}\r\n".encode("latin-1") + body


def chunked(*sizes_and_data: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(sizes_and_data)


def answers(body: bytes = b"", *, status: int | str = "200 OK", headers: str | Headers = "") -> Act:
    return says(whole(body, status=status, headers=headers), ending=kept)


def kept(_peer: Peer) -> None:
    """End an act, and not its connection."""


def echo(peer: Peer) -> None:
    request = peer.read_request()
    body = {"method": request.method, "target": request.target, "headers": request.headers}
    peer.send(whole(json.dumps(body).encode(), headers=[("Content-Type", "application/json")]))


def says(*pieces: bytes, pause: float = 0, ending: Act = Peer.end) -> Act:
    """Read the request, send these pieces with a pause before each, and close."""

    def act(peer: Peer) -> None:
        peer.read_request()
        for piece in pieces:
            if peer.wait(pause):
                peer.send(piece)
        ending(peer)

    return act


def then(act: Act, ending: Act) -> Act:

    def both(peer: Peer) -> None:
        act(peer)
        peer.wait(0.05)
        ending(peer)

    return both


def says_and_stays(data: bytes) -> Act:
    return says(data, ending=Peer.read_to_the_end)


def drips(data: bytes, pause: float = 0.05, *, after: bytes = b"") -> Act:
    """Send `after` at once, then one byte after each pause."""
    return says(after, *(data[i : i + 1] for i in range(len(data))), pause=pause)


def resets(after: bytes = b"") -> Act:
    """Read the request, send `after`, and reset: later, since it overtakes what was not read."""
    return then(says(after, ending=kept), Peer.reset) if after else says(ending=Peer.reset)


is_silent = says_and_stays(b"")


def hangs_up(peer: Peer) -> None:
    peer.sock.shutdown(socket.SHUT_RDWR)
    peer.sock.close()


def resets_at_once(peer: Peer) -> None:
    """Reset after the first byte: before it, a slow client would be refused a connection."""
    peer.sock.recv(1)
    peer.reset()


_WITHOUT_REQUEST = (hangs_up, resets_at_once)
"""Acts that begin when a connection is accepted, before TLS; all others begin with a request."""


def repeats(head: bytes, unit: bytes, sent: list[int] | None = None, most: int = 1 << 40) -> Act:
    """Read the request, send the head, then the unit for ever; note in `sent` what went out."""
    counts = [] if sent is None else sent

    def act(peer: Peer) -> None:
        peer.read_request()
        peer.send(head)
        while peer.wait(0) and sum(counts) < most:
            peer.send(unit)
            counts.append(len(unit))
        peer.end()

    return act


class Loopback:
    """The server: each request takes the next act of the script, the last act repeats.

    `requests` are all requests in the order of arrival; `received` the bytes of every connection
    that sent any, complete once the server is closed; `connections` counts all. `endings` is
    released for each connection that an act ended.
    """

    def __init__(self, *script: Act, tls: ssl.SSLContext | None = None, buffer: int = 0) -> None:
        self.closing = threading.Event()
        self.requests: list[Request] = []
        self.endings = threading.Semaphore(0)
        self._script = list(script)
        self._tls = tls
        self._listener = socket.create_server((HOST, 0), backlog=128)
        if buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{HOST}:{self.port}"
        self._last: object = None
        self._lock = threading.Lock()
        self._peers: list[tuple[Peer, threading.Thread]] = []
        self._accepting = threading.Thread(target=self._accept, name=THREAD, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        return len(self._peers)

    @property
    def received(self) -> list[bytes]:
        return [bytes(peer.received) for peer, _ in self._peers if peer.received]

    def forget_endings(self) -> None:
        while self.endings.acquire(blocking=False):
            pass

    @contextmanager
    def scripted(self, *script: Act) -> Iterator[None]:
        before, self._script = self._script, list(script)
        try:
            yield
        finally:
            self._script = before

    def close(self) -> None:
        # A last connection ends the queue, so that every one before it is counted.
        with socket.socket() as last:
            last.bind((HOST, 0))
            self._last = last.getsockname()
            last.connect((HOST, self.port))
            self._accepting.join()
        self._listener.close()
        self.closing.set()
        for way in (socket.SHUT_RD, socket.SHUT_RDWR):  # what a client sent is still read
            for peer, thread in self._peers:
                with suppress(OSError):
                    peer.sock.shutdown(way)
                thread.join(1)

    def _accept(self) -> None:
        while True:
            sock, address = self._listener.accept()
            if address == self._last:
                return sock.close()
            peer = Peer(self, sock)
            thread = threading.Thread(target=self._serve, args=(peer,), name=THREAD, daemon=True)
            self._peers.append((peer, thread))
            thread.start()

    def _serve(self, peer: Peer) -> None:
        with suppress(OSError):  # the client left, or an act closed
            if self._script[0] in _WITHOUT_REQUEST:
                self._next_act()(peer)
            elif self._tls:
                with peer.sock as plain:
                    peer.sock = self._tls.wrap_socket(plain, server_side=True)
            while True:
                if not peer.pending:
                    peer.read_some(1)
                self._next_act()(peer)
        peer.sock.close()

    def _next_act(self) -> Act:
        with self._lock:
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]


def closed_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def full_backlog() -> Iterator[int]:
    """Give a port whose queue is full: a new connection waits for ever to be accepted."""
    waiting: list[socket.socket] = []
    with socket.create_server((HOST, 0), backlog=0) as listener:
        address = listener.getsockname()
        with suppress(TimeoutError):
            while True:
                waiting.append(socket.create_connection(address, timeout=0.2))
        try:
            yield address[1]
        finally:
            for sock in waiting:
                sock.close()


def self_signed(folder: Path, name: str = HOST, *, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """Make a server's TLS context and the file of its own authority; days < 0: expired."""
    authority, end = trustme.CA(), datetime.now(UTC) + timedelta(days=days)
    issued = authority.issue_cert(name, not_before=end - timedelta(days=9), not_after=end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    return context, trusted
