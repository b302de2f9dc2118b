"""WeChat's access_tokens: the plain kind and the stable kind, which do not disturb each other.

Source: WeChat pages «获取接口调用凭据» and «获取稳定版接口调用凭据». All times in seconds.
"""

import math
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from simulator.wechat.errcodes import ErrcodeError

LIFE = 7200.0
OVERLAP = 300.0
FORCE_INTERVAL = 30.0
FORCE_PER_DAY = 20
BEIJING = 8 * 3600  # WeChat's quotas count days in UTC+8


@dataclass(eq=False)
class AccessToken:
    """A token of one app; it expires by age, or is replaced earlier."""

    text: str
    appid: str
    expires_at: float
    replaced_at: float = math.inf


class AccessTokens:
    """All tokens ever issued, so that a replaced one is told from an expired and a foreign one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._issued: dict[str, AccessToken] = {}
        self._plain: dict[str, AccessToken] = {}
        self._stable: dict[str, AccessToken] = {}
        self._forced_at: dict[str, float] = {}
        self._forced: Counter[tuple[str, int]] = Counter()

    def plain(self, appid: str) -> tuple[str, int]:
        """Issue a token and its expires_in; the app's last one works for five minutes more."""
        if last := self._plain.get(appid):
            last.replaced_at = self._clock() + OVERLAP
        self._plain[appid] = self._issue(appid)
        return self._plain[appid].text, int(LIFE)

    def stable(self, appid: str, *, force: bool = False) -> tuple[str, int]:
        """Return the app's stable token and its remaining seconds; a new one in the last 300.

        Force kills it for a new one, at most 20 times a day (ErrcodeError 45009 beyond) and 30
        seconds apart (nearer, it changes nothing).
        """
        if force:
            self._force(appid)
        token = self._stable.get(appid)
        if token is None or token.expires_at - self._clock() < OVERLAP:
            token = self._stable[appid] = self._issue(appid)
        return token.text, int(token.expires_at - self._clock())

    def appid_of(self, text: str) -> str:
        """Return whose token it is; ErrcodeError 40014 unknown, 42001 aged, 40001 replaced."""
        now, token = self._clock(), self._issued.get(text)
        if token is None:
            raise ErrcodeError(40014)
        if now >= token.expires_at:
            raise ErrcodeError(42001)
        if now >= token.replaced_at:
            raise ErrcodeError(40001)
        return token.appid

    def _force(self, appid: str) -> None:
        now = self._clock()
        if now - self._forced_at.get(appid, -math.inf) < FORCE_INTERVAL:
            return
        day = (appid, int(now + BEIJING) // 86400)
        if self._forced[day] == FORCE_PER_DAY:
            raise ErrcodeError(45009)
        self._forced[day] += 1
        self._forced_at[appid] = now
        if killed := self._stable.pop(appid, None):
            killed.replaced_at = now

    def _issue(self, appid: str) -> AccessToken:
        text = f"{secrets.randbelow(90) + 10}_{secrets.token_urlsafe(100)}"
        token = self._issued[text] = AccessToken(text, appid, self._clock() + LIFE)
        return token
