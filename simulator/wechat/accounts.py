"""What WeChat knows of its users: ids, the one session_key of each, their one-time codes."""

import base64
import hashlib
import math
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulator.wechat import cipher
from simulator.wechat.messages import JsonObject

CODE_LIFE = 300.0  # seconds
ALPHANUMERIC = string.ascii_letters + string.digits


def _digest(*words: str) -> bytes:
    return hashlib.sha256("\0".join(words).encode()).digest()


def simulated_id(prefix: str, *words: str) -> str:
    """Derive an id from words: the prefix and 27 characters of [A-Za-z0-9_-], always the same."""
    return prefix + base64.urlsafe_b64encode(_digest(*words)).decode()[:27]


def appsecret_of(appid: str) -> str:
    """Derive an app's simulated appsecret: 32 hex digits, the same after every restart."""
    return _digest("appsecret", appid).hex()[:32]


def openid_of(appid: str, user: str) -> str:
    """Derive a user's openid in one app: 28 characters, the first is o."""
    return simulated_id("o", "openid", appid, user)


def unionid_of(user: str) -> str:
    """Derive a user's unionid, one in all apps: 28 characters, the first is o."""
    return simulated_id("o", "unionid", user)


def phone_number_of(user: str) -> str:
    """Derive a user's mobile number, without country code: 11 digits."""
    return f"138{int.from_bytes(_digest('phone', user)[:8]) % 10**8:08}"


@dataclass(eq=False)
class User:
    """One user of one app; the session lives until expires_at (epoch seconds)."""

    appid: str
    name: str
    session_key: str = ""
    switched_at: float = -math.inf
    expires_at: float = -math.inf

    @property
    def openid(self) -> str:
        """The user's id in this app."""
        return openid_of(self.appid, self.name)


@dataclass
class Code:
    """A one-time code; that of the phone button carries the number, in WeChat's members."""

    user: User
    made_at: float
    phone: JsonObject = field(default_factory=dict)
    used: bool = False


class Accounts:
    """Apps, users and codes; key_interval and session_life are in seconds.

    wx.login gives the user a new session_key, unless the last switch was less than key_interval
    ago. The real interval and the real life are not disclosed (page «开放数据校验与解密»).
    """

    def __init__(
        self,
        apps: Mapping[str, str],
        clock: Callable[[], float],
        key_interval: float,
        session_life: float,
    ) -> None:
        self.apps = apps
        self.clock = clock
        self._key_interval = key_interval
        self._session_life = session_life
        self._users: dict[str, User] = {}
        # Apart, since a code of one kind is unknown where the other kind is redeemed.
        self._login_codes: dict[str, Code] = {}
        self._phone_codes: dict[str, Code] = {}

    def user(self, appid: str, name: str) -> User:
        """Return a user of a known app, met before or not."""
        return self._users.setdefault(openid_of(appid, name), User(appid, name))

    def user_with(self, appid: str, openid: str) -> User | None:
        """Find a user of this app by openid."""
        user = self._users.get(openid)
        return user if user and user.appid == appid else None

    def log_in(self, user: User) -> str:
        """Do what wx.login does: renew the session, perhaps its key; return a 32-character code."""
        now = self.clock()
        if not self.is_live(user) or now - user.switched_at >= self._key_interval:
            self.switch_key(user)
        user.expires_at = now + self._session_life
        text = "0" + "".join(secrets.choice(ALPHANUMERIC) for _ in range(31))
        self._keep(self._login_codes, text, Code(user, now))
        return text

    def offer_phone(self, user: User, phone: JsonObject) -> str:
        """Return the phone button's code for this number: 64 hex digits."""
        text = secrets.token_hex(32)
        self._keep(self._phone_codes, text, Code(user, self.clock(), phone))
        return text

    def is_live(self, user: User) -> bool:
        """Tell whether the user's session, hence the session_key, is valid."""
        return self.clock() < user.expires_at

    def tap_key(self, user: User) -> str:
        """Return the key that open data is encrypted with now.

        Where no session lives it is a key that no server holds: only wx.login gives a code for one.
        """
        if not self.is_live(user):
            self.switch_key(user)
        return user.session_key

    def switch_key(self, user: User) -> None:
        """Give the user a new session_key; the session ends when it would have ended."""
        user.session_key = cipher.new_session_key()
        user.switched_at = self.clock()

    def expire(self, user: User) -> None:
        """End the user's session."""
        user.expires_at = -math.inf

    def login_code(self, text: str) -> Code | None:
        """Find a login code that is not older than five minutes, used or not."""
        return self._fresh(self._login_codes.get(text))

    def phone_code(self, text: str) -> Code | None:
        """Find a phone code that is not older than five minutes, used or not."""
        return self._fresh(self._phone_codes.get(text))

    def _keep(self, codes: dict[str, Code], text: str, code: Code) -> None:
        """Add a code, the newest, and forget those that are dead."""
        while codes and not self._fresh(next(iter(codes.values()))):
            del codes[next(iter(codes))]
        codes[text] = code

    def _fresh(self, code: Code | None) -> Code | None:
        return code if code and self.clock() - code.made_at < CODE_LIFE else None
