"""Login and logout: what WeChat and the store are called with, and in which order."""

import json
from typing import Any

import pytest

from chalicelib.deadlines import LOGIN_MINIMUM, LOGIN_TOTAL, LOGIN_WECHAT, Deadline
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
from tests.support.fakes import Clock

APPID, CODE = "wx4f4bc4dec97d474b", "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P"
WHO = Login(APPID, "o-alice", "o-union", "c2Vzc2lvbl9rZXlfMTIzNA==")
TOKEN = Token.new(b"u" * 16)


class WeChat:
    """Serves APPID alone; every code stands for WHO, but for one that is spent.

    A call takes `seconds` of the clock, and `left` lists what each one was allowed to take.
    """

    def __init__(self, clock: Clock | None = None, seconds: float = 0.0) -> None:
        self.calls: list[tuple[str, str]] = []
        self.left: list[float] = []
        self._clock = clock or Clock()
        self._seconds = seconds

    def app(self, appid: object) -> str:
        if appid not in (None, APPID):
            raise UnknownApp
        return APPID

    def code2session(self, appid: str, code: str, deadline: Deadline) -> Login:
        self.calls.append((appid, code))
        self.left.append(deadline.remaining())
        self._clock.advance(self._seconds)
        if code == "spent":
            raise InvalidCode
        return WHO


class Sessions:
    """Records what it is called with."""

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
        deadline: Deadline,
    ) -> Token:
        self.left.append(deadline.remaining())
        if self._fault:
            raise self._fault
        self.did.append(("create", appid, openid, unionid, session_key, replaces))
        return TOKEN

    def end(self, token: Token) -> None:
        self.did.append(("end", token))

    def end_all(self, token: Token) -> None:
        self.did.append(("end_all", token))


def sent(
    body: object = None,
    *,
    token: str | None = None,
    seconds: float = 20.0,
    clock: Clock | None = None,
) -> Request:
    headers = [("Authorization", f"Bearer {token}")] if token else []
    headers += [("Content-Type", "application/json")] if body is not None else []
    text = None if body is None else json.dumps(body)
    event = event_of("POST", "/login", headers, text, ["/login"])
    return Request(event, Deadline.after(seconds, clock or Clock()))


def logged_in(request: Request, wechat: Any = None, sessions: Any = None) -> Any:
    server: Any = wechat or WeChat()
    store: Any = sessions or Sessions()
    answer = login(request, wechat=server, sessions=store)
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
    assert wechat.calls == [(APPID, CODE)]


@pytest.mark.parametrize(
    "body",
    [{}, {"code": None}, {"code": ""}, {"code": 5}, {"code": ["a"]}]
    + [{"code": code} for code in ("a b", "a&secret=x", "a\n", "é", "a" * 129)],
)
def test_a_malformed_code_is_never_sent_to_wechat(body: dict[str, Any]) -> None:
    wechat = WeChat()
    with pytest.raises(InvalidRequest):
        logged_in(sent(body), wechat)
    assert wechat.calls == []


def test_an_app_that_is_not_served_is_never_sent_to_wechat() -> None:
    wechat = WeChat()
    with pytest.raises(UnknownApp):
        logged_in(sent({"code": CODE, "appid": "wxother"}), wechat)
    assert wechat.calls == []


def test_the_tourist_mode_of_devtools_is_named() -> None:
    wechat = WeChat()
    with pytest.raises(InvalidRequest, match="tourist mode"):
        logged_in(sent({"code": "the code is a mock one"}), wechat)
    assert wechat.calls == []


def test_a_refused_code_stores_nothing() -> None:
    sessions = Sessions()
    with pytest.raises(InvalidCode):
        logged_in(sent({"code": "spent"}), sessions=sessions)
    assert sessions.did == []


@pytest.mark.parametrize(("seconds", "left"), [(20.0, LOGIN_WECHAT), (3.0, 3.0)])
def test_wechat_gets_its_part_of_a_login_if_the_invocation_has_it(
    seconds: float, left: float
) -> None:
    wechat = WeChat()
    logged_in(sent({"code": CODE}, seconds=seconds), wechat)
    assert wechat.left == [left]


@pytest.mark.parametrize(("seconds", "left"), [(20.0, LOGIN_TOTAL - 1.5), (3.0, 1.5)])
def test_the_store_gets_what_wechat_leaves(seconds: float, left: float) -> None:
    clock, sessions = Clock(), Sessions()
    request = sent({"code": CODE}, seconds=seconds, clock=clock)
    logged_in(request, WeChat(clock, seconds=1.5), sessions)
    assert sessions.left == [left]


@pytest.mark.parametrize("seconds", [LOGIN_MINIMUM - 0.001, 1.2, 0.0, -1.0])
def test_a_login_that_cannot_finish_spends_no_code(seconds: float) -> None:
    wechat = WeChat()
    with pytest.raises(DeadlineExceeded):
        logged_in(sent({"code": CODE}, seconds=seconds), wechat)
    assert wechat.calls == []
    logged_in(sent({"code": CODE}, seconds=LOGIN_MINIMUM), wechat)


@pytest.mark.parametrize("fault", [StoreUnavailable, DeadlineExceeded])
def test_no_token_is_given_for_a_session_that_is_not_stored(fault: type[GateError]) -> None:
    with pytest.raises(fault):
        logged_in(sent({"code": CODE}), sessions=Sessions(fault()))


def test_the_log_line_shows_who_logged_in_by_hash_only() -> None:
    request = sent({"code": CODE})
    logged_in(request)
    assert list(request.log_fields) == ["user"]
    assert request.log_fields["user"] not in TOKEN.text


def test_a_login_needs_json() -> None:
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
