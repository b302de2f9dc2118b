"""Where an exchange goes: an origin, its addresses that may be contacted, a socket to one."""

import ipaddress
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, cast
from urllib.parse import urlsplit

from chalicelib.deadlines import Deadline
from chalicelib.network import exchange_errors as errors
from chalicelib.network.sockets import DeadlineSocket, TLSSocket, seconds_left

LookUp = Callable[[str, int], list[Any]]
"""Takes a host and a port, gives entries as socket.getaddrinfo does."""


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
        """The Host header: without the port if that is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


_METADATA = ipaddress.ip_network("fd00:ec2::/32")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def permitted(address: str, *, allow_private: bool) -> bool:
    """Tell whether an address may be contacted.

    Never link-local ones and AWS's own: 169.254.169.254 and fd00:ec2::254 hand out credentials.
    Private and loopback ones only if that is allowed.
    """
    ip = _embedded_ipv4(address)
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA:
        return False
    return allow_private or ip.is_global


def _embedded_ipv4(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Give the IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), else the address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or ip


def look_up(host: str, port: int) -> list[Any]:
    """Resolve a name."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def dial(
    origin: Origin,
    deadline: Deadline,
    *,
    look_up: LookUp,
    allow_private: bool,
    connect_timeout: float,
    tls_context: Callable[[], ssl.SSLContext],
) -> DeadlineSocket:
    """Resolve the host once, connect to an address that was checked, and begin TLS for https.

    Raises:
        NotConnected: a kind of it.
    """
    sock: DeadlineSocket | None = None
    try:
        found = _resolved(origin, deadline, look_up)
        allowed = [each for each in found if permitted(each[4][0], allow_private=allow_private)]
        if not allowed:
            raise errors.AddressForbidden
        sock = _connected(allowed, deadline, connect_timeout)
        if origin.scheme == "http":
            return sock
        sock.settimeout(seconds_left(deadline))  # bounds the handshake as a whole
        wrapped = tls_context().wrap_socket(
            sock, server_hostname=origin.host, suppress_ragged_eofs=False
        )
        return cast(TLSSocket, wrapped)
    except TimeoutError:
        failure: type[errors.NotConnected] = errors.ConnectTimeout
    except (socket.gaierror, UnicodeError):
        failure = errors.Unresolved
    except (ssl.SSLError, ValueError) as error:
        failure = errors.Refused if isinstance(error, ssl.SSLEOFError) else errors.NotTrusted
    except OSError:
        failure = errors.Refused
    if sock is not None:
        sock.close()
    raise failure


def _resolved(origin: Origin, deadline: Deadline, look_up: LookUp) -> list[Any]:
    found: Future[list[Any]] = Future()

    def run() -> None:
        try:
            found.set_result(look_up(origin.host, origin.port))
        except Exception as error:  # noqa: BLE001 - raised by result()
            found.set_exception(error)

    # getaddrinfo takes no timeout, so it runs in a thread that is not waited for if it is late.
    Thread(target=run, daemon=True).start()
    return found.result(seconds_left(deadline))


def _connected(entries: list[Any], deadline: Deadline, connect_timeout: float) -> DeadlineSocket:
    failure = OSError()
    for family, _, _, _, address in entries:
        sock: DeadlineSocket | None = None
        try:
            sock = DeadlineSocket(family)
            sock.settimeout(min(connect_timeout, seconds_left(deadline)))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            failure = error
            if sock is not None:
                sock.close()
        else:
            return sock
    raise failure
