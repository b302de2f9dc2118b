"""The queue of events in SQS: what is in it is safe, and comes out at least once."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.deadlines import Deadline
from chalicelib.errors import QueueUnavailable
from chalicelib.network.aws_errors import reason


class Queue:
    """One queue; `client` is boto3's.

    Every method raises QueueUnavailable, also if only the operator can help: whoever sent the
    message shall send it again.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def warm(self, _deadline: Deadline) -> None:
        """Do nothing: of the calls that the roles allow, each changes something."""

    def send(self, body: str, attributes: Mapping[str, str]) -> None:
        """Store a JSON text and its attributes, none of them empty; durable on return."""
        # SQS takes the characters of XML 1.0; JSON has an escape for the two that are left over.
        body = body.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
        typed = {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()}
        answer = self._call("send_message", MessageBody=body, MessageAttributes=typed)
        if "MessageId" not in answer:  # the SDK takes a truncated answer for an empty one
            raise QueueUnavailable(reason="answer is incomplete")

    def postpone(self, receipt: str, seconds: int) -> None:
        """Hide a received message for so many seconds; 0 gives it back at once."""
        self._call("change_message_visibility", ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(
                QueueUrl=self._url, **arguments
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailable(reason=reason(error)) from error
        return answer
