"""Login: a one-time code becomes a session and its token; logout ends it."""

from typing import TYPE_CHECKING

from chalicelib.deadlines import LOGIN_TOTAL, LOGIN_WECHAT, Deadline
from chalicelib.errors import InvalidRequest
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, empty_answer, json_answer
from chalicelib.wechat.codes import code_of

if TYPE_CHECKING:
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.wechat.api import WeChat


def login(request: Request, *, wechat: "WeChat", sessions: "Sessions") -> Answer:
    """Trade `{"code", "appid"?, "replaces"?}` for `{"token", "expires_in"}` (seconds).

    Raises:
        InvalidRequest, UnknownApp: before WeChat is asked.
        InvalidCode and what else WeChat.code2session raises.
        DeadlineExceeded, StoreUnavailable: the code is spent, and no token was given.
    """
    body = request.json()
    code = code_of(body)
    left = Deadline.after(request.remaining())
    deadline = left.sooner(LOGIN_TOTAL)
    appid = wechat.app(body.get("appid"))
    who = wechat.code2session(appid, code, left.sooner(LOGIN_WECHAT))
    token = sessions.create(
        who.appid,
        who.openid,
        who.unionid,
        who.session_key,
        body.get("replaces"),
        deadline.remaining,
    )
    request.note_user(token)
    return json_answer({"token": token.text, "expires_in": sessions.ttl})


def logout(request: Request, *, sessions: "Sessions") -> Answer:
    """End the bearer's session, or with `{"everywhere": true}` all of this user's.

    Raises:
        InvalidToken: if the bearer is not a live token.
        InvalidRequest: if `everywhere` is no boolean.
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
