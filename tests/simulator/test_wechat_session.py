"""Sessions: checksession, resetusersessionkey, wx.checkSession, and how a session ends."""

from collections.abc import Iterator

import pytest

from simulator.wechat import openid_of
from simulator.wechat.cipher import new_session_key, user_signature
from tests.simulator.wechat_desk import APPID, OTHER_APPID, Desk, opened


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


def test_the_current_key_is_valid(desk: Desk) -> None:
    assert desk.signed("checksession", desk.session_key()) == {"errcode": 0, "errmsg": "ok"}


def test_an_upper_case_signature_is_valid(desk: Desk) -> None:
    key = desk.session_key()
    answer = desk.signed("checksession", key, signature=user_signature(key).upper())
    assert answer["errcode"] == 0


def test_any_other_key_is_an_invalid_signature(desk: Desk) -> None:
    desk.session_key()
    assert desk.signed("checksession", new_session_key())["errcode"] == 87009


def test_the_key_before_a_new_login_is_invalid(desk: Desk) -> None:
    key = desk.session_key()
    desk.code()
    assert desk.signed("checksession", key)["errcode"] == 87009


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


def test_an_expired_session_is_invalid_on_the_phone_and_the_server(desk: Desk) -> None:
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


def test_a_user_who_never_logged_in_has_no_session(desk: Desk) -> None:
    assert desk.phone("checkSession") == {"valid": False}
