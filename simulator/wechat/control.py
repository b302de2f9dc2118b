"""The control face: switches for tests and the playground, and a log of what WeChat was asked."""

import json
from collections import deque
from collections.abc import Callable, Mapping

from simulator.wechat.accounts import Accounts
from simulator.wechat.faults import Faults
from simulator.wechat.messages import (
    Answer,
    Call,
    Delivery,
    FailError,
    JsonFace,
    JsonObject,
    members_of,
)
from simulator.wechat.phone import user_in

SECRETS = frozenset({"secret", "js_code", "code", "access_token", "session_key", "signature"})
DONE = {"ok": True}

LOGGED = 10_000
"""Calls that the log remembers; older ones are forgotten, their numbers stay theirs."""


class CallLog:
    """The calls that the server face received, numbered from 1, secrets masked as ``***``.

    An entry is ``{n, time, method, path, query, body, status, errcode}``: time in epoch seconds,
    body null where there is none, status null where no answer was sent, errcode null where the
    answer holds none.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: deque[JsonObject] = deque(maxlen=LOGGED)
        self._received = 0

    def add(self, call: Call, answer: Answer) -> None:
        """Note a call and what it was answered."""
        self._received += 1
        lost = answer.delivery in (Delivery.NEVER, Delivery.RESET)
        entry = {
            "n": self._received,
            "time": self._clock(),
            "method": call.method,
            "path": call.path,
            "query": _masked(call.query),
            "body": _shown(call),
            "status": None if lost else answer.status,
            "errcode": _errcode(answer),
        }
        self._entries.append(entry)

    def after(self, n: int) -> list[JsonObject]:
        """Return the entries numbered above n that are still remembered."""
        return [entry for entry in self._entries if entry["n"] > n]


class ControlFace:
    """The switches; reset is called to make WeChat forget everything."""

    def __init__(
        self, accounts: Accounts, faults: Faults, log: CallLog, reset: Callable[[], None]
    ) -> None:
        self._accounts = accounts
        self._faults = faults
        self._log = log
        self._reset = reset
        routes: dict[str, tuple[str, Callable[[Call], object]]] = {
            "expire_session": ("POST", self._expire_session),
            "fault": ("POST", self._order_fault),
            "reset": ("POST", self._forget),
            "log": ("GET", self._read_log),
        }
        self._face = JsonFace("/control/", routes)

    def answer(self, call: Call) -> Answer:
        """Answer one call."""
        return self._face.answer(call)

    def _expire_session(self, call: Call) -> JsonObject:
        self._accounts.expire(user_in(members_of(call), self._accounts))
        return DONE

    def _order_fault(self, call: Call) -> JsonObject:
        self._faults.order(members_of(call))
        return DONE

    def _forget(self, _: Call) -> JsonObject:
        self._reset()
        return DONE

    def _read_log(self, call: Call) -> list[JsonObject]:
        after = call.query.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            raise FailError("after is not a number")
        return self._log.after(int(after))


def _masked(members: Mapping[str, object]) -> JsonObject:
    return {name: "***" if name in SECRETS else value for name, value in members.items()}


def _shown(call: Call) -> JsonObject | str | None:
    # A text that is no JSON cannot be masked by member, so none of it is shown.
    members = call.json_object()
    if members is None:
        return "not a JSON object" if call.body else None
    return _masked(members)


def _errcode(answer: Answer) -> int | None:
    try:
        members = json.loads(answer.body)
    except ValueError:
        return None
    errcode: int | None = members.get("errcode")
    return errcode
