"""`python -m infrastructure.parameters`: check the parameters before anything is changed.

The gate's own settings reader judges the environment that would result: the values given, over the
stack's present ones, over the template's defaults. What is given is written for SAM CLI, empty
values too: a parameter that is not sent would keep its present value.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from infrastructure import commands
from infrastructure.intrinsics import Values, environment
from infrastructure.parts import Template, parts
from infrastructure.wiring import FUNCTIONS

WORDS = {"AppIds": "APPIDS=", "UpstreamUrl": "UPSTREAM_URL="}
"""How make takes the parameters that have no default."""

# A dry run does not see the stack: what it leaves out counts as there already.
_UNSEEN = {"AppIds": "wx0000000000000000", "UpstreamUrl": "https://example.com"}


class Refused(ValueError):
    """The deployment would not work, and nothing was changed; the text is one line."""


def parsed(words: Sequence[str]) -> dict[str, str]:
    """Read `Name=value` words; `Name=` gives the empty value.

    Raises:
        Refused: if a word is something else.
    """
    for word in words:
        if not word.partition("=")[0].isalnum() or "=" not in word:
            raise Refused(f"{word!r} is not a parameter: write Name=value.")
    return dict(word.split("=", 1) for word in words)


def partition_of(region: str) -> str:
    """Give the partition that a region belongs to, such as aws, aws-cn or aws-eusc.

    Raises:
        Refused: if no partition names its regions so.
    """
    try:
        return boto3.Session().get_partition_for_region(region)
    except BotoCoreError:
        raise Refused(f"{region!r} is not a region: write one such as ap-east-1.") from None


def described(stack: str, region: str) -> dict[str, Any] | None:
    """Give CloudFormation's description of a stack; None if there is no such stack.

    Raises:
        Refused: if AWS gives no answer.
    """
    try:
        client = boto3.client("cloudformation", region_name=region)
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError, ValueError) as error:
        if f"{stack} does not exist" in str(error):
            return None
        raise Refused(f"AWS does not show the stack {stack} in {region}: {error}") from error
    if found["StackStatus"] == "REVIEW_IN_PROGRESS":  # a first change set that was never run
        return None
    return dict(found)


def existing(stack: str, region: str) -> dict[str, Any]:
    """Give CloudFormation's description of a stack.

    Raises:
        Refused: if there is no such stack, or AWS gives no answer.
    """
    found = described(stack, region)
    if found is None:
        raise Refused(f"There is no stack {stack} in {region}: make deploy first.")
    return found


def present(stack: str, region: str) -> dict[str, str]:
    """Give the parameters of a stack as it is; none if there is no such stack.

    Raises:
        Refused: if AWS gives no answer.
    """
    found = described(stack, region) or {}
    return {p["ParameterKey"]: p["ParameterValue"] for p in found.get("Parameters", [])}


def check(
    template: Template, pseudo: Mapping[str, str], given: Mapping[str, str], base: Mapping[str, str]
) -> None:
    """Check the values that would result from `given` over `base` and the template's defaults.

    `pseudo` holds AWS::StackName and AWS::Partition.

    Raises:
        Refused: naming what is wrong.
    """
    declared = template["Parameters"]
    if unknown := sorted(given.keys() - declared.keys()):
        raise Refused(f"There is no parameter {', '.join(unknown)}: see docs/deploy.md.")
    values = {name: value for name, value in {**base, **given}.items() if name in declared}
    missing = [n for n in declared if "Default" not in declared[n] and not values.get(n)]
    if missing:
        raise Refused(f"Missing: {' '.join(WORDS.get(name, f'{name}=') for name in missing)}")
    if pseudo["AWS::Partition"] == "aws-cn" and values.get("SnapStart") == "true":
        raise Refused("SnapStart does not exist in China.")
    known = {**values, **pseudo, "SessionsTable": "SessionsTable"}
    known["EventQueue"] = "https://sqs.example.com/events"  # its name is CloudFormation's to choose
    for rule in template.get("Rules", {}).values():
        _assert(rule, Values(template, known))
    for function in FUNCTIONS:
        try:
            settings.read(environment(template, function, known), function.lower())
        except settings.BadEnvironment as error:
            raise Refused(str(error)) from None
    for name, value in given.items():
        if not _allows(declared[name], value):
            told = {k: v for k, v in declared[name].items() if k not in ("Default", "Description")}
            limits = ", ".join(f"{limit} {allowed}" for limit, allowed in told.items())
            raise Refused(f"{name}={value} is malformed: {limits}.")


def _allows(parameter: Mapping[str, Any], value: str) -> bool:
    """Tell whether CloudFormation would take a value; that tells only once all is uploaded."""
    if parameter["Type"] == "Number":
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            return False
        low, high = (parameter.get(name, float(value)) for name in ("MinValue", "MaxValue"))
        if not low <= float(value) <= high:
            return False
    allowed = map(str, parameter.get("AllowedValues", [value]))
    return value in allowed and bool(re.fullmatch(parameter.get("AllowedPattern", ".*"), value))


def _assert(rule: Template, values: Values) -> None:
    if values.of(rule.get("RuleCondition", True)):
        for assertion in rule["Assertions"]:
            if not values.of(assertion["Assert"]):
                raise Refused(assertion["AssertDescription"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, and write what SAM CLI is to send; end with status 1 and one line if it is refused."""
    parser = commands.parser("parameters", __doc__)
    parser.add_argument("--dry-run", action="store_true", help="ask nothing of AWS")
    parser.add_argument(
        "--out", type=Path, required=True, help="for sam deploy --parameter-overrides"
    )
    parser.add_argument("words", nargs="*", metavar="Name=value")
    options = parser.parse_args(arguments)
    with commands.one_line(Refused):
        partition = partition_of(options.region)
        given = parsed(options.words)
        base = _UNSEEN if options.dry_run else present(options.stack, options.region)
        check(parts(), {"AWS::StackName": options.stack, "AWS::Partition": partition}, given, base)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(given, indent=2) + "\n")  # JSON is YAML


if __name__ == "__main__":
    main()
