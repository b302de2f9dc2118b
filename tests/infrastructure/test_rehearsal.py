"""The package runs: each function in its own process, with its own environment, and no AWS."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from infrastructure import rehearsal
from infrastructure.intrinsics import environment
from infrastructure.parts import Template
from infrastructure.rehearsal import Rehearsal, Surroundings
from simulator import aws
from simulator.event_source import poll
from simulator.parts import DEFAULT_APP
from simulator.runtime_api import Function
from simulator.wechat import push_secret_of
from simulator.wechat.push import sealed
from tests.conftest import Phone
from tests.infrastructure.conftest import Package


@pytest.fixture(scope="module")
def rehearsed(built: Package, runtime_client: Path, around: Surroundings) -> Iterator[Rehearsal]:
    with closing(Rehearsal(built.sam, built.folder, runtime_client, around)) as running:
        yield running


@dataclass
class Client:
    """A mini-program before the rehearsal."""

    gate: Rehearsal
    phone: Phone
    token: str = ""

    def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = [("Content-Type", "application/json")]
        if self.token:
            headers.append(("Authorization", f"Bearer {self.token}"))
        sent = None if body is None else json.dumps(body)
        status, _, data = self.gate.send(method, path, headers, sent)
        return status, json.loads(data or b"null")

    def login(self) -> None:
        status, answer = self.send("POST", "/login", {"code": self.phone.code()})
        assert status == 200, answer
        self.token = answer["token"]


@pytest.fixture
def client(rehearsed: Rehearsal, around: Surroundings) -> Client:
    mini_program = Client(rehearsed, Phone(around.wechat_url))
    mini_program.login()
    return mini_program


def test_a_login_of_one_function_opens_the_api_through_another(client: Client) -> None:
    status, echo = client.send("GET", "/api/orders/7?a=2")
    assert (status, echo["path"], echo["query"]) == (200, "/orders/7", "a=2")
    assert echo["headers"]["X-WX-OPENID"]


def test_open_data_opens(client: Client) -> None:
    sealed = client.phone.do("getPhoneNumber")
    body = {"kind": "phone", "encryptedData": sealed["encryptedData"], "iv": sealed["iv"]}
    status, answer = client.send("POST", "/decrypt", body)
    assert status == 200
    assert answer["data"]["purePhoneNumber"]


def test_a_phone_code_opens_and_the_session_key_holds(client: Client) -> None:
    code = client.phone.do("getPhoneNumber")["code"]
    assert client.send("POST", "/phone", {"code": code})[0] == 200
    assert client.send("GET", "/session") == (200, {"valid": True})


def test_a_logout_of_one_function_holds_for_the_others(client: Client) -> None:
    assert client.send("POST", "/logout", {}) == (204, None)
    for method, path in (("GET", "/api/orders"), ("GET", "/session")):
        status, answer = client.send(method, path)
        assert (status, answer["Code"]) == (401, "InvalidToken")


def test_an_event_goes_from_one_function_through_the_queue_to_another(
    rehearsed: Rehearsal, around: Surroundings, client: Client
) -> None:
    message = {"MsgType": "event", "Event": "user_authorization_cancellation"}
    message["OpenID"] = client.send("GET", "/api/x")[1]["headers"]["X-WX-OPENID"]
    pushed = sealed(
        DEFAULT_APP, json.dumps(message).encode(), push_secret_of(DEFAULT_APP), time.time()
    )
    target = f"/events/{DEFAULT_APP}?{urlencode(pushed.query)}"
    assert rehearsed.send("POST", target, [], pushed.body)[::2] == (200, b"success")
    assert client.send("GET", "/api/x")[0] == 401
    deliver = rehearsed.functions["Deliver"]
    with closing(aws.client("sqs", around.aws_url)) as sqs:
        assert poll(sqs, around.queue, lambda event, _: deliver.invoke(event)) == 1
        assert poll(sqs, around.queue, lambda event, _: deliver.invoke(event)) == 0
    echo = requests.get(f"{around.upstream_url}/wxgate/events", timeout=5).json()
    assert [json.loads(event["body"]) for event in echo["events"]] == [message]


def test_the_key_set_and_the_health_are_public(rehearsed: Rehearsal) -> None:
    status, headers, data = rehearsed.send("GET", "/.well-known/jwks.json", [], None)
    assert (status, len(json.loads(data)["keys"])) == (200, 1)
    assert "max-age" in headers["Cache-Control"]
    assert rehearsed.send("GET", "/health", [], None)[0] == 200


def test_a_wrong_method_is_refused_by_the_function(client: Client) -> None:
    status, answer = client.send("DELETE", "/login")
    assert (status, answer["Code"]) == (405, "MethodNotAllowed")


@pytest.mark.parametrize("name", ["Login", "Proxy", "Decrypt", "Events", "Deliver"])
def test_a_function_gets_the_variables_of_its_template_alone(
    sam: Template, around: Surroundings, name: str
) -> None:
    variables = environment(sam, name, rehearsal.parameters(around))
    upstream = {"UPSTREAM_URL"} & set(variables)
    assert variables["SECRET_PREFIX"] == f"{rehearsal.STACK}/"
    assert bool(upstream) is (name not in ("Login", "Events"))


def test_a_function_without_its_variables_starts_and_says_misconfigured(
    built: Package, runtime_client: Path
) -> None:
    bare = Function("bare-login", "app.login_function", built.folder, runtime_client, {})
    with closing(bare) as function:
        event = {"requestContext": {"resourcePath": "/login", "httpMethod": "POST"}}
        answer = function.invoke(event)
    assert answer["headers"]["X-Wxgate-Error"] == "Misconfigured"
