"""SQS in memory, in place of boto3's client, on a clock that a test moves."""

import itertools
from dataclasses import dataclass
from typing import Any

from tests.support.fakes import Clock

URL = "https://sqs.test/1/events"
MAX_RECEIVES = 30
"""As the template has it; a test compares."""

HIDDEN = 1_800.0
"""Seconds that a received message stays hidden unless the receiver says otherwise; as above."""


@dataclass
class Stored:
    """A message in the queue: shown again at `visible_at`, received so many times."""

    id: str
    body: str
    attributes: dict[str, Any]
    sent_at: float
    visible_at: float
    received: int = 0

    def as_received(self) -> dict[str, Any]:
        count = {"ApproximateReceiveCount": str(self.received)}
        ids = {"MessageId": self.id, "ReceiptHandle": self.id}
        return {**ids, "Body": self.body, "Attributes": count, "MessageAttributes": self.attributes}


class Sqs:
    """One queue and its dead letters; while `failure` is set, every call raises it.

    `postponed` lists the pauses that were asked for.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self.messages: list[Stored] = []
        self.dead: list[Stored] = []
        self.failure: Exception | None = None
        self.postponed: list[int] = []

    def send_message(
        self, *, QueueUrl: str, MessageBody: str, MessageAttributes: dict[str, Any]
    ) -> dict[str, str]:
        self._check(QueueUrl)
        assert all(value["StringValue"] for value in MessageAttributes.values())
        name, now = f"message-{next(self._numbers)}", self._clock()
        self.messages.append(Stored(name, MessageBody, MessageAttributes, now, now))
        return {"MessageId": name}

    def receive_message(self, *, QueueUrl: str, **_: object) -> dict[str, Any]:
        self._check(QueueUrl)
        shown = [message for message in self.messages if message.visible_at <= self._clock()]
        for message in (dead for dead in shown if dead.received == MAX_RECEIVES):
            self.messages.remove(message)
            self.dead.append(message)
        received = [message for message in shown if message in self.messages][:10]
        for message in received:
            message.received += 1
            message.visible_at = self._clock() + HIDDEN
        return {"Messages": [message.as_received() for message in received]} if received else {}

    def change_message_visibility(
        self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int
    ) -> dict[str, Any]:
        self._check(QueueUrl)
        assert 0 <= VisibilityTimeout <= 43_200
        self.postponed.append(VisibilityTimeout)
        self._find(ReceiptHandle).visible_at = self._clock() + VisibilityTimeout
        return {}

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:
        self._check(QueueUrl)
        self.messages.remove(self._find(ReceiptHandle))

    @property
    def next_at(self) -> float:
        return min(message.visible_at for message in self.messages)

    def _find(self, receipt: str) -> Stored:
        return next(message for message in self.messages if message.id == receipt)

    def _check(self, url: str) -> None:
        assert url == URL
        if self.failure is not None:
            raise self.failure
