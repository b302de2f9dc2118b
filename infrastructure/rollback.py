"""`python -m infrastructure.rollback`: let every function's alias point at the version before."""

from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infrastructure import commands
from infrastructure.parameters import Refused
from infrastructure.wiring import CONDITIONS, FUNCTIONS

ALIAS = "live"


def before(client: Any, function: str) -> str:
    """Give the version that was published before the one that the alias points at.

    Raises:
        Refused: if there is none.
    """
    live = int(client.get_alias(FunctionName=function, Name=ALIAS)["FunctionVersion"])
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    names = [version["Version"] for page in pages for version in page["Versions"]]
    earlier = [int(name) for name in names if name.isdecimal() and int(name) < live]
    if not earlier:
        raise Refused(f"{function} has no version before {live}; nothing was changed.")
    return str(max(earlier))


def roll_back(client: Any, stack: str) -> dict[str, str]:
    """Move the aliases of all functions, or of none; give the version of each.

    Raises:
        Refused: as `before`.
    """
    versions = {}
    for name in FUNCTIONS:
        function = f"{stack}-{name.lower()}"
        try:
            versions[function] = before(client, function)
        except ClientError as error:
            missing = error.response["Error"]["Code"] == "ResourceNotFoundException"
            if not missing or name not in CONDITIONS:
                raise
    for function, version in versions.items():
        client.update_alias(
            FunctionName=function,
            Name=ALIAS,
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": {}},  # ends a rollout that is under way
        )
    return versions


def main(arguments: Sequence[str] | None = None) -> None:
    """Roll back; end with status 1 and one line if that cannot be."""
    parser = commands.parser("rollback", __doc__)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(arguments)
    if options.dry_run:
        for name in FUNCTIONS:
            note = " (with EventsPath)" if name in CONDITIONS else ""
            print(f"update-alias {options.stack}-{name.lower()} {ALIAS}: the version before{note}")
        return
    with commands.one_line(Refused, BotoCoreError, ClientError):
        versions = roll_back(boto3.client("lambda", region_name=options.region), options.stack)
    for function, version in versions.items():
        print(f"{function} serves version {version}.")


if __name__ == "__main__":
    main()
