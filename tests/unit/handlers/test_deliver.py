"""Delivery: what the business API gets, when it gets it again, and that no event is lost."""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import jwt
import pytest
from botocore.exceptions import EndpointConnectionError

from chalicelib import logs
from chalicelib.deadlines import EVENT_PAUSES, NO_DEADLINE, Deadline
from chalicelib.errors import QueueUnavailable
from chalicelib.handlers.deliver import deliver
from chalicelib.network.connections import Reply
from chalicelib.network.exchange_errors import Refused, Stale, TimedOut, TransportError
from chalicelib.network.queue import Queue
from chalicelib.network.secrets import Secrets
from chalicelib.settings import read
from chalicelib.upstream.assertions import Assertions
from chalicelib.upstream.upstream import Upstream
from simulator.aws import signing_secret
from simulator.event_source import poll
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, Wire, client_error
from tests.support.queue import HIDDEN, URL, Sqs

APPID = "wx4f4bc4dec97d474b"
BODY = '{"Event":"user_authorization_revoke","Content":"很好"}'
DAY = 86_400
ENVIRONMENT = {"WX_APPIDS": APPID, "SESSIONS_TABLE": "table", "SECRET_PREFIX": "wxgate/"}
ENVIRONMENT |= {"UPSTREAM_URL": "https://api.test/base"}
SETTINGS = replace(read(ENVIRONMENT), events_path="/wxgate/events")
OK, DOWN = Reply(204, [], b""), Refused()


class Delivery:
    """The deliver function on a queue and an upstream in memory, and the clock of both."""

    def __init__(self, *outcomes: Reply | TransportError) -> None:
        self.clock = Clock()
        self.deadline = NO_DEADLINE
        self.wire = Wire(*outcomes)
        self.sqs = Sqs(self.clock)
        self.queue = Queue(self.sqs, URL)
        self.manager = SecretsManager(self.clock)
        self.manager.put("wxgate/signing", signing_secret())
        secrets = Secrets(self.manager, self.clock, Alerts())
        self.upstream = Upstream(self.wire, read(ENVIRONMENT))
        audience = ENVIRONMENT["UPSTREAM_URL"]
        self.assertions = Assertions(secrets, "wxgate/signing", audience, self.clock)

    def queued(self, number: int = 1, **attributes: str) -> None:
        known = {"appid": APPID, "openid": "o-ann", "id": f"event-{number}", **attributes}
        self.queue.send(BODY, {name: value for name, value in known.items() if value})

    def function(self, event: dict[str, Any], _context: Any = None) -> dict[str, Any]:
        services: Any = {"upstream": self.upstream, "assertions": self.assertions}
        services |= {"queue": self.queue, "settings": SETTINGS}
        return deliver(event, self.deadline, **services)

    def poll(self) -> None:
        """Let Lambda take one batch from the queue."""
        poll(self.sqs, URL, self.function)

    def run(self, seconds: float = 2 * DAY) -> None:
        """Poll whenever there is something to take, until the queue is empty or time is up."""
        end = self.clock() + seconds
        while self.sqs.messages and self.sqs.next_at <= end:
            self.clock.now = max(self.clock(), self.sqs.next_at)
            self.poll()

    def headers(self) -> dict[str, str]:
        return dict(self.wire.exchanged[-1].headers)


def delivered(*outcomes: Reply | TransportError, **attributes: str) -> Delivery:
    """One event was queued, and Lambda has taken it once."""
    delivery = Delivery(*outcomes)
    delivery.queued(1, **attributes)
    delivery.poll()
    return delivery


def test_an_event_is_posted_with_proof() -> None:
    delivery = delivered(OK)
    (sent,) = delivery.wire.exchanged
    assert (sent.origin.authority, sent.method) == ("api.test", "POST")
    assert (sent.target, sent.body) == ("/base/wxgate/events", BODY.encode())
    assert (sent.retry_on, sent.max_bytes) == ((Refused, Stale), 2**20)
    headers = delivery.headers()
    assertion = headers.pop("X-WX-ASSERTION")
    who = {"X-WX-APPID": APPID, "X-WX-OPENID": "o-ann", "X-WX-EVENT-ID": "event-1"}
    about = {"Content-Type": "application/json", "X-Request-Id": "message-1"}
    assert headers == {"Accept-Encoding": "identity", **about, **who}
    life = {"iss": "wxgate", "aud": ENVIRONMENT["UPSTREAM_URL"], "iat": NOW, "exp": NOW + 60}
    event = {"sub": "o-ann", "appid": APPID, "kind": "event", "event_id": "event-1"}
    digest = base64.urlsafe_b64encode(hashlib.sha256(BODY.encode()).digest()).decode()
    event |= {"body_sha256": digest.rstrip("=")}
    request = {"htm": "POST", "htu": "https://api.test/base/wxgate/events"}
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert claims == {**life, **event, **request}
    assert delivery.sqs.messages == []


def test_an_event_that_concerns_nobody_names_nobody() -> None:
    headers = delivered(OK, openid="").headers()
    assert "X-WX-OPENID" not in headers
    assert "sub" not in jwt.decode(headers["X-WX-ASSERTION"], options={"verify_signature": False})


def test_a_2xx_ends_it_and_anything_else_is_tried_again() -> None:
    for status in (200, 201, 202, 204, 299):
        delivery = delivered(Reply(status, [], b"whatever"))
        assert (delivery.sqs.messages, delivery.sqs.postponed) == ([], [])
    failures: list[Reply | TransportError] = [DOWN, TimedOut()]
    failures += [Reply(status, [], b"") for status in (300, 400, 401, 404, 410, 500, 503)]
    for outcome in failures:
        delivery = delivered(outcome)
        assert (len(delivery.sqs.messages), delivery.sqs.postponed) == (1, [5])


def test_without_a_signing_key_or_time_nothing_is_sent_and_all_is_tried_again() -> None:
    delivery = Delivery(OK)
    delivery.queued()
    delivery.manager.failure = client_error("InternalServiceError")
    delivery.poll()
    delivery.manager.failure, delivery.deadline = None, Deadline.after(0)
    delivery.clock.advance(5)
    delivery.poll()
    assert (delivery.sqs.postponed, delivery.wire.exchanged) == ([5, 30], [])
    delivery.deadline = NO_DEADLINE
    delivery.run()
    assert (delivery.sqs.messages, len(delivery.wire.exchanged)) == ([], 1)


def test_the_pauses_grow_to_an_hour_and_after_a_day_an_event_is_a_dead_letter() -> None:
    assert (EVENT_PAUSES[:3], max(EVENT_PAUSES)) == ((5, 30, 120), 3600)
    assert list(EVENT_PAUSES) == sorted(EVENT_PAUSES)
    delivery = Delivery(DOWN)
    delivery.queued()
    delivery.run()
    assert (delivery.sqs.messages, delivery.sqs.postponed) == ([], [*EVENT_PAUSES, 0])
    (dead,) = delivery.sqs.dead
    assert (dead.body, delivery.clock()) == (BODY, NOW + DAY)


def test_if_sqs_does_not_postpone_it_the_message_comes_after_the_queues_own_pause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO")
    delivery = Delivery(DOWN, DOWN, OK)
    delivery.queued()

    def function(event: dict[str, Any], _context: object) -> dict[str, Any]:
        delivery.sqs.failure = EndpointConnectionError(endpoint_url="https://sqs.test")
        failed = delivery.function(event)
        delivery.sqs.failure = None
        return failed

    poll(delivery.sqs, URL, function)
    assert json.loads(capsys.readouterr().out)["queue"] == "EndpointConnectionError"
    delivery.run(HIDDEN - 1)
    assert len(delivery.wire.exchanged) == 1
    delivery.run(HIDDEN)
    assert delivery.sqs.messages == []


@pytest.mark.parametrize("missing", ["appid", "id"])
def test_a_poison_message_is_a_dead_letter_at_once_and_holds_nothing_up(
    missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery = Delivery(OK)
    logs.configure("INFO")
    delivery.queued(1, **{missing: ""})
    delivery.queued(2)
    delivery.run()
    assert json.loads(capsys.readouterr().out.splitlines()[0])["reason"] == "message is malformed"
    assert delivery.headers()["X-WX-EVENT-ID"] == "event-2"
    assert len(delivery.wire.exchanged) == len(delivery.sqs.dead) == 1
    assert delivery.clock() == NOW


class FlakySqs(Sqs):
    """Fails at random, before or after it has done what it was asked for."""

    def __init__(self, clock: Clock, luck: random.Random) -> None:
        super().__init__(clock)
        self._luck = luck

    def send_message(self, **arguments: Any) -> Any:
        return self._perhaps(super().send_message, **arguments)

    def change_message_visibility(self, **arguments: Any) -> Any:
        return self._perhaps(super().change_message_visibility, **arguments)

    def _perhaps(self, act: Callable[..., Any], **arguments: Any) -> Any:
        luck = self._luck.random()
        if luck < 0.1:
            raise client_error("ServiceUnavailable")
        done = act(**arguments)
        if luck < 0.2:
            raise EndpointConnectionError(endpoint_url="https://sqs.test")
        return done


def test_of_a_thousand_events_none_is_lost_though_everything_fails_at_random() -> None:
    luck = random.Random(0)
    answers: list[Reply | TransportError] = [OK, OK, TimedOut()]
    answers += [Reply(404, [], b""), Reply(500, [], b"")]
    outcomes = [luck.choice(answers) for _ in range(5_000)]
    delivery, answered = Delivery(*outcomes), set()
    delivery.sqs = FlakySqs(delivery.clock, luck)
    delivery.queue = Queue(delivery.sqs, URL)
    for number in range(1_000):
        for _ in range(3):  # WeChat's tries
            with suppress(QueueUnavailable):
                delivery.queued(number)
                answered.add(f"event-{number}")
                break
        if luck.random() < 0.1:
            delivery.poll()
            delivery.clock.advance(luck.random() * 10)
    delivery.run()
    sent = zip(delivery.wire.exchanged, outcomes, strict=False)
    taken = {dict(each.headers)["X-WX-EVENT-ID"] for each, outcome in sent if outcome is OK}
    assert len(delivery.wire.exchanged) < len(outcomes)
    assert answered <= taken
    assert len(answered) > 980
    assert (delivery.sqs.messages, delivery.sqs.dead) == ([], [])


def test_an_attempt_is_one_line_and_one_count_without_content_and_no_others_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO", "wxgate-deliver")
    delivery = Delivery(OK, TimedOut(), Reply(500, [], b"canary"))
    for number in range(3):
        delivery.queued(number)
    delivery.poll()
    output = capsys.readouterr().out
    logs.configure("INFO")
    lines = [json.loads(line) for line in output.splitlines()]
    names = ("event", "level", "request_id", "event_id", "attempt", "status", "code", "pause")
    assert [tuple(map(line.get, names)) for line in lines] == [
        ("delivery", "INFO", "message-1", "event-0", 1, 204, None, None),
        ("delivery", "WARNING", "message-2", "event-1", 1, None, "UpstreamTimeout", 5),
        ("delivery", "WARNING", "message-3", "event-2", 1, 500, None, 5),
    ]
    counts = [("Delivered" in line, "Undelivered" in line) for line in lines]
    assert counts == [(True, False), (False, True), (False, True)]
    assert [text for text in ("o-ann", "很好", "canary") if text in output] == []
    left = [message.attributes["id"]["StringValue"] for message in delivery.sqs.messages]
    assert left == ["event-1", "event-2"]
