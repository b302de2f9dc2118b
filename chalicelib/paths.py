"""Which path may go to the business API: refused rather than repaired, sent as it was checked."""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from chalicelib.errors import InvalidPath

ROUTE = "/api/"

MAX_PATH = 2048
"""Bytes of a path below /api/."""

DECODE_ROUNDS = 4

# RFC 3986: pchar without the percent sign, and the slash.
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_MAPPING = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DELIMITERS = re.compile(r"[/\\;?#]")

# 嘊 and 嘍, U+560A and U+560D: cut to eight bits they are LF and CR, and attack lists use them so.
# Other characters end in 0A or 0D too, 上 among them; those are words that people write.
_NARROW_CRLF = re.compile("[\u560a\u560d]")


def checked_path(path: str) -> str:
    """Give the canonical path below /api/, still percent-encoded, exactly as it came.

    Raises:
        InvalidPath: for dot segments and delimiters in any encoding, controls, empty segments,
            bad escapes, characters that fold into one of these (NFKC), or more than MAX_PATH.
    """
    mapping, found, below = path.partition(ROUTE)
    # A custom domain's base path mapping stands before our own route.
    if not found or not _MAPPING.fullmatch(mapping):
        raise InvalidPath
    if len(below) > MAX_PATH or not _PLAIN.fullmatch(below):
        raise InvalidPath
    for segment in [*mapping.split("/")[1:], *below.removesuffix("/").split("/")]:
        _check_segment(segment)
    return below


def _check_segment(segment: str) -> None:
    """Check a segment in each form that somebody behind us may decode it to."""
    _refuse_dots(segment)
    text = segment
    for _ in range(DECODE_ROUNDS):
        if "%" not in text:
            return
        try:
            decoded = unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            raise InvalidPath from None
        if decoded == text:  # a percent sign that stands for itself
            return
        text = _folded(decoded, text)
    raise InvalidPath


def _folded(decoded: str, encoded: str) -> str:
    folded = unicodedata.normalize("NFKC", decoded)
    # A plain ; is the client's to send; one that decoding or folding made is a disguise.
    allowed = encoded.count(";")
    found = _DELIMITERS.findall(folded)
    if _CONTROL.search(folded) or _NARROW_CRLF.search(decoded) or len(found) > allowed:
        raise InvalidPath
    _refuse_dots(folded)
    return folded


def _refuse_dots(segment: str) -> None:
    # Some servers cut a segment at its matrix parameters before they resolve dots and drop what
    # is empty.
    if segment.partition(";")[0].strip() in ("", ".", ".."):
        raise InvalidPath
