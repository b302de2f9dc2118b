"""Lambda's event source mapping on the desk: what is in the queue reaches the deliver function.

Source: AWS, «Using Lambda with Amazon SQS» and «Handling errors for an SQS event source».
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from simulator.gateway import Context

BATCH = 10
INTERVAL = 0.25
"""Seconds between two looks at an empty queue."""

SECONDS = 300.0
"""That the function has for a batch."""

GRACE = 5.0
"""Seconds that close() waits for a batch that is under way."""

Function = Callable[[dict[str, Any], Any], dict[str, Any]]


def record_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a received message into a record of Lambda's event."""
    attributes = {
        name: {"dataType": value["DataType"], "stringValue": value["StringValue"]}
        for name, value in message.get("MessageAttributes", {}).items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
    }


def poll(sqs: Any, url: str, function: Function) -> int:
    """Hand one batch to the function, and delete what it took; give the number of messages.

    What it reports as failed, and all of it if it raises, comes again when SQS shows it again.
    """
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=BATCH,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    messages = answer.get("Messages", [])
    if not messages:
        return 0
    failed = {message["MessageId"] for message in messages}
    with suppress(Exception):  # the function has logged it
        result = function({"Records": list(map(record_of, messages))}, Context(seconds=SECONDS))
        failed = {failure["itemIdentifier"] for failure in result["batchItemFailures"]}
    for message in messages:
        if message["MessageId"] not in failed:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return len(messages)


class EventSource:
    """A thread that polls a queue until close(); `function` is looked up for each batch."""

    def __init__(self, sqs: Any, url: str, function: Function) -> None:
        self._queue = sqs, url, function
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            pause = INTERVAL
            with suppress(BotoCoreError, ClientError):
                pause = 0.0 if poll(*self._queue) else INTERVAL

    def close(self, grace: float = GRACE) -> None:
        """Stop; a batch that is under way is finished, if it takes no longer than `grace`."""
        self._closing.set()
        self._thread.join(grace)
