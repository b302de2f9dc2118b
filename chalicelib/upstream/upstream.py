"""The business API behind the gate: a request goes out, a reply comes back, or it fails."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from chalicelib import errors
from chalicelib.deadlines import ANSWER_RESERVE, UPSTREAM_TOTAL, Deadline
from chalicelib.network import exchange_errors as network
from chalicelib.network.connections import Connections, Message, Origin, Pairs, Reply
from chalicelib.settings import Settings
from chalicelib.upstream import headers, paths

MAX_QUERY = 8192  # bytes of a query string, as most servers take it
MAX_IGNORED = 1_048_576  # bytes of a response of which only the status counts

# What a failure is to the client; UpstreamUnreachable if it is not listed.
_ERRORS: dict[type[network.TransportError], type[errors.GateError]] = {
    network.ConnectTimeout: errors.UpstreamTimeout,
    network.TimedOut: errors.UpstreamTimeout,
    network.TooLarge: errors.UpstreamTooLarge,
    **dict.fromkeys([network.NoAnswer, network.Stale, network.Broken], errors.UpstreamBadResponse),
}


@dataclass(frozen=True)
class Outgoing:
    """A request for the upstream.

    `subpath` is checked; `query` is decoded; `headers` are the client's, of which the allowed ones
    go out; `source_ip` is the address that API Gateway saw; `identity` are the user's own headers,
    none for a visitor; `prefix` is what stands before /api/ in the client's URL.
    """

    method: str
    subpath: str
    query: Pairs
    headers: Pairs
    body: bytes
    request_id: str
    trace_id: str | None
    forwarded_for: tuple[str, ...]
    source_ip: str | None
    identity: Pairs
    prefix: str


class Upstream:
    """The one scheme, host and base path of UPSTREAM_URL."""

    def __init__(self, connections: Connections, settings: Settings) -> None:
        self.origin = Origin.of(settings.upstream_url)
        self._base = urlsplit(settings.upstream_url).path.rstrip("/")
        self._connections = connections
        self._settings = settings

    def is_public(self, subpath: str) -> bool:
        """Tell whether a checked path needs no login."""
        return paths.matches_a_glob(subpath, self._settings.public_paths)

    def url(self, subpath: str) -> str:
        """Give the upstream's URL of a checked path, without query: the assertion's htu."""
        return f"{self.origin.scheme}://{self.origin.authority}{self._base}/{subpath}"

    def warm(self, deadline: Deadline) -> None:
        """Open a connection ahead of the first request, or raise TransportError."""
        self._connections.open(self.origin, deadline)

    def forward(self, outgoing: Outgoing, deadline: Deadline, *, max_bytes: int) -> Reply:
        """Send a request, and give the reply as the client may see it.

        Raises:
            InvalidRequest: a header or the query cannot be sent.
            UpstreamUnreachable, UpstreamTimeout, UpstreamBadResponse, UpstreamTooLarge: it failed.
            DeadlineExceeded: too little time is left to begin.
        """
        query, method = encoded_query(outgoing.query), outgoing.method
        target = f"{self._base}/{outgoing.subpath}" + (f"?{query}" if query else "")
        message = (method, target, self._headers(outgoing), outgoing.body)
        # Only what is safe by definition is sent again (RFC 9110, 9.2.1).
        reply = self._exchange(message, deadline, max_bytes, repeatable=method in ("GET", "HEAD"))
        return self._passed_on(reply, outgoing)

    def post(self, subpath: str, sent: Pairs, body: bytes, deadline: Deadline) -> int:
        """Post a message of the gate's own, perhaps twice, and give the status; raises as above."""
        headers = [("Accept-Encoding", "identity"), *sent]
        message = ("POST", f"{self._base}/{subpath}", headers, body)
        return self._exchange(message, deadline, MAX_IGNORED, repeatable=True).status

    def _exchange(
        self, message: Message, deadline: Deadline, max_bytes: int, *, repeatable: bool
    ) -> Reply:
        deadline = deadline.less(ANSWER_RESERVE)
        if deadline.remaining() <= 0:
            raise errors.DeadlineExceeded
        try:
            return self._connections.exchange(
                self.origin,
                message,
                deadline.sooner(min(self._settings.upstream_timeout, UPSTREAM_TOTAL)),
                max_bytes=max_bytes,
                retry_on=(network.Refused, network.Stale) if repeatable else (),
            )
        except network.TransportError as error:
            kind = type(error)
            raise _ERRORS.get(kind, errors.UpstreamUnreachable)(reason=kind.__name__) from None

    def _headers(self, outgoing: Outgoing) -> Pairs:
        hops = self._settings.trusted_hops
        address = headers.client_address(outgoing.forwarded_for, hops, outgoing.source_ip)
        own = [
            ("Accept-Encoding", headers.accept_encoding(outgoing.headers)),
            ("X-Request-Id", outgoing.request_id),
            ("X-Amzn-Trace-Id", outgoing.trace_id),
            ("X-Forwarded-For", address),
            *outgoing.identity,
        ]
        return [
            *headers.forwarded_headers(outgoing.headers, self._settings.forward_request_headers),
            *((name, value) for name, value in own if value),
        ]

    def _passed_on(self, reply: Reply, outgoing: Outgoing) -> Reply:
        passed = headers.answer_headers(reply.headers, self._settings.forward_answer_headers)
        sent = passed.pop("Location", None)
        if sent is not None:
            ours = paths.location(sent, self.origin, self._base, outgoing.prefix)
            passed |= {"Location": ours} if ours else {}
        if reply.body and not passed.get("Content-Type"):
            passed["Content-Type"] = "application/octet-stream"
        if outgoing.identity:
            passed["Cache-Control"] = headers.private(passed.get("Cache-Control", ""))
        passed["X-Content-Type-Options"] = "nosniff"
        return Reply(reply.status, list(passed.items()), reply.body)


def encoded_query(query: Pairs) -> str:
    """Encode the parameters that API Gateway decoded, in order (RFC 3986: only unreserved plain).

    InvalidRequest is raised beyond MAX_QUERY bytes, and if a value is no Unicode text.
    """
    try:
        text = urlencode(query, quote_via=quote)
    except UnicodeEncodeError:
        raise errors.InvalidRequest from None
    if len(text) > MAX_QUERY:
        raise errors.InvalidRequest("The query is too long.")
    return text
