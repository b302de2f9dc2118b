"""The switches: reset, the log, and the faults that are told from their answers."""

import json
from typing import Any

import pytest

from simulator.wechat import appsecret_of
from tests.simulator.wechat_desk import APPID, NOW, Desk

SNS = "/sns/jscode2session"


@pytest.mark.parametrize("kind", [-1, "-1", 40226, "99999"])
def test_an_errcode_strikes_so_many_times_and_leaves_the_code_good(
    desk: Desk, kind: int | str
) -> None:
    code = desk.code()
    desk.fault(SNS, kind, times=2)
    answers = [desk.exchanged(code) for _ in range(3)]
    assert [answer.get("errcode") for answer in answers] == [int(kind)] * 2 + [None]


def test_a_fault_can_be_for_one_user(desk: Desk) -> None:
    desk.fault(SNS, 40226, user="ben")
    desk.fault("/wxa/business/getuserphonenumber", -1, user="ben")
    assert "openid" in desk.exchanged(desk.code("ann"))
    assert desk.exchanged(desk.code("ben"))["errcode"] == 40226
    codes = [desk.phone("getPhoneNumber", user)["code"] for user in ("ann", "ben")]
    assert [desk.phone_number(code)["errcode"] for code in codes] == [0, -1]


def test_faults_strike_their_own_path_in_the_order_of_their_orders(desk: Desk) -> None:
    desk.fault(SNS, -1)
    desk.fault("/cgi-bin/token", 45009)
    desk.fault(SNS, 45011)
    assert [desk.exchanged("x")["errcode"] for _ in range(3)] == [-1, 45011, 40029]


@pytest.mark.parametrize(
    ("kind", "status", "media"),
    [
        ("html", 200, "text/html"),
        ("http_403", 403, "text/html"),
        ("http_503", 503, "text/html"),
        ("content_type", 200, "application/json"),
    ],
)
def test_a_page_or_another_content_type_comes_with_its_status(
    desk: Desk, kind: str, status: int, media: str
) -> None:
    code = desk.code()
    desk.fault(SNS, kind)
    answer = desk.code2session(code)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, media)
    # A page leaves the code good.
    assert "openid" in (answer.json() if media.endswith("json") else desk.exchanged(code))


def test_a_truncated_answer_is_whole_http_but_half_json_and_spends_the_code(desk: Desk) -> None:
    code = desk.code()
    desk.fault(SNS, "truncated")
    answer = desk.code2session(code)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(answer.content)
    assert desk.exchanged(code)["errcode"] == 40163


def test_a_unionid_can_be_missing_and_a_phone_fails_as_wx_does(desk: Desk) -> None:
    desk.fault(SNS, "no_unionid")
    assert list(desk.exchanged(desk.code())) == ["session_key", "openid"]
    desk.fault("/wx/login", -1)
    assert desk.phone("login") == {"errMsg": "login:fail system error", "errno": -1}
    assert "code" in desk.phone("login")


def test_the_log_tells_each_call_without_its_secrets(desk: Desk) -> None:
    session_key = desk.session_key()
    desk.call("POST", "/control/reset")
    desk.code2session("x")
    [entry] = desk.log()
    query = {"appid": APPID, "secret": "***", "js_code": "***", "grant_type": "authorization_code"}
    call = {"n": 1, "time": NOW, "method": "GET", "path": SNS, "query": query, "body": None}
    assert entry == {**call, "status": 200, "errcode": 40029}
    assert session_key not in str(entry)


def test_the_log_masks_secrets_in_bodies_and_shows_nothing_of_one_that_is_no_json(
    desk: Desk,
) -> None:
    desk.stable_token(appid="\ud800")
    desk.phone_number(desk.phone("getPhoneNumber")["code"])
    desk.call("POST", "/cgi-bin/stable_token", data=f'{{"secret":"{appsecret_of(APPID)}"')
    stable = {"appid": "\ud800", "secret": "***", "grant_type": "client_credential"}
    shown = [entry["body"] for entry in desk.log()]
    assert shown == [stable, None, {"code": "***"}, "not a JSON object"]


def test_a_reset_forgets_everything(desk: Desk) -> None:
    code, token, key = desk.code(), desk.token()["access_token"], desk.session_key()
    desk.fault(SNS, -1)
    desk.call("POST", "/control/reset")
    assert desk.exchanged(code)["errcode"] == 40029
    assert desk.phone_number("x", token)["errcode"] == 40014
    assert desk.checked(key) == 40003
    assert desk.phone("checkSession") == {"valid": False}
    assert desk.log()[0]["n"] == 1


FAULT = {"path": SNS, "kind": "html"}
FAULTS: list[dict[str, Any]] = [{"kind": kind} for kind in ("slow", 0, "４００２９", True)]
FAULTS += [{"path": "/nowhere"}, {"times": 0}, {"times": True}, {"user": ""}]
UNKNOWN = {"appid": "wxffffffffffffffff", "user": "ann"}


@pytest.mark.parametrize(
    ("method", "switch", "order", "status"),
    [
        *(("POST", "fault", {**FAULT, **order}, 400) for order in FAULTS),
        ("GET", "log?after=-1", UNKNOWN, 400),
        ("POST", "expire_session", UNKNOWN, 400),
        ("GET", "reset", UNKNOWN, 405),
    ],
)
def test_a_use_of_a_switch_that_makes_no_sense_is_refused_in_json(
    desk: Desk, method: str, switch: str, order: dict[str, Any], status: int
) -> None:
    answer = desk.call(method, f"/control/{switch}", json=order)
    assert answer.status_code == status
    assert answer.json()["errMsg"].startswith(f"{switch.partition('?')[0]}:fail ")
