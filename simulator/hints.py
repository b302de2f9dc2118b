"""Hints on the terminal: what to do about a failure that only the desk's user can cure."""

import logging
from collections.abc import Callable
from typing import Any

CONSOLE = "mp.weixin.qq.com → 开发管理 → 开发设置"

WECHAT = {
    40164: f"WeChat does not know this machine's address: add it to IP白名单 ({CONSOLE}).",
    40125: f"WeChat refuses the appsecret: copy it anew from AppSecret ({CONSOLE}), then restart.",
    40013: f"WeChat does not know the appid: compare WX_APPIDS with AppID ({CONSOLE}).",
    40029: (
        "WeChat refuses the code. Did DevTools open the project with your own AppID? In tourist "
        "mode (游客模式) or with another AppID its codes are not for this mini-program."
    ),
}
"""By WeChat's errcode."""

TOURIST = {"tourist mode": WECHAT[40029]}
"""By the reason of the gate, which does not ask WeChat about a mock code."""

UPSTREAM = "The upstream at {upstream} does not answer: is your API running?"


class Hints(logging.Handler):
    """Reads the gate's log lines and says each hint once until a request succeeds again.

    `upstream` is the address of the user's own API, `real_wechat` whether WeChat is not simulated:
    of our own parts there is nothing to say.
    """

    def __init__(
        self, *, upstream: str | None, real_wechat: bool, say: Callable[[str], object]
    ) -> None:
        super().__init__()
        self._hints: dict[Any, str] = WECHAT | TOURIST if real_wechat else {}
        if upstream:
            self._hints["UpstreamUnreachable"] = UPSTREAM.format(upstream=upstream)
        self._say = say
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one log line."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        if fields.get("status") in (200, 204):
            self._said.clear()
        told = (fields.get(name) for name in ("errcode", "code", "reason"))
        hint = next((self._hints[each] for each in told if each in self._hints), None)
        if hint and hint not in self._said:
            self._said.add(hint)
            self._say(hint)
