"""Lambda's event source mapping on the desk, against SQS in memory."""

import json
import threading
from typing import Any

import pytest

from simulator.event_source import EventSource, poll
from tests.support.fakes import Clock, client_error
from tests.support.queue import HIDDEN, URL, Sqs


@pytest.fixture
def sqs(clock: Clock) -> Sqs:
    made = Sqs(clock)
    for number in range(12):
        attributes = {"id": {"DataType": "String", "StringValue": str(number)}}
        made.send_message(QueueUrl=URL, MessageBody="{}", MessageAttributes=attributes)
    return made


def test_a_batch_has_ten_messages_in_lambdas_form(sqs: Sqs) -> None:
    batches: list[dict[str, Any]] = []

    def function(event: dict[str, Any], context: Any) -> dict[str, Any]:
        assert context.get_remaining_time_in_millis() > 200_000
        batches.append(event)
        return {"batchItemFailures": []}

    assert [poll(sqs, URL, function) for _ in range(3)] == [10, 2, 0]
    assert batches[0]["Records"][0] == {
        "messageId": "message-1",
        "receiptHandle": "message-1",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {"id": {"dataType": "String", "stringValue": "0"}},
        "eventSource": "aws:sqs",
    }
    assert sqs.messages == []


def test_what_is_reported_as_failed_stays(sqs: Sqs) -> None:
    def function(_event: object, _context: object) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": "message-3"}]}

    poll(sqs, URL, function)
    assert [message.id for message in sqs.messages] == ["message-3", "message-11", "message-12"]


def test_a_function_that_raises_leaves_the_batch_until_it_is_shown_again(
    sqs: Sqs, clock: Clock
) -> None:
    def function(_event: object, _context: object) -> dict[str, Any]:
        raise RuntimeError

    poll(sqs, URL, function)
    assert [message.visible_at for message in sqs.messages[:10]] == [clock() + HIDDEN] * 10


def test_a_source_polls_until_it_is_closed_though_sqs_fails(sqs: Sqs) -> None:
    done = threading.Event()
    seen: list[str] = []
    sqs.failure = client_error("ServiceUnavailable")

    def function(event: dict[str, Any], _context: object) -> dict[str, Any]:
        seen.extend(json.dumps(record["messageAttributes"]) for record in event["Records"])
        if len(seen) == 12:
            done.set()
        return {"batchItemFailures": []}

    source = EventSource(sqs, URL, function)
    sqs.failure = None
    assert done.wait(10)
    source.close()
    assert len(set(seen)) == 12
