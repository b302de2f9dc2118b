"""HTTP/1.1 under one deadline, to addresses that were checked, on connections that are kept.

No redirects, no proxies of the environment, no cookies, no decompression. Lambda freezes a
container between requests, and it may thaw onto a connection that is gone. So one is reused only
if it was idle for less than IDLE by the wall clock, which runs on meanwhile, and if the peer has
neither closed it nor sent anything. After anything irregular it is closed.
"""

import socket
import ssl
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from urllib3.util.connection import create_connection

from chalicelib.deadlines import IDLE, Deadline
from chalicelib.network import exchange_errors as errors
from chalicelib.network.addresses import Origin, permitted
from chalicelib.network.exchange import Connection, Message, Pairs, Reply
from chalicelib.network.sockets import DeadlineSocket, TLSSocket, seconds_left

__all__ = ["Connections", "Message", "Origin", "Pairs", "Reply"]

MAX_IDLE = 32

# Connections from the oldest to the newest, each with the time since when it is idle.
Idle = defaultdict[Origin, deque[tuple[float, Connection]]]


@dataclass(kw_only=True, eq=False)
class Connections:
    """Sends requests, and keeps the connections; none is used by two threads at once.

    `allow_private` permits private and loopback addresses; `connect_timeout` is what each address
    gets, in seconds; `wall` gives epoch seconds; `look_up` resolves as socket.getaddrinfo does.
    """

    allow_private: bool
    connect_timeout: float
    wall: Callable[[], float] = time.time
    look_up: Callable[[str, int], list[Any]] = socket.getaddrinfo

    def __post_init__(self) -> None:
        self._idle: Idle = defaultdict(deque)
        weakref.finalize(self, _close_all, self._idle)

    def exchange(
        self,
        origin: Origin,
        message: Message,
        deadline: Deadline,
        *,
        max_bytes: int,
        retry_on: tuple[type[errors.TransportError], ...] = (),
    ) -> Reply:
        """Send exactly these bytes, and give an answer whose body has at most `max_bytes`.

        A failure that is one of `retry_on` gets one second attempt, on a new connection, before
        the same deadline; after any other, nothing is sent again.

        Raises:
            NotConnected: nothing was sent.
            TimedOut, NoAnswer, Broken, TooLarge: it was sent.
        """
        method, target, headers, body = message
        sent = (method, target, [("Host", origin.authority), *headers], body)

        def attempt(connection: Connection) -> Reply:
            try:
                return connection.exchange(sent, deadline, max_bytes)
            finally:
                self._keep(origin, connection)

        try:
            return attempt(self._reusable(origin) or self._dialled(origin, deadline))
        except retry_on:
            if deadline.remaining() <= 0:
                raise
        return attempt(self._dialled(origin, deadline))

    def open(self, origin: Origin, deadline: Deadline) -> None:
        """Open a connection ahead of its use, or raise NotConnected."""
        self._keep(origin, self._dialled(origin, deadline))

    def close(self) -> None:
        """Drop the idle connections, as after a restore from a snapshot."""
        _close_all(self._idle)

    def _reusable(self, origin: Origin) -> Connection | None:
        """Take the newest idle connection, unless it may be gone; close those that may."""
        with suppress(IndexError):
            while True:
                since, connection = self._idle[origin].pop()
                connection.reused = True
                if 0 <= self.wall() - since < IDLE and connection.stream.is_silent():
                    return connection
                connection.close()
        return None

    def _keep(self, origin: Origin, connection: Connection) -> None:
        if connection.reusable and len(self._idle[origin]) < MAX_IDLE:
            self._idle[origin].append((self.wall(), connection))
        else:
            connection.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()  # loading the system's CA store takes about 30 ms
        context.sslsocket_class = TLSSocket
        return context

    def _dialled(self, origin: Origin, deadline: Deadline) -> Connection:
        """Resolve the host once, connect to an address that was checked, begin TLS for https."""
        try:
            with self._connected(origin, deadline) as sock:  # closed unless taken over
                if origin.scheme == "http":
                    return Connection(DeadlineSocket(fileno=sock.detach()))
                sock.settimeout(seconds_left(deadline))  # bounds the handshake as a whole
                stream: Any = self._tls.wrap_socket(
                    sock, server_hostname=origin.host, suppress_ragged_eofs=False
                )
                return Connection(stream)
        except TimeoutError as error:
            raise errors.ConnectTimeout from error
        except (socket.gaierror, UnicodeError) as error:
            raise errors.Unresolved from error
        except ssl.SSLEOFError as error:
            raise errors.Refused from error
        except (ssl.SSLError, ValueError) as error:
            raise errors.NotTrusted from error
        except OSError as error:
            raise errors.Refused from error

    def _connected(self, origin: Origin, deadline: Deadline) -> socket.socket:
        # getaddrinfo takes no timeout, so it runs in a thread that is not waited for if it is late.
        thread = ThreadPoolExecutor(1)
        found = thread.submit(self.look_up, origin.host, origin.port)
        thread.shutdown(wait=False)
        addresses = dict.fromkeys(entry[4][:2] for entry in found.result(seconds_left(deadline)))
        failure: Exception = errors.AddressForbidden()
        for address in addresses:
            if permitted(address[0], allow_private=self.allow_private):
                timeout = min(self.connect_timeout, seconds_left(deadline))
                try:
                    return create_connection(
                        address, timeout, socket_options=Connection.default_socket_options
                    )
                except OSError as error:
                    failure = error
        raise failure


def _close_all(idle: Idle) -> None:
    for connections in idle.values():
        while connections:
            connections.pop()[1].close()
