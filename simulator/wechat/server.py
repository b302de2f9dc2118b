"""The server face: the paths of api.weixin.qq.com that a mini-program's server calls."""

from collections.abc import Mapping
from typing import Any

from simulator.wechat.accounts import Accounts, User, unionid_of
from simulator.wechat.cipher import user_signature
from simulator.wechat.errcodes import ErrcodeError, refusal
from simulator.wechat.messages import Answer, Call, JsonObject, json_answer
from simulator.wechat.tokens import AccessTokens

OK = {"errcode": 0, "errmsg": "ok"}
NOT_FOUND = Answer(404, "text/html", b"<html><body><h1>404 Not Found</h1></body></html>")


class ServerFace:
    """WeChat's answers to servers: status 200 whatever happens, JSON, an errcode where it fails.

    Source: WeChat pages «小程序登录凭证校验», «检验登录态», «重置登录态», «获取接口调用凭据»,
    «获取稳定版接口调用凭据», «获取手机号».
    """

    def __init__(self, accounts: Accounts, tokens: AccessTokens) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._routes = {
            "/sns/jscode2session": self._code2session,
            "/cgi-bin/token": self._token,
            "/cgi-bin/stable_token": self._stable_token,
            "/wxa/checksession": self._check_session,
            "/wxa/resetusersessionkey": self._reset_session_key,
            "/wxa/business/getuserphonenumber": self._phone_number,
        }
        self.paths = frozenset(self._routes)

    def answer(self, call: Call) -> Answer:
        """Answer one call; an unknown path gets 404 and an HTML page."""
        if call.path not in self._routes:
            return NOT_FOUND
        try:
            return _say(call, self._routes[call.path](call))
        except ErrcodeError as error:
            return self.refuse(call, error.errcode)

    def refuse(self, call: Call, errcode: int) -> Answer:
        """Answer an errcode, without doing anything."""
        return _say(call, refusal(call.path, errcode, self._accounts.clock()))

    def user_named_by(self, call: Call) -> str | None:
        """Return the name of the user whose code the call carries, if it carries one."""
        if call.path == "/sns/jscode2session":
            code = self._accounts.login_code(call.query.get("js_code", ""))
        else:
            code = self._accounts.phone_code(str((call.json_object() or {}).get("code")))
        return code.user.name if code else None

    def _code2session(self, call: Call) -> JsonObject:
        if call.method != "GET":
            raise ErrcodeError(41002)
        _demand(call.query, appid=41002, secret=41004, js_code=41008)
        appid = self._proven_app(call.query, "authorization_code")
        code = self._accounts.login_code(call.query["js_code"])
        if code is None or code.user.appid != appid:
            raise ErrcodeError(40029)
        if code.used:
            raise ErrcodeError(40163)
        code.used = True
        user = code.user
        # A captured answer has the members in this order.
        return {
            "session_key": user.session_key,
            "openid": user.openid,
            "unionid": unionid_of(user.name),
        }

    def _token(self, call: Call) -> JsonObject:
        _demand(call.query, appid=41002, secret=41004)
        appid = self._proven_app(call.query, "client_credential")
        return _token_answer(*self._tokens.plain(appid))

    def _stable_token(self, call: Call) -> JsonObject:
        body = _posted(call)
        _demand(body, appid=41002, secret=41004)
        appid = self._proven_app(body, "client_credential")
        force = body.get("force_refresh") is True
        return _token_answer(*self._tokens.stable(appid, force=force))

    def _check_session(self, call: Call) -> JsonObject:
        user = self._signing_user(call)
        if not self._accounts.is_live(user) or not _signed_by(user, call):
            raise ErrcodeError(87009)
        return OK

    def _reset_session_key(self, call: Call) -> JsonObject:
        user = self._signing_user(call)
        if not self._accounts.is_live(user):
            raise ErrcodeError(87007)
        if not _signed_by(user, call):
            raise ErrcodeError(87009)
        self._accounts.switch_key(user)
        return {**OK, "openid": user.openid, "session_key": user.session_key}

    def _phone_number(self, call: Call) -> JsonObject:
        appid = self._app_of_token(call)
        body = _posted(call)
        _demand(body, code=41008)
        code = self._accounts.phone_code(body["code"])
        if code is None or code.used:
            raise ErrcodeError(40029)
        if code.user.appid != appid:
            raise ErrcodeError(40013)
        if body.get("openid", code.user.openid) != code.user.openid:
            raise ErrcodeError(40003)
        code.used = True
        watermark = {"timestamp": int(code.made_at), "appid": appid}
        return {**OK, "phone_info": {**code.phone, "watermark": watermark}}

    def _proven_app(self, credentials: Mapping[str, Any], grant_type: str) -> str:
        if credentials.get("grant_type") != grant_type:
            raise ErrcodeError(40002)
        appid: str = credentials["appid"]
        if appid not in self._accounts.apps:
            raise ErrcodeError(40013)
        if credentials["secret"] != self._accounts.apps[appid]:
            raise ErrcodeError(40125)
        return appid

    def _app_of_token(self, call: Call) -> str:
        _demand(call.query, access_token=41001)
        return self._tokens.appid_of(call.query["access_token"])

    def _signing_user(self, call: Call) -> User:
        # All from the query: WeChat does not see what is sent in a body here.
        appid = self._app_of_token(call)
        user = self._accounts.user_with(appid, call.query.get("openid", ""))
        if user is None:
            raise ErrcodeError(40003)
        if call.query.get("sig_method") != "hmac_sha256":
            raise ErrcodeError(87008)
        _demand(call.query, signature=40097)
        return user


def _say(call: Call, value: JsonObject) -> Answer:
    kind = "text/plain" if call.path.startswith("/sns/") else "application/json"
    return json_answer(value, content_type=kind)


def _demand(members: Mapping[str, Any], **errcodes: int) -> None:
    """Refuse with its errcode the first member that is missing, empty or no text."""
    for name, errcode in errcodes.items():
        value = members.get(name)
        if not isinstance(value, str) or not value:
            raise ErrcodeError(errcode)


def _posted(call: Call) -> JsonObject:
    if call.method != "POST":
        raise ErrcodeError(43002)
    body = call.json_object()
    if body is None:
        raise ErrcodeError(47001)
    return body


def _signed_by(user: User, call: Call) -> bool:
    return call.query["signature"].lower() == user_signature(user.session_key)


def _token_answer(text: str, expires_in: int) -> JsonObject:
    return {"access_token": text, "expires_in": expires_in}
