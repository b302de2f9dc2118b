"""The whole of WeChat: one state, three faces to it, one call at a time."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from simulator.wechat.accounts import Accounts
from simulator.wechat.control import CallLog, ControlFace
from simulator.wechat.faults import Faults
from simulator.wechat.messages import Answer, Call
from simulator.wechat.phone import PhoneFace
from simulator.wechat.push import PushFace, Send, post
from simulator.wechat.server import ServerFace
from simulator.wechat.tokens import AccessTokens

MONTH = 30 * 86400.0


def wall_clock() -> float:
    """Return the time in epoch seconds."""
    return time.time()


class WeChat:
    """A simulated WeChat for some apps (appid -> appsecret); all of its state is in memory.

    clock gives epoch seconds. wx.login changes the session_key unless it last changed less than
    key_interval seconds ago; without a wx.login a session lives session_life seconds. push_url is
    what stands before the appid in the push URL, "" if nothing is pushed; send posts there.
    """

    def __init__(
        self,
        apps: Mapping[str, str],
        clock: Callable[[], float] = wall_clock,
        key_interval: float = 0.0,
        session_life: float = MONTH,
        send: Send = post,
    ) -> None:
        self.push_url = ""
        self._send = send
        self._new_accounts = partial(Accounts, apps, clock, key_interval, session_life)
        self._clock = clock
        self._lock = threading.Lock()
        self._start_afresh()

    def answer(self, call: Call) -> Answer:
        """Answer one call to any face; thread-safe."""
        if call.path in self._push.paths:  # without the lock: a push is a call of its own
            return self._push.answer(call)
        with self._lock:
            if call.path.startswith("/control/"):
                return self._control.answer(call)
            if call.path.startswith("/wx/"):
                return self._faulty(self._phone, call)
            answer = self._faulty(self._server, call)
            self._log.add(call, answer)
            return answer

    def _faulty(self, face: PhoneFace | ServerFace, call: Call) -> Answer:
        fault = self._faults.take(call.path, self._server.user_named_by(call))
        return fault.answer(face, call) if fault else face.answer(call)

    def _start_afresh(self) -> None:
        accounts = self._new_accounts()
        self._server = ServerFace(accounts, AccessTokens(self._clock))
        self._phone = PhoneFace(accounts)
        self._push = PushFace(accounts, lambda: self.push_url, self._send)
        self._faults = Faults(self._server.paths | self._phone.paths)
        self._log = CallLog(self._clock)
        self._control = ControlFace(accounts, self._faults, self._log, self._start_afresh)
