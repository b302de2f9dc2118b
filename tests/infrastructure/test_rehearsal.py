"""The package runs: each function in its own process, with its own environment, and no AWS."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from infrastructure.rehearsal import Rehearsal, Surroundings
from simulator.runtime_api import Function
from tests.infrastructure.conftest import visit
from tests.support.front_door import Phone


def test_every_route_works_through_the_functions_of_the_package(
    built: Path, runtime_client: Path, around: Surroundings
) -> None:
    sam = json.loads((built / "sam.json").read_text())
    with closing(Rehearsal(sam, built / "package", runtime_client, around)) as gate:

        def send(method: str, path: str, token: str = "", body: object = None) -> tuple[int, Any]:
            headers = [("Content-Type", "application/json")]
            if token:
                headers.append(("Authorization", f"Bearer {token}"))
            sent = None if body is None else json.dumps(body)
            status, _, data = gate.send(method, path, headers, sent)
            return status, json.loads(data or b"null")

        phone = Phone(around.wechat_url)
        visit(send, phone)
        token = send("POST", "/login", "", {"code": phone.code()})[1]["token"]
        sealed = {**phone.do("getWeRunData"), "kind": "werun"}
        status, opened = send("POST", "/decrypt", token, sealed)
        assert (status, len(opened["data"]["stepInfoList"])) == (200, 31)
        assert send("GET", "/session", token) == (200, {"valid": True})
        assert send("DELETE", "/login")[0] == 405


def test_a_function_without_its_variables_starts_and_says_misconfigured(
    built: Path, runtime_client: Path
) -> None:
    bare = Function("bare-login", "app.login_function", built / "package", runtime_client, {})
    with closing(bare) as function:
        event = {"requestContext": {"resourcePath": "/login", "httpMethod": "POST"}}
        answer = function.invoke(event)
    assert answer["headers"]["X-Wxgate-Error"] == "Misconfigured"
