"""What WeChat pushes: sealed so that another library opens it, as often as it is not taken."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests
from wechatpy.crypto import WeChatCrypto

from simulator.wechat import WeChat, appsecret_of, openid_of, push_secret_of
from simulator.wechat.messages import Call
from tests.simulator.wechat_desk import APPID, NOW

SECRET = push_secret_of(APPID)
Taken = list[tuple[str, Mapping[str, str], bytes, str]]


def wechat(answer: Callable[[int], tuple[int, bytes]]) -> tuple[WeChat, Taken]:
    """A WeChat whose pushes get `answer` of their number, and what it pushed."""
    taken: Taken = []

    def send(*push: Any) -> tuple[int, bytes]:
        taken.append(push)
        return answer(len(taken))

    made = WeChat({APPID: appsecret_of(APPID)}, lambda: NOW, send=send)
    made.push_url = "https://gate.test/events/"
    return made, taken


def call(made: WeChat, path: str, **members: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"appid": APPID, **members}).encode()
    answer = made.answer(Call("POST", path, {}, body))
    return answer.status, json.loads(answer.body)


def success(_number: int) -> tuple[int, bytes]:
    return 200, b"success"


def silence(_number: int) -> tuple[int, bytes]:
    raise requests.Timeout


def opened_by_wechatpy(push: tuple[str, Mapping[str, str], bytes, str]) -> Any:
    """Open a push with a library of another hand."""
    _, query, body, _ = push
    crypto = WeChatCrypto(SECRET["token"], SECRET["aes_key"], APPID)
    signed = query["msg_signature"], query["timestamp"], query["nonce"]
    return crypto.decrypt_message(json.loads(body) if body[:1] == b"{" else body, *signed)


@pytest.mark.parametrize(("kind", "media"), [("json", "application/json"), ("xml", "text/xml")])
def test_another_library_opens_a_push(kind: str, media: str) -> None:
    made, taken = wechat(success)
    fields = {"Note": "很好 ]]> <&", "List": [{"Id": "1"}, {"Id": "2"}], "Number": 7}
    call(made, "/control/push", event="e", user="ann", format=kind, fields=fields)
    assert (taken[0][0], taken[0][3]) == (f"https://gate.test/events/{APPID}", media)
    text = opened_by_wechatpy(taken[0])
    if kind == "json":
        assert json.loads(text).items() >= {**fields, "CreateTime": int(NOW)}.items()
    else:
        assert "<Note>很好 ]]&gt; &lt;&amp;</Note><List><Id><![CDATA[1]]></Id></List><List>" in text
        assert "<Number>7</Number>" in text


@pytest.mark.parametrize(
    ("act", "told", "live"),
    [
        ("revoke", {"Event": "user_authorization_revoke", "RevokeInfo": "6"}, True),
        ("closeAccount", {"Event": "user_authorization_cancellation"}, False),
    ],
)
def test_what_a_user_does_in_the_settings_is_pushed(
    act: str, told: dict[str, str], live: bool
) -> None:
    made, taken = wechat(success)
    call(made, "/wx/login", user="ann")
    assert call(made, f"/wx/{act}", user="ann")[1]["ok"]
    message = json.loads(opened_by_wechatpy(taken[0]))
    assert message.items() >= {**told, "OpenID": openid_of(APPID, "ann")}.items()
    assert message["FromUserName"] != message["OpenID"]
    assert call(made, "/wx/checkSession", user="ann")[1]["valid"] is live


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (lambda _: (200, b"success"), 1),
        (lambda _: (200, b""), 1),
        (lambda n: (200, b"success") if n == 2 else (503, b"{}"), 2),
        (lambda _: (200, b"ok"), 3),
        (lambda _: (403, b"success"), 3),
        (silence, 3),
    ],
)
def test_what_is_not_taken_is_pushed_three_times_in_all(answer: Any, attempts: int) -> None:
    made, taken = wechat(answer)
    result = call(made, "/control/push", event="e")[1]
    assert len(taken) == len(result["attempts"]) == attempts
    assert result["ok"] is (attempts < 3)
    assert len({push[1]["msg_signature"] for push in taken}) == attempts  # sealed anew
    if answer is silence:
        assert result["attempts"] == [{"ok": False, "status": None, "answer": "Timeout"}] * 3


REFUSED = [
    {"event": None},
    {"event": 7},
    {"format": "yaml"},
    {"fields": []},
    {"appid": "wx-unknown"},
]


@pytest.mark.parametrize("members", [*REFUSED, {"user": ""}])
def test_what_cannot_be_pushed_is_refused(members: dict[str, Any]) -> None:
    made, taken = wechat(success)
    assert call(made, "/control/push", **{"event": "e", **members})[0] == 400
    made.push_url = ""
    status, answer = call(made, "/wx/revoke", user="ann")
    assert (status, answer["errMsg"][:11]) == (400, "revoke:fail")
    assert taken == []
