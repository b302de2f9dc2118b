"""WeChat's server API, and what its errcodes mean to us.

The appsecret and the access_token travel in query strings, so no URL, no exception text of a
library and no body of an answer may reach a log line: every foreign error ends here, `from None`.
"""

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from chalicelib import strict_json
from chalicelib.deadlines import Deadline
from chalicelib.errors import (
    DeadlineExceeded,
    GateError,
    InvalidCode,
    InvalidRequest,
    Misconfigured,
    TooManyRequests,
    UnknownApp,
    UserBlocked,
    WeChatBadResponse,
    WeChatBusy,
    WeChatTimeout,
    WeChatUnavailable,
)
from chalicelib.network.connections import Connections, Origin, Reply
from chalicelib.network.exchange_errors import (
    Broken,
    ConnectTimeout,
    NotTrusted,
    Refused,
    TimedOut,
    TooLarge,
    TransportError,
    Unresolved,
)
from chalicelib.network.secrets import AppSecrets
from chalicelib.wechat import opendata

TOTAL = 4.0
"""Seconds for one call to WeChat, a second connection attempt included."""

MAX_ANSWER = 65_536
"""Bytes of one answer of WeChat's; its own are under a thousand."""

RESERVE = 1.0
"""Seconds kept for what comes after a call: the write of the session, the answer."""

TOKEN_MARGIN = 300
"""Seconds: stable_token gives a new token when the old one has 300 s left, and both hold."""

TOKEN_LIFE = 7200
"""Seconds that WeChat lets a token live; no answer makes one live longer."""

TOKEN_FLOOR = 60
"""Seconds that a token is kept at least, so that no bad expires_in makes a call per request."""

Remaining = Callable[[], float]
"""Seconds that this invocation has left."""

_APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RID = re.compile(r"rid: ([0-9a-f-]{3,64})")

_TOKEN_REFUSED = {40001, 40014, 42001}
_SECRET_REFUSED = 40125
# 40003: WeChat does not know the openid, so it holds no session of this user either.
_STALE_KEY = {87007, 87009, 40003}

_OPERATORS_FAULTS = (
    *(40001, 40002, 40013, 40014, 40097, 40125, 40164, 40243),
    *range(40230, 40241),  # API encryption is on in the console: WeChat, «开发前必读»
    *(41001, 41002, 41004, 41008, 42001, 43002, 47001, 48001),
    *(50001, 50002, 50004, 50007, 61003, 61024, 87008, 89501, 89503, 89506, 89507),
)

# WeChat, «小程序登录凭证校验», «获取稳定版接口调用凭据», «获取手机号».
_MEANING: dict[int, type[GateError]] = {
    -1: WeChatBusy,
    45009: WeChatBusy,
    45011: TooManyRequests,
    **dict.fromkeys(_OPERATORS_FAULTS, Misconfigured),
}

# Where no code was sent, none can be refused. 40163 is in no table of WeChat's but is what a
# second use of a login code gives.
_MEANING_OF_A_CODE: dict[int, type[GateError]] = {
    **_MEANING,
    40029: InvalidCode,
    40163: InvalidCode,
    40226: UserBlocked,
}


@dataclass(frozen=True)
class Login:
    """What a code stands for: who the user is, and the key of his open data."""

    appid: str
    openid: str
    unionid: str | None
    session_key: str

    def __repr__(self) -> str:
        return "Login(…)"


# Without a word on encodings a server may choose any (RFC 9110 12.5.3).
_HEADERS = [("User-Agent", "wxgate"), ("Accept", "*/*"), ("Accept-Encoding", "identity")]
_JSON = ("Content-Type", "application/json")
_NEVER_STOOD = (Unresolved, Refused, ConnectTimeout)


class WeChat:
    """The calls that the gate makes, for the mini-programs that it serves."""

    def __init__(
        self,
        transport: Connections,
        base_url: str,
        appids: tuple[str, ...],
        secrets: AppSecrets,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._appids = appids
        self._secrets = secrets
        self._clock = clock
        self._transport = transport
        self._origin = Origin.of(base_url)
        self._base_path = urlsplit(base_url).path.rstrip("/")
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def app(self, appid: object) -> str:
        """Give the appid to serve; None stands for the only one configured.

        Raises:
            UnknownApp: if it is not served here.
            InvalidRequest: if it is malformed, or left out where several are served.
        """
        if appid is None and len(self._appids) == 1:
            return self._appids[0]
        if not isinstance(appid, str) or not _APPID.fullmatch(appid):
            raise InvalidRequest("appid is missing or malformed.")
        if appid not in self._appids:
            raise UnknownApp
        return appid

    def code2session(self, appid: str, code: str, remaining: Remaining) -> Login:
        """Trade a login code for openid and session_key (WeChat, «小程序登录凭证校验»).

        A code is sent once. The one exception is errcode 40125: there WeChat refused the secret,
        not the code, so it goes out once more if another secret is found.

        Raises:
            InvalidCode, UserBlocked, TooManyRequests, Misconfigured: as WeChat says.
            WeChatBadResponse, WeChatUnavailable, WeChatBusy, WeChatTimeout: no usable answer.
            SecretsUnavailable, DeadlineExceeded: nothing was sent.
        """
        secret = self._secrets.current(appid)
        fields = self._trade(appid, secret, code, remaining)
        if _errcode(fields) == _SECRET_REFUSED:
            another = self._secrets.after_refusal(appid, secret)
            if another is not None:
                fields = self._trade(appid, another, code, remaining)
        _raise_for(fields, _MEANING_OF_A_CODE)
        return _login(appid, fields)

    def _trade(self, appid: str, secret: str, code: str, remaining: Remaining) -> dict[str, Any]:
        query = {
            "appid": appid,
            "secret": secret,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        return self._call("GET", "/sns/jscode2session", query, None, remaining)

    def phone_number(
        self, appid: str, openid: str, code: str, remaining: Remaining
    ) -> dict[str, Any]:
        """Trade a phone code for the three phone fields (WeChat, «获取手机号»).

        openid goes along, so WeChat checks that the code is this user's.

        Raises:
            InvalidCode: the code is wrong, spent, too old, or another user's: tap again.
            Others as code2session.
        """
        body = {"code": code, "openid": openid}
        fields = self._with_token(
            appid, "POST", "/wxa/business/getuserphonenumber", {}, body, remaining
        )
        if _errcode(fields) == 40003:  # the openid does not belong to the code
            raise InvalidCode(errcode=40003, rid=_rid(fields))
        _raise_for(fields, _MEANING_OF_A_CODE)
        info: Any = fields.get("phone_info")
        watermark = info.get("watermark") if isinstance(info, dict) else None
        if not isinstance(watermark, dict) or watermark.get("appid") != appid:
            raise WeChatBadResponse(reason="watermark")
        try:
            return opendata.phone(info)
        except ValueError:
            raise WeChatBadResponse(reason="phone_info") from None

    def session_key_is_valid(
        self, appid: str, openid: str, session_key: str, remaining: Remaining
    ) -> bool:
        """Ask whether WeChat still accepts a session_key (WeChat, «检验登录态»).

        Raises:
            As code2session, InvalidCode and UserBlocked aside.
        """
        # The HMAC's key is the base64 text, not its bytes: WeChat, «用户登录态签名».
        signature = hmac.digest(session_key.encode(), b"", hashlib.sha256).hex()
        query = {"openid": openid, "signature": signature, "sig_method": "hmac_sha256"}
        fields = self._with_token(appid, "GET", "/wxa/checksession", query, None, remaining)
        if _errcode(fields) in _STALE_KEY:
            return False
        _raise_for(fields)
        return True

    def _with_token(
        self,
        appid: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        remaining: Remaining,
    ) -> dict[str, Any]:
        """Call with an access_token; one refresh and one retry where WeChat refuses it."""
        token = self._access_token(appid, remaining, refused=None)
        fields = self._call(method, path, {"access_token": token, **query}, body, remaining)
        if _errcode(fields) in _TOKEN_REFUSED:
            token = self._access_token(appid, remaining, refused=token)
            fields = self._call(method, path, {"access_token": token, **query}, body, remaining)
        return fields

    def _access_token(self, appid: str, remaining: Remaining, refused: str | None) -> str:
        """Give this container's access_token; a refused one is replaced, unless that was done.

        Normal mode of stable_token gives all containers the same token, so none kills another's;
        force_refresh would, and has 20 tries a day.
        """
        with self._lock:
            kept = self._tokens.get(appid)
            if kept and kept[0] != refused and self._clock() < kept[1]:
                return kept[0]
            secret = self._secrets.current(appid)
            fields = self._stable_token(appid, secret, remaining)
            if _errcode(fields) == _SECRET_REFUSED:
                another = self._secrets.after_refusal(appid, secret)
                if another is not None:
                    fields = self._stable_token(appid, another, remaining)
            _raise_for(fields)
            fresh, life = fields.get("access_token"), fields.get("expires_in")
            if not isinstance(fresh, str) or not fresh or type(life) is not int:
                raise WeChatBadResponse(reason="access_token")
            kept_for = max(min(life, TOKEN_LIFE) - TOKEN_MARGIN, TOKEN_FLOOR)
            self._tokens[appid] = (fresh, self._clock() + kept_for)
            return fresh

    def _stable_token(self, appid: str, secret: str, remaining: Remaining) -> dict[str, Any]:
        body = {
            "grant_type": "client_credential",
            "appid": appid,
            "secret": secret,
            "force_refresh": False,
        }
        return self._call("POST", "/cgi-bin/stable_token", None, body, remaining)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        remaining: Remaining,
    ) -> dict[str, Any]:
        """Make one call; a second connection is tried where the first never stood."""
        end = self._monotonic() + min(TOTAL, remaining() - RESERVE)
        target = self._base_path + path + (f"?{urlencode(query)}" if query else "")
        data = b"" if body is None else json.dumps(body).encode()
        try:
            reply = self._send(method, target, data, end, too_late=DeadlineExceeded)
        except _NEVER_STOOD:
            try:
                reply = self._send(method, target, data, end, too_late=WeChatTimeout)
            except _NEVER_STOOD as error:
                raise _translated(error) from None
        return _read(reply)

    def _send(
        self, method: str, target: str, data: bytes, end: float, *, too_late: type[GateError]
    ) -> Reply:
        left = end - self._monotonic()
        if left <= 0:
            raise too_late
        headers = [*_HEADERS, _JSON] if data else _HEADERS
        try:
            return self._transport.exchange(
                self._origin,
                method,
                target,
                headers,
                data,
                deadline=Deadline.after(left),
                max_bytes=MAX_ANSWER,
            )
        except _NEVER_STOOD:
            raise
        except TransportError as error:
            raise _translated(error) from None


def _translated(error: TransportError) -> GateError:
    reason = type(error).__name__
    match error:
        case ConnectTimeout() | TimedOut():
            return WeChatTimeout(reason=reason)
        case NotTrusted():
            return WeChatUnavailable(reason=reason, security=True)
        case TooLarge() | Broken():
            return WeChatBadResponse(reason=reason)
        case _:
            return WeChatUnavailable(reason=reason)


def _read(reply: Reply) -> dict[str, Any]:
    """Read an answer as UTF-8 JSON whatever its Content-Type: /sns/* says text/plain."""
    status = reply.status
    if status >= 500:
        raise WeChatUnavailable(reason="status", wechat_status=status)
    if status == 429:
        raise WeChatBusy(reason="status", wechat_status=status, retry_after=_retry_after(reply))
    if status != 200:
        raise WeChatBadResponse(reason="status", wechat_status=status)
    try:
        return strict_json.load_object(reply.body)
    except strict_json.NotStrictJson:
        # from None, and no text: a cut answer may hold half a session_key.
        raise WeChatBadResponse(reason="not JSON") from None


def _retry_after(reply: Reply) -> int:
    text = next((v for k, v in reply.headers if k.lower() == "retry-after"), "")
    seconds = re.fullmatch(r"0*([0-9]+)", text.strip(" \t"))
    return min(int(seconds[1][:3]), 60) if seconds else 3


def _errcode(fields: Mapping[str, Any]) -> int:
    """The errcode; absent means success. Old samples of WeChat's show it as text."""
    value = fields.get("errcode", 0)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    if type(value) is not int:
        raise WeChatBadResponse(reason="errcode")
    return value


def _rid(fields: Mapping[str, Any]) -> str | None:
    found = _RID.search(str(fields.get("errmsg")))
    return found[1] if found else None


def _raise_for(
    fields: Mapping[str, Any], meaning: Mapping[int, type[GateError]] = _MEANING
) -> None:
    """Raise what an errcode means; the code decides, never the text."""
    errcode = _errcode(fields)
    if errcode:
        raise meaning.get(errcode, WeChatBadResponse)(errcode=errcode, rid=_rid(fields))


def _login(appid: str, fields: Mapping[str, Any]) -> Login:
    openid, session_key = fields.get("openid"), fields.get("session_key")
    unionid = fields.get("unionid")
    if unionid == "":
        unionid = None
    ids = [openid] if unionid is None else [openid, unionid]
    # These become header values and keys: a malformed one would make all such users one user.
    if not all(isinstance(value, str) and _ID.fullmatch(value) for value in ids):
        raise WeChatBadResponse(reason="openid or unionid")
    try:
        opendata.key_bytes(session_key)
    except ValueError:
        raise WeChatBadResponse(reason="session_key") from None
    return Login(appid, str(openid), unionid, str(session_key))
