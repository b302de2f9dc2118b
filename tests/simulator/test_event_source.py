"""Lambda's event source mapping on the desk, against SQS in memory."""

import threading
from collections.abc import Callable
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


def function(taken: list[Any], *failed: str) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """A function that keeps the records it gets, and reports these messages as failed."""

    def deliver(event: dict[str, Any], context: Any) -> dict[str, Any]:
        assert context.get_remaining_time_in_millis() > 200_000
        taken.extend(event["Records"])
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    return deliver


def test_a_batch_has_ten_messages_in_lambdas_form_and_what_is_reported_as_failed_stays(
    sqs: Sqs,
) -> None:
    taken: list[Any] = []
    assert [poll(sqs, URL, function(taken, "message-3")) for _ in range(3)] == [10, 2, 0]
    assert taken[0] == {
        "messageId": "message-1",
        "receiptHandle": "message-1",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {"id": {"dataType": "String", "stringValue": "0"}},
        "eventSource": "aws:sqs",
    }
    assert [message.id for message in sqs.messages] == ["message-3"]


def test_a_function_that_raises_leaves_the_batch_until_it_is_shown_again(
    sqs: Sqs, clock: Clock
) -> None:
    def function(_event: object, _context: object) -> dict[str, Any]:
        raise RuntimeError

    poll(sqs, URL, function)
    assert [message.visible_at for message in sqs.messages[:10]] == [clock() + HIDDEN] * 10


def test_a_source_polls_until_it_is_closed_though_sqs_fails(sqs: Sqs) -> None:
    taken: list[Any] = []
    done = threading.Event()

    def counted(event: dict[str, Any], context: object) -> dict[str, Any]:
        answer = function(taken)(event, context)
        if len(taken) == 12:
            done.set()
        return answer

    sqs.failure = client_error("ServiceUnavailable")
    source = EventSource(sqs, URL, counted)
    sqs.failure = None
    assert done.wait(10)
    source.close()
    assert len({record["messageId"] for record in taken}) == 12


def test_the_end_does_not_wait_for_a_function_that_hangs(sqs: Sqs) -> None:
    begun, over = threading.Event(), threading.Event()
    source = EventSource(sqs, URL, lambda *_: {"done": [act() for act in (begun.set, over.wait)]})
    assert begun.wait(10)
    source.close(0)
    over.set()
