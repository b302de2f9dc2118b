"""Deliver: each event in the queue goes to the business API until that takes it.

Lambda reads the queue and hands over a batch; what is reported as failed stays in the queue.
Source: AWS, «Using Lambda with Amazon SQS», «Implementing partial batch responses».
"""

import base64
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib import logs
from chalicelib.deadlines import EVENT_PAUSES, Deadline
from chalicelib.errors import GateError
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from chalicelib.network.queue import Queue
    from chalicelib.upstream.assertions import Assertions
    from chalicelib.upstream.upstream import Upstream

ASSERTION_LIFE = 60  # seconds


@dataclass(frozen=True)
class _Event:
    """A record of Lambda's: received for the `attempt`-th time, the first being 1.

    Without appid or id (""), it is no event of the gate's: by hand anything may be queued.
    """

    request_id: str
    receipt: str
    attempt: int
    body: bytes
    appid: str = ""
    openid: str = ""
    id: str = ""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "_Event":
        attributes = record["messageAttributes"]
        known = {
            n: attributes[n]["stringValue"] for n in ("appid", "openid", "id") if n in attributes
        }
        attempt = int(record["attributes"]["ApproximateReceiveCount"])
        body = record["body"].encode()
        return cls(record["messageId"], record["receiptHandle"], attempt, body, **known)

    @property
    def pause(self) -> int:
        """Seconds until the next attempt; after the last, 0 lets SQS move the message away."""
        if not (self.appid and self.id) or self.attempt > len(EVENT_PAUSES):
            return 0
        return EVENT_PAUSES[self.attempt - 1]


def deliver(
    batch: Mapping[str, Any],
    deadline: Deadline,
    *,
    upstream: "Upstream",
    assertions: "Assertions",
    queue: "Queue",
    settings: Settings,
) -> dict[str, Any]:
    """Deliver a batch of 1 to 10 messages in order; report those that are to come again.

    What is no event of the gate's goes to the dead letters unsent.
    """
    failed = []
    for event in map(_Event.of, batch["Records"]):
        outcome: dict[str, Any] = {"reason": "message is malformed"}
        if event.appid and event.id:
            outcome = _attempt(event, settings.events_path, deadline, upstream, assertions)
        delivered = 200 <= outcome.get("status", 0) <= 299
        if not delivered:
            outcome |= _postponed(event, queue)
            failed.append({"itemIdentifier": event.request_id})
        _log(event, outcome, delivered=delivered)
    return {"batchItemFailures": failed}


def _attempt(
    event: _Event, path: str, deadline: Deadline, upstream: "Upstream", assertions: "Assertions"
) -> dict[str, Any]:
    subpath = path.removeprefix("/")
    digest = base64.urlsafe_b64encode(hashlib.sha256(event.body).digest()).decode().rstrip("=")
    claims = {"appid": event.appid, "kind": "event", "event_id": event.id, "body_sha256": digest}
    claims |= {"htm": "POST", "htu": upstream.url(subpath)}
    headers = {"Content-Type": "application/json", "X-Request-Id": event.request_id}
    headers |= {"X-WX-APPID": event.appid, "X-WX-EVENT-ID": event.id}
    if event.openid:
        claims["sub"] = headers["X-WX-OPENID"] = event.openid
    try:
        headers["X-WX-ASSERTION"] = assertions.sign(claims, ASSERTION_LIFE)
        return {"status": upstream.post(subpath, list(headers.items()), event.body, deadline)}
    except GateError as error:
        return {"code": error.code, **error.evidence}


def _postponed(event: _Event, queue: "Queue") -> dict[str, Any]:
    """Let the message come again after its pause; without SQS's help, after the queue's own."""
    try:
        queue.postpone(event.receipt, event.pause)
    except GateError as error:
        return {"queue": error.evidence["reason"]}
    return {"pause": event.pause}


def _log(event: _Event, outcome: dict[str, Any], *, delivered: bool) -> None:
    level, name = (logging.INFO, "Delivered") if delivered else (logging.WARNING, "Undelivered")
    fields = {"request_id": event.request_id, "event_id": event.id, "attempt": event.attempt}
    logs.write(level, "delivery", {**fields, **outcome}, count=(name, {}))
