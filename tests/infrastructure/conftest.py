"""The template and the package, each made once."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from infrastructure import package, rehearsal, template
from infrastructure.intrinsics import resolved
from infrastructure.parts import Template
from simulator.runtime_api import install_client
from tests.support import load_fixtures
from tests.support.front_door import Phone


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that this folder needs."""
    load_fixtures(config, "engines", "front_door")


@pytest.fixture(scope="session")
def sam() -> Template:
    """The SAM template, as `make package` writes it."""
    return template.sam_template("arm64")


@pytest.fixture(scope="session")
def stack(sam: Template) -> Template:
    """What CloudFormation makes of it."""
    return template.transformed(sam, "us-east-1")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make package` writes for this machine, once for all processes of a run.

    Skipped where uv finds no wheels, but never in CI.
    """
    here = tmp_path_factory.getbasetemp()
    out = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "package"
    out.mkdir(exist_ok=True)
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not (out / "deployment.zip").exists():
                package.build(package.here(), out)
        except package.PackageError as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"no package: {str(error).splitlines()[-1]}")
    return out


@pytest.fixture(scope="session")
def runtime_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AWS's runtime client, alone in a folder; Linux has it."""
    pytest.importorskip("awslambdaric")
    return install_client(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session")
def around() -> Iterator[rehearsal.Surroundings]:
    """AWS, WeChat and the upstream of the desk."""
    with rehearsal.surroundings() as running:
        yield running


Send = Callable[..., tuple[int, Any]]
"""Sends method, path, token and body to the gate; gives status and JSON."""


def visit(send: Send, phone: Phone, *, needs_key: bool = True) -> None:
    """Use every route of the gate as a mini-program does, and see that each answer is right.

    Without `needs_key`, all but those that need the session_key.
    """
    status, answer = send("POST", "/login", "", {"code": phone.code()})
    assert status == 200, answer
    token = answer["token"]
    status, echo = send("GET", "/api/orders/7?a=2", token)
    assert (status, echo["path"], echo["query"]) == (200, "/orders/7", "a=2")
    assert echo["headers"]["X-WX-OPENID"]
    tapped = phone.do("getPhoneNumber")
    sealed = {"kind": "phone", "encryptedData": tapped["encryptedData"], "iv": tapped["iv"]}
    bodies = {"/phone": {"code": tapped["code"]}} | ({"/decrypt": sealed} if needs_key else {})
    for path, body in bodies.items():
        status, opened = send("POST", path, token, body)
        assert status == 200, opened
        assert opened["data"]["purePhoneNumber"]
    assert not needs_key or send("GET", "/session", token) == (200, {"valid": True})
    assert len(send("GET", "/.well-known/jwks.json")[1]["keys"]) == 1
    assert send("GET", "/health")[0] == 200
    assert send("DELETE", "/login")[0] == 405
    assert send("POST", "/logout", token, {}) == (204, None)
    for method, path in (("GET", "/api/orders"), ("POST", "/phone")):
        status, refused = send(method, path, token, bodies["/phone"] if method == "POST" else None)
        assert (status, refused["Code"]) == (401, "InvalidToken")


def strings(value: object) -> Iterator[str]:
    """Give every string of a JSON value, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)


PSEUDO = {
    "AWS::StackName": "wxgate-test",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
}


def made(stack: Template, **values: str) -> Template:
    """What CloudFormation makes with these parameters."""
    return resolved(stack, {**PSEUDO, **values})
