"""Codes and sessions: who gets which session_key, how it ends, and what is refused."""

import base64
import re

import pytest

from simulator.wechat import openid_of, unionid_of
from simulator.wechat.cipher import new_session_key, user_signature
from tests.simulator.wechat_desk import APPID, NOW, OTHER_APPID, Desk, opened


def test_a_session_is_plain_text_in_wechats_order_without_errcode(desk: Desk) -> None:
    answer = desk.code2session(desk.code())
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain")
    assert list(answer.json()) == ["session_key", "openid", "unionid"]


def test_ids_and_keys_are_a_users_own_and_have_wechats_shape(desk: Desk) -> None:
    session, bens = (desk.exchanged(desk.code(user)) for user in ("ann", "ben"))
    assert session["openid"] == openid_of(APPID, "ann") != openid_of(OTHER_APPID, "ann")
    assert session["unionid"] == unionid_of("ann") != bens["unionid"]
    assert all(re.fullmatch(r"o[\w-]{27}", session[i]) for i in ("openid", "unionid"))
    assert session["session_key"] != bens["session_key"]
    assert len(base64.b64decode(session["session_key"], validate=True)) == 16
    assert desk.checked(session["session_key"]) == 0


def test_an_errmsg_ends_with_a_rid_that_tells_the_time_after_a_comma_below_sns(desk: Desk) -> None:
    rid = f"rid: {int(NOW):08x}-[0-9a-f]{{8}}-[0-9a-f]{{8}}"
    sns, token, wxa = desk.exchanged("x"), desk.token(secret="0"), desk.phone_number("x")
    assert re.fullmatch(f"invalid code, {rid}", sns["errmsg"])
    assert re.fullmatch(f"invalid appsecret {rid}", token["errmsg"])
    assert re.fullmatch(rf"invalid code hint: \[[\w-]{{16}}\] {rid}", wxa["errmsg"])


def test_a_code_of_32_characters_is_good_once_within_five_minutes_though_a_secret_was_refused(
    desk: Desk,
) -> None:
    code, unused = desk.code(), desk.code()
    assert re.fullmatch(r"[A-Za-z0-9]{32}", code)
    assert desk.exchanged(code, secret="0" * 32)["errcode"] == 40125
    desk.clock.now += 299
    assert "session_key" in desk.exchanged(code)
    assert desk.exchanged(code)["errcode"] == 40163
    desk.clock.now += 1
    assert [desk.exchanged(each)["errcode"] for each in (code, unused)] == [40029] * 2


@pytest.mark.parametrize(("act", "appid"), [("login", OTHER_APPID), ("getPhoneNumber", APPID)])
def test_a_code_of_another_app_or_kind_is_invalid(desk: Desk, act: str, appid: str) -> None:
    assert desk.exchanged(desk.phone(act, appid=appid)["code"])["errcode"] == 40029


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
    assert desk.exchanged(desk.code(), **changes)["errcode"] == errcode
    assert desk.token(**changes)["errcode"] == errcode
    assert desk.stable_token(**changes)["errcode"] == errcode


def test_a_code_can_be_missing_and_a_post_misses_its_appid_and_a_wrong_path_is_html(
    desk: Desk,
) -> None:
    answer = desk.call("POST", "/sns/jscode2session", data={"appid": APPID})
    assert answer.json()["errcode"] == 41002
    assert desk.exchanged("")["errcode"] == 41008
    unknown = desk.call("GET", "/sns/oauth2")
    assert (unknown.status_code, unknown.headers["Content-Type"]) == (404, "text/html")


@pytest.mark.parametrize("act", ["login", "prefetch"])
def test_a_new_code_switches_the_key_and_its_exchange_does_not(desk: Desk, act: str) -> None:
    older, newer = desk.code(), desk.phone(act)["code"]
    key = desk.exchanged(newer)["session_key"]
    assert desk.exchanged(older)["session_key"] == key
    desk.phone(act)
    assert desk.checked(key) == 87009


def test_the_current_key_is_valid_in_hex_of_either_case_and_no_other_is(desk: Desk) -> None:
    before, key = desk.session_key(), desk.session_key()
    assert desk.signed("checksession", key) == {"errcode": 0, "errmsg": "ok"}
    assert desk.checked(key, signature=user_signature(key).upper()) == 0
    assert [desk.checked(other) for other in (before, new_session_key())] == [87009] * 2


@pytest.mark.parametrize("act", ["checksession", "resetusersessionkey"])
@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"access_token": ""}, 41001),
        ({"access_token": "junk"}, 40014),
        ({"openid": openid_of(APPID, "ben")}, 40003),
        ({"openid": openid_of(OTHER_APPID, "ann")}, 40003),
        ({"sig_method": "sha1"}, 87008),
        ({"signature": ""}, 40097),
        ({"signature": "0" * 64}, 87009),
    ],
)
def test_wrong_parameters_have_their_errcodes(
    desk: Desk, act: str, changes: dict[str, str], errcode: int
) -> None:
    assert desk.signed(act, desk.session_key(), **changes)["errcode"] == errcode


def test_parameters_in_a_body_are_not_seen(desk: Desk) -> None:
    form = {"openid": openid_of(APPID, "ann"), "signature": user_signature(desk.session_key())}
    path = f"/wxa/checksession?access_token={desk.token()['access_token']}"
    assert desk.call("POST", path, data=form).json()["errcode"] == 40003


def test_a_reset_gives_a_new_key_which_ends_when_the_old_one_would_have() -> None:
    with Desk(session_life=100) as desk:
        old = desk.session_key()
        desk.clock.now += 99
        answer = desk.signed("resetusersessionkey", old)
        assert list(answer) == ["errcode", "errmsg", "openid", "session_key"]
        assert [desk.checked(key) for key in (answer["session_key"], old)] == [0, 87009]
        desk.clock.now += 1
        assert desk.checked(answer["session_key"]) == 87009


def test_a_session_is_invalid_before_its_login_and_after_its_expiry(desk: Desk) -> None:
    assert desk.phone("checkSession") == {"valid": False}
    key = desk.session_key()
    assert desk.phone("checkSession") == {"valid": True}
    desk.post("/control/expire_session", appid=APPID, user="ann")
    assert desk.phone("checkSession") == {"valid": False}
    assert desk.checked(key) == 87009
    assert desk.signed("resetusersessionkey", key)["errcode"] == 87007
    with pytest.raises(ValueError, match=r".*"):
        opened(desk.phone("getShareInfo"), key)


def test_wx_login_keeps_a_key_that_is_younger_than_the_interval_and_has_not_expired() -> None:
    with Desk(key_interval=60) as desk:
        keys = [desk.session_key()]
        for seconds in (59, 1):
            desk.clock.now += seconds
            keys.append(desk.session_key())
        desk.post("/control/expire_session", appid=APPID, user="ann")
        assert keys[0] == keys[1] != keys[2] != desk.session_key()
        assert desk.phone("checkSession") == {"valid": True}
