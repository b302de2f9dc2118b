"""Login: a one-time code becomes a session and its token; logout ends it."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.deadlines import CODE_MINIMUM, LOGIN_TOTAL, LOGIN_WECHAT, WECHAT_RESERVE
from chalicelib.errors import DeadlineExceeded, InvalidRequest
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, empty_answer, json_answer

if TYPE_CHECKING:
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.wechat.api import WeChat

_CODE = re.compile(r"[A-Za-z0-9_-]{1,128}")


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
    if deadline.remaining() < CODE_MINIMUM:
        raise DeadlineExceeded
    in_time = deadline.less(WECHAT_RESERVE).sooner(LOGIN_WECHAT)
    who = wechat.code2session(appid, code, in_time)
    token = sessions.create(who, who.session_key, body.get("replaces"), deadline)
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
    end = sessions.end_all if everywhere else sessions.end
    end(token)
    return empty_answer()


def code_of(body: Mapping[str, Any]) -> str:
    """Take a one-time code from a JSON body; observed ones are 32 to 64 characters.

    InvalidRequest is raised if there is none, if it could change a URL, and if it is what wx.login
    gives in DevTools while the project has no appid (Tencent/wepy issue 325).
    """
    code = body.get("code")
    if code == "the code is a mock one":
        words = "DevTools runs without a real appid (tourist mode), so its codes are mocks. "
        raise InvalidRequest(f"{words}Open the project with its own appid.", reason="tourist mode")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise InvalidRequest("code is missing or malformed.")
    return code
