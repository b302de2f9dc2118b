"""Least privilege: what the policies allow is what the code does, no more and no less."""

import inspect
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from chalicelib.handlers import decrypt, login, proxy
from infrastructure.template import Template, functions
from simulator import desk
from simulator.serving import serve_wsgi
from tests.infrastructure.conftest import strings
from tests.support.front_door import FrontDoor

FUNCTIONS = ("Login", "Proxy", "Decrypt")

TRANSACTION = {"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem"}
"""A transaction has no action of its own: IAM asks for the actions of its parts."""


def statements(stack: Template, name: str) -> list[Any]:
    (policy,) = stack["Resources"][f"{name}Role"]["Properties"]["Policies"]
    found: list[Any] = policy["PolicyDocument"]["Statement"]
    return found


def granted(stack: Template, name: str) -> set[str]:
    return {action for s in statements(stack, name) for action in s["Action"]}


def granted_secrets(stack: Template, name: str) -> set[str]:
    reads = [s for s in statements(stack, name) if "secretsmanager:GetSecretValue" in s["Action"]]
    return {text for s in reads for text in strings(s["Resource"]) if "Secret" in text}


# --- what the policies say -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_policy_has_a_star(stack: Template, name: str) -> None:
    assert not [text for text in strings(statements(stack, name)) if "*" in text]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_resource_is_one_of_the_same_template(stack: Template, name: str) -> None:
    for statement in statements(stack, name):
        named = {text for text in strings(statement["Resource"]) if not text.startswith("HasApp")}
        assert named - {"Arn", "AWS::NoValue"} <= set(stack["Resources"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_writes_to_its_own_log_group_alone(stack: Template, name: str) -> None:
    (logs,) = [s for s in statements(stack, name) if s["Action"][0].startswith("logs:")]
    assert logs["Resource"] == [{"Fn::GetAtt": [f"{name}Logs", "Arn"]}]
    assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_aws_s_own_policies_come_with_x_ray_and_the_fixed_address_alone(
    stack: Template, name: str
) -> None:
    attached = stack["Resources"][f"{name}Role"]["Properties"]["ManagedPolicyArns"]
    told = {p["Fn::If"][0]: p["Fn::If"][1]["Fn::Sub"].rpartition("/")[2] for p in attached}
    expected = {"HasXRay": "AWSXRayDaemonWriteAccess"}
    if "VpcConfig" in functions(stack)[name]["Properties"]:
        expected["HasFixedEgress"] = "AWSLambdaVPCAccessExecutionRole"
    assert told == expected


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
}
RIGHTS = {"sessions": "SessionsTable", "wechat": "AppSecret", "assertions": "SigningSecret"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_handler_s_services_and_its_policy_agree(stack: Template, name: str) -> None:
    keywords = {k for handler in HANDLERS[name] for k in inspect.signature(handler).parameters}
    named = {text.rstrip("12345") for s in statements(stack, name) for text in strings(s)}
    assert named & set(RIGHTS.values()) == {RIGHTS[k] for k in keywords & set(RIGHTS)}


# --- what the code does --------------------------------------------------------------------------


@dataclass
class Recorder:
    """An AWS engine that remembers each call: the operation and its parameters."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    engine: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation = environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2]
        self.calls.append((operation, json.loads(body)))
        return self.engine(environ, start_response)

    def actions(self) -> set[str]:
        """The IAM actions of the calls."""
        found = set()
        for operation, parameters in self.calls:
            if operation == "TransactWriteItems":
                parts = (kind for item in parameters["TransactItems"] for kind in item)
                found |= {f"dynamodb:{TRANSACTION[kind]}" for kind in parts}
            elif operation == "GetSecretValue":
                found.add("secretsmanager:GetSecretValue")
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
def recorded(recorder: Recorder, front_door: FrontDoor) -> FrontDoor:
    """The app before that engine."""
    assert not recorder.calls
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
    kinds = {"SigningSecret" if s.endswith("/signing") else "AppSecret" for s in recorder.secrets()}
    assert {secret.rstrip("12345") for secret in granted_secrets(stack, name)} == kinds


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
