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

_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")
"""Unicode categories of characters that show nothing: blanks, joiners, soft hyphens."""

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
    texts = {segment}
    for _ in range(DECODE_ROUNDS):
        texts = {form for text in texts if "%" in text for form in _decoded(text)}
        if not texts:
            return
    raise InvalidPath


def _decoded(text: str) -> set[str]:
    """Decode once: the text as it is and folded, since what folds together hides an escape."""
    try:
        plain = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise InvalidPath from None
    if plain == text:  # a percent sign that stands for itself
        return set()
    forms = {plain, unicodedata.normalize("NFKC", plain)}
    for form in forms:
        # A plain ; is the client's to send; one that decoding or folding made is a disguise.
        delimiters = len(_DELIMITERS.findall(form)) - text.count(";")
        if delimiters > 0 or _CONTROL.search(form) or _NARROW_CRLF.search(form):
            raise InvalidPath
        _refuse_dots(form)
    return forms


def _refuse_dots(segment: str) -> None:
    # Some servers cut a segment at its matrix parameters, or drop what nobody sees, before they
    # resolve dots and drop what is empty.
    name = segment.partition(";")[0]
    if "".join(c for c in name if unicodedata.category(c) not in _UNSEEN) in ("", ".", ".."):
        raise InvalidPath
