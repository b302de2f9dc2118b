"""`python -m infrastructure.destroy … -- sam delete …`: delete a stack, then what it leaves."""

import subprocess
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infrastructure import commands
from infrastructure.parameters import Refused, described


def kept(cloudformation: Any, stack: str) -> dict[str, str]:
    """Give the names of the stack's table and dead letters, by logical name, if it has them."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    names = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources}
    return {name: names[name] for name in ("SessionsTable", "EventDeadLetters") if name in names}


def delete_secrets(manager: Any, stack: str) -> None:
    """Delete the stack's secrets; for 30 days they can be restored, as `make secrets` does."""
    pages = manager.get_paginator("list_secrets").paginate(
        Filters=[{"Key": "name", "Values": [f"{stack}/app/", f"{stack}/push/", f"{stack}/signing"]}]
    )
    for name in (secret["Name"] for page in pages for secret in page["SecretList"]):
        if name.startswith(f"{stack}/"):  # the filter is no promise
            manager.delete_secret(SecretId=name)
            print(f"{name} is deleted.")


def delete_table(dynamodb: Any, table: str) -> None:
    """Delete the table, which is protected against just that."""
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    dynamodb.get_waiter("table_exists").wait(TableName=table)
    dynamodb.delete_table(TableName=table)
    print(f"{table} is deleted.")


def _run(stack: str, region: str, command: Sequence[str]) -> None:
    names = kept(boto3.client("cloudformation", region_name=region), stack)
    print(f"With the stack its secrets and {' and '.join(names.values())} will be deleted.")
    done = subprocess.run(command, check=False)  # noqa: S603 - the Makefile's own
    if done.returncode or described(stack, region):
        raise Refused("The stack is still there, so its data are too.")
    if table := names.get("SessionsTable"):
        delete_table(boto3.client("dynamodb", region_name=region), table)
    if queue := names.get("EventDeadLetters"):
        boto3.client("sqs", region_name=region).delete_queue(QueueUrl=queue)
        print(f"{queue} is deleted.")
    delete_secrets(boto3.client("secretsmanager", region_name=region), stack)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that deletes the stack; delete the data only if the stack is gone then."""
    parser = commands.parser("destroy", __doc__)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    with commands.one_line(Refused, BotoCoreError, ClientError):
        _run(options.stack, options.region, options.command)


if __name__ == "__main__":
    main()
