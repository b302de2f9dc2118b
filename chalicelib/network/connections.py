"""The one door to the network: HTTP/1.1 with a total deadline, a cap, and addresses checked.

The timeouts of socket libraries bound one read, so a peer that sends a byte now and then holds
them for ever; here the whole exchange has one deadline. A connection serves one exchange:
Lambda freezes containers between requests, and a thawed connection may be dead, which is found
out only after bytes were written. No redirects, no proxies from the environment, no cookies, no
decompression, no second send.
"""

import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

CONNECT_TIMEOUT = 1.0
"""Seconds for one address to accept a connection."""

CHUNK = 65_536
MAX_LINE = 65_536


class TransportError(Exception):
    """The exchange failed; no text, since a URL may hold a secret."""


class NotConnected(TransportError):
    """No connection: the request was not sent."""


class Unresolved(NotConnected):
    """The host's name leads to no address."""


class Refused(NotConnected):
    """The peer refused or ended the connection, or was not there."""


class ConnectTimeout(NotConnected):
    """The peer did not accept a connection in time."""


class NotTrusted(NotConnected):
    """The peer's certificate does not hold."""


class AddressForbidden(NotConnected):
    """The host has no address that may be contacted."""


class TimedOut(TransportError):
    """The deadline came before the whole answer; the request may have had its effect."""


class NoAnswer(TransportError):
    """The connection ended before an answer began; the request may have had its effect."""


class Broken(TransportError):
    """The answer ended early, or is not HTTP; the request may have had its effect."""


class TooLarge(TransportError):
    """The answer's body is over the cap."""


@dataclass(frozen=True)
class Origin:
    """Where a URL points: scheme, host, port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Take the origin of an absolute http or https URL that was checked at the start."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname or "", port)

    @property
    def authority(self) -> str:
        """The Host header: the port is left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True)
class Reply:
    """What came back: status 200 to 599, headers in order, the whole body as sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _DeadlineReader(io.RawIOBase):
    """The reading side of a socket: every read gets what is left of the deadline."""

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._sock = sock
        self._remaining = remaining

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._remaining())
        return self._sock.recv_into(buffer)


_STRAY_CR = re.compile(rb"\r(?!\n)")


class _Lines(io.BufferedReader):
    """Reads lines that end where RFC 9112 2.2 says; to http.client a CR alone is an end too."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if _STRAY_CR.search(line):
            raise Broken
        return line


class _DeadlineSocket:
    """What http.client needs of a socket, bounded by one deadline."""

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._sock = sock
        self._remaining = remaining

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._remaining())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Lines(_DeadlineReader(self._sock, self._remaining))

    def close(self) -> None:
        """Do nothing: http.client closes here before it reads the body; exchange closes."""


# RFC 9112 4 and 7.1; int() would take a sign, blanks, underscores and 0x.
_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([1-9][0-9]{2})(?: (.*))?\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n", re.DOTALL)

_INTERIM = {*range(100, 200)} - {http.HTTPStatus.SWITCHING_PROTOCOLS}


class _Response(http.client.HTTPResponse):
    """Mends what http.client takes in silence: statuses and chunks that are none."""

    def _read_status(self) -> tuple[str, int, str]:
        """Skip every interim answer (RFC 9110 15.2), not 100 Continue alone."""
        while line := self.fp.readline(MAX_LINE):
            found = _STATUS_LINE.fullmatch(line)
            if found is None:
                raise Broken
            version, status, reason = (part.decode("latin-1") for part in found.groups(b""))
            if int(status) not in _INTERIM:
                return version, int(status), reason
            http.client.parse_headers(self.fp)
        raise NoAnswer

    def _read_next_chunk_size(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self.fp.readline(MAX_LINE))
        if size is None:
            raise Broken
        return int(size[1], 16)

    def _safe_read(self, amt: int) -> bytes:
        data: bytes = super()._safe_read(amt)  # type: ignore[misc]  # not in typeshed
        # At the end of a chunk http.client throws two bytes away, whatever they are.
        if self.chunk_left == 0 and data != b"\r\n":
            raise Broken
        return data


_METADATA = ipaddress.ip_network("fd00:ec2::/32")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _carried(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), else the one given."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or ip


def permitted(address: str, *, allow_private: bool) -> bool:
    """Tell whether an address may be contacted.

    Link-local addresses and AWS's own never (169.254.169.254 and fd00:ec2::254 hand out
    credentials); private and loopback ones only where that is allowed.
    """
    ip = _carried(address)
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA:
        return False
    return allow_private or ip.is_global


_Result = TypeVar("_Result")


def within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Do what nothing else can bound in a thread of its own; what comes later is not waited for.

    Raises:
        TimeoutError: if the work is not done in time; else whatever the work raises.
    """
    done: Future[_Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(seconds)


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Transport:
    """Sends one request to one origin and takes the whole answer.

    `allow_private` permits private and loopback addresses; `connect_timeout` is what one address
    gets to accept a connection, in seconds; `monotonic` is the clock of deadlines;
    `look_up` gives the addresses of (host, port) as socket.getaddrinfo does.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        connect_timeout: float = CONNECT_TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
        look_up: Callable[[str, int], list[Any]] = _look_up,
    ) -> None:
        self._allow_private = allow_private
        self._connect_timeout = connect_timeout
        self._monotonic = monotonic
        self._look_up = look_up
        self._tls: ssl.SSLContext | None = None

    def exchange(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes,
        *,
        seconds: float,
        cap: int,
    ) -> Reply:
        """Send exactly these bytes once; answer within `seconds` and `cap` bytes of body.

        Raises:
            NotConnected: nothing was sent.
            TimedOut, NoAnswer, Broken, TooLarge: it was sent.
        """
        remaining = self._countdown(seconds)
        sock = self._connect(origin, remaining)
        connection = http.client.HTTPConnection(origin.host, origin.port)
        connection.response_class = _Response
        connection.sock = _DeadlineSocket(sock, remaining)
        try:
            _send(connection, method, target, [("Host", origin.authority), *headers], body)
            return _receive(_begin(connection), cap)
        except TimeoutError:
            failure: TransportError = TimedOut()
        except (OSError, http.client.HTTPException, ValueError):
            failure = Broken()
        finally:
            sock.close()
        # Raised out here, without a context: http.client's errors quote what came.
        raise failure

    def _countdown(self, seconds: float) -> Callable[[], float]:
        end = self._monotonic() + seconds

        def remaining() -> float:
            left = end - self._monotonic()
            if left <= 0:
                raise TimeoutError
            return left

        return remaining

    def _connect(self, origin: Origin, remaining: Callable[[], float]) -> socket.socket:
        try:
            sock = self._dial(origin, remaining)
        except TimeoutError:
            raise ConnectTimeout from None
        except (socket.gaierror, UnicodeError):
            raise Unresolved from None
        except OSError:
            raise Refused from None
        if origin.scheme == "http":
            return sock
        try:
            sock.settimeout(remaining())
            return self._tls_context().wrap_socket(
                sock, server_hostname=origin.host, suppress_ragged_eofs=False
            )
        except TimeoutError:
            sock.close()
            raise ConnectTimeout from None
        except (ConnectionError, ssl.SSLEOFError):
            sock.close()
            raise Refused from None
        except (OSError, ValueError):
            sock.close()
            raise NotTrusted from None

    def _dial(self, origin: Origin, remaining: Callable[[], float]) -> socket.socket:
        """Resolve once, and connect to an address that was checked: no second look-up."""
        found = within(remaining(), lambda: self._look_up(origin.host, origin.port))
        allowed = [
            entry
            for entry in found
            if permitted(str(entry[4][0]), allow_private=self._allow_private)
        ]
        if not allowed:
            raise AddressForbidden
        failure: OSError = OSError()
        for entry in allowed:
            try:
                return _connected(entry, min(self._connect_timeout, remaining()))
            except OSError as error:
                failure = error
        raise failure

    def _tls_context(self) -> ssl.SSLContext:
        # Made once and late: loading the certificates costs about 30 ms.
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _connected(entry: Any, seconds: float) -> socket.socket:
    family, _, _, _, address = entry
    sock = socket.socket(family)  # for a stream: what was looked up
    try:
        sock.settimeout(seconds)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        sock.close()
        raise
    return sock


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body or method not in ("GET", "HEAD", "DELETE"):
        connection.putheader("Content-Length", str(len(body)))
    connection.putheader("Connection", "close")
    # A peer may answer before it has read everything, and end the connection (RFC 9112 9.5).
    with suppress(ConnectionError):
        connection.endheaders(body or None)


def _begin(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    try:
        return connection.getresponse()
    except (ConnectionError, ssl.SSLEOFError):
        raise NoAnswer from None


def _receive(response: http.client.HTTPResponse, cap: int) -> Reply:
    _check_framing(response)
    if (response.length or 0) > cap:
        raise TooLarge
    body = bytearray()
    while chunk := response.read(min(CHUNK, cap + 1 - len(body))):
        body += chunk
        if len(body) > cap:
            raise TooLarge
    if response.length:  # Content-Length promised more
        raise Broken
    return Reply(response.status, response.getheaders(), bytes(body))


_LENGTH = re.compile(r"[0-9]{1,18}[ \t]*")

_BODILESS = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED)
"""Statuses whose answer ends with its head, whatever that says (RFC 9112 6.3)."""


def _check_framing(response: http.client.HTTPResponse) -> None:
    """Refuse what http.client takes in silence: odd statuses, bad header lines, unclear length.

    A body whose end is unclear is an error (RFC 9112 6.3): two lengths, a length beside a transfer
    coding, a length that is no number, a coding other than chunked.
    """
    if not 200 <= response.status <= 599 or response.headers.defects:
        raise Broken
    if response.status in _BODILESS:
        response.chunked = False
        return
    lengths = set(response.headers.get_all("content-length") or [])
    codings = response.headers.get_all("transfer-encoding") or []
    if (
        len(lengths) + len(codings) > 1
        or not all(map(_LENGTH.fullmatch, lengths))
        or (codings and not response.chunked)
    ):
        raise Broken
