"""JSON exactly as in RFC 8259: for request bodies, WeChat's responses and decrypted data."""

import json
import math
from typing import Any

MAX_DEPTH = 32


class NotStrictJson(ValueError):
    """The bytes are not one strict JSON object; holds no text of it, which may be secret."""


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotStrictJson
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictJson
    return members


# A constant is NaN, Infinity or -Infinity.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)


def _check(value: Any, depth: int = 1) -> None:
    """Walk the value: no nesting beyond MAX_DEPTH, no lone surrogates."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise NotStrictJson
        for entry in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(entry, depth + 1)


def load_object(data: bytes) -> dict[str, Any]:
    """Parse UTF-8 bytes; duplicate keys, NaN, infinities and lone surrogates are errors.

    NotStrictJson is raised for every fault; also beyond MAX_DEPTH, or if the value is no object.
    json.loads(bytes) is not used: it guesses UTF-16 and UTF-32, and skips a byte order mark.
    """
    try:
        value = _DECODER.decode(data.decode())
        _check(value)
        if isinstance(value, dict):
            return value
    except (ValueError, RecursionError):
        pass
    # Not in the clause: a JSONDecodeError carries the whole document, and would be the __context__.
    raise NotStrictJson
