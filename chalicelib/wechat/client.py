"""Calls to WeChat's server API, with the appsecret or the access_token of a mini-program.

Both travel in the URL or in the body, so neither these, nor the text of a foreign error, nor the
body of an answer may reach a log line.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from chalicelib import errors, strict_json
from chalicelib.deadlines import WECHAT_TOTAL, Clock, Deadline
from chalicelib.network import exchange_errors as network
from chalicelib.network.adapter import Session
from chalicelib.network.connections import Connections, Origin
from chalicelib.network.secrets import Secrets, Version
from chalicelib.wechat.errcodes import INVALID_ACCESS_TOKEN, INVALID_APPSECRET, meaning

Fields = Mapping[str, Any]
MAX_ANSWER = 65_536  # bytes; WeChat's own are under a thousand

# Seconds of an access_token's life
TOKEN_MARGIN = 300  # WeChat gives a new one when the old one has these left, and both are valid
TOKEN_LIFE = 7200  # none lives longer, whatever expires_in says
TOKEN_FLOOR = 60  # no expires_in causes a call per request

_ERRORS: dict[type[network.TransportError], type[errors.GateError]] = {
    network.ConnectTimeout: errors.WeChatTimeout,
    network.TimedOut: errors.WeChatTimeout,
    network.TooLarge: errors.WeChatBadResponse,
    network.Broken: errors.WeChatBadResponse,
}
_APPSECRET = re.compile(r"[!-~]{1,128}")
_SECONDS = re.compile(r"[ \t]*0*([0-9]{1,9})[0-9]*[ \t]*")


@dataclass(frozen=True, repr=False)
class Answer:
    """A JSON object of WeChat's; `errcode` 0 is success, and so is none at all."""

    fields: dict[str, Any]

    @property
    def errcode(self) -> int:
        """The errcode; old samples of WeChat's show it as text."""
        value = self.fields.get("errcode", 0)
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
            return int(value)
        if type(value) is not int:
            raise errors.WeChatBadResponse(reason="errcode")
        return value

    def check(self, *, of_a_code: bool = False) -> None:
        """Raise what the errcode means, `of_a_code` if a one-time code was sent."""
        if self.errcode:
            name, error = meaning(self.errcode, of_a_code=of_a_code)
            # The call's name at WeChat's support.
            rid = re.search(r"rid: ([0-9a-f-]{3,64})", str(self.fields.get("errmsg")))
            raise error(errcode=self.errcode, meaning=name, rid=rid[1] if rid else None)


class Client:
    """Calls WeChat over kept connections; what may have been sent is not sent again.

    Appsecrets are the secrets `<prefix>app/<appid>` = `{"appsecret": "…"}`. `fields` of a call are
    the query of a GET, the JSON body of a POST. A call raises DeadlineExceeded if no time was left
    and nothing was sent; Misconfigured or SecretsUnavailable without an appsecret; and
    WeChatBadResponse, WeChatUnavailable, WeChatBusy or WeChatTimeout without a usable answer.
    """

    def __init__(
        self, connections: Connections, base_url: str, secrets: Secrets, prefix: str, clock: Clock
    ) -> None:
        self._connections = connections
        self._session = Session(connections, MAX_ANSWER)
        self._base_url = base_url.rstrip("/")
        self._secrets, self._prefix, self._clock = secrets, f"{prefix}app/", clock
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def open(self, deadline: Deadline) -> None:
        """Open a connection ahead, or raise TransportError."""
        self._connections.open(Origin.of(self._base_url), deadline)

    def appsecret(self, appid: str) -> str:
        """Give the appsecret in use."""
        return self._secrets.current(self._prefix + appid, _appsecret)

    def call_with_appsecret(
        self, method: str, path: str, appid: str, fields: Fields, deadline: Deadline
    ) -> Answer:
        """Make a call with the appsecret; if WeChat refuses that, once more with another.

        WeChat and Secrets Manager never change in the same instant, so the other may be a newer one
        or the one before. Errcode 40125 refuses the secret: a code in the call is not spent.
        """
        secret = self.appsecret(appid)
        signed = {"appid": appid, "secret": secret, **fields}
        answer = self._send(method, path, signed, deadline)
        if answer.errcode != INVALID_APPSECRET:
            return answer
        another = self._secrets.alternative_to(self._prefix + appid, secret, _appsecret)
        if another is None:
            return answer
        return self._send(method, path, {**signed, "secret": another}, deadline)

    def call(
        self, method: str, path: str, appid: str, fields: Fields, deadline: Deadline
    ) -> Answer:
        """Make a call with the access_token; if WeChat refuses that, once more with a fresh one."""
        token = self._access_token(appid, deadline)
        answer = self._send(method, path, fields, deadline, access_token=token)
        if answer.errcode in INVALID_ACCESS_TOKEN:
            token = self._access_token(appid, deadline, refused=token)
            answer = self._send(method, path, fields, deadline, access_token=token)
        return answer

    def _access_token(self, appid: str, deadline: Deadline, refused: str | None = None) -> str:
        """Give the cached token; a refused one is replaced, unless another thread has done it.

        Normal mode of stable_token gives all containers the same token, so none kills another's;
        force_refresh would, and has 20 tries a day (WeChat, «获取稳定版接口调用凭据»).
        """
        with self._lock:
            cached, expires_at = self._tokens.get(appid, ("", 0.0))
            if cached != refused and self._clock() < expires_at:
                return cached
            fields = {"grant_type": "client_credential", "force_refresh": False}
            path = "/cgi-bin/stable_token"
            answer = self.call_with_appsecret("POST", path, appid, fields, deadline)
            answer.check()
            token, life = answer.fields.get("access_token"), answer.fields.get("expires_in")
            if not isinstance(token, str) or not token or type(life) is not int:
                raise errors.WeChatBadResponse(reason="access_token")
            seconds = max(min(life, TOKEN_LIFE) - TOKEN_MARGIN, TOKEN_FLOOR)
            self._tokens[appid] = token, self._clock() + seconds
            return token

    def _send(
        self, method: str, path: str, fields: Fields, deadline: Deadline, **query: str
    ) -> Answer:
        within: Any = deadline.sooner(WECHAT_TOTAL)
        if within.remaining() <= 0:
            raise errors.DeadlineExceeded
        url = self._base_url + path
        query, body = ({**query, **fields}, None) if method == "GET" else (query, fields)
        try:
            response = self._session.request(method, url, query, json=body, timeout=within)
        except network.TransportError as error:
            fault = _ERRORS.get(type(error), errors.WeChatUnavailable)
            security = isinstance(error, network.NotTrusted) or None
            raise fault(reason=type(error).__name__, security=security) from None
        return Answer(_read(response))


def _appsecret(version: Version) -> str:
    # A secret may say whose it is; then it must be right: never a call with a mixed pair.
    appid = version.name.rpartition("/")[2]
    if version.fields.get("appid", appid) != appid:
        raise errors.Misconfigured(reason="appid differs", secret=version.name)
    appsecret = version.text("appsecret")
    if not _APPSECRET.fullmatch(appsecret):
        raise errors.Misconfigured(reason="appsecret is malformed", secret=version.name)
    return appsecret


def _read(response: requests.Response) -> dict[str, Any]:
    """Read an answer as UTF-8 JSON whatever its Content-Type: /sns/* says text/plain."""
    status = response.status_code
    if status >= 500:
        raise errors.WeChatUnavailable(reason="status", wechat_status=status)
    if status == 429:
        seconds = _SECONDS.fullmatch(response.headers.get("retry-after", ""))
        retry_after = min(int(seconds[1]), 60) if seconds else 0
        raise errors.WeChatBusy(reason="status", wechat_status=status, retry_after=retry_after)
    if status != 200:
        raise errors.WeChatBadResponse(reason="status", wechat_status=status)
    try:
        return strict_json.load_object(response.content)
    except strict_json.NotStrictJson:
        # from None, and no text: a cut answer may hold half a session_key.
        raise errors.WeChatBadResponse(reason="not JSON") from None
