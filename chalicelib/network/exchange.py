"""One request and its answer on one connection: urllib3's, but stricter about where they end."""

import re
import ssl
from contextlib import closing, suppress
from dataclasses import dataclass

from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.connection import HTTPConnection, HTTPException
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import SKIP_HEADER

from chalicelib.deadlines import Deadline
from chalicelib.network import exchange_errors as errors
from chalicelib.network.sockets import DeadlineSocket

Pairs = list[tuple[str, str]]
Message = tuple[str, str, Pairs, bytes]  # a request: method, target, headers, body

_LENGTH = re.compile(r"[0-9]{1,18}[ \t]*")
_ENDED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True)
class Reply:
    """What came back: status 200 to 599, headers, the body as it was sent."""

    status: int
    headers: Pairs
    body: bytes


class Connection(HTTPConnection):
    """A connected socket for one exchange after the other.

    `reusable` tells whether there may be another exchange; `reused`, whether it was idle before.
    """

    auto_open = 0  # it would dial an address that was not checked

    def __init__(self, stream: DeadlineSocket) -> None:
        super().__init__("")
        self.sock = self.stream = stream
        self.reusable = True
        self.reused = False

    def exchange(self, message: Message, deadline: Deadline, limit: int) -> Reply:
        """Send exactly these bytes, and receive one answer; raises as Connections.exchange does."""
        method, target, headers, body = message
        self.stream.deadline = deadline
        self.reusable = sent = False
        fields = HTTPHeaderDict(headers)
        for name in ("User-Agent", "Accept-Encoding"):
            fields.setdefault(name, SKIP_HEADER)
        try:
            # A peer may answer before it has read everything, and then close (RFC 9112, 9.5).
            with suppress(*_ENDED):
                self.request(method, target, body or None, fields, preload_content=False)
                sent = True
            with closing(self.getresponse()) as response:
                content = _content(response, limit)
                self.reusable = sent and self._is_at_rest(response)
            return Reply(response.status, list(response.headers.items()), content)
        except (TimeoutError, ReadTimeoutError):
            failure: type[errors.TransportError] = errors.TimedOut
        except _ENDED:
            nothing = errors.Stale if self.reused else errors.NoAnswer
            failure = errors.Broken if self.stream.received else nothing
        except (OSError, HTTPException, HTTPError, ValueError):
            failure = errors.Broken
        raise failure  # without a context: the libraries' errors quote what came

    def _is_at_rest(self, response: HTTPResponse) -> bool:
        """Tell whether the answer is over, the connection is not, and no byte is left over."""
        headers, stream = response.headers, self.stream
        return (
            response.isclosed()
            and not self.is_closed
            and response.version == 11
            and "close" not in ",".join(headers.getlist("connection")).lower()
            and not (response.status == 204 and set(headers.getlist("content-length")) - {"0"})
            and stream.received == stream.reader.taken
        )


def _content(response: HTTPResponse, limit: int) -> bytes:
    """Read the body, if it is clear where it ends (RFC 9112, 6.3)."""
    lengths = set(response.headers.getlist("content-length"))
    codings = [each.lower() for each in response.headers.getlist("transfer-encoding")]
    if response.status in (204, 304):  # these end with their head, whatever that says
        if codings:
            return b""  # http.client would look for a body, so the connection is given up
    elif (
        len(lengths) + len(codings) > 1
        or not all(map(_LENGTH.fullmatch, lengths))
        or codings not in ([], ["chunked"])
    ):
        raise errors.Broken
    if (response.length_remaining or 0) > limit:
        raise errors.TooLarge
    content = b""
    while chunk := response.read(limit + 1 - len(content), decode_content=False):
        content += chunk
        if len(content) > limit:
            raise errors.TooLarge
    return content
