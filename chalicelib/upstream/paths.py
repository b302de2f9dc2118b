"""Which path may go to the business API, which is public, and where a redirect leads.

A path is refused rather than repaired, and sent as it was checked.
"""

import re
import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from chalicelib.errors import InvalidPath
from chalicelib.network.addresses import Origin

ROUTE = "/api/"
MAX_PATH = 2048  # bytes of a path below /api/

_MAPPING = re.compile(r"(?:/[A-Za-z0-9._~$+!*'()-]+)*")
_SEGMENT = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+"  # RFC 3986
_SUBPATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*/?")
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Unicode categories of joiners, soft hyphens and blanks: some servers drop them from names.
_HIDDEN = ("Cf", "Zs")
DECODE_ROUNDS = 3
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def checked_path(path: str, proxy: str | None = None) -> str:
    """Give what stands below /api/ in a raw path: percent-encoded, exactly as it came.

    `proxy` is API Gateway's pathParameters.proxy. What stands before /api/ and that is a custom
    domain's base path mapping, which may itself contain /api/.

    InvalidPath is raised unless the path is canonical in every reading: as it is and decoded up to
    three times, and each of these folded.
    """
    mapping, subpath = _split(path, proxy)
    if len(subpath) > MAX_PATH or not (_MAPPING.fullmatch(mapping) and _SUBPATH.fullmatch(subpath)):
        raise InvalidPath
    try:
        readings = _readings(subpath, "strict")
    except UnicodeDecodeError:
        raise InvalidPath from None
    for decoded in set(readings[: DECODE_ROUNDS + 1]):
        if decoded.count("/") > subpath.count("/") or _UNSAFE.search(decoded):
            raise InvalidPath
    if any(map(_has_dot_segment, {mapping, *readings})):  # they are often all the same
        raise InvalidPath
    return subpath


def matches_a_glob(subpath: str, globs: Iterable[str]) -> bool:
    """Tell whether a checked path matches one of the globs in every reading; case counts.

    A reading ends at a question mark or hash. `*` spans slashes. The globs are percent-encoded, as
    the path is, so they are decoded and folded with it.
    """
    return all(
        any(fnmatchcase(re.split(r"[?#]", reading)[0], glob) for glob in same_reading_of_globs)
        for reading, *same_reading_of_globs in zip(
            _readings(subpath), *map(_readings, globs), strict=True
        )
    )


def prefix_of(path: str, subpath: str) -> str:
    """Give what stands before /api/ and a subpath: the stage, or a base path mapping."""
    prefix = path.removesuffix(ROUTE + subpath)
    return path.partition(ROUTE)[0] if prefix == path else prefix


def location(sent: str, origin: Origin, base: str, prefix: str) -> str | None:
    """Give the Location that the client gets, or None if it would only show where the upstream is.

    `base` is the path of UPSTREAM_URL; `prefix` stands before /api/ in the client's URL. A redirect
    to another host is passed on: the client may follow it, the gate never does.
    """
    if "\\" in sent:  # a slash to browsers, not to urlsplit
        return None
    sent = quote(sent, safe=_ASCII)  # RFC 3986 knows no other characters
    try:
        parts = urlsplit(sent)
        host, port = (parts.hostname or "").rstrip("."), parts.port or 0
    except ValueError:
        return None
    elsewhere = parts.netloc and host != origin.host.rstrip(".")
    relative = not parts.scheme and not parts.netloc and not parts.path.startswith("/")
    if elsewhere or relative:
        return sent
    # Behind a load balancer an upstream may take its own https for http: that is still ours.
    named = Origin(parts.scheme or origin.scheme, origin.host, port).authority.removesuffix(":0")
    ours = named == origin.authority if parts.netloc else not parts.scheme
    if not ours or not parts.path.startswith(f"{base}/"):
        return None
    path = prefix + ROUTE + parts.path.removeprefix(f"{base}/")
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def _split(path: str, proxy: str | None) -> tuple[str, str]:
    """Cut a path at the /api/ that stands before `proxy`, or at the only one.

    API Gateway leaves `path` as it was sent; `proxy` has no slash at its ends and may be decoded.
    """
    starts = [found.start() for found in re.finditer(f"(?={ROUTE})", path[: 2 * MAX_PATH])]
    cuts = [(path[:start], path[start + len(ROUTE) :]) for start in starts]
    for mapping, subpath in cuts:
        if proxy in (None, subpath.strip("/"), unquote(subpath).strip("/")):
            return mapping, subpath
    if len(cuts) != 1:
        raise InvalidPath
    return cuts[0]


def _readings(text: str, errors: str = "replace") -> list[str]:
    """Give a text as it is and decoded up to three times, then each of these folded."""
    decoded = [text]
    for _ in range(DECODE_ROUNDS):
        decoded.append(unquote(decoded[-1], errors=errors))
    return decoded + [unicodedata.normalize("NFKC", each) for each in decoded]


def _has_dot_segment(reading: str) -> bool:
    # Some servers cut parameters off a segment before they resolve dots.
    names = (re.split(r"[;?#]", segment)[0] for segment in re.split(r"[/\\]", reading))
    visible = ("".join(c for c in name if unicodedata.category(c) not in _HIDDEN) for name in names)
    return any(name in (".", "..") for name in visible)
