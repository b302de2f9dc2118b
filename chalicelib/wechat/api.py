"""WeChat's server API: the three calls that the gate makes for its mini-programs."""

import hashlib
import hmac
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.deadlines import Deadline
from chalicelib.errors import GateError, InvalidCode, InvalidRequest, UnknownApp, WeChatBadResponse
from chalicelib.network.exchange_errors import TransportError
from chalicelib.wechat import kinds, opendata
from chalicelib.wechat.access_token import AccessTokens
from chalicelib.wechat.appsecrets import AppSecrets
from chalicelib.wechat.client import Client
from chalicelib.wechat.errcodes import INVALID_OPENID, NO_SUCH_SESSION_KEY

_APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, repr=False)
class Login:
    """What a code stands for: who the user is, and the key of his open data."""

    appid: str
    openid: str
    unionid: str | None
    session_key: str


class WeChat:
    """The calls, for the mini-programs that are served here."""

    def __init__(
        self, client: Client, appids: tuple[str, ...], secrets: AppSecrets, tokens: AccessTokens
    ) -> None:
        self._client = client
        self._appids = appids
        self._secrets = secrets
        self._tokens = tokens

    def warm(self, deadline: Deadline) -> None:
        """Fetch appsecrets and open a connection ahead; begin nothing later, and never raise."""
        for appid in self._appids:
            if deadline.remaining() > 0:
                with suppress(GateError):
                    self._secrets.current(appid)
        with suppress(TransportError):
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
        """Trade a login code for openid and session_key (WeChat, «小程序登录凭证校验»).

        Raises:
            InvalidCode, UserBlocked, TooManyRequests, Misconfigured: as WeChat says.
            WeChatBadResponse, WeChatUnavailable, WeChatBusy, WeChatTimeout: no usable answer.
            SecretsUnavailable, DeadlineExceeded: the code is not spent.
        """
        path, query = "/sns/jscode2session", {"appid": appid, "js_code": code}
        query["grant_type"] = "authorization_code"
        answer = self._secrets.call(
            appid,
            lambda secret: self._client.call(
                "GET", path, query={**query, "secret": secret}, deadline=deadline
            ),
        )
        answer.check(of_a_code=True)
        return _login(appid, answer.fields)

    def phone_number(self, appid: str, openid: str, code: str, deadline: Deadline) -> kinds.Fields:
        """Trade a phone code for the three phone fields (WeChat, «获取手机号»).

        openid goes along, so WeChat checks that the code is this user's.

        Raises:
            InvalidCode: the code is wrong, spent, too old, or another user's: tap again.
            Others as code2session.
        """
        body = {"code": code, "openid": openid}
        path = "/wxa/business/getuserphonenumber"
        answer = self._tokens.call(appid, "POST", path, body=body, deadline=deadline)
        if answer.errcode == INVALID_OPENID:  # the openid does not belong to the code
            raise InvalidCode(**answer.evidence)
        answer.check(of_a_code=True)
        info: Any = answer.fields.get("phone_info")
        watermark = info.get("watermark") if isinstance(info, dict) else None
        if not isinstance(watermark, dict) or watermark.get("appid") != appid:
            raise WeChatBadResponse(reason="watermark")
        try:
            return kinds.documented("phone", info)
        except ValueError:
            raise WeChatBadResponse(reason="phone_info") from None

    def session_key_is_valid(
        self, appid: str, openid: str, session_key: str, deadline: Deadline
    ) -> bool:
        """Ask whether WeChat still accepts a session_key (WeChat, «检验登录态»).

        Raises:
            As code2session, except InvalidCode and UserBlocked.
        """
        # The HMAC's key is the base64 text, not its bytes: WeChat, «用户登录态签名».
        signature = hmac.digest(session_key.encode(), b"", hashlib.sha256).hex()
        query = {"openid": openid, "signature": signature, "sig_method": "hmac_sha256"}
        path = "/wxa/checksession"
        answer = self._tokens.call(appid, "GET", path, query=query, deadline=deadline)
        if answer.errcode in NO_SUCH_SESSION_KEY:
            return False
        answer.check()
        return True


def _login(appid: str, fields: dict[str, Any]) -> Login:
    openid, unionid, session_key = map(fields.get, ("openid", "unionid", "session_key"))
    if unionid == "":
        unionid = None
    ids = [openid] if unionid is None else [openid, unionid]
    # These become header values and keys: a malformed one would give two users one identity.
    if not all(isinstance(value, str) and _ID.fullmatch(value) for value in ids):
        raise WeChatBadResponse(reason="openid or unionid")
    try:
        opendata.key_bytes(session_key)
    except ValueError:
        raise WeChatBadResponse(reason="session_key") from None
    return Login(appid, str(openid), unionid, str(session_key))
