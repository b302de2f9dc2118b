"""HTTP as the faces see it: a call that came in, an answer that goes out, one JSON face."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

JsonObject = dict[str, Any]


class Delivery(Enum):
    """How an answer travels: whole, byte by byte, cut off by a reset, or never."""

    WHOLE = "whole"
    DRIP = "drip"
    RESET = "reset"
    NEVER = "never"


@dataclass(frozen=True)
class Call:
    """One HTTP request: path without its query, first value of each query parameter, raw body."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""

    def json_object(self) -> JsonObject | None:
        """Read the body as a JSON object; None where it is anything else."""
        try:
            body = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, how it travels, and after how many seconds it starts to."""

    status: int
    content_type: str
    body: bytes
    delivery: Delivery = Delivery.WHOLE
    delay: float = 0.0


def compact(value: object) -> str:
    """Write JSON as WeChat does: without blanks, Chinese characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_answer(value: object, status: int = 200, content_type: str = "application/json") -> Answer:
    """Make an answer of any JSON value."""
    # Half a surrogate pair has no UTF-8, but its backslash form is JSON.
    body = compact(value).encode(errors="backslashreplace")
    return Answer(status, content_type, body)


class FailError(ValueError):
    """A call to the phone or to the switches that cannot be done; its text is the reason."""


@dataclass(frozen=True)
class JsonFace:
    """Routes of one prefix, JSON in and out: name -> (method, handler of the call).

    Failures look like those of wx.*: ``{"errMsg": "<name>:fail <reason>"}`` with status 400 for
    what the handler refuses by FailError, 404 for an unknown name, 405 for another method.
    """

    prefix: str
    routes: Mapping[str, tuple[str, Callable[[Call], object]]]

    @property
    def paths(self) -> frozenset[str]:
        """The paths that this face answers."""
        return frozenset(self.prefix + name for name in self.routes)

    def answer(self, call: Call) -> Answer:
        """Answer one call."""
        name = call.path.removeprefix(self.prefix)
        if name not in self.routes:
            return fail(name, "no such path", 404)
        method, handler = self.routes[name]
        if call.method != method:
            return fail(name, f"use {method}", 405)
        try:
            return json_answer(handler(call))
        except FailError as error:
            return fail(name, str(error))
        except UnicodeEncodeError:
            return fail(name, "a text is not Unicode")


def fail(name: str, reason: str, status: int = 400, **members: int) -> Answer:
    """Make a failure in the shape of wx.*, with further members such as errno."""
    return json_answer({"errMsg": f"{name}:fail {reason}", **members}, status)


def members_of(call: Call) -> JsonObject:
    """Return the JSON object that a call brings; FailError where it brings none."""
    body = call.json_object()
    if body is None:
        raise FailError("the body is not a JSON object")
    return body


def text_in(members: Mapping[str, Any], name: str) -> str:
    """Return a member that must be a text and not empty; FailError where it is not."""
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise FailError(f"{name} is missing or not a text")
    return value
