"""Who a user is: what WeChat tells at login, and what the upstream is told at each request."""

from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Identity:
    """A user of one mini-program; unionid, if known, is the same in all apps of their owner."""

    appid: str
    openid: str
    unionid: str | None
