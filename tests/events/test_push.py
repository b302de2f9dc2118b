"""From WeChat's push to the business API: the app, Secrets Manager, SQS and the store together.

That the proof beside an event holds is asked by test_example.py.
"""

import json
import time
from collections.abc import Callable

import pytest

from simulator import desk
from simulator.wechat import openid_of, push_secret_of
from simulator.wechat.push import Pushed, sealed
from tests.events.conftest import Events
from tests.support.front_door import APPID

SECRET = push_secret_of(APPID)
MESSAGE = json.dumps({"MsgType": "event", "Event": "e", "OpenID": "o-ann"}).encode()


@pytest.mark.parametrize("kind", ["json", "xml"])
def test_an_event_reaches_the_business_api(events: Events, kind: str) -> None:
    fields = {"RevokeInfo": "1", "Note": "很好 <&>"}
    event = {"event": "user_authorization_revoke", "user": "ann", "format": kind}
    pushed = events.act("/control/push", **event, fields=fields)
    assert pushed == {"ok": True, "attempts": [{"ok": True, "status": 200, "answer": "success"}]}
    assert events.shown() == []
    assert events.deliver() == 1
    (shown,) = events.shown()
    message, headers = json.loads(shown["body"]), shown["headers"]
    assert message.items() >= {**fields, "Event": "user_authorization_revoke"}.items()
    openid = openid_of(APPID, "ann")
    assert (headers["X-WX-APPID"], headers["X-WX-OPENID"]) == (APPID, openid)
    assert events.deliver() == 0


def test_a_cancelled_users_tokens_are_dead_when_wechat_is_answered(events: Events) -> None:
    tokens = [events.door.login("ann") for _ in range(3)]
    bystander = events.door.login("ben")
    assert events.act("/wx/revoke", user="ann")["ok"]  # not yet gone
    assert {events.door.send("GET", "/api/x", token=token).status for token in tokens} == {200}
    assert events.act("/wx/closeAccount", user="ann")["ok"]
    for token in tokens:
        answer = events.door.send("GET", "/api/x", token=token)
        assert (answer.status, answer.code) == (401, "InvalidToken")
    assert events.door.send("GET", "/api/x", token=bystander).status == 200
    assert events.deliver() == 2


ATTACKS: dict[str, Callable[[], Pushed]] = {
    "forged": lambda: sealed(APPID, MESSAGE, {**SECRET, "token": "attacker"}, time.time()),
    "replayed": lambda: sealed(APPID, MESSAGE, SECRET, time.time() - 301),
    "nothing": lambda: Pushed({}, b"", ""),
}


# What else is refused, each with its reason: tests/unit/wechat/test_push.py
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_answered_like_any_other_and_leaves_nothing(
    events: Events, attack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = events.take(ATTACKS[attack]())
    assert (answer.status, answer.code) == (403, "PushRefused")
    assert answer.body == b'{"Code":"PushRefused","Message":"Forbidden."}'
    assert events.deliver() == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["code"], line["route"]) == ("PushRefused", "/events/{appid}")
    assert "o-ann" not in json.dumps(line)


def test_without_events_path_there_is_no_such_route(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_PATH", "")
    monkeypatch.setenv("EVENTS_QUEUE_URL", "")
    events.door.module = desk.load_app()
    for method in ("GET", "POST", "PUT"):
        answer = events.door.send(method, f"/events/{APPID}")
        assert (answer.status, answer.code) == (404, "NotFound")
