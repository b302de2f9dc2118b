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
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

CONNECT_TIMEOUT = 1.0
"""Seconds for one address to accept a connection."""

CHUNK = 65_536


class TransportError(Exception):
    """The exchange failed; no text, since a URL may hold a secret."""


class NotConnected(TransportError):
    """No connection: the request was not sent."""


class Refused(NotConnected):
    """The peer refused the connection, or was not there."""


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


class _DeadlineSocket:
    """What http.client needs of a socket, bounded by one deadline."""

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._sock = sock
        self._remaining = remaining

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._remaining())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._remaining))

    def close(self) -> None:
        """Do nothing: http.client closes here before it reads the body; exchange closes."""


class _Response(http.client.HTTPResponse):
    """Skips every interim answer (RFC 9110 15.2); http.client knows 100 Continue alone."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= status[1] < 200 or status[1] == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return status
            http.client.parse_headers(self.fp)


def permitted(address: str, *, allow_private: bool) -> bool:
    """Tell whether an address may be contacted.

    Link-local addresses never (169.254.169.254 hands out the function's credentials); private
    and loopback ones only where that is allowed.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    return allow_private or ip.is_global


class Transport:
    """Sends one request to one origin and takes the whole answer.

    `allow_private` permits private and loopback addresses; `monotonic` is the clock of deadlines.
    """

    def __init__(
        self, *, allow_private: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._allow_private = allow_private
        self._monotonic = monotonic
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
        connection.sock = cast(socket.socket, _DeadlineSocket(sock, remaining))
        try:
            _send(connection, method, target, [("Host", origin.authority), *headers], body)
            return _receive(_begin(connection), cap)
        except TimeoutError:
            raise TimedOut from None
        except (OSError, http.client.HTTPException, ValueError):
            raise Broken from None
        finally:
            sock.close()

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
        except OSError:
            raise Refused from None
        if origin.scheme == "http":
            return sock
        try:
            sock.settimeout(remaining())
            return self._tls_context().wrap_socket(sock, server_hostname=origin.host)
        except TimeoutError:
            sock.close()
            raise ConnectTimeout from None
        except (OSError, ValueError):
            sock.close()
            raise NotTrusted from None

    def _dial(self, origin: Origin, remaining: Callable[[], float]) -> socket.socket:
        """Resolve once, and connect to an address that was checked: no second look-up."""
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        allowed = [
            entry
            for entry in found
            if permitted(str(entry[4][0]), allow_private=self._allow_private)
        ]
        if not allowed:
            raise AddressForbidden
        failure: OSError = OSError()
        for family, kind, protocol, _, address in allowed:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(min(CONNECT_TIMEOUT, remaining()))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    def _tls_context(self) -> ssl.SSLContext:
        # Made once and late: loading the certificates costs about 30 ms.
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


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
    try:
        connection.endheaders(body or None)
    except ConnectionError:
        raise NoAnswer from None


def _begin(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    try:
        return connection.getresponse()
    except ConnectionError:
        raise NoAnswer from None


def _receive(response: http.client.HTTPResponse, cap: int) -> Reply:
    _check_framing(response)
    body = bytearray()
    while chunk := response.read(min(CHUNK, cap + 1 - len(body))):
        body += chunk
        if len(body) > cap:
            raise TooLarge
    if response.length:  # Content-Length promised more
        raise Broken
    return Reply(response.status, response.getheaders(), bytes(body))


def _check_framing(response: http.client.HTTPResponse) -> None:
    """Refuse what http.client takes in silence: odd statuses, bad header lines, two lengths."""
    lengths = set(response.headers.get_all("content-length") or [])
    if not 200 <= response.status <= 599 or response.headers.defects or len(lengths) > 1:
        raise Broken
