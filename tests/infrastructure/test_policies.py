"""Least privilege: what the policies allow is what the code does, no more and no less."""

import fnmatch
import inspect
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from chalicelib.handlers import decrypt, deliver, events, login, proxy
from infrastructure.parts import Template
from simulator import aws, desk
from simulator.event_source import poll
from simulator.serving import serve_wsgi
from simulator.wechat import openid_of, push_secret_of
from simulator.wechat.push import sealed
from tests.conftest import APPID, FrontDoor
from tests.infrastructure.conftest import made, strings

FUNCTIONS = ("Login", "Proxy", "Decrypt", "Events", "Deliver")

TRANSACTION = {"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem"}
"""A transaction has no action of its own: IAM asks for the actions of its parts."""


def statements(stack: Template, name: str, **values: str) -> list[Any]:
    """What a function may do with these parameters."""
    role = made(stack, **values)["Resources"][f"{name}Role"]["Properties"]
    (policy,) = role["Policies"]
    found: list[Any] = policy["PolicyDocument"]["Statement"]
    return found


def granted(stack: Template, name: str) -> set[str]:
    return {action for s in statements(stack, name) for action in s["Action"]}


PREFIX = "arn:aws:secretsmanager:us-east-1:123456789012:secret:wxgate-test/"


def granted_secrets(stack: Template, name: str) -> set[str]:
    reads = [s for s in statements(stack, name) if "secretsmanager:GetSecretValue" in s["Action"]]
    return {text.removeprefix(PREFIX) for s in reads for text in strings(s["Resource"])}


# --- what the policies say -----------------------------------------------------------------------


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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_other_resource_is_one_of_the_same_template(stack: Template, name: str) -> None:
    named = {text for s in statements(stack, name) for text in strings(s["Resource"])}
    assert {t for t in named if not t.startswith(PREFIX)} - {"Arn"} <= set(stack["Resources"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_writes_to_its_own_log_group_alone(stack: Template, name: str) -> None:
    (logs,) = [s for s in statements(stack, name) if s["Action"][0].startswith("logs:")]
    assert logs["Resource"] == [{"Fn::GetAtt": [f"{name}Logs", "Arn"]}]
    assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_only_policy_of_aws_s_own_is_x_ray_s(stack: Template, name: str) -> None:
    for partition, expected in (("aws", ["AWSXRayDaemonWriteAccess"]), ("aws-cn", [])):
        ours = made(stack, **{"AWS::Partition": partition, "FixedEgress": "true"})
        arns = ours["Resources"][f"{name}Role"]["Properties"]["ManagedPolicyArns"]
        assert [arn.rpartition("/")[2] for arn in arns] == expected


INTERFACES = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
"""Source: AWS, «Giving Lambda functions access to resources in an Amazon VPC»."""


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Login", {"FixedEgress": "true"}),
        ("Decrypt", {"FixedEgress": "true"}),
        ("Proxy", {"ProxySubnets": "subnet-1"}),
        ("Deliver", {"ProxySubnets": "subnet-1"}),
    ],
)
def test_a_function_in_a_vpc_lets_lambda_attach_it_and_may_do_nothing_there_itself(
    stack: Template, name: str, values: dict[str, str]
) -> None:
    more = statements(stack, name, **values)[len(statements(stack, name)) :]
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
    granted_to = {action.partition(":")[0] for action in granted(stack, name)}
    assert services == granted_to - {"logs"}


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "Deliver"])
def test_a_restored_table_is_the_only_one_then(stack: Template, name: str) -> None:
    named = set(strings(statements(stack, name, SessionsTableName="t2")))
    assert "SessionsTable" not in named
    assert [text for text in named if text.endswith(":table/t2")]


def test_codedeploy_may_move_the_aliases_of_these_functions_alone(stack: Template) -> None:
    ours = made(stack, Rollout="Canary10Percent5Minutes")
    (policy,) = ours["Resources"]["DeploymentsRole"]["Properties"]["Policies"]
    move, look = policy["PolicyDocument"]["Statement"]
    assert "lambda:UpdateAlias" in move["Action"]
    assert {t.partition(".")[0].lstrip("${") for t in strings(move["Resource"])} - {"Arn"} == set(
        FUNCTIONS
    )
    assert look["Action"] == "cloudwatch:DescribeAlarms"


def test_only_lambda_may_take_the_roles(stack: Template) -> None:
    for name in FUNCTIONS:
        role = stack["Resources"][f"{name}Role"]["Properties"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


# --- the keyword list of a handler is the policy of its function ----------------------------------

HANDLERS: dict[str, tuple[Callable[..., Any], ...]] = {
    "Login": (login.login, login.logout),
    "Proxy": (proxy.proxy, proxy.key_set, proxy.health),
    "Decrypt": (decrypt.decrypt, decrypt.phone, decrypt.session),
    "Events": (events.check, events.receive),
    "Deliver": (deliver.deliver,),
}
RIGHTS = {
    "sessions": "SessionsTable",
    "wechat": "app/*",
    "assertions": "signing-??????",
    "push": "push/*",
    "queue": "EventQueue",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_handler_s_services_and_its_policy_agree(stack: Template, name: str) -> None:
    keywords = {k for handler in HANDLERS[name] for k in inspect.signature(handler).parameters}
    resources = [text for s in statements(stack, name) for text in strings(s["Resource"])]
    named = {text.removeprefix(PREFIX) for text in resources}
    assert named & set(RIGHTS.values()) == {RIGHTS[k] for k in keywords & set(RIGHTS)}


# --- what the code does --------------------------------------------------------------------------


@dataclass
class Recorder:
    """An AWS engine that remembers each call: the operation and its parameters."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)
    engine: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        service, _, operation = environ["HTTP_X_AMZ_TARGET"].rpartition(".")
        self.calls.append((operation, json.loads(body)))
        self.services[operation] = service
        return self.engine(environ, start_response)

    def actions(self) -> set[str]:
        """The IAM actions of the calls."""
        found = set()
        for operation, parameters in self.calls:
            service = self.services[operation]
            if operation == "TransactWriteItems":
                parts = (kind for item in parameters["TransactItems"] for kind in item)
                found |= {f"dynamodb:{TRANSACTION[kind]}" for kind in parts}
            elif operation == "GetSecretValue":
                found.add("secretsmanager:GetSecretValue")
            elif service == "AmazonSQS":
                found.add(f"sqs:{operation}")
            else:
                found.add(f"dynamodb:{operation}")
        return found

    def secrets(self) -> set[str]:
        """The secrets that were read."""
        return {p["SecretId"] for operation, p in self.calls if operation == "GetSecretValue"}


@pytest.fixture
def recorder(
    running_desk: desk.Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Recorder]:
    """The desk's engine with a memory; moto keeps one state in a process."""
    recording = Recorder()
    server = serve_wsgi(recording, "127.0.0.1", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    yield recording
    server.close()


@pytest.fixture
def recorded(
    recorder: Recorder, front_door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> FrontDoor:
    """The app before that engine."""
    assert not recorder.calls
    with closing(aws.client("sqs", os.environ["AWS_ENDPOINT_URL"])) as sqs:
        monkeypatch.setenv("EVENTS_QUEUE_URL", aws.make_queue(sqs, f"policies-{os.getpid()}"))
    return front_door


def log_in_and_out(door: FrontDoor) -> None:
    door.login(replaces=door.login())
    for body in ({}, {"everywhere": True}):
        answer = door.send("POST", "/logout", token=door.login(), json_body=body)
        assert answer.status == 204


def call_the_upstream(door: FrontDoor, token: str) -> None:
    assert door.send("GET", "/api/orders/7", token=token).status == 200
    assert door.send("GET", "/.well-known/jwks.json").status == 200
    assert door.send("GET", "/health").status == 200


def open_data(door: FrontDoor, token: str) -> None:
    sealed = door.phone().do("getUserInfo")
    body = {"kind": "user", "encryptedData": sealed["encryptedData"], "iv": sealed["iv"]}
    assert door.send("POST", "/decrypt", token=token, json_body=body).status == 200
    wrong = {**body, "kind": "phone"}
    assert door.send("POST", "/decrypt", token=token, json_body=wrong).status == 422
    code = door.phone().do("getPhoneNumber")["code"]
    assert door.send("POST", "/phone", token=token, json_body={"code": code}).status == 200
    assert door.send("GET", "/session", token=token).status == 200


def push(door: FrontDoor) -> None:
    message = {"MsgType": "event", "Event": "user_authorization_cancellation"}
    body = json.dumps({**message, "OpenID": openid_of(APPID, "alice")}).encode()
    pushed = sealed(APPID, body, push_secret_of(APPID), time.time())
    target = f"/events/{APPID}?{urlencode(pushed.query)}"
    assert door.send("POST", target, body=pushed.body).status == 200


def take_from_the_queue(door: FrontDoor, recorder: Recorder) -> None:
    """As Lambda does by the function's role: one event is delivered, another is not."""
    url = os.environ["EVENTS_QUEUE_URL"]
    with closing(aws.client("sqs", os.environ["AWS_ENDPOINT_URL"])) as sqs:
        for appid in (APPID, ""):
            known = {"appid": appid or "-", **({"id": "e"} if appid else {})}
            typed = {n: {"DataType": "String", "StringValue": v} for n, v in known.items()}
            sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=typed)
        recorder.calls.clear()
        sqs.get_queue_attributes(QueueUrl=url)
        while poll(sqs, url, door.module.deliver_function) == 0:
            pass


def use(name: str, door: FrontDoor, recorder: Recorder) -> None:
    """Do all that a function does, once."""
    token = door.login()
    # A container of its own: nothing is known from the login.
    fresh = FrontDoor(desk.load_app(), door.wechat_url)
    recorder.calls.clear()
    if name == "Login":
        log_in_and_out(fresh)
    elif name == "Proxy":
        call_the_upstream(fresh, token)
    elif name == "Events":
        push(fresh)
    elif name == "Deliver":
        take_from_the_queue(fresh, recorder)
    else:
        open_data(fresh, token)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_policy_allows_what_the_function_does_and_nothing_else(
    stack: Template, recorded: FrontDoor, recorder: Recorder, name: str
) -> None:
    use(name, recorded, recorder)
    allowed = {action for action in granted(stack, name) if not action.startswith("logs:")}
    assert recorder.actions() == allowed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_policy_shows_the_secrets_that_the_function_reads_and_no_other(
    stack: Template, recorded: FrontDoor, recorder: Recorder, name: str
) -> None:
    use(name, recorded, recorder)
    read = {s.partition("/")[2] for s in recorder.secrets()}
    for pattern in granted_secrets(stack, name):
        assert any(fnmatch.fnmatchcase(f"{secret}-a1B2c3", pattern) for secret in read)
    for secret in read:
        assert any(fnmatch.fnmatchcase(f"{secret}-a1B2c3", p) for p in granted_secrets(stack, name))


def test_the_proxy_reads_what_it_may_and_never_a_sealed_key(
    stack: Template, recorded: FrontDoor, recorder: Recorder
) -> None:
    use("Proxy", recorded, recorder)
    ((_, read),) = [call for call in recorder.calls if call[0] == "GetItem"]
    names = [n.strip() for n in read["ProjectionExpression"].split(",")]
    attributes = {read["ExpressionAttributeNames"].get(n, n) for n in names}
    (find,) = [s for s in statements(stack, "Proxy") if "dynamodb:GetItem" in s["Action"]]
    allowed = set(find["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"])
    assert attributes | {"user", "item"} == allowed
    assert not {"sealed_key", "previous_key"} & allowed


def test_the_proxy_may_not_ask_for_all_attributes(stack: Template) -> None:
    (find,) = [s for s in statements(stack, "Proxy") if "dynamodb:GetItem" in s["Action"]]
    assert find["Condition"]["StringEqualsIfExists"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}


def test_the_events_function_sees_which_sessions_a_user_has_and_nothing_of_them(
    stack: Template, recorded: FrontDoor, recorder: Recorder
) -> None:
    use("Events", recorded, recorder)
    reads = [parameters for operation, parameters in recorder.calls if operation == "Query"]
    assert {frozenset(read["ExpressionAttributeNames"].values()) for read in reads} == {
        frozenset({"user", "item"})
    }
    find, end = [s for s in statements(stack, "Events") if "dynamodb" in str(s["Action"])]
    assert find["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"] == ["user", "item"]
    assert find["Condition"]["StringEqualsIfExists"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    assert end["Condition"] == {"StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"}}
    (write,) = [p for operation, p in recorder.calls if operation == "TransactWriteItems"]
    assert all("ReturnValues" not in str(item) for item in write["TransactItems"])
