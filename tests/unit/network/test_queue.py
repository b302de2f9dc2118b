"""The queue: what SQS is asked for, and that no failure passes for success."""

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError

from chalicelib.deadlines import NO_DEADLINE
from chalicelib.errors import QueueUnavailable
from chalicelib.network.queue import Queue
from tests.support.fakes import Clock, client_error
from tests.support.queue import URL, Sqs


@pytest.fixture
def sqs(clock: Clock) -> Sqs:
    return Sqs(clock)


@pytest.fixture
def queue(sqs: Sqs) -> Queue:
    return Queue(sqs, URL)


def test_a_message_is_stored_with_its_attributes(queue: Queue, sqs: Sqs) -> None:
    queue.warm(NO_DEADLINE)
    queue.send('{"a":1}', {"appid": "wx-app"})
    assert sqs.messages[0].body == '{"a":1}'
    assert sqs.messages[0].attributes == {"appid": {"DataType": "String", "StringValue": "wx-app"}}


def test_the_two_characters_that_sqs_does_not_take_are_escaped(queue: Queue, sqs: Sqs) -> None:
    """Of those that JSON holds unescaped (SQS, SendMessage: the characters of XML 1.0)."""
    text = "\ufffe\uffff\ufffd\x7f\U0010ffff很"
    queue.send(json.dumps({"a": text}, ensure_ascii=False), {})
    assert not set(sqs.messages[0].body) & {"\ufffe", "\uffff"}
    assert json.loads(sqs.messages[0].body) == {"a": text}


@pytest.mark.parametrize(
    "failure",
    [
        client_error("AccessDenied"),
        client_error("AWS.SimpleQueueService.NonExistentQueue"),
        client_error("InternalError"),
        EndpointConnectionError(endpoint_url="https://sqs.test"),
    ],
)
def test_whatever_fails_the_sender_is_to_send_again(
    queue: Queue, sqs: Sqs, failure: Exception
) -> None:
    sqs.failure = failure
    with pytest.raises(QueueUnavailable) as caught:
        queue.send("{}", {})
    assert caught.value.evidence["reason"]
    with pytest.raises(QueueUnavailable):
        queue.postpone("receipt", 5)


def test_an_answer_that_breaks_off_is_no_success() -> None:
    truncated = SimpleNamespace(send_message=lambda **_: {})  # as botocore reads it
    with pytest.raises(QueueUnavailable):
        Queue(truncated, URL).send("{}", {})
