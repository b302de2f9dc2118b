"""The environment, read once into one frozen value; names and meanings are fixed by the README."""

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from chalicelib.sessions.tokens import MAX_TTL, MIN_TTL

_APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_PREFIX = re.compile(r"[A-Za-z0-9/_+=.@-]{1,400}")
_GLOB = re.compile(r"[A-Za-z0-9._~!$&'()*+=:@/%?\[\]-]{1,512}")
# Labels of 1 to 63 characters (RFC 1035 2.3.4), or an IPv6 address.
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}(?:\.|$))+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+")
_BASE_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

NEEDS: dict[str, tuple[str, ...]] = {
    "login": ("WX_APPIDS", "SESSIONS_TABLE", "SECRET_PREFIX"),
    "proxy": ("WX_APPIDS", "SESSIONS_TABLE", "SECRET_PREFIX", "UPSTREAM_URL"),
    "decrypt": ("WX_APPIDS", "SESSIONS_TABLE", "SECRET_PREFIX", "UPSTREAM_URL"),
}
"""The variables that each Lambda function cannot do without."""


# Read by the SDK itself, which would raise late: when a code is spent.
_SDKS_OWN = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
)


class BadEnvironment(ValueError):
    """One sentence per variable that is missing or malformed; values are not quoted."""


@dataclass(frozen=True)
class Settings:
    """What the environment says. Times in seconds."""

    appids: tuple[str, ...]
    sessions_table: str
    secret_prefix: str
    upstream_url: str
    upstream_allow_private: bool
    upstream_timeout: float
    public_paths: tuple[str, ...]
    token_ttl: int
    decrypt_max_age: int
    wechat_api_url: str
    forward_request_headers: tuple[str, ...]
    forward_answer_headers: tuple[str, ...]
    trusted_hops: int
    log_level: str
    region: str | None


def read(environ: Mapping[str, str], function: str | None = None) -> Settings:
    """Read the environment of one Lambda function, or of all three.

    Raises:
        BadEnvironment: naming every variable at fault.
    """
    reader = _Reader(environ)
    allow_private = reader.get("UPSTREAM_ALLOW_PRIVATE", _boolean, "false")
    settings = Settings(
        appids=reader.get("WX_APPIDS", _appids, ""),
        sessions_table=reader.get("SESSIONS_TABLE", _matching(_TABLE), ""),
        secret_prefix=reader.get("SECRET_PREFIX", _matching(_PREFIX), ""),
        upstream_url=reader.get("UPSTREAM_URL", _upstream_url(bool(allow_private)), ""),
        upstream_allow_private=bool(allow_private),
        upstream_timeout=reader.get("UPSTREAM_TIMEOUT", _number(0.1, 29), "20"),
        public_paths=reader.get("PUBLIC_PATHS", _globs, ""),
        token_ttl=reader.get("TOKEN_TTL", _integer(MIN_TTL, MAX_TTL), "604800"),
        decrypt_max_age=reader.get("DECRYPT_MAX_AGE", _integer(1, 2**40), "300"),
        wechat_api_url=reader.get("WECHAT_API_URL", _http_url, "https://api.weixin.qq.com"),
        forward_request_headers=_split(environ.get("FORWARD_REQUEST_HEADERS", "").lower()),
        forward_answer_headers=_split(environ.get("FORWARD_ANSWER_HEADERS", "").lower()),
        trusted_hops=reader.get("TRUSTED_HOPS", _integer(0, 5), "0"),
        log_level=reader.get("LOG_LEVEL", _level, "INFO"),
        region=_region(environ),
    )
    for name in _SDKS_OWN:
        reader.get(name, _http_url, "")
    needed = NEEDS.get(function or "") or tuple(dict.fromkeys(sum(NEEDS.values(), ())))
    reader.require(needed)
    reader.finish()
    return settings


class _Reader:
    """Reads variables one by one and remembers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: dict[str, str] = {}

    def get(self, name: str, parse: Callable[[str], Any], default: str) -> Any:
        text = self._environ.get(name, "").strip() or default
        if not text:
            return parse("") if name == "PUBLIC_PATHS" else ""
        try:
            return parse(text)
        except ValueError as error:
            self._faults[name] = f"{name} is malformed: {error}."
            return ""

    def require(self, names: tuple[str, ...]) -> None:
        for name in names:
            if not self._environ.get(name, "").strip():
                self._faults.setdefault(name, f"{name} is missing.")

    def finish(self) -> None:
        if self._faults:
            raise BadEnvironment(" ".join(self._faults.values()))


def _region(environ: Mapping[str, str]) -> str | None:
    """The SDK's own choice; a region is invented only for an engine that needs none."""
    named = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if environ.get("AWS_ENDPOINT_URL") else None)


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError("it has characters that AWS does not take there")
        return text

    return parse


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _appids(text: str) -> tuple[str, ...]:
    appids = tuple(dict.fromkeys(_split(text)))
    if not appids or not all(_APPID.fullmatch(appid) for appid in appids):
        raise ValueError("write appids, separated by commas")
    return appids


def _globs(text: str) -> tuple[str, ...]:
    globs = tuple(glob.removeprefix("/api/").removeprefix("/") for glob in _split(text))
    if not all(_GLOB.fullmatch(glob) for glob in globs):
        raise ValueError("write globs below /api/, separated by commas")
    return globs


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.lower() == "true"


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise ValueError(f"write one of {', '.join(_LEVELS)}")
    return text.upper()


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", text) or not low <= float(text) <= high:
            raise ValueError(f"write seconds from {low:g} to {high:g}")
        return float(text)

    return parse


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,13}", text) or not low <= int(text) <= high:
            raise ValueError(f"write whole seconds from {low} to {high}")
        return int(text)

    return parse


_HTTP_URL = "write http(s)://host[:port][/path]"


def _parted(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # checked only when asked for
    except ValueError:
        # urlsplit quotes what it refuses, and that may be a password.
        raise ValueError(_HTTP_URL) from None
    return parts


def _http_url(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("it holds characters that a URL may not hold")
    parts = _parted(text)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or parts.port == 0:
        raise ValueError(_HTTP_URL)
    if _is_odd(host):
        raise ValueError("write an IPv4 address as four decimal numbers")
    if parts.username is not None or parts.password is not None:
        raise ValueError("credentials do not belong in a URL")
    if "?" in text or "#" in text or not _BASE_PATH.fullmatch(parts.path):
        raise ValueError("write neither query nor fragment, and a plain base path")
    if {".", ".."} & set(parts.path.lower().replace("%2e", ".").split("/")):
        raise ValueError("its base path has dot segments")
    return text


def _upstream_url(allow_private: bool) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = urlsplit(_http_url(text))
        if parts.scheme != "https" and not allow_private:
            raise ValueError("write https, or set UPSTREAM_ALLOW_PRIVATE=true")
        if not allow_private and _is_private(parts.hostname or ""):
            raise ValueError("it is a private address; set UPSTREAM_ALLOW_PRIVATE=true to use it")
        return text

    return parse


def _is_odd(host: str) -> bool:
    """Tell whether only the resolver would see an address: 127.1, 0x7f.1, 2130706433."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip("."))) != host
    except OSError:
        return False


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host.lower().rstrip(".").rpartition(".")[2] == "localhost"
