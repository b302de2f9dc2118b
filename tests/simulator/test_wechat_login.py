"""jscode2session and wx.login: who gets which session_key, and which codes are refused."""

import re

import pytest

from simulator.wechat import openid_of, unionid_of
from simulator.wechat.accounts import Accounts
from tests.simulator.wechat_desk import APPID, NOW, OTHER_APPID, Clock, Desk


def test_a_session_is_plain_text_in_wechats_order_without_errcode(desk: Desk) -> None:
    answer = desk.code2session(desk.code())
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain")
    assert list(answer.json()) == ["session_key", "openid", "unionid"]


def test_ids_and_keys_are_a_users_own_and_have_wechats_shape(desk: Desk) -> None:
    session, bens = (desk.code2session(desk.code(user)).json() for user in ("ann", "ben"))
    assert session["openid"] == openid_of(APPID, "ann") != openid_of(OTHER_APPID, "ann")
    assert session["unionid"] == unionid_of("ann") != bens["unionid"]
    assert all(re.fullmatch(r"o[\w-]{27}", session[i]) for i in ("openid", "unionid"))
    assert session["session_key"] != bens["session_key"]
    assert desk.signed("checksession", session["session_key"])["errcode"] == 0


def test_an_errmsg_ends_with_a_rid_that_tells_the_time_after_a_comma_below_sns(desk: Desk) -> None:
    rid = f"rid: {int(NOW):08x}-[0-9a-f]{{8}}-[0-9a-f]{{8}}"
    sns, token, wxa = desk.code2session("x").json(), desk.token(secret="0"), desk.phone_number("x")
    assert re.fullmatch(f"invalid code, {rid}", sns["errmsg"])
    assert re.fullmatch(f"invalid appsecret {rid}", token["errmsg"])
    assert re.fullmatch(rf"invalid code hint: \[[\w-]{{16}}\] {rid}", wxa["errmsg"])


def test_a_login_code_of_32_characters_is_good_once(desk: Desk) -> None:
    code = desk.code()
    assert re.fullmatch(r"[A-Za-z0-9]{32}", code)
    assert "session_key" in desk.code2session(code).json()
    assert desk.code2session(code).json()["errcode"] == 40163


@pytest.mark.parametrize("used", [False, True])
def test_a_code_of_five_minutes_is_invalid_used_or_not(desk: Desk, used: bool) -> None:
    code = desk.code()
    if used:
        desk.code2session(code)
    desk.clock.now += 300
    assert desk.code2session(code).json()["errcode"] == 40029


@pytest.mark.parametrize(("act", "appid"), [("login", OTHER_APPID), ("getPhoneNumber", APPID)])
def test_a_code_of_another_app_or_kind_is_invalid(desk: Desk, act: str, appid: str) -> None:
    code = desk.phone(act, appid=appid)["code"]
    assert desk.code2session(code).json()["errcode"] == 40029


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"grant_type": "refresh_token"}, 40002),
        ({"appid": "wxffffffffffffffff"}, 40013),
        ({"secret": "0" * 32}, 40125),
    ],
)
def test_wrong_credentials_have_their_errcodes_in_each_call(
    desk: Desk, changes: dict[str, str], errcode: int
) -> None:
    assert desk.code2session(desk.code(), **changes).json()["errcode"] == errcode
    assert desk.token(**changes)["errcode"] == errcode
    assert desk.stable_token(**changes)["errcode"] == errcode


def test_a_refused_secret_leaves_the_code_good(desk: Desk) -> None:
    code = desk.code()
    desk.code2session(code, secret="0" * 32)
    assert "openid" in desk.code2session(code).json()


def test_a_code_can_be_missing_and_a_post_misses_its_appid(desk: Desk) -> None:
    answer = desk.call("POST", "/sns/jscode2session", data={"appid": APPID})
    assert answer.json()["errcode"] == 41002
    assert desk.code2session("").json()["errcode"] == 41008


@pytest.mark.parametrize("act", ["login", "prefetch"])
def test_a_new_code_switches_the_key_and_its_exchange_does_not(desk: Desk, act: str) -> None:
    older, newer = desk.code(), desk.phone(act)["code"]
    key = desk.code2session(newer).json()["session_key"]
    assert desk.code2session(older).json()["session_key"] == key
    desk.phone(act)
    assert desk.signed("checksession", key)["errcode"] == 87009


def test_wx_login_keeps_a_key_that_is_younger_than_the_interval() -> None:
    with Desk(key_interval=60) as desk:
        key = desk.session_key()
        desk.clock.now += 59
        assert desk.session_key() == key
        desk.clock.now += 1
        assert desk.session_key() != key


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
