"""HTTP/1.1 under one deadline, to addresses that were checked, on connections that are kept.

No redirects, no proxies of the environment, no cookies, no decompression. Lambda freezes a
container between requests, and it may thaw onto a connection that is gone. So one is reused only
if it was idle for less than IDLE by the wall clock, which runs on meanwhile, and if the peer has
neither closed it nor sent anything. After anything irregular it is closed.
"""

import ssl
import time
import weakref
from collections.abc import Callable
from functools import cache, partial
from threading import Lock

from chalicelib.deadlines import IDLE, Deadline
from chalicelib.network import addresses
from chalicelib.network.addresses import Origin
from chalicelib.network.exchange import Connection, Headers, Reply
from chalicelib.network.exchange_errors import TransportError
from chalicelib.network.sockets import tls_context

__all__ = ["Connections", "Origin", "Reply"]

MAX_IDLE = 32


class Connections:
    """Sends requests, and keeps the connections; none is used by two threads at once.

    `allow_private` permits private and loopback addresses; `connect_timeout` is what each address
    gets, in seconds; `wall` gives epoch seconds; `tls_context` is called once, when it is needed.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        connect_timeout: float,
        wall: Callable[[], float] = time.time,
        look_up: addresses.LookUp = addresses.look_up,
        tls_context: Callable[[], ssl.SSLContext] = tls_context,
    ) -> None:
        self._dial = partial(
            addresses.dial,
            look_up=look_up,
            allow_private=allow_private,
            connect_timeout=connect_timeout,
            tls_context=cache(tls_context),
        )
        self._wall = wall
        self._idle: list[tuple[Origin, float, Connection]] = []  # oldest first
        self._lock = Lock()
        weakref.finalize(self, _close_all, self._idle)

    def exchange(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Headers,
        body: bytes,
        *,
        deadline: Deadline,
        max_bytes: int,
        retry_on: tuple[type[TransportError], ...] = (),
    ) -> Reply:
        """Send exactly these bytes, and give an answer whose body has at most `max_bytes`.

        A failure that is one of `retry_on` gets one second attempt, on a new connection, before
        the same deadline; after any other, nothing is sent again.

        Raises:
            NotConnected: nothing was sent.
            TimedOut, NoAnswer, Broken, TooLarge: it was sent.
        """
        sent = [("Host", origin.authority), *headers]

        def attempt(connection: Connection) -> Reply:
            try:
                return connection.exchange(method, target, sent, body, deadline, max_bytes)
            finally:
                self._keep(origin, connection)

        try:
            return attempt(self._reusable(origin) or Connection(self._dial(origin, deadline)))
        except retry_on:
            if deadline.remaining() <= 0:
                raise
        return attempt(Connection(self._dial(origin, deadline)))

    def open(self, origin: Origin, deadline: Deadline) -> None:
        """Open a connection ahead of its use.

        Raises:
            NotConnected: there is none.
        """
        self._keep(origin, Connection(self._dial(origin, deadline)))

    def close(self) -> None:
        """Drop the idle connections, as after a restore from a snapshot."""
        with self._lock:
            _close_all(self._idle)

    def _reusable(self, origin: Origin) -> Connection | None:
        """Take the newest idle connection, unless it may be gone; close those that may."""
        while newest := self._newest(origin):
            since, connection = newest
            if 0 <= self._wall() - since < IDLE and connection.stream.is_silent():
                connection.reused = True
                return connection
            connection.close()
        return None

    def _newest(self, origin: Origin) -> tuple[float, Connection] | None:
        with self._lock:
            for entry in reversed(self._idle):
                if entry[0] == origin:
                    self._idle.remove(entry)
                    return entry[1:]
        return None

    def _keep(self, origin: Origin, connection: Connection) -> None:
        if not connection.reusable:
            connection.close()
            return
        with self._lock:
            self._idle.append((origin, self._wall(), connection))
            if len(self._idle) > MAX_IDLE:
                self._idle.pop(0)[2].close()


def _close_all(idle: list[tuple[Origin, float, Connection]]) -> None:
    while idle:
        idle.pop()[2].close()
