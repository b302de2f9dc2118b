"""The business API behind the gate: what goes there, what comes back, and how it fails.

What goes out is built from an allowlist; the identity headers are set last, by us.
"""

import fnmatch
import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from chalicelib.errors import (
    DeadlineExceeded,
    InvalidRequest,
    UpstreamBadResponse,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from chalicelib.front.request import Pairs, Request, has_control_characters
from chalicelib.front.response import MAX_ANSWER, Answer, AnswerTooLarge
from chalicelib.network.connections import (
    ConnectTimeout,
    NotConnected,
    Origin,
    Refused,
    Reply,
    TimedOut,
    TooLarge,
    Transport,
    TransportError,
)
from chalicelib.upstream.paths import ROUTE

MAX_QUERY = 8192
"""Bytes of a query string, as most servers take it."""

MAX_TOTAL = 20.0
"""Seconds for one exchange; API Gateway cuts at 29 s and the function would run on."""

CONNECT_TIMEOUT = 3.0
"""Seconds for the upstream to accept a connection: a packet that is lost at the first greeting is
sent again after one second (RFC 6298 2), and a POST that never connected is not tried again."""

RESERVE = 1.5
"""Seconds kept for our own answer."""

MAX_HEADERS = 10_240
"""Characters of all headers passed on with an answer (AWS, API Gateway quotas)."""

# --- the query ---------------------------------------------------------------------------------


def encoded_query(query: Pairs) -> str:
    """Encode the parameters that API Gateway decoded, in order (RFC 3986: only unreserved plain).

    Raises:
        InvalidRequest: beyond MAX_QUERY bytes, or where a value is no Unicode text.
    """
    try:
        text = urlencode(query, quote_via=quote)
    except UnicodeEncodeError:
        raise InvalidRequest from None
    if len(text) > MAX_QUERY:
        raise InvalidRequest("The query is too long.")
    return text


# --- headers -------------------------------------------------------------------------------------

REQUEST_HEADERS = frozenset(
    (
        "accept",
        "accept-language",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "prefer",
        "range",
        "referer",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-requested-with",
    )
)
"""The request headers that go upstream; every other name is dropped, whatever it is."""

_REQUEST_LISTS = frozenset(
    (
        "accept",
        "accept-language",
        "content-encoding",
        "content-language",
        "if-match",
        "if-none-match",
        "prefer",
        "tracestate",
    )
)
"""Request headers that may repeat (RFC 9110 5.3)."""

ANSWER_HEADERS = frozenset(
    (
        "accept-ranges",
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "date",
        "deprecation",
        "etag",
        "expires",
        "last-modified",
        "link",
        "location",
        "preference-applied",
        "retry-after",
        "server-timing",
        "sunset",
        "vary",
        "x-page",
        "x-per-page",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-total-count",
        "x-total-pages",
    )
)
"""The answer headers that go to the client. Not among them: Set-Cookie (the token is the only
state), CORS (mini-programs need none), Server, hop-by-hop names, X-WX-* and X-Wxgate-*."""

_LISTS = frozenset(("cache-control", "link", "vary", "server-timing", "allow"))
"""Answer headers that may repeat (RFC 9110 5.3); of any other the first one counts."""


def forwarded_headers(headers: Pairs) -> Pairs:
    """Take the allowed request headers, in order, names as sent.

    Raises:
        InvalidRequest: if one of them holds a control character, is not Latin-1, or comes twice
            and is no list.
    """
    names = REQUEST_HEADERS - _named_by_connection(headers)
    passed = [(k, v) for k, v in headers if k.isascii() and k.lower() in names]
    if any(has_control_characters(value) or not _is_latin1(value) for _, value in passed):
        raise InvalidRequest("A header holds characters that are not allowed.")
    single = [name for k, _ in passed if (name := k.lower()) not in _REQUEST_LISTS]
    if len(set(single)) != len(single):
        # One reader would take the first, the next the last.
        raise InvalidRequest("A header that may come once comes twice.")
    return passed


def _named_by_connection(headers: Pairs) -> set[str]:
    """The headers, in lower case, that are for this hop alone (RFC 9110 7.6.1)."""
    lists = [value for name, value in headers if name.lower() == "connection"]
    return {name.strip().lower() for value in lists for name in value.split(",")}


def _is_latin1(value: str) -> bool:
    return all(ord(character) < 256 for character in value)


@dataclass(frozen=True)
class Identity:
    """Who the request is for; it goes upstream as X-WX-* and signed."""

    openid: str
    appid: str
    unionid: str | None
    assertion: str

    @property
    def headers(self) -> Pairs:
        """The identity headers, by the names of WeChat Cloud Hosting (微信云托管)."""
        known = [("X-WX-OPENID", self.openid), ("X-WX-APPID", self.appid)]
        if self.unionid:
            known.append(("X-WX-UNIONID", self.unionid))
        return [*known, ("X-WX-ASSERTION", self.assertion)]


# --- the exchange --------------------------------------------------------------------------------


class Upstream:
    """One fixed scheme, host and base path; `public` are globs below /api/."""

    def __init__(
        self, transport: Transport, url: str, timeout: float, public: tuple[str, ...]
    ) -> None:
        self.origin = Origin.of(url)
        self._root = f"{self.origin.scheme}://{self.origin.authority}"
        self._base = urlsplit(url).path.rstrip("/")
        self._transport = transport
        self._timeout = min(timeout, MAX_TOTAL)
        self._public = public

    def is_public(self, below: str) -> bool:
        """Tell whether a checked path needs no login; `*` spans slashes, case counts."""
        return any(fnmatch.fnmatchcase(below, glob) for glob in self._public)

    def url(self, below: str) -> str:
        """The upstream's URL of a checked path, without query: the assertion's htu."""
        return f"{self._root}{self._base}/{below}"

    def forward(self, request: Request, below: str, identity: Identity | None) -> Answer:
        """Send the request and pass the answer on.

        Raises:
            InvalidRequest: a header or the query cannot be sent.
            UpstreamUnreachable, UpstreamTimeout, UpstreamBadResponse, UpstreamTooLarge: it failed.
            DeadlineExceeded: too little time is left to begin.
        """
        query = encoded_query(request.query)
        target = f"{self._base}/{below}" + (f"?{query}" if query else "")
        headers = self._headers(request, identity)
        reply = self._exchange(request, target, headers)
        return self._passed_on(reply, request, private=identity is not None)

    def _headers(self, request: Request, identity: Identity | None) -> Pairs:
        headers = forwarded_headers(request.headers)
        headers.append(("Accept-Encoding", "identity"))  # what is not packed is no bomb
        headers.append(("X-Request-Id", request.id))
        if request.source_ip:
            headers.append(("X-Forwarded-For", request.source_ip))
        return headers + (identity.headers if identity else [])

    def _exchange(self, request: Request, target: str, headers: Pairs) -> Reply:
        # What must be left of the invocation when both attempts are over.
        reserve = max(RESERVE, request.remaining() - self._timeout)
        try:
            try:
                return self._once(request, target, headers, reserve)
            except Refused:
                # Nothing was sent; still, only what is safe by definition is tried again.
                if request.method not in ("GET", "HEAD"):
                    raise
                return self._once(request, target, headers, reserve)
        except TransportError as error:
            raise _translated(error) from None

    def _once(self, request: Request, target: str, headers: Pairs, reserve: float) -> Reply:
        seconds = request.remaining() - reserve
        if seconds <= 0:
            raise DeadlineExceeded
        return self._transport.exchange(
            self.origin,
            request.method,
            target,
            headers,
            request.body,
            seconds=seconds,
            cap=MAX_ANSWER,
        )

    def _passed_on(self, reply: Reply, request: Request, *, private: bool) -> Answer:
        headers = _answer_headers(reply.headers)
        location = headers.pop("Location", None)
        stage = str(request.context.get("path", "")).partition(ROUTE)[0]
        if location is not None and (ours := self._location(location, stage)):
            headers["Location"] = ours
        if reply.body and not headers.get("Content-Type"):
            headers["Content-Type"] = "application/octet-stream"
        if private:
            headers["Cache-Control"] = _private(headers.get("Cache-Control", ""))
        headers["X-Content-Type-Options"] = "nosniff"
        try:
            return Answer(reply.body, headers, reply.status)
        except AnswerTooLarge:
            raise UpstreamTooLarge(reason="encoded") from None

    def _location(self, sent: str, stage: str) -> str | None:
        """Keep a redirect from showing the upstream's address: give ours instead, or none.

        A Location at another host is passed on: the client may follow it, the gate never does.
        An upstream behind a load balancer may take its own https for http: that is still ours.
        """
        if "\\" in sent:  # a slash to browsers, not to us
            return None
        sent = quote(sent, safe=_ASCII)  # RFC 3986 knows no other characters
        try:
            parts = urlsplit(sent)
            host, port = (parts.hostname or "").rstrip("."), parts.port or 0
        except ValueError:
            return None
        if parts.netloc:
            if host != self.origin.host.rstrip("."):
                return sent
            origin = Origin(parts.scheme or self.origin.scheme, self.origin.host, port)
            ours = origin.authority.removesuffix(":0") == self.origin.authority
        elif parts.scheme or parts.path.startswith("/"):
            ours = not parts.scheme
        else:
            return sent  # relative to the path that was asked for, which is ours as well
        if not ours or not parts.path.startswith(f"{self._base}/"):
            return None
        below = parts.path.removeprefix(f"{self._base}/")
        return urlunsplit(("", "", f"{stage}{ROUTE}{below}", parts.query, parts.fragment))


_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def _translated(error: TransportError) -> Exception:
    reason = type(error).__name__
    match error:
        case ConnectTimeout() | TimedOut():
            return UpstreamTimeout(reason=reason)
        case NotConnected():
            return UpstreamUnreachable(reason=reason)
        case TooLarge():
            return UpstreamTooLarge(reason=reason)
        case _:
            return UpstreamBadResponse(reason=reason)


def _private(cache_control: str) -> str:
    """What one user may see no shared cache may keep."""
    unquoted = re.sub(r'"[^"]*"', "", cache_control).lower()
    directives = {word.strip() for word in unquoted.split(",")} - {""}
    if not directives or any(word in unquoted for word in ("public", "s-maxage")):
        return "private, no-store"
    if directives & {"private", "no-store"}:
        return cache_control
    return f"private, {cache_control}"


def _text(value: str) -> str:
    """Read a header's bytes, which http.client takes for Latin-1, as the UTF-8 that they are."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def _answer_headers(headers: Pairs) -> dict[str, str]:
    passed: dict[str, str] = {}
    names = ANSWER_HEADERS - _named_by_connection(headers)
    for name, sent in headers:
        lower = name.lower()
        if lower not in names:
            continue
        value = _text(sent)
        if has_control_characters(value):
            raise UpstreamBadResponse(reason="header")
        canonical = "-".join(word.capitalize() for word in lower.split("-"))
        if canonical not in passed:
            passed[canonical] = value
        elif lower in _LISTS:
            passed[canonical] += f", {value}"
    if sum(len(name) + len(value) for name, value in passed.items()) > MAX_HEADERS:
        raise UpstreamTooLarge(reason="headers")
    return passed
