"""Login and logout: what is asked of WeChat and the store, and in which order."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.deadlines import LOGIN_TOTAL, LOGIN_WECHAT, Deadline
from chalicelib.errors import (
    DeadlineExceeded,
    GateError,
    InvalidCode,
    InvalidRequest,
    InvalidToken,
    StoreUnavailable,
    UnknownApp,
)
from chalicelib.front.request import Request
from chalicelib.handlers.login import login, logout
from chalicelib.sessions.tokens import Token
from chalicelib.wechat.api import Login
from simulator.gateway import event_of

APPID, CODE = "wx4f4bc4dec97d474b", "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P"
WHO = Login(APPID, "o-alice", "o-union", "c2Vzc2lvbl9rZXlfMTIzNA==")
TOKEN = Token.new(b"u" * 16)


class WeChat:
    """Serves APPID alone; every code stands for WHO, but for one that is spent."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.left: list[float] = []

    def app(self, appid: object) -> str:
        if appid not in (None, APPID):
            raise UnknownApp
        return APPID

    def code2session(self, appid: str, code: str, deadline: Deadline) -> Login:
        self.asked.append((appid, code))
        self.left.append(deadline.remaining())
        if code == "spent":
            raise InvalidCode
        return WHO


class Sessions:
    """Remembers what it was told to do."""

    ttl = 3600

    def __init__(self, fault: Exception | None = None) -> None:
        self.did: list[tuple[object, ...]] = []
        self.left: list[float] = []
        self._fault = fault

    def create(
        self,
        appid: str,
        openid: str,
        unionid: str | None,
        session_key: str,
        replaces: object,
        remaining: Callable[[], float],
    ) -> Token:
        self.left.append(remaining())
        if self._fault:
            raise self._fault
        self.did.append(("create", appid, openid, unionid, session_key, replaces))
        return TOKEN

    def end(self, token: Token) -> None:
        self.did.append(("end", token))

    def end_all(self, token: Token) -> None:
        self.did.append(("end_all", token))


def sent(body: object = None, *, token: str | None = None, seconds: float = 20.0) -> Request:
    headers = [("Authorization", f"Bearer {token}")] if token else []
    headers += [("Content-Type", "application/json")] if body is not None else []
    text = None if body is None else json.dumps(body)
    return Request(event_of("POST", "/login", headers, text, ["/login"]), lambda: seconds)


def logged_in(request: Request, wechat: Any = None, sessions: Any = None) -> Any:
    asked: Any = wechat or WeChat()
    store: Any = sessions or Sessions()
    answer = login(request, wechat=asked, sessions=store)
    return json.loads(answer.body)


def test_a_code_becomes_a_token_and_its_life() -> None:
    assert logged_in(sent({"code": CODE})) == {"token": TOKEN.text, "expires_in": 3600}


def test_the_session_is_stored_as_wechat_says_it_is() -> None:
    sessions = Sessions()
    logged_in(sent({"code": CODE, "appid": APPID, "replaces": "old"}), sessions=sessions)
    assert sessions.did == [("create", APPID, "o-alice", "o-union", WHO.session_key, "old")]


def test_the_code_goes_to_wechat_as_it_came() -> None:
    wechat = WeChat()
    logged_in(sent({"code": CODE}), wechat)
    assert wechat.asked == [(APPID, CODE)]


@pytest.mark.parametrize(
    "body",
    [{}, {"code": None}, {"code": ""}, {"code": 5}, {"code": ["a"]}]
    + [{"code": code} for code in ("a b", "a&secret=x", "a\n", "é", "a" * 129)],
)
def test_what_is_no_code_is_never_sent_to_wechat(body: dict[str, Any]) -> None:
    wechat = WeChat()
    with pytest.raises(InvalidRequest):
        logged_in(sent(body), wechat)
    assert wechat.asked == []


def test_an_app_that_is_not_served_is_never_sent_to_wechat() -> None:
    wechat = WeChat()
    with pytest.raises(UnknownApp):
        logged_in(sent({"code": CODE, "appid": "wxother"}), wechat)
    assert wechat.asked == []


def test_a_refused_code_stores_nothing() -> None:
    sessions = Sessions()
    with pytest.raises(InvalidCode):
        logged_in(sent({"code": "spent"}), sessions=sessions)
    assert sessions.did == []


def test_wechat_gets_six_seconds_where_the_invocation_has_more() -> None:
    wechat = WeChat()
    logged_in(sent({"code": CODE}, seconds=20.0), wechat)
    logged_in(sent({"code": CODE}, seconds=3.0), wechat)
    assert LOGIN_WECHAT - 1 < wechat.left[0] <= LOGIN_WECHAT
    assert wechat.left[1] == pytest.approx(3.0, abs=0.1)


class Slow(WeChat):
    """Answers after a tenth of a second."""

    def code2session(self, appid: str, code: str, deadline: Deadline) -> Login:
        threading.Event().wait(0.1)
        return super().code2session(appid, code, deadline)


def test_the_store_gets_what_wechat_leaves_of_eight_seconds() -> None:
    sessions = Sessions()
    logged_in(sent({"code": CODE}, seconds=20.0), Slow(), sessions)
    logged_in(sent({"code": CODE}, seconds=1.5), Slow(), sessions)
    assert LOGIN_TOTAL - 1 < sessions.left[0] <= LOGIN_TOTAL - 0.1
    assert 1.0 < sessions.left[1] <= 1.4


@pytest.mark.parametrize("fault", [StoreUnavailable, DeadlineExceeded])
def test_no_token_is_given_for_a_session_that_is_not_stored(fault: type[GateError]) -> None:
    with pytest.raises(fault):
        logged_in(sent({"code": CODE}), sessions=Sessions(fault()))


def test_the_log_line_learns_who_logged_in_by_hash_alone() -> None:
    request = sent({"code": CODE})
    logged_in(request)
    assert list(request.notes) == ["user"]
    assert request.notes["user"] not in TOKEN.text


def test_a_login_wants_json() -> None:
    with pytest.raises(InvalidRequest):
        logged_in(sent())


def ended(request: Request) -> list[tuple[object, ...]]:
    sessions: Any = Sessions()
    answer = logout(request, sessions=sessions)
    assert (answer.status_code, answer.body) == (204, "")
    did: list[tuple[object, ...]] = sessions.did
    return did


@pytest.mark.parametrize("body", [None, {}, {"everywhere": False}, {"other": 1}])
def test_a_logout_ends_the_bearers_session(body: object) -> None:
    assert ended(sent(body, token=TOKEN.text)) == [("end", TOKEN)]


def test_a_logout_everywhere_ends_all() -> None:
    assert ended(sent({"everywhere": True}, token=TOKEN.text)) == [("end_all", TOKEN)]


@pytest.mark.parametrize("everywhere", [None, 1, "true", [], {}])
def test_everywhere_is_a_boolean(everywhere: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^everywhere is true or false\.$"):
        ended(sent({"everywhere": everywhere}, token=TOKEN.text))


@pytest.mark.parametrize("token", [None, "junk", "wxg_junk"])
def test_a_logout_without_a_token_is_refused_before_its_body_is_read(token: str | None) -> None:
    with pytest.raises(InvalidToken):
        ended(sent({"everywhere": "x"}, token=token))
