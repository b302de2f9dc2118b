"""What INIT and a restore of the package leave to its next request: nothing that takes time."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from chalicelib.settings import STORES
from simulator.gateway import event_of
from simulator.wechat import push_secret_of
from simulator.wechat.push import signature_of
from tests.support.front_door import APPID, FrontDoor

# Runs INIT, perhaps a restore an hour later, and one request; prints what the last two did.
SCRIPT = """
import json, sys, time
frozen, wall = [0], time.time
time.time = lambda: wall() + frozen[0]
from chalicelib import deadlines
deadlines.INIT = 60  # a busy machine takes longer than INIT waits
import app
loaded, fetched, connected = set(sys.modules), [], []
client = app.services._secrets._client
client.meta.events.register("before-call", lambda **_: fetched.append("secret"))
sys.addaudithook(lambda event, args: event == "socket.connect" and connected.append(args[1][1]))
event, restored = json.loads(sys.argv[1]), []
if sys.argv[2] == "restored":
    frozen[0] = 3600
    app.services.after_restore()
    restored, fetched[:], connected[:] = sorted(connected), [], []
serve = app.deliver_function if "Records" in event else app.serve
answer = serve(event, None)
new = sorted(set(sys.modules) - loaded)
request = {"loaded": new, "fetched": fetched, "connected": connected}
print(json.dumps([sorted(loaded), restored, answer, request]))
"""
LIBRARIES = {"boto3", "jwt", "pynamodb", "requests", "defusedxml"}
UNUSED = {"login": {"jwt", "defusedxml"}, "proxy": {"requests", "defusedxml"}}
UNUSED |= {"decrypt": {"defusedxml"}, "events": {"jwt", "requests"}}
UNUSED |= {"deliver": {"pynamodb", "requests", "defusedxml"}}


def run(package: Path, function: str, event: dict[str, Any], state: str) -> Any:
    environ = {**os.environ, "AWS_LAMBDA_FUNCTION_NAME": "x", "WXGATE_FUNCTION": function}
    environ |= {"DECRYPT_MAX_AGE": "9999", "EVENTS_PATH": "/wxgate/events"}
    environ |= {"EVENTS_QUEUE_URL": "http://127.0.0.1:1/queue"}
    environ |= {} if function in STORES else {"SESSIONS_TABLE": ""}
    command = [sys.executable, "-S", "-W", "ignore::ResourceWarning", "-c", SCRIPT]
    command += [json.dumps(event), state]
    done = subprocess.run(
        command, cwd=package, env=environ, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def check_of_the_url(_: FrontDoor, frozen: int) -> tuple[str, str, object]:
    query = {"timestamp": str(int(time.time()) + frozen), "nonce": "1", "echostr": "e"}
    signed = query["timestamp"], query["nonce"]
    query["signature"] = signature_of(push_secret_of(APPID)["token"], *signed)
    return "GET", f"/events/{APPID}?{urlencode(query)}", None


FIRST: dict[str, Callable[[FrontDoor, int], tuple[str, str, object]]] = {
    "login": lambda door, _: ("POST", "/login", {"code": door.phone().code()}),
    "proxy": lambda *_: ("GET", "/api/orders", None),
    "decrypt": lambda door, _: ("POST", "/decrypt", door.phone().tap()),
    "events": check_of_the_url,
}
QUEUED = {
    "messageId": "m",
    "receiptHandle": "r",
    "body": "{}",
    "attributes": {"ApproximateReceiveCount": "1"},
    "messageAttributes": {"appid": {"stringValue": APPID}, "id": {"stringValue": "e"}},
}


@pytest.mark.parametrize("state", ["new", "restored"])
@pytest.mark.parametrize("function", [*FIRST, "deliver"])
def test_the_first_request_loads_fetches_and_connects_nothing(
    built: Path, front_door: FrontDoor, function: str, state: str
) -> None:
    headers = [("Content-Type", "application/json")]
    headers.append(("Authorization", f"Bearer {front_door.login()}"))
    event: dict[str, Any] = {"Records": [QUEUED]}
    if function in FIRST:
        method, path, body = FIRST[function](front_door, 3600 if state == "restored" else 0)
        routes = [*front_door.module.app.routes, "/events/{appid}"]
        event = event_of(method, path, headers, json.dumps(body), routes)
    loaded, restored, answer, request = run(built / "package", function, event, state)
    assert LIBRARIES - set(loaded) == UNUSED[function]
    assert answer.get("statusCode", 200) == 200
    assert not answer.get("batchItemFailures")
    assert request == {"loaded": [], "fetched": [], "connected": []}
    urls = [front_door.aws_url] if state == "restored" else []  # of Secrets Manager
    urls += urls if function in STORES else []
    if state == "restored" and function != "events":
        upstream = front_door.module.services.settings.upstream_url
        urls.append(upstream if function in ("proxy", "deliver") else front_door.wechat_url)
    assert restored == sorted(urlsplit(url).port or 0 for url in urls)
