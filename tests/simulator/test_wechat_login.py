"""jscode2session and wx.login: who gets which session_key, and which codes are refused."""

import re
from collections.abc import Iterator

import pytest

from simulator.wechat import appsecret_of, openid_of, unionid_of
from simulator.wechat.accounts import Accounts
from tests.simulator.wechat_desk import APPID, NOW, OTHER_APPID, Clock, Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


def test_a_session_is_plain_text_in_wechats_order_without_errcode(desk: Desk) -> None:
    answer = desk.code2session(desk.code())
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain")
    assert list(answer.json()) == ["session_key", "openid", "unionid"]


def test_ids_are_a_users_own_and_have_wechats_shape(desk: Desk) -> None:
    session = desk.code2session(desk.code()).json()
    assert session["openid"] == openid_of(APPID, "ann") != openid_of(OTHER_APPID, "ann")
    assert session["unionid"] == unionid_of("ann") != unionid_of("ben")
    assert all(re.fullmatch(r"o[\w-]{27}", session[i]) for i in ("openid", "unionid"))


def test_an_appsecret_is_derived_from_its_appid() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", appsecret_of(APPID))
    assert appsecret_of(APPID) != appsecret_of(OTHER_APPID)


def test_an_errmsg_ends_with_a_comma_and_a_rid_that_tells_the_time(desk: Desk) -> None:
    errmsg = desk.code2session("nonsense").json()["errmsg"]
    rid = re.fullmatch(r"invalid code, rid: ([0-9a-f]{8})-[0-9a-f]{8}-[0-9a-f]{8}", errmsg)
    assert rid is not None
    assert int(rid[1], 16) == NOW


def test_a_login_code_has_32_characters(desk: Desk) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{32}", desk.code())


def test_a_login_code_is_good_once(desk: Desk) -> None:
    code = desk.code()
    assert "session_key" in desk.code2session(code).json()
    assert desk.code2session(code).json()["errcode"] == 40163


@pytest.mark.parametrize("used", [False, True])
def test_a_code_of_five_minutes_is_invalid_used_or_not(desk: Desk, used: bool) -> None:
    code = desk.code()
    if used:
        desk.code2session(code)
    desk.clock.now += 300
    assert desk.code2session(code).json()["errcode"] == 40029


def test_a_code_of_another_app_is_invalid(desk: Desk) -> None:
    code = desk.phone("login", appid=OTHER_APPID)["code"]
    assert desk.code2session(code).json()["errcode"] == 40029


def test_a_phone_code_is_no_login_code(desk: Desk) -> None:
    code = desk.phone("getPhoneNumber")["code"]
    assert desk.code2session(code).json()["errcode"] == 40029


def test_several_codes_of_a_user_are_good_side_by_side(desk: Desk) -> None:
    first, second = desk.code(), desk.code()
    assert desk.code2session(first).json() == desk.code2session(second).json()


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"js_code": ""}, 41008),
        ({"grant_type": "client_credential"}, 40002),
        ({"appid": "wxffffffffffffffff"}, 40013),
        ({"secret": "0" * 32}, 40125),
    ],
)
def test_wrong_parameters_have_their_errcodes(
    desk: Desk, changes: dict[str, str], errcode: int
) -> None:
    assert desk.code2session(desk.code(), **changes).json()["errcode"] == errcode


def test_a_refused_secret_leaves_the_code_good(desk: Desk) -> None:
    code = desk.code()
    desk.code2session(code, secret="0" * 32)
    assert "openid" in desk.code2session(code).json()


def test_a_post_misses_its_appid(desk: Desk) -> None:
    answer = desk.call("POST", "/sns/jscode2session", data={"appid": APPID})
    assert answer.json()["errcode"] == 41002


def test_wx_login_switches_the_key_not_the_exchange(desk: Desk) -> None:
    older, newer = desk.code(), desk.code()
    key = desk.code2session(newer).json()["session_key"]
    assert desk.code2session(older).json()["session_key"] == key
    assert desk.session_key() != key


def test_wx_login_keeps_a_key_that_is_younger_than_the_interval() -> None:
    with Desk(key_interval=60) as desk:
        key = desk.session_key()
        desk.clock.now += 59
        assert desk.session_key() == key
        desk.clock.now += 1
        assert desk.session_key() != key


def test_prefetch_gives_a_code_and_switches_the_key(desk: Desk) -> None:
    key = desk.session_key()
    code = desk.phone("prefetch")["code"]
    assert desk.code2session(code).json()["session_key"] != key


def test_users_have_keys_of_their_own(desk: Desk) -> None:
    key = desk.session_key("ann")
    assert desk.session_key("ben") != key
    assert desk.signed("checksession", key)["errcode"] == 0


def test_an_unknown_path_is_an_html_404(desk: Desk) -> None:
    answer = desk.call("GET", "/sns/oauth2")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html")


def test_codes_that_are_dead_are_forgotten() -> None:
    clock = Clock()
    accounts = Accounts({APPID: "secret"}, clock, 0.0, 86400.0)
    ann = accounts.user(APPID, "ann")
    for _ in range(600):
        accounts.log_in(ann)
        clock.now += 1.0
    assert len(accounts._login_codes) == 300
