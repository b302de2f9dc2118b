"""Rules for the text of a variable: each gives its value, or says what to write instead.

A rule is a function of a text; it raises ValueError with an advice that never quotes the text.
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import product
from typing import TypeVar
from urllib.parse import urlsplit

# Headers that no setting lets through: credentials, framing, and what the gate itself says.
FORBIDDEN = (
    *("authorization", "cookie", "set-cookie", "host", "content-length", "forwarded"),
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
    *("x-forwarded-*", "x-http-method-override", "x-wx-*", "x-wxgate-*", "x-request-id"),
)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_BOOLEAN = re.compile("true|false", re.ASCII | re.IGNORECASE)
_LEVEL = re.compile("|".join(LEVELS), re.ASCII | re.IGNORECASE)
_AWS_NAME = "it has characters that AWS does not accept there"
_HTTP_URL = "write http(s)://host[:port][/path]"
# Labels of 1 to 63 characters (RFC 1035 2.3.4), or an IPv6 address.
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}(?:\.|$))+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+")
_BASE_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_NUMBER = {int: r"[0-9]{1,13}", float: r"[0-9]{1,6}(?:\.[0-9]{1,6})?"}

_T = TypeVar("_T")
_N = TypeVar("_N", int, float)
Rule = Callable[[str], _T]


def _rule(accepts: Rule[object], advice: str, value: Rule[_T]) -> Rule[_T]:
    def rule(text: str) -> _T:
        if not accepts(text):
            raise ValueError(advice)
        return value(text)

    return rule


def _matching(pattern: str, advice: str) -> Rule[str]:
    return _rule(re.compile(pattern).fullmatch, advice, str)


def number(kind: type[_N], low: _N, high: _N, what: str = "whole seconds") -> Rule[_N]:
    """A decimal number in a range."""

    def accepts(text: str) -> bool:
        return bool(re.fullmatch(_NUMBER[kind], text)) and low <= kind(text) <= high

    return _rule(accepts, f"write {what} from {low} to {high}", kind)


table_name = _matching(r"[A-Za-z0-9_.-]{3,255}", _AWS_NAME)
secret_prefix = _matching(r"[A-Za-z0-9/_+=.@-]{1,400}", _AWS_NAME)
boolean = _rule(_BOOLEAN.fullmatch, "write true or false", lambda text: text.lower() == "true")
level = _rule(_LEVEL.fullmatch, f"write one of {', '.join(LEVELS)}", str.upper)
_appid = _matching(r"[A-Za-z0-9_-]{1,64}", "write appids, separated by commas")
_glob = _matching(
    r"[A-Za-z0-9._~!$&'()*+=:@/%?\[\]-]{1,512}", "write globs below /api/, separated by commas"
)
_header = _matching(
    r"[A-Za-z0-9_-]{1,64}\*?|\*",
    "write header names, separated by commas, with a * only at the end of one",
)


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def appids(text: str) -> tuple[str, ...]:
    """One appid or more."""
    return tuple(map(_appid, _split(text) or ("",)))


def globs(text: str) -> tuple[str, ...]:
    """Globs below /api/, which may be written with or without it."""
    return tuple(_glob(g.removeprefix("/api/").removeprefix("/")) for g in _split(text))


def headers(text: str) -> tuple[str, ...]:
    """Names of headers in lower case; a `*` at the end of one stands for any ending."""
    found = tuple(dict.fromkeys(_header(name).lower() for name in _split(text)))
    for pattern, forbidden in product(found, FORBIDDEN):
        # Servers behind CGI or WSGI read X_WX_OPENID as X-WX-OPENID.
        if _overlap(re.sub("[_-]+", "-", pattern), forbidden):
            raise ValueError(f"it would let {forbidden} through, which is never forwarded")
    return found


def _overlap(one: str, other: str) -> bool:
    """Tell whether one header can match both; a pattern is a name, or a beginning and `*`."""
    shorter, longer = sorted((one, other), key=lambda pattern: len(pattern.rstrip("*")))
    return fnmatchcase(longer.rstrip("*"), shorter)


def url(text: str) -> str:
    """The address of a server: scheme, host, port and base path."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("it has characters that are not allowed in a URL")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        # from None: urlsplit quotes what it rejects, and that may be a password.
        raise ValueError(_HTTP_URL) from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(_HTTP_URL)
    if _is_shorthand(host):
        raise ValueError("write an IPv4 address as four decimal numbers")
    if "@" in parts.netloc:
        raise ValueError("a URL must not contain credentials")
    if "?" in text or "#" in text or not _BASE_PATH.fullmatch(parts.path):
        raise ValueError("write no query and no fragment, and a plain base path")
    if {".", ".."} & set(parts.path.lower().replace("%2e", ".").split("/")):
        raise ValueError("its base path has dot segments")
    return text


def _is_shorthand(host: str) -> bool:
    """Tell whether only a resolver would read it as an address: 127.1, 0x7f.1, 2130706433."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip("."))) != host
    except OSError:
        return False


def path(text: str) -> str:
    """A path below a base path."""
    if not re.fullmatch(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+", text):
        raise ValueError("write /path, without a slash at its end")
    if {".", ".."} & set(text.split("/")):
        raise ValueError("it has dot segments")
    return text


def public_https_url(text: str) -> str:
    """An upstream that needs no UPSTREAM_ALLOW_PRIVATE; names are resolved and checked later."""
    parts = urlsplit(url(text))
    if parts.scheme != "https":
        raise ValueError("write https, or set UPSTREAM_ALLOW_PRIVATE=true")
    host = parts.hostname or ""
    try:
        private = not ipaddress.ip_address(host).is_global
    except ValueError:
        private = host.lower().rstrip(".").rpartition(".")[2] == "localhost"
    if private:
        raise ValueError("it is a private address; set UPSTREAM_ALLOW_PRIVATE=true to use it")
    return text
