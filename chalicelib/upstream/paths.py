"""Which path may go to the business API: refused rather than repaired, sent as it was checked."""

import re
import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import unquote, unquote_to_bytes

from chalicelib.errors import InvalidPath

ROUTE = "/api/"

MAX_PATH = 2048
"""Bytes of a path below /api/."""

DECODE_ROUNDS = 3

# RFC 3986: pchar without the percent sign, and the slash.
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_MAPPING = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = ("Cf", "Zs")
"""Unicode categories of joiners, soft hyphens and blanks: some servers drop them from names."""


def checked_path(path: str, proxy: str | None = None) -> str:
    """Give what stands below /api/ in a raw path: percent-encoded, exactly as it came.

    `proxy` is API Gateway's pathParameters.proxy. What stands before /api/ and that is a custom
    domain's base path mapping, which may itself contain /api/.

    Raises:
        InvalidPath: if the path is not canonical, or not in every reading: decoded up to three
            times, and each of these folded.
    """
    mapping, subpath = _split(path, proxy)
    if len(subpath) > MAX_PATH or not (_MAPPING.fullmatch(mapping) and _PLAIN.fullmatch(subpath)):
        raise InvalidPath
    if "" in subpath.removesuffix("/").split("/"):
        raise InvalidPath
    try:
        decoded = _decoded(subpath, "strict")
    except UnicodeDecodeError:
        raise InvalidPath from None
    for reading in decoded:
        if reading.count("/") > subpath.count("/") or "\\" in reading or _CONTROL.search(reading):
            raise InvalidPath
    if any(map(_has_dot_segment, [mapping, *decoded, *map(_folded, decoded)])):
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


def _split(path: str, proxy: str | None) -> tuple[str, str]:
    """Cut a path at the /api/ that stands before `proxy`, or at the first without it.

    API Gateway leaves `path` as it was sent; `proxy` has no slash at its ends and may be decoded.
    """
    cuts = [found.start() for found in re.finditer(f"(?={ROUTE})", path[: 2 * MAX_PATH])]
    for cut in cuts:
        subpath = path[cut + len(ROUTE) :]
        if proxy is None or proxy in (subpath.strip("/"), unquote(subpath).strip("/")):
            return path[:cut], subpath
    if len(cuts) != 1:
        raise InvalidPath
    return path[: cuts[0]], path[cuts[0] + len(ROUTE) :]


def _decoded(text: str, errors: str) -> list[str]:
    decoded = [text]
    for _ in range(DECODE_ROUNDS):
        decoded.append(unquote_to_bytes(decoded[-1]).decode(errors=errors))
    return decoded


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _readings(text: str) -> list[str]:
    decoded = _decoded(text, "replace")
    return [*decoded, *map(_folded, decoded)]


def _has_dot_segment(reading: str) -> bool:
    # Some servers cut parameters off a segment before they resolve dots.
    names = (re.split(r"[;?#]", segment)[0] for segment in re.split(r"[/\\]", reading))
    visible = (
        "".join(c for c in name if unicodedata.category(c) not in _INVISIBLE) for name in names
    )
    return any(name in (".", "..") for name in visible)
