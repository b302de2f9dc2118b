"""`make redrive`: send undelivered events again, or with DRY_RUN=1 show them.

Their contents are not shown: they are personal data.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infrastructure import commands
from infrastructure.parameters import Refused, existing

SHOWN = 10
"""SQS gives so many at most in one answer."""


def show(sqs: Any, url: str) -> None:
    """Print how many dead letters there are, and when and for which app the first ones came."""
    names = ["ApproximateNumberOfMessages"]
    count = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]]
    print(f"Not delivered: {count}")
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=SHOWN,
        VisibilityTimeout=0,  # stays visible to all
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=["appid", "id"],
    )
    for message in answer.get("Messages", []):
        sent = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
        known = message.get("MessageAttributes", {})
        texts = [known.get(name, {}).get("StringValue", "-") for name in ("appid", "id")]
        print(f"{sent:%Y-%m-%d %H:%M:%S}Z  {'  '.join(texts)}")


def send(sqs: Any, url: str) -> None:
    """Move all dead letters back into the queue they came from: 24 hours of attempts begin anew."""
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    sqs.start_message_move_task(SourceArn=answer["Attributes"]["QueueArn"])
    print("SQS is moving them back; the deliver function takes them at once.")


def _queue_of(stack: str, region: str) -> str:
    for output in existing(stack, region).get("Outputs", []):
        if output["OutputKey"] == "EventDeadLettersUrl":
            return str(output["OutputValue"])
    raise Refused(f"The stack {stack} in {region} has no events: set EventsPath (docs/events.md).")


def main(arguments: Sequence[str] | None = None) -> None:
    """Send or show; end with status 1 and one line if that cannot be."""
    parser = commands.parser("redrive", __doc__)
    parser.add_argument("--dry-run", action="store_true", help="show them, and change nothing")
    options = parser.parse_args(arguments)
    with commands.one_line(Refused, BotoCoreError, ClientError):
        url = _queue_of(options.stack, options.region)
        (show if options.dry_run else send)(boto3.client("sqs", region_name=options.region), url)


if __name__ == "__main__":
    main()
