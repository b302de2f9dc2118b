"""Login and logout: what WeChat and the store are called with, and in which order."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib import errors
from chalicelib.deadlines import CODE_MINIMUM, LOGIN_TOTAL, LOGIN_WECHAT, Deadline
from chalicelib.errors import GateError, InvalidRequest, InvalidToken, UnknownApp
from chalicelib.front.request import Request
from chalicelib.handlers.login import code_of, login, logout
from chalicelib.identity import Identity
from chalicelib.sessions.tokens import Token
from chalicelib.wechat.api import Login
from simulator.gateway import event_of
from tests.support.fakes import Clock

APPID, CODE = "wx4f4bc4dec97d474b", "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P"
WHO = Login(APPID, "o-alice", "o-union", "c2Vzc2lvbl9rZXlfMTIzNA==")
TOKEN = Token.new(b"u" * 16)


@dataclass
class WeChat:
    """Serves APPID alone; every code stands for WHO.

    A call takes `seconds` of the clock, and `left` lists what each one was allowed to take.
    """

    clock: Clock = field(default_factory=Clock)
    seconds: float = 0.0
    calls: list[tuple[str, str]] = field(default_factory=list)
    left: list[float] = field(default_factory=list)

    def app(self, appid: object) -> str:
        if appid not in (None, APPID):
            raise UnknownApp
        return APPID

    def code2session(self, appid: str, code: str, deadline: Deadline) -> Login:
        self.calls.append((appid, code))
        self.left.append(deadline.remaining())
        self.clock.advance(self.seconds)
        return WHO


@dataclass
class Sessions:
    """Records what it is called with, and the seconds that are left."""

    did: list[tuple[object, ...]] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    ttl = 3600

    def create(
        self, who: Identity, session_key: str, replaces: object, deadline: Deadline
    ) -> Token:
        self.left.append(deadline.remaining())
        self.did.append(("create", who, session_key, replaces))
        return TOKEN

    def end(self, token: Token) -> None:
        self.did.append(("end", token))

    def end_all(self, token: Token) -> None:
        self.did.append(("end_all", token))


def sent(
    body: object = None, token: str = "", seconds: float = 20.0, clock: Clock | None = None
) -> Request:
    headers = [("Authorization", f"Bearer {token}")] if token else []
    headers += [("Content-Type", "application/json")] if body is not None else []
    text = None if body is None else json.dumps(body)
    event = event_of("POST", "/login", headers, text, ["/login"])
    return Request(event, Deadline.after(seconds, clock or Clock()))


def logged_in(request: Request, wechat: Any = None, sessions: Any = None) -> Any:
    services: Any = {"wechat": wechat or WeChat(), "sessions": sessions or Sessions()}
    return json.loads(login(request, **services).body)


def test_a_code_becomes_a_session_and_its_token() -> None:
    wechat, sessions = WeChat(), Sessions()
    request = sent({"code": CODE, "appid": APPID, "replaces": "old"})
    assert logged_in(request, wechat, sessions) == {"token": TOKEN.text, "expires_in": 3600}
    assert wechat.calls == [(APPID, CODE)]
    assert sessions.did == [("create", WHO, WHO.session_key, "old")]
    assert list(request.log_fields) == ["user"]
    assert request.log_fields["user"] not in TOKEN.text


def test_what_could_change_a_url_is_no_code() -> None:
    for code in ("0", "0a1B-_" * 21 + "xy", CODE):
        assert code_of({"code": code}) == code
    texts = ("", " ", "a b", "a&b=c", "a?b", "a/b", "a#b", "a%26b", "a\n", "a\0", "ａ", "a" * 129)
    others = (None, 1, True, ["c"], {"a": 1}, "the code is a mock one ")
    for body in ({}, *({"code": code} for code in (*texts, *others))):
        with pytest.raises(InvalidRequest, match=r"^code is missing or malformed\.$"):
            code_of(body)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (None, InvalidRequest, "Content-Type is missing"),
        ({"code": "a b"}, InvalidRequest, "code is missing"),
        (
            {"code": "the code is a mock one"},
            InvalidRequest,
            r"^DevTools .* mocks\. Open .* appid\.$",
        ),
        ({"code": CODE, "appid": "wxother"}, UnknownApp, "not served"),
    ],
)
def test_what_is_refused_is_never_sent_to_wechat(
    body: object, error: type[GateError], message: str
) -> None:
    wechat = WeChat()
    with pytest.raises(error, match=message):
        logged_in(sent(body), wechat)
    assert wechat.calls == []


@pytest.mark.parametrize(
    ("seconds", "wechat_has", "store_has"),
    [(20.0, LOGIN_WECHAT, LOGIN_TOTAL - 1.5), (3.0, 2.0, 1.5), (CODE_MINIMUM, 1.0, 0.5)],
)
def test_wechat_gets_its_part_of_a_login_and_the_store_what_it_leaves(
    seconds: float, wechat_has: float, store_has: float
) -> None:
    clock, sessions = Clock(), Sessions()
    wechat = WeChat(clock, seconds=1.5)
    logged_in(sent({"code": CODE}, seconds=seconds, clock=clock), wechat, sessions)
    assert [*wechat.left, *sessions.left] == pytest.approx([wechat_has, store_has])


def test_a_login_that_cannot_finish_spends_no_code() -> None:
    wechat = WeChat()
    for seconds in (CODE_MINIMUM - 0.001, 0.0, -1.0):
        with pytest.raises(errors.DeadlineExceeded):
            logged_in(sent({"code": CODE}, seconds=seconds), wechat)
    assert wechat.calls == []


NAMES = st.sampled_from(["code", "appid", "replaces", "c\\u006fde"])
VALUES = st.sampled_from(['"code-A"', '"code-B"', f'"{APPID}"', "null", '"wx"', "[1]", "{}"])
MEMBERS = st.lists(st.builds('"{}":{}'.format, NAMES, VALUES), max_size=4)


@given(MEMBERS.map(lambda members: f"{{{','.join(members)}}}".encode()) | st.binary())
@example(b'{"code":"code-A","code":"code-B"}')
def test_every_reader_of_a_login_body_finds_the_code_that_wechat_is_given(data: bytes) -> None:
    wechat = WeChat()
    event = event_of("POST", "/login", [("Content-Type", "application/json")], data, ["/login"])
    try:
        assert logged_in(Request(event), wechat)["token"] == TOKEN.text
    except (InvalidRequest, UnknownApp):
        assert wechat.calls == []
    else:
        first_wins = json.loads(data, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
        assert first_wins == json.loads(data)
        assert wechat.calls == [(APPID, first_wins["code"])]


def ended(request: Request) -> list[tuple[object, ...]]:
    sessions: Any = Sessions()
    answer = logout(request, sessions=sessions)
    assert (answer.status_code, answer.body) == (204, "")
    did: list[tuple[object, ...]] = sessions.did
    return did


def test_a_logout_ends_the_bearers_session_or_everywhere_all() -> None:
    for body in (None, {}, {"everywhere": False}, {"other": 1}):
        assert ended(sent(body, token=TOKEN.text)) == [("end", TOKEN)]
    assert ended(sent({"everywhere": True}, token=TOKEN.text)) == [("end_all", TOKEN)]
    for everywhere in (None, 1, "true", [True]):
        with pytest.raises(InvalidRequest, match=r"^everywhere is true or false\.$"):
            ended(sent({"everywhere": everywhere}, token=TOKEN.text))


def test_a_logout_without_a_token_is_refused_before_its_body_is_read() -> None:
    for token in ("", "junk", "wxg_junk"):
        with pytest.raises(InvalidToken):
            ended(sent({"everywhere": "x"}, token=token))
