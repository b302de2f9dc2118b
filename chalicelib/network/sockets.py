"""Sockets with one deadline for everything, and a reader that is stricter than http.client."""

import io
import re
import socket
import ssl
from typing import Any

from chalicelib.deadlines import Deadline
from chalicelib.network.exchange_errors import Broken

# RFC 9112, 4 (status line), 5 (field line), 7.1 (chunk size). http.client takes a bare CR for the
# end of a line, a field without a colon for the end of the head, and for a status or a size
# whatever int() takes: signs, blanks, underscores, 0x. 101 would end HTTP on the connection.
_STATUS = re.compile(rb"HTTP/1\.[0-9] (?!101)(1[0-9]{2}|[2-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\r\n]*)?\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


class AnswerReader(io.BufferedReader):
    """One answer, as http.client reads it: by readline() and read(size).

    Checks each line and the end of each chunk, and skips interim answers (RFC 9110, 15.2); `taken`
    counts the bytes that were read. Raises Broken if they are not HTTP/1.1, ConnectionResetError
    if they end where a line should begin.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self.taken = self._chunk_left = 0
        self._expected = _STATUS
        self._interim = False

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line of the final answer."""
        while True:
            line = super().readline(size)
            self.taken += len(line)
            if not line:
                raise ConnectionResetError
            match = self._expected.fullmatch(line)
            if match is None or self._chunk_left:
                raise Broken
            if self._expected is _STATUS:
                self._interim = match[1].startswith(b"1")
                self._expected = _FIELD
            elif self._expected is _CHUNK:
                length = int(match[1], 16)
                self._chunk_left = length and length + len(b"\r\n")
                self._expected = _CHUNK if length else _FIELD  # of the trailer section
            elif match[1] is None:  # the empty line
                self._expected = _STATUS if self._interim else _CHUNK
            if not self._interim:
                return line

    def read(self, size: int | None = -1, /) -> bytes:
        """Read from the body. http.client discards the CRLF of a chunk without looking at it."""
        data = super().read(size)
        self.taken += len(data)
        if self._chunk_left:
            self._chunk_left -= len(data)
            if not self._chunk_left and data != b"\r\n":
                raise Broken
        return data


def seconds_left(deadline: Deadline) -> float:
    """Give the seconds for the next operation; raise TimeoutError if there are none."""
    seconds = deadline.remaining()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class DeadlineSocket(socket.socket):
    """A socket whose timeout is set to what is left of `deadline` before each operation.

    A plain socket's timeout bounds one read: a peer that sends a byte now and then is never timed
    out. `received` counts the bytes that arrived for `reader`.
    """

    deadline: Deadline
    reader: AnswerReader
    received: int

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of it before the deadline."""
        self.settimeout(seconds_left(self.deadline))  # bounds it as a whole
        super().sendall(data, flags)

    def recv_into(self, *args: Any) -> int:
        """Receive before the deadline."""
        self.settimeout(seconds_left(self.deadline))
        count = super().recv_into(*args)
        self.received += count
        return count

    def makefile(self, *_: Any, **__: Any) -> AnswerReader:  # type: ignore[override]  # for http.client
        """Give the reader of the next answer."""
        self.received = 0
        self.reader = AnswerReader(super().makefile("rb", buffering=0))
        return self.reader

    def is_silent(self) -> bool:
        """Tell whether the peer has neither sent anything nor closed the connection.

        A readable socket does not tell: servers send TLS 1.3 session tickets at any time.
        """
        self.settimeout(0)
        try:
            self.recv(1)
        except OSError as error:
            return isinstance(error, (BlockingIOError, ssl.SSLWantReadError))
        return False


class TLSSocket(DeadlineSocket, ssl.SSLSocket):
    """The same over TLS."""
