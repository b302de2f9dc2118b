"""Least privilege: what the policies allow is what the code does, no more and no less."""

import fnmatch
import os
from collections.abc import Iterator
from contextlib import closing
from secrets import token_hex
from typing import Any

import pytest

from chalicelib.services import SERVICES
from infrastructure.parts import Template
from simulator import aws, desk
from simulator.event_source import poll
from simulator.wechat import openid_of, push_secret_of
from tests.infrastructure.conftest import FUNCTIONS, at, closed_account, made, strings
from tests.support.aws_proxy import AwsProxy, Operation
from tests.support.front_door import APPID, FrontDoor

TRANSACTION = {"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem"}
"""A transaction has no action of its own: IAM asks for the actions of its parts."""


def statements(stack: Template, name: str, **values: str) -> list[Any]:
    """What a function may do with these parameters."""
    (policy,) = at(made(stack, **values), f"{name}Role/Policies")
    found: list[Any] = policy["PolicyDocument"]["Statement"]
    return found


PREFIX = "arn:aws:secretsmanager:us-east-1:123456789012:secret:wxgate-test/"


def granted_secrets(stack: Template, name: str) -> set[str]:
    reads = [s for s in statements(stack, name) if "secretsmanager:GetSecretValue" in s["Action"]]
    return {text.removeprefix(PREFIX) for s in reads for text in strings(s["Resource"])}


SECRETS = {
    "Login": {"app/*"},
    "Proxy": {"signing-??????"},
    "Decrypt": {"app/*", "signing-??????"},
    "Events": {"push/*"},
    "Deliver": {"signing-??????"},
}
"""Two wildcards, for any number of mini-programs; the rest is what Secrets Manager appends."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_policy_has_a_star_but_for_the_secrets_of_the_stack_s_mini_programs(
    stack: Template, name: str
) -> None:
    assert granted_secrets(stack, name) == SECRETS[name]
    stars = [text for text in strings(statements(stack, name)) if "*" in text]
    assert set(stars) <= {f"{PREFIX}app/*", f"{PREFIX}push/*"}
    named = {text for s in statements(stack, name) for text in strings(s["Resource"])}
    assert {t for t in named if not t.startswith(PREFIX)} - {"Arn"} <= set(stack["Resources"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_is_lambda_s_alone_writes_to_its_own_log_group_and_has_x_ray_s_policy_beside(
    stack: Template, name: str
) -> None:
    (trust,) = at(stack, f"{name}Role/AssumeRolePolicyDocument/Statement")
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    (logs,) = [s for s in statements(stack, name) if s["Action"][0].startswith("logs:")]
    assert logs["Resource"] == [{"Fn::GetAtt": [f"{name}Logs", "Arn"]}]
    assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    for partition, expected in (("aws", ["AWSXRayDaemonWriteAccess"]), ("aws-cn", [])):
        ours = made(stack, **{"AWS::Partition": partition, "FixedEgress": "true"})
        arns = at(ours, f"{name}Role/ManagedPolicyArns")
        assert [arn.rpartition("/")[2] for arn in arns] == expected


INTERFACES = {
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"),
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses", "ec2:DescribeSubnets"),
}
"""Source: AWS, «Giving Lambda functions access to resources in an Amazon VPC»."""


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "Events"])
def test_a_function_in_a_vpc_lets_lambda_attach_it_and_may_do_nothing_there_itself(
    stack: Template, name: str
) -> None:
    in_vpc = statements(stack, name, FixedEgress="true", ProxySubnets="subnet-1")
    more = in_vpc[len(statements(stack, name)) :]
    allow, deny = more
    assert set(allow["Action"]) == set(deny["Action"]) == INTERFACES
    assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
    (function,) = deny["Condition"]["ArnEquals"].values()
    assert function.endswith(f":function:wxgate-test-{name.lower()}")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_key_of_yours_is_used_through_the_function_s_services_alone(
    stack: Template, name: str
) -> None:
    *_, key = statements(stack, name, KmsKeyArn="arn:aws:kms:x")
    # To send an encrypted message takes a new data key (AWS, «Encryption at rest in Amazon SQS»).
    sends = ["kms:GenerateDataKey"] if name == "Events" else []
    assert (key["Action"], key["Resource"]) == (["kms:Decrypt", *sends], ["arn:aws:kms:x"])
    services = {s.partition(".")[0] for s in key["Condition"]["StringEquals"]["kms:ViaService"]}
    granted = [action for s in statements(stack, name) for action in s["Action"]]
    granted_to = {action.partition(":")[0] for action in granted}
    assert services == granted_to - {"logs"}


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "Deliver"])
def test_a_restored_table_is_the_only_one_then(stack: Template, name: str) -> None:
    named = set(strings(statements(stack, name, SessionsTableName="t2")))
    assert "SessionsTable" not in named
    assert [text for text in named if text.endswith(":table/t2")]


def test_codedeploy_may_move_the_aliases_of_these_functions_alone(stack: Template) -> None:
    (policy,) = at(made(stack, Rollout="Canary10Percent5Minutes"), "DeploymentsRole/Policies")
    move, look = policy["PolicyDocument"]["Statement"]
    assert "lambda:UpdateAlias" in move["Action"]
    moved = {text.partition(".")[0].lstrip("${") for text in strings(move["Resource"])}
    assert moved - {"Arn"} == set(FUNCTIONS)
    assert look["Action"] == "cloudwatch:DescribeAlarms"


RIGHTS = {"sessions": "SessionsTable", "wechat": "app/*", "assertions": "signing-??????"}
RIGHTS |= {"push": "push/*", "queue": "EventQueue"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_keywords_of_a_function_s_handlers_are_its_policy(stack: Template, name: str) -> None:
    resources = [text for s in statements(stack, name) for text in strings(s["Resource"])]
    named = {text.removeprefix(PREFIX) for text in resources}
    uses = {RIGHTS[keyword] for keyword in SERVICES[name.lower()] if keyword in RIGHTS}
    assert named & set(RIGHTS.values()) == uses


Calls = dict[str, list[Operation]]


@pytest.fixture(scope="module")
def calls(running_desk: desk.Desk) -> Iterator[Calls]:
    """The calls that each function makes of the desk's engine when it does all it can."""
    proxy, made = AwsProxy(running_desk.urls["AWS"]), Calls()
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("AWS_ENDPOINT_URL", proxy.url)
        for attempt in ("deadlines.SECRETS_ATTEMPT", "deadlines.QUEUE_ATTEMPT"):
            environ.setattr(f"chalicelib.{attempt}", 20.0)  # of this machine, whatever it does
        environ.setattr("chalicelib.sessions.table.STORE_ATTEMPT", 5.0)  # a login has eight
        with closing(aws.client("sqs", proxy.url)) as sqs:  # the desk polls its own
            queues = {name: aws.make_queue(sqs, f"policies-{name}-{token_hex(4)}") for name in USES}
        for name, use in USES.items():
            environ.setenv("EVENTS_QUEUE_URL", queues[name])
            places = running_desk.urls["WeChat"], running_desk.urls["AWS"]
            token = FrontDoor(desk.load_app(), *places).login()
            # A container of its own: nothing is known from the login.
            fresh = FrontDoor(desk.load_app(), *places)
            proxy.operations.clear()
            use(fresh, token)
            made[name] = list(proxy.operations)
    yield made
    proxy.close()


def log_in_and_out(door: FrontDoor, _token: str) -> None:
    door.login(replaces=door.login())
    for body in ({}, {"everywhere": True}):
        answer = door.send("POST", "/logout", token=door.login(), json_body=body)
        assert answer.status == 204


def call_the_upstream(door: FrontDoor, token: str) -> None:
    for path in ("/api/orders/7", "/.well-known/jwks.json", "/health"):
        assert door.send("GET", path, token=token).status == 200


def open_data(door: FrontDoor, token: str) -> None:
    sealed = door.phone().do("getUserInfo")
    body = {"kind": "user", "encryptedData": sealed["encryptedData"], "iv": sealed["iv"]}
    assert door.send("POST", "/decrypt", token=token, json_body=body).status == 200
    wrong = {**body, "kind": "phone"}
    assert door.send("POST", "/decrypt", token=token, json_body=wrong).status == 422
    code = door.phone().do("getPhoneNumber")["code"]
    assert door.send("POST", "/phone", token=token, json_body={"code": code}).status == 200
    assert door.send("GET", "/session", token=token).status == 200


def push(door: FrontDoor, _token: str) -> None:
    _, target, body = closed_account(openid_of(APPID, "alice"), push_secret_of(APPID))
    assert door.send("POST", target, body=body).status == 200


def take_from_the_queue(door: FrontDoor, _token: str) -> None:
    """As Lambda does by the function's role: one event is delivered, another is not."""
    url = os.environ["EVENTS_QUEUE_URL"]
    with closing(aws.client("sqs", door.aws_url)) as sqs:
        for appid in (APPID, ""):
            known = {"appid": appid or "-", **({"id": "e"} if appid else {})}
            typed = {n: {"DataType": "String", "StringValue": v} for n, v in known.items()}
            sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=typed)
    with closing(aws.client("sqs", os.environ["AWS_ENDPOINT_URL"])) as sqs:
        sqs.get_queue_attributes(QueueUrl=url)
        while poll(sqs, url, door.module.deliver_function) == 0:
            pass


USES = {
    "Login": log_in_and_out,
    "Proxy": call_the_upstream,
    "Decrypt": open_data,
    "Events": push,
    "Deliver": take_from_the_queue,
}


IAM = {"DynamoDB": "dynamodb", "secretsmanager": "secretsmanager", "AmazonSQS": "sqs"}
"""IAM's name for the service of a call."""


def actions(calls: list[Operation]) -> Iterator[str]:
    for done in calls:
        items = done.parameters.get("TransactItems", [])
        names = [TRANSACTION[kind] for item in items for kind in item] or [done.name]
        yield from (f"{IAM[done.service]}:{name}" for name in names)


def sent(calls: list[Operation], operation: str) -> list[dict[str, Any]]:
    """The parameters of every call of an operation."""
    return [done.parameters for done in calls if done.name == operation]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_policy_allows_what_the_function_does_and_shows_the_secrets_that_it_reads(
    stack: Template, calls: Calls, name: str
) -> None:
    granted = {action for s in statements(stack, name) for action in s["Action"]}
    assert set(actions(calls[name])) == {a for a in granted if not a.startswith("logs:")}
    asked = [read["SecretId"] for read in sent(calls[name], "GetSecretValue")]
    read = {f"{secret.partition('/')[2]}-a1B2c3" for secret in asked}
    patterns = granted_secrets(stack, name)
    assert all(any(fnmatch.fnmatchcase(secret, p) for secret in read) for p in patterns)
    assert all(any(fnmatch.fnmatchcase(secret, p) for p in patterns) for secret in read)


def seen_by(find: Any) -> set[str]:
    """The attributes that a statement shows, which do not let all be asked for."""
    assert find["Condition"]["StringEqualsIfExists"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    return set(find["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"])


def test_the_proxy_reads_what_it_may_and_never_a_sealed_key(stack: Template, calls: Calls) -> None:
    (read,) = sent(calls["Proxy"], "GetItem")
    names = [n.strip() for n in read["ProjectionExpression"].split(",")]
    attributes = {read["ExpressionAttributeNames"].get(n, n) for n in names}
    (find,) = [s for s in statements(stack, "Proxy") if "dynamodb:GetItem" in s["Action"]]
    allowed = seen_by(find)
    assert attributes | {"user", "item"} == allowed
    assert not {"sealed_key", "previous_key"} & allowed


def test_the_events_function_sees_which_sessions_a_user_has_and_nothing_of_them(
    stack: Template, calls: Calls
) -> None:
    reads = sent(calls["Events"], "Query")
    asked = [set(read["ExpressionAttributeNames"].values()) for read in reads]
    assert asked == [{"user", "item"}] * len(reads) != []
    find, end = [s for s in statements(stack, "Events") if "dynamodb" in str(s["Action"])]
    assert seen_by(find) == {"user", "item"}
    assert end["Condition"] == {"StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"}}
    (write,) = sent(calls["Events"], "TransactWriteItems")
    assert all("ReturnValues" not in str(item) for item in write["TransactItems"])
