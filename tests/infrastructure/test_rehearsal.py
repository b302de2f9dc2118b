"""The package runs: each function in its own process, with its own environment, and no AWS."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from infrastructure.rehearsal import Rehearsal, Surroundings
from simulator import aws
from simulator.event_source import poll
from simulator.parts import DEFAULT_APP
from simulator.wechat import push_secret_of
from tests.infrastructure.conftest import closed_account, visit
from tests.support.front_door import Phone, headers_and_body


def test_every_route_works_through_the_functions_of_the_package(
    built: Path, runtime: Path, around: Surroundings
) -> None:
    sam = json.loads((built / "sam.json").read_text())
    with closing(Rehearsal(sam, built / "package", runtime, around)) as gate:
        # Five that start at once keep a small machine from answering within the SDK's timeouts.
        for function in gate.functions.values():
            function.wait()

        def send(method: str, path: str, token: str = "", body: object = None) -> tuple[int, Any]:
            sent = (method, path, *headers_and_body(token or None, json_body=body))
            status, _, data = gate.send(*sent)
            if method == "GET" and status in (503, 504):  # the machine stalled: a phone asks again
                status, _, data = gate.send(*sent)
            return status, json.loads(data or b"null")

        phone = Phone(around.wechat_url)
        visit(send, phone)
        token = send("POST", "/login", "", {"code": phone.code()})[1]["token"]
        assert send("DELETE", "/login")[0] == 405
        status, echo = send("GET", "/api/x", token)
        assert status == 200, echo
        openid = echo["headers"]["X-WX-OPENID"]
        push_through(gate, around, openid)
        assert send("GET", "/api/x", token)[0] == 401


def push_through(gate: Rehearsal, around: Surroundings, openid: str) -> None:
    """Push that a user has closed the account: through one function, the queue and another."""
    message, target, body = closed_account(openid, push_secret_of(DEFAULT_APP))
    assert gate.send("POST", target, [], body)[::2] == (200, b"success")
    deliver = gate.functions["Deliver"]
    with closing(aws.client("sqs", around.aws_url)) as sqs:
        assert poll(sqs, around.queue, lambda event, _: deliver.invoke(event)) == 1
        assert poll(sqs, around.queue, lambda event, _: deliver.invoke(event)) == 0
    echo = requests.get(f"{around.upstream_url}/wxgate/events", timeout=5).json()
    assert [json.loads(event["body"]) for event in echo["events"]] == [message]
