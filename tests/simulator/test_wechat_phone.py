"""The phone's acts: open data under the key of the tap, and the phone number by code."""

import json
import re
from typing import Any

import pytest

from simulator.wechat import openid_of, unionid_of
from simulator.wechat.cipher import raw_data_signature
from tests.simulator.wechat_desk import APPID, NOW, OTHER_APPID, Desk, opened

WATERMARK = {"timestamp": int(NOW), "appid": APPID}
FOREIGN = {"phoneNumber": "+12025550123", "purePhoneNumber": "2025550123", "countryCode": "1"}


@pytest.fixture
def key(desk: Desk) -> str:
    return desk.session_key()


def test_user_info_is_anonymous_but_names_the_user_and_is_signed_and_older_phones_give_names(
    desk: Desk, key: str
) -> None:
    answer = desk.phone("getUserInfo")
    assert list(answer) == ["userInfo", "rawData", "signature", "encryptedData", "iv"]
    ids = {"openId": openid_of(APPID, "ann"), "unionId": unionid_of("ann")}
    assert opened(answer, key) == {**answer["userInfo"], **ids, "watermark": WATERMARK}
    assert answer["userInfo"]["nickName"] == "微信用户"
    assert json.loads(answer["rawData"]) == answer["userInfo"]
    assert answer["signature"] == raw_data_signature(answer["rawData"], key)
    named = {"nickName": "Ann", "gender": 2}
    assert named.items() <= opened(desk.phone("getUserInfo", userInfo=named), key).items()


def test_a_phone_number_is_sealed_and_has_a_code(desk: Desk, key: str) -> None:
    answer = desk.phone("getPhoneNumber")
    phone = opened(answer, key)
    assert re.fullmatch(r"138\d{8}", phone["phoneNumber"])
    assert phone["purePhoneNumber"] == phone["phoneNumber"]
    assert (phone["countryCode"], phone["watermark"]) == ("86", WATERMARK)
    assert re.fullmatch(r"[0-9a-f]{64}", answer["code"])
    for given in ("2025550123", "+12025550123"):
        foreign = opened(desk.phone("getPhoneNumber", phoneNumber=given, countryCode="1"), key)
        assert foreign == {**FOREIGN, "watermark": WATERMARK}


def test_werun_gives_31_days_up_to_today(desk: Desk, key: str) -> None:
    steps = opened(desk.phone("getWeRunData"), key)["stepInfoList"]
    assert len(steps) == 31
    assert 0 <= NOW - steps[-1]["timestamp"] < 86400
    assert set(steps[0]) == {"timestamp", "step"}


def test_share_and_group_spell_their_id_each_in_its_way_and_a_chat_of_two_too(
    desk: Desk, key: str
) -> None:
    share, group = (opened(desk.phone(f"get{n}"), key) for n in ("ShareInfo", "GroupEnterInfo"))
    assert share["openGId"] == group["opengid"]
    assert share["openGId"].startswith("tG")
    members = {"opengid", "open_single_roomid", "group_openid", "chat_type", "watermark"}
    assert set(group) == members
    chat = opened(desk.phone("getGroupEnterInfo", chat_type=1), key)
    assert (chat["chat_type"], chat["opengid"]) == (1, "")
    assert chat["open_single_roomid"].startswith("tG")


def test_data_is_sealed_with_the_key_of_the_tap(desk: Desk, key: str) -> None:
    tapped = desk.phone("getPhoneNumber")
    assert tapped["iv"] != desk.phone("getPhoneNumber")["iv"]
    assert desk.session_key() != key
    assert opened(tapped, key)["countryCode"] == "86"


def test_a_code_gives_the_number_of_the_tap_once_within_five_minutes(desk: Desk) -> None:
    tap = {"phoneNumber": "2025550123", "countryCode": "1"}
    used, old = (desk.phone("getPhoneNumber", **tap)["code"] for _ in range(2))
    desk.clock.now += 299
    answer = desk.phone_number(used, openid=openid_of(APPID, "ann"))
    assert (answer["errcode"], answer["phone_info"]) == (0, {**FOREIGN, "watermark": WATERMARK})
    desk.clock.now += 1
    for code in (used, old, desk.code()):
        assert desk.phone_number(code)["errcode"] == 40029


def test_a_wrong_token_or_user_is_refused_and_leaves_the_phone_code_good(desk: Desk) -> None:
    code = desk.phone("getPhoneNumber")["code"]
    token = desk.token(OTHER_APPID)["access_token"]
    assert desk.phone_number(code, token)["errcode"] == 40013
    assert desk.phone_number(code, "junk")["errcode"] == 40014
    assert desk.phone_number(code, openid=openid_of(APPID, "ben"))["errcode"] == 40003
    assert desk.phone_number(code)["errcode"] == 0


def test_a_phone_number_wants_posted_json_with_a_code(desk: Desk) -> None:
    path = f"/wxa/business/getuserphonenumber?access_token={desk.token()['access_token']}"
    assert desk.call("GET", path).json()["errcode"] == 43002
    assert desk.call("POST", path, data={"code": "x"}).json()["errcode"] == 47001
    assert desk.post(path)["errcode"] == 41008


@pytest.mark.parametrize(
    ("act", "sent"),
    [
        ("login", []),
        ("getPhoneNumber", {"appid": "wxffffffffffffffff", "user": "ann"}),
        ("getPhoneNumber", {"appid": APPID}),
        ("getPhoneNumber", {"appid": APPID, "user": 7}),
        ("getPhoneNumber", {"appid": APPID, "user": "\ud800"}),
        ("getPhoneNumber", {"appid": APPID, "user": "ann", "phoneNumber": 7}),
        ("getUserInfo", {"appid": APPID, "user": "ann", "userInfo": "Ann"}),
    ],
)
def test_an_act_that_makes_no_sense_fails_as_wx_does(desk: Desk, act: str, sent: Any) -> None:
    answer = desk.call("POST", f"/wx/{act}", json=sent)
    assert answer.status_code == 400
    assert answer.json()["errMsg"].startswith(f"{act}:fail ")


def test_a_wrong_method_or_name_has_its_status(desk: Desk) -> None:
    assert desk.call("GET", "/wx/login").status_code == 405
    assert desk.call("POST", "/wx/logIn").status_code == 404
