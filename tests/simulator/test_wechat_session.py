"""Sessions: checksession, resetusersessionkey, wx.checkSession, and how a session ends."""

import pytest

from simulator.wechat import openid_of
from simulator.wechat.cipher import new_session_key, user_signature
from tests.simulator.wechat_desk import APPID, OTHER_APPID, Desk, opened


def test_the_current_key_is_valid_in_hex_of_either_case_and_no_other_is(desk: Desk) -> None:
    before, key = desk.session_key(), desk.session_key()
    upper = user_signature(key).upper()
    assert desk.signed("checksession", key) == {"errcode": 0, "errmsg": "ok"}
    assert desk.signed("checksession", key, signature=upper)["errcode"] == 0
    for other in (before, new_session_key()):
        assert desk.signed("checksession", other)["errcode"] == 87009


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


def test_a_reset_gives_a_new_key_and_kills_the_old_one(desk: Desk) -> None:
    old = desk.session_key()
    answer = desk.signed("resetusersessionkey", old)
    assert list(answer) == ["errcode", "errmsg", "openid", "session_key"]
    assert desk.signed("checksession", answer["session_key"])["errcode"] == 0
    assert desk.signed("checksession", old)["errcode"] == 87009


def test_a_reset_key_ends_when_the_old_one_would_have() -> None:
    with Desk(session_life=100) as desk:
        old = desk.session_key()
        desk.clock.now += 99
        new = desk.signed("resetusersessionkey", old)["session_key"]
        assert desk.signed("checksession", new)["errcode"] == 0
        desk.clock.now += 1
        assert desk.signed("checksession", new)["errcode"] == 87009


def test_a_session_is_invalid_before_its_login_and_after_its_expiry(desk: Desk) -> None:
    assert desk.phone("checkSession") == {"valid": False}
    key = desk.session_key()
    assert desk.phone("checkSession") == {"valid": True}
    desk.post("/control/expire_session", appid=APPID, user="ann")
    assert desk.phone("checkSession") == {"valid": False}
    assert desk.signed("checksession", key)["errcode"] == 87009
    assert desk.signed("resetusersessionkey", key)["errcode"] == 87007


def test_a_login_after_the_expiry_gives_a_new_key_within_the_interval_too() -> None:
    with Desk(key_interval=60) as desk:
        key = desk.session_key()
        desk.post("/control/expire_session", appid=APPID, user="ann")
        assert desk.session_key() != key
        assert desk.phone("checkSession") == {"valid": True}


def test_a_tap_after_the_expiry_does_not_open_with_the_old_key(desk: Desk) -> None:
    key = desk.session_key()
    desk.post("/control/expire_session", appid=APPID, user="ann")
    with pytest.raises(ValueError, match=r".*"):
        opened(desk.phone("getShareInfo"), key)
