"""Faults that a test orders: what to answer instead of the truth, or what to do to it."""

import json
import re
from dataclasses import dataclass, replace
from typing import Protocol

from simulator.wechat.messages import (
    Answer,
    Call,
    Delivery,
    FailError,
    JsonObject,
    compact,
    text_in,
)

KINDS = re.compile(
    r"-?[1-9]\d{0,8}|timeout|reset|reset_after|html|truncated|drip|http_[45]\d\d"
    r"|late_\d{1,2}(\.\d{1,3})?|no_unionid|content_type",
    re.ASCII,
)
PAGE = b"<!DOCTYPE html><html><body><h1>The network is busy</h1></body></html>"
OTHER_TYPE = {"text/plain": "application/json", "application/json": "text/plain"}


class Face(Protocol):
    """What a fault needs of a face: its true answer, and its way to refuse."""

    def answer(self, call: Call) -> Answer:
        """Answer one call."""

    def refuse(self, call: Call, errcode: int) -> Answer:
        """Answer an errcode, without doing anything."""


@dataclass
class Fault:
    """A fault for one path, so many times, perhaps for the codes of one user only."""

    path: str
    kind: str
    times: int = 1
    user: str | None = None

    def answer(self, face: Face, call: Call) -> Answer:
        """Answer one call as the fault has it."""
        if self.kind.lstrip("-").isdigit():
            return face.refuse(call, int(self.kind))
        return self._instead() or self._bend(face.answer(call))

    def _instead(self) -> Answer | None:
        """Return the answer of a fault that leaves the call undone."""
        if self.kind == "html":
            return Answer(200, "text/html", PAGE)
        if self.kind.startswith("http_"):
            return Answer(int(self.kind[5:]), "text/html", PAGE)
        lost = {"timeout": Delivery.NEVER, "reset": Delivery.RESET}
        return Answer(0, "", b"", lost[self.kind]) if self.kind in lost else None

    def _bend(self, answer: Answer) -> Answer:
        """Do the fault to the answer of a call that is done."""
        if self.kind == "truncated":
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        if self.kind == "no_unionid":
            return replace(answer, body=_without_unionid(answer.body))
        if self.kind == "content_type":
            return replace(answer, content_type=OTHER_TYPE[answer.content_type])
        if self.kind.startswith("late_"):
            return replace(answer, delay=float(self.kind[5:]))
        delivery = {"drip": Delivery.DRIP, "reset_after": Delivery.RESET}[self.kind]
        return replace(answer, delivery=delivery)


class Faults:
    """The faults in wait; those for one path strike in the order in which they were ordered."""

    def __init__(self, paths: frozenset[str]) -> None:
        self._paths = paths
        self._waiting: list[Fault] = []

    def order(self, members: JsonObject) -> None:
        """Let a fault wait: ``{path, kind, times?, user?}``; FailError where it makes no sense."""
        path, kind, times = text_in(members, "path"), members.get("kind"), members.get("times", 1)
        user = text_in(members, "user") if "user" in members else None
        if path not in self._paths:
            raise FailError("path is none of WeChat's")
        if isinstance(kind, bool) or not KINDS.fullmatch(str(kind)):
            raise FailError("kind is neither an errcode nor a fault's name")
        if type(times) is not int or times < 1:
            raise FailError("times is not a number from 1")
        self._waiting.append(Fault(path, str(kind), times, user))

    def take(self, path: str, user: str | None) -> Fault | None:
        """Return the fault that strikes this call, one of its times spent."""
        for fault in self._waiting:
            if fault.path == path and fault.user in (None, user):
                fault.times -= 1
                if not fault.times:
                    self._waiting.remove(fault)
                return fault
        return None


def _without_unionid(body: bytes) -> bytes:
    members: JsonObject = json.loads(body)
    members.pop("unionid", None)
    return compact(members).encode()
