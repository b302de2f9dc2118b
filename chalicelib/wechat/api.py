"""WeChat's server API: the three calls that the gate makes for its mini-programs."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.deadlines import Deadline
from chalicelib.errors import GateError, InvalidRequest, UnknownApp, WeChatBadResponse
from chalicelib.identity import Identity
from chalicelib.wechat import kinds, opendata
from chalicelib.wechat.client import Client
from chalicelib.wechat.errcodes import NO_SUCH_SESSION_KEY

_APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, repr=False)
class Login(Identity):
    """What a code stands for: who the user is, and the key of his open data."""

    session_key: str


class WeChat:
    """The calls, for the mini-programs that are served here.

    Each raises what Client does, and what WeChat's errcode means: InvalidCode, UserBlocked,
    TooManyRequests or Misconfigured.
    """

    def __init__(self, client: Client, appids: tuple[str, ...]) -> None:
        self._client = client
        self._appids = appids

    def warm(self, deadline: Deadline) -> None:
        """Fetch appsecrets, and open a connection ahead or raise TransportError."""
        for appid in self._appids:
            if deadline.remaining() > 0:
                with suppress(GateError):
                    self._client.appsecret(appid)
        self._client.open(deadline)

    def app(self, appid: object) -> str:
        """Give the appid to serve; None stands for the only one configured.

        Raises:
            UnknownApp: if it is not served here.
            InvalidRequest: if it is malformed, or left out though several are served.
        """
        if appid is None and len(self._appids) == 1:
            return self._appids[0]
        if not isinstance(appid, str) or not _APPID.fullmatch(appid):
            raise InvalidRequest("appid is missing or malformed.")
        if appid not in self._appids:
            raise UnknownApp
        return appid

    def code2session(self, appid: str, code: str, deadline: Deadline) -> Login:
        """Trade a login code for openid and session_key (WeChat, «小程序登录凭证校验»)."""
        fields = {"js_code": code, "grant_type": "authorization_code"}
        path = "/sns/jscode2session"
        answer = self._client.call_with_appsecret("GET", path, appid, fields, deadline)
        answer.check(of_a_code=True)
        return _login(appid, answer.fields)

    def phone_number(self, who: Identity, code: str, deadline: Deadline) -> kinds.Fields:
        """Trade a phone code for the three phone fields (WeChat, «获取手机号»).

        openid goes along, so WeChat checks that the code is this user's.
        """
        fields = {"code": code, "openid": who.openid}
        path = "/wxa/business/getuserphonenumber"
        answer = self._client.call("POST", path, who.appid, fields, deadline)
        answer.check(of_a_code=True)
        try:
            return kinds.documented("phone", answer.fields.get("phone_info"), who.appid)
        except ValueError:
            raise WeChatBadResponse(reason="phone_info") from None

    def session_key_is_valid(self, who: Identity, session_key: str, deadline: Deadline) -> bool:
        """Ask whether WeChat still accepts a session_key (WeChat, «检验登录态»)."""
        signature = opendata.user_signature(session_key, "")
        fields = {"openid": who.openid, "signature": signature, "sig_method": "hmac_sha256"}
        answer = self._client.call("GET", "/wxa/checksession", who.appid, fields, deadline)
        if answer.errcode in NO_SUCH_SESSION_KEY:
            return False
        answer.check()
        return True


def _login(appid: str, fields: dict[str, Any]) -> Login:
    openid, unionid, session_key = map(fields.get, ("openid", "unionid", "session_key"))
    ids = [openid] if unionid in ("", None) else [openid, unionid]
    # These become header values and keys: a malformed one would give two users one identity.
    if not all(isinstance(value, str) and _ID.fullmatch(value) for value in ids):
        raise WeChatBadResponse(reason="openid or unionid")
    try:
        opendata.key_bytes(session_key)
    except ValueError:
        raise WeChatBadResponse(reason="session_key") from None
    return Login(appid, str(openid), unionid or None, str(session_key))
