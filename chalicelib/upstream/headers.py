"""Which headers pass, by name: to the business API, and back to the client.

Both ways an allowlist decides, which the operator may widen, but never by what carries
credentials, frames messages, or is the gate's own word.
"""

import ipaddress
import re

from chalicelib.errors import InvalidRequest, UpstreamBadResponse, UpstreamTooLarge
from chalicelib.network.connections import Pairs
from chalicelib.rules import FORBIDDEN

MAX_HEADERS = 10_240  # characters of all headers passed on with an answer (AWS, API Gateway quotas)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The request headers that go upstream; every other name is dropped, whatever it is.
REQUEST_HEADERS = _names("""
    accept accept-language content-disposition content-encoding content-language content-type
    idempotency-key if-match if-modified-since if-none-match if-range if-unmodified-since prefer
    range referer traceparent tracestate user-agent x-requested-with
""")
# The answer headers that go to the client. Not among them: Set-Cookie (the token is the only
# state), CORS (mini-programs need none), Server.
ANSWER_HEADERS = _names("""
    accept-ranges age allow cache-control content-disposition content-encoding content-language
    content-range content-type date deprecation etag expires last-modified link location
    preference-applied retry-after server-timing sunset vary x-page x-per-page x-ratelimit-limit
    x-ratelimit-remaining x-ratelimit-reset x-total-count x-total-pages
""")
_REQUEST_LISTS = _names("""
    accept accept-language content-encoding content-language if-match if-none-match prefer
    tracestate
""")
# Headers that may repeat (RFC 9110, 5.3); of any other answer header the first one counts.
_ANSWER_LISTS = _names("allow cache-control link server-timing vary")
_OWN = ("accept-encoding", "cookie2", "expect", "proxy-*", "set-cookie2", "x-amzn-trace-id")
# What no setting lets through; names are folded before, since CGI, WSGI and PHP cannot tell
# X_WX_OPENID or X.WX.OPENID from X-WX-OPENID.
_NEVER = re.compile("|".join([*FORBIDDEN, *_OWN]).replace("-*", "(-.*)?"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What a field value may not hold (RFC 9110, 5.5): controls, and what is not Latin-1.
_UNSENDABLE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_CODING = re.compile(
    r"(?i)(gzip|br|deflate|identity)([ \t]*;[ \t]*q=(0(\.[0-9]{0,3})?|1(\.0{0,3})?))?"
)


def forwarded_headers(headers: Pairs, patterns: tuple[str, ...] = ()) -> Pairs:
    """Take the allowed request headers, in order, names as sent.

    `patterns` are further names in lower case; one that ends in `*` stands for all that begin so.
    InvalidRequest is raised if one of them cannot be sent, or comes twice and is no list.
    """
    passed = _allowed(headers, REQUEST_HEADERS, patterns)
    if any(_UNSENDABLE.search(value) for _, value in passed):
        raise InvalidRequest("A header holds characters that are not allowed.")
    single = [_fold(name) for name, _ in passed if name.lower() not in _REQUEST_LISTS]
    if len(set(single)) != len(single):  # one reader would take the first, the next the last
        raise InvalidRequest("A header that may come once comes twice.")
    return passed


def accept_encoding(headers: Pairs) -> str:
    """Give what Accept-Encoding may say upstream: the codings that every client unpacks itself."""
    sent = ",".join(value for name, value in headers if name.lower() == "accept-encoding")
    known = [each for part in sent.split(",") if _CODING.fullmatch(each := part.strip(" \t"))]
    return ", ".join(known) or "identity"


def client_address(forwarded_for: tuple[str, ...], hops: int, seen: str | None) -> str | None:
    """Give the phone's address, if `hops` proxies of the operator's stand before API Gateway.

    Each appends the address that it saw to X-Forwarded-For, at last API Gateway, which saw `seen`.
    So the phone's stands `hops` places before the last; what is before that is anyone's claim.
    """
    if not 0 < hops < len(forwarded_for):
        return seen
    # Some load balancers add the port. The zone of an IPv6 address may be any text.
    place = re.sub(r"^\[(.+)\](:[0-9]+)?$|^([0-9.]+):[0-9]+$", r"\1\3", forwarded_for[-1 - hops])
    try:
        return str(ipaddress.ip_address(place.partition("%")[0]))
    except ValueError:
        return seen


def answer_headers(headers: Pairs, patterns: tuple[str, ...] = ()) -> dict[str, str]:
    """Take the allowed answer headers, names in canonical case; `patterns` as above.

    Raises:
        UpstreamBadResponse: if one of them holds a control character.
        UpstreamTooLarge: if they are more than API Gateway takes.
    """
    passed: dict[str, str] = {}
    for name, sent in _allowed(headers, ANSWER_HEADERS, patterns):
        value = _text(sent)
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise UpstreamBadResponse(reason="header")
        canonical = "-".join(word.capitalize() for word in name.lower().split("-"))
        if canonical not in passed:
            passed[canonical] = value
        elif name.lower() in _ANSWER_LISTS:
            passed[canonical] += f", {value}"
    if sum(len(name) + len(value) for name, value in passed.items()) > MAX_HEADERS:
        raise UpstreamTooLarge(reason="headers")
    return passed


def private(cache_control: str) -> str:
    """Give a Cache-Control by which no shared cache keeps what one user may see."""
    unquoted = re.sub(r'"[^"]*"', "", cache_control).lower()
    directives = {word.strip() for word in unquoted.split(",")} - {""}
    if not directives or any(word in unquoted for word in ("public", "s-maxage")):
        return "private, no-store"
    if directives & {"private", "no-store"}:
        return cache_control
    return f"private, {cache_control}"


def _allowed(headers: Pairs, names: frozenset[str], patterns: tuple[str, ...]) -> Pairs:
    # What Connection names is for this hop alone (RFC 9110, 7.6.1).
    lists = ",".join(value for name, value in headers if name.lower() == "connection")
    hop_by_hop = {name.strip().lower() for name in lists.split(",")}
    starts = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))

    def passes(name: str) -> bool:
        lower = name.lower()
        if lower in hop_by_hop or not _TOKEN.fullmatch(name):
            return False
        widened = lower in patterns or lower.startswith(starts)
        return lower in names or (widened and not _NEVER.fullmatch(_fold(name)))

    return [(name, value) for name, value in headers if passes(name)]


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _text(value: str) -> str:
    """Read as UTF-8 what http.client decoded as Latin-1, if it is UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
