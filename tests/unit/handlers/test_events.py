"""The push URL: what is queued, what ends sessions, and what WeChat is answered."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest

from chalicelib import logs
from chalicelib.errors import GateError, PushRefused, QueueUnavailable, StoreUnavailable
from chalicelib.front.request import Request
from chalicelib.front.response import Answer
from chalicelib.handlers import events
from chalicelib.network.queue import Queue
from chalicelib.network.secrets import Secrets
from chalicelib.wechat.push import Push
from simulator.gateway import event_of
from simulator.wechat.push import push_secret_of, sealed, signature_of
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, client_error
from tests.support.queue import URL, Sqs

APPID = "wx4f4bc4dec97d474b"
SECRET = push_secret_of(APPID)
ROUTES = ["/events/{appid}"]
EVENT: dict[str, Any] = {"FromUserName": "o-push", "MsgType": "event", "CreateTime": NOW}
REVOKED = {**EVENT, "Event": "user_authorization_revoke", "OpenID": "o-ann"}
CANCELLED = {**EVENT, "Event": "user_authorization_cancellation", "OpenID": "o-ann"}


@dataclass
class Sessions:
    """Lists what is done, and what the queue held by then."""

    sqs: Sqs
    ended: list[tuple[str, str, int]] = field(default_factory=list)
    failure: GateError | None = None

    def end_user(self, appid: str, openid: str) -> None:
        if self.failure:
            raise self.failure
        self.ended.append((appid, openid, len(self.sqs.messages)))


class Gate:
    """The handlers, on services in memory."""

    def __init__(self, clock: Clock) -> None:
        manager = SecretsManager(clock)
        manager.put(f"wxgate/push/{APPID}", SECRET)
        self.sqs = Sqs(clock)
        self.sessions = Sessions(self.sqs)
        self.push = Push(Secrets(manager, clock, Alerts()), "wxgate/", (APPID,), clock)

    def receive(self, message: dict[str, Any] | bytes, **changes: Any) -> Answer:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        pushed = sealed(APPID, data, SECRET, float(NOW), **changes)
        return self.receive_as(pushed.query, pushed.body)

    def receive_as(self, query: dict[str, str], body: bytes | str, **members: Any) -> Answer:
        event = event_of("POST", f"/events/{APPID}?{urlencode(query)}", [], body, ROUTES)
        self.request = Request({**event, **members})
        services: Any = {"push": self.push, "sessions": self.sessions}
        return events.receive(self.request, **services, queue=Queue(self.sqs, URL))


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(clock)


def attributes(gate: Gate) -> dict[str, str]:
    found = gate.sqs.messages[-1].attributes
    return {name: value["StringValue"] for name, value in found.items()}


def test_success_is_answered_once_the_message_is_queued(gate: Gate) -> None:
    answer = gate.receive(REVOKED)
    assert (answer.status_code, answer.body) == (200, "success")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert json.loads(gate.sqs.messages[0].body) == REVOKED
    identity = attributes(gate)
    assert identity == {"appid": APPID, "openid": "o-ann", "id": identity["id"]}
    assert gate.request.log_fields == {"event_id": identity["id"]}
    assert gate.sessions.ended == []
    gate.receive(REVOKED, nonce="2", timestamp=str(NOW + 5))  # WeChat's repeat
    assert (len(gate.sqs.messages), attributes(gate)) == (2, identity)


def test_the_openid_of_the_url_counts_for_nothing(gate: Gate) -> None:
    gate.receive({**EVENT, "Event": "user_info_modified"}, openid="o-ben")
    assert "openid" not in attributes(gate)


def test_the_sessions_of_a_cancelled_user_end_before_the_message_is_queued(gate: Gate) -> None:
    gate.receive(CANCELLED)
    assert gate.sessions.ended == [(APPID, "o-ann", 0)]
    assert attributes(gate)["openid"] == "o-ann"


def test_a_cancellation_without_an_openid_is_queued_and_alerts(
    gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO")
    gate.receive({**CANCELLED, "OpenID": ""})
    assert gate.sessions.ended == []
    assert len(gate.sqs.messages) == 1
    line = json.loads(capsys.readouterr().out)
    assert (line["alert"], line["appid"]) == ("CancellationWithoutOpenID", APPID)
    assert line["event_id"] == attributes(gate)["id"]


def test_if_a_session_may_be_alive_nothing_is_queued_and_wechat_repeats(gate: Gate) -> None:
    gate.sessions.failure = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        gate.receive(CANCELLED)
    assert gate.sqs.messages == []
    gate.receive(REVOKED)  # which needs no store


def test_without_the_queue_wechat_is_answered_503_and_its_repeat_is_taken(gate: Gate) -> None:
    gate.sqs.failure = client_error("ServiceUnavailable")
    with pytest.raises(QueueUnavailable) as caught:
        gate.receive(CANCELLED)
    assert caught.value.status == 503
    gate.sqs.failure = None
    assert gate.receive(CANCELLED).body == "success"
    assert len(gate.sessions.ended) == 2  # ending what has ended does no harm


def test_what_is_refused_is_neither_queued_nor_acted_on(gate: Gate) -> None:
    for changes in ({"timestamp": str(NOW - 301)}, {"nonce": ""}):
        with pytest.raises(PushRefused):
            gate.receive(CANCELLED, **changes)
    with pytest.raises(PushRefused):
        gate.receive(b'{"Event":')
    with pytest.raises(PushRefused) as caught:
        gate.receive_as({}, "%", isBase64Encoded=True)
    assert caught.value.evidence == {"reason": "body"}
    assert (gate.sqs.messages, gate.sessions.ended) == ([], [])


def test_wechats_check_is_answered_by_the_raw_echostr(gate: Gate) -> None:
    query = {"timestamp": str(NOW), "nonce": "7", "echostr": "4375"}
    query["signature"] = signature_of(SECRET["token"], str(NOW), "7")
    request = Request(event_of("GET", f"/events/{APPID}?{urlencode(query)}", [], None, ROUTES))
    answer = events.check(request, push=gate.push)
    assert (answer.status_code, answer.body) == (200, "4375")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
