"""The template and the package, each made once."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from infrastructure import package, rehearsal, template
from infrastructure.intrinsics import resolved
from infrastructure.parts import Template
from simulator.desk import DEFAULT_APP
from simulator.wechat.push import sealed
from tests.support import load_fixtures, need
from tests.support.front_door import Phone


def pytest_configure(config: pytest.Config) -> None:
    load_fixtures(config, "engines", "front_door")


@pytest.fixture(scope="session")
def sam() -> Template:
    return template.sam_template("arm64")


@pytest.fixture(scope="session")
def stack(sam: Template) -> Template:
    return template.transformed(sam, "us-east-1")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make package` writes for this machine, once for all processes of a run."""
    here = tmp_path_factory.getbasetemp()
    out = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "package"
    out.mkdir(exist_ok=True)
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not (out / "deployment.zip").exists():
                package.build(package.here(), out)
        except package.PackageError as error:  # uv finds no wheels
            need(f"no package: {str(error).splitlines()[-1]}")
    return out


@pytest.fixture(scope="session")
def around() -> Iterator[rehearsal.Surroundings]:
    with rehearsal.surroundings() as running:
        yield running


Send = Callable[..., tuple[int, Any]]
"""Sends method, path, token and body to the gate; gives status and JSON."""


def visit(send: Send, phone: Phone) -> None:
    """Do what a mini-program does, through all functions that answer it."""
    status, answer = send("POST", "/login", "", {"code": phone.code()})
    assert status == 200, answer
    token = answer["token"]
    status, echo = send("GET", "/api/orders/7?a=2", token)
    assert status == 200, echo
    assert (echo["path"], echo["query"]) == ("/orders/7", "a=2")
    assert echo["headers"]["X-WX-OPENID"]
    body = {"code": phone.do("getPhoneNumber")["code"]}
    status, opened = send("POST", "/phone", token, body)
    assert status == 200, opened
    assert opened["data"]["purePhoneNumber"]
    steps = {**phone.do("getWeRunData"), "kind": "werun"}
    status, opened = send("POST", "/decrypt", token, steps)
    assert (status, len(opened["data"]["stepInfoList"])) == (200, 31)
    assert send("GET", "/session", token) == (200, {"valid": True})
    assert len(send("GET", "/.well-known/jwks.json")[1]["keys"]) == 1
    assert send("GET", "/health")[0] == 200
    assert send("POST", "/logout", token, {}) == (204, None)
    for ended in (send("GET", "/api/orders", token), send("POST", "/phone", token, body)):
        assert (ended[0], ended[1]["Code"]) == (401, "InvalidToken")


def closed_account(openid: str, secret: dict[str, str]) -> tuple[dict[str, str], str, bytes]:
    """WeChat's push that a user has closed the account: what it says, its target and its body."""
    event = "user_authorization_cancellation"
    message = {"MsgType": "event", "Event": event, "OpenID": openid}
    pushed = sealed(DEFAULT_APP, json.dumps(message).encode(), secret, time.time())
    return message, f"/events/{DEFAULT_APP}?{urlencode(pushed.query)}", pushed.body


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from strings(member)


FUNCTIONS = ("Login", "Proxy", "Decrypt", "Events", "Deliver")
PSEUDO = {
    "AWS::StackName": "wxgate-test",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
    "EventsPath": "/wxgate/events",
}


def made(stack: Template, **values: str) -> Template:
    return resolved(stack, {**PSEUDO, **values})


def at(stack: Template, place: str) -> Any:
    """The member at Resource/Member/Member; None if there is none."""
    resource, *members = place.split("/")
    value = stack["Resources"].get(resource, {}).get("Properties")
    for member in members:
        value = value[int(member)] if isinstance(value, list) else (value or {}).get(member)
    return value
