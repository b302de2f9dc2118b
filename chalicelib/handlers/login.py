"""Login: a one-time code becomes a session and its token; logout ends it."""

from typing import TYPE_CHECKING

from chalicelib.deadlines import LOGIN_MINIMUM, LOGIN_TOTAL, LOGIN_WECHAT
from chalicelib.errors import DeadlineExceeded, InvalidRequest
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, empty_answer, json_answer
from chalicelib.wechat.codes import code_of

if TYPE_CHECKING:
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.wechat.api import WeChat


def login(request: Request, *, wechat: "WeChat", sessions: "Sessions") -> Answer:
    """Trade `{"code", "appid"?, "replaces"?}` for `{"token", "expires_in"}` (seconds).

    Raises:
        InvalidRequest, UnknownApp: before WeChat is called.
        DeadlineExceeded: before WeChat is called if the login could not finish in time; later, the
            code is spent, as it is with StoreUnavailable.
        What WeChat.code2session raises.
    """
    body = request.json()
    code = code_of(body)
    appid = wechat.app(body.get("appid"))
    deadline = request.deadline.sooner(LOGIN_TOTAL)
    if deadline.remaining() < LOGIN_MINIMUM:
        raise DeadlineExceeded
    who = wechat.code2session(appid, code, deadline.sooner(LOGIN_WECHAT))
    token = sessions.create(
        who.appid, who.openid, who.unionid, who.session_key, body.get("replaces"), deadline
    )
    request.log_fields["user"] = token.alias
    return json_answer({"token": token.text, "expires_in": sessions.ttl})


def logout(request: Request, *, sessions: "Sessions") -> Answer:
    """End the bearer's session, or with `{"everywhere": true}` all of this user's.

    Raises:
        InvalidToken: if the bearer is not a live token.
        InvalidRequest: if `everywhere` is not a boolean.
    """
    token = request.token()
    everywhere = request.json().get("everywhere", False) if request.body else False
    if not isinstance(everywhere, bool):
        raise InvalidRequest("everywhere is true or false.")
    if everywhere:
        sessions.end_all(token)
    else:
        sessions.end(token)
    return empty_answer()
