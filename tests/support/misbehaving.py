"""A server on loopback that does with each connection what its script says, and keeps what it got.

It writes raw bytes, so it can say what no HTTP library would: half answers, wrong lengths, bad
headers, one byte now and then, nothing at all.
"""

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chalicelib.network.connections import Origin

HOST = "127.0.0.1"
SMALL = 4096
"""Bytes of a socket's buffers where a test wants them full soon."""


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        self.sock = sock
        self.closing = closing
        self.received = b""

    def read_request(self) -> None:
        """Take a request's head, and as many bytes of body as its Content-Length says."""
        while b"\r\n\r\n" not in self.received and self._read():
            pass
        head, _, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
        missing = int(length[1]) - len(body) if length else 0
        while missing > 0 and (count := self._read()):
            missing -= count

    def read_to_the_end(self) -> None:
        """Take what still comes, so that a second request would be seen."""
        self.sock.settimeout(2)
        while self._read():
            pass

    def _read(self) -> int:
        data = self.sock.recv(65_536)
        self.received += data
        return len(data)

    def send(self, data: bytes) -> None:
        """Say something."""
        self.sock.sendall(data)

    def wait(self, seconds: float) -> bool:
        """Let time pass; tell whether the server goes on."""
        return not self.closing.wait(seconds)

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Act = Callable[[Peer], None]


def says(*pieces: bytes, pause: float = 0) -> Act:
    """Read the request, say these pieces with a pause before each, and close."""

    def act(peer: Peer) -> None:
        peer.read_request()
        for piece in pieces:
            if peer.wait(pause):
                peer.send(piece)
        with suppress(OSError):
            peer.sock.shutdown(socket.SHUT_WR)
            peer.read_to_the_end()

    return act


def says_and_stays(data: bytes) -> Act:
    """Read the request, say this, and leave the connection open."""

    def act(peer: Peer) -> None:
        peer.read_request()
        peer.send(data)
        peer.closing.wait()

    return act


def drips(data: bytes, pause: float = 0.05, *, after: bytes = b"") -> Act:
    """Say `after` at once, then one byte after each pause."""
    return says(after, *(data[i : i + 1] for i in range(len(data))), pause=pause)


def whole(body: bytes = b"", *, status: str = "200 OK", headers: str = "") -> bytes:
    """Make a decent answer; `headers` are lines that each end in CRLF."""
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


def chunked(*sizes_and_data: bytes) -> bytes:
    """Make the head of a chunked answer, and what stands below it."""
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(sizes_and_data)


def answers(body: bytes = b"", *, status: str = "200 OK", headers: str = "") -> Act:
    """Answer decently."""
    return says(whole(body, status=status, headers=headers))


def resets(after: bytes = b"") -> Act:
    """Read the request, say `after`, and reset the connection."""

    def act(peer: Peer) -> None:
        peer.read_request()
        peer.send(after)
        peer.wait(0.05)  # a reset overtakes bytes that were not read yet
        peer.reset()

    return act


def is_silent(peer: Peer) -> None:
    """Read the request, and never answer."""
    peer.read_request()
    peer.closing.wait()


def hangs_up(peer: Peer) -> None:
    """Close before anything was read."""
    peer.sock.shutdown(socket.SHUT_RDWR)


def resets_at_once(peer: Peer) -> None:
    """Reset after the first byte: before it, a slow client would be refused a connection."""
    peer.sock.recv(1)
    peer.reset()


def repeats(head: bytes, unit: bytes) -> Act:
    """Read the request, say the head, and then the unit for ever."""

    def act(peer: Peer) -> None:
        peer.read_request()
        peer.send(head)
        while peer.wait(0):
            peer.send(unit)

    return act


def reads_slowly(size: int, pause: float) -> Act:
    """Take so many bytes of the request after each pause, and never answer."""

    def act(peer: Peer) -> None:
        while peer.wait(pause) and peer.sock.recv(size):
            pass

    return act


def echoes_the_request(peer: Peer) -> None:
    """Say the request's own bytes in every place of an answer, the status line first."""
    peer.read_request()
    line = peer.received.partition(b"\r\n")[0]
    peer.send(line + b"\r\nX-Echo: " + line + b"\r\n\r\n" + peer.received)


class Misbehaving:
    """The server: each connection takes the next act of the script, the last act repeats.

    `received` holds the bytes of every connection that said anything, whole once the server is
    closed; `connections` counts all.
    """

    def __init__(self, *script: Act, tls: ssl.SSLContext | None = None, buffer: int = 0) -> None:
        self._script = list(script)
        self._tls = tls
        self._listener = socket.create_server((HOST, 0), backlog=128)
        if buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.port: int = self._listener.getsockname()[1]
        self.origin = Origin("https" if tls else "http", HOST, self.port)
        self.url = f"{self.origin.scheme}://{HOST}:{self.port}"
        self._closing = threading.Event()
        self._last: object = None
        self._peers: list[Peer] = []
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How many connections came."""
        return len(self._peers)

    @property
    def received(self) -> list[bytes]:
        """What came, one entry per connection that said anything."""
        return [peer.received for peer in self._peers if peer.received]

    def close(self) -> None:
        """End every connection and every thread."""
        # A last connection ends the queue, so that every one before it is counted.
        with socket.socket() as last:
            last.bind((HOST, 0))
            self._last = last.getsockname()
            last.connect((HOST, self.port))
            self._threads[0].join()
        self._listener.close()
        self._closing.set()
        for peer, thread in zip(self._peers, self._threads[1:], strict=True):
            thread.join(1)  # what a client sent before it left is still to be read
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _listen(self) -> None:
        while True:
            sock, address = self._listener.accept()
            if address == self._last:
                return sock.close()
            act = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            peer = Peer(sock, self._closing)
            self._peers.append(peer)
            thread = threading.Thread(target=self._converse, args=(peer, act))
            self._threads.append(thread)
            thread.start()

    def _converse(self, peer: Peer, act: Act) -> None:
        with suppress(OSError):
            if self._tls and act not in (hangs_up, resets_at_once):
                plain = peer.sock
                with plain:
                    peer.sock = self._tls.wrap_socket(plain, server_side=True)
            act(peer)
        peer.sock.close()


def closed_port() -> int:
    """Give a port where nobody listens."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def full_backlog() -> Iterator[int]:
    """Give a port whose queue is full: whoever comes now waits for ever to be let in."""
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
    """Make a server's TLS context and the file of its certificate; days < 0: expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "misbehaving")])
    alternative: x509.GeneralName = x509.DNSName(name)
    with suppress(ValueError):
        alternative = x509.IPAddress(ip_address(name))
    end = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=9))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public
