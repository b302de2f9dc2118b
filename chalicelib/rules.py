"""Rules for the text of a variable: each gives its value, or says what to write instead.

A rule is a function of a text; it raises ValueError with an advice that never quotes the text.
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

FORBIDDEN = (
    *("authorization", "cookie", "set-cookie", "host", "content-length", "forwarded"),
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
    *("x-forwarded-*", "x-http-method-override", "x-wx-*", "x-wxgate-*", "x-request-id"),
)
"""Headers that no setting lets through: credentials, framing, and what the gate itself says."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_HTTP_URL = "write http(s)://host[:port][/path]"
# Labels of 1 to 63 characters (RFC 1035 2.3.4), or an IPv6 address.
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}(?:\.|$))+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+")
_BASE_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_GLOB = re.compile(r"[A-Za-z0-9._~!$&'()*+=:@/%?\[\]-]{1,512}")
_HEADER = re.compile(r"[A-Za-z0-9_-]{1,64}\*?|\*")


def _name(pattern: str) -> Callable[[str], str]:
    def rule(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("it has characters that AWS does not accept there")
        return text

    return rule


table_name = _name(r"[A-Za-z0-9_.-]{3,255}")
secret_prefix = _name(r"[A-Za-z0-9/_+=.@-]{1,400}")


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def appids(text: str) -> tuple[str, ...]:
    """One appid or more."""
    found = _split(text)
    if not found or not all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", appid) for appid in found):
        raise ValueError("write appids, separated by commas")
    return found


def globs(text: str) -> tuple[str, ...]:
    """Globs below /api/, which may be written with or without it."""
    found = tuple(glob.removeprefix("/api/").removeprefix("/") for glob in _split(text))
    if not all(map(_GLOB.fullmatch, found)):
        raise ValueError("write globs below /api/, separated by commas")
    return found


def headers(text: str) -> tuple[str, ...]:
    """Names of headers in lower case; a `*` at the end of one stands for any ending."""
    if not all(map(_HEADER.fullmatch, _split(text))):
        raise ValueError("write header names, separated by commas, with a * only at the end of one")
    found = _split(text.lower())
    for pattern in found:
        for forbidden in FORBIDDEN:
            # Servers behind CGI or WSGI read X_WX_OPENID as X-WX-OPENID.
            if _overlap(pattern.replace("_", "-"), forbidden):
                raise ValueError(f"it would let {forbidden} through, which is never forwarded")
    return found


def _overlap(one: str, other: str) -> bool:
    """Tell whether one header can match both; a pattern is a name, or a beginning and `*`."""
    start, other_start = one.removesuffix("*"), other.removesuffix("*")
    return (
        start == other_start
        or (one != start and other_start.startswith(start))
        or (other != other_start and start.startswith(other_start))
    )


def boolean(text: str) -> bool:
    """A choice, in any case."""
    if text.lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.lower() == "true"


def level(text: str) -> str:
    """A level of the log, in any case."""
    if text.upper() not in LEVELS:
        raise ValueError(f"write one of {', '.join(LEVELS)}")
    return text.upper()


def number(low: float, high: float, what: str = "seconds") -> Callable[[str], float]:
    """A decimal number in a range."""

    def rule(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", text) or not low <= float(text) <= high:
            raise ValueError(f"write {what} from {low:g} to {high:g}")
        return float(text)

    return rule


def integer(low: int, high: int, what: str = "whole seconds") -> Callable[[str], int]:
    """A whole number in a range."""

    def rule(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,13}", text) or not low <= int(text) <= high:
            raise ValueError(f"write {what} from {low} to {high}")
        return int(text)

    return rule


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
    if parts.username is not None or parts.password is not None:
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
