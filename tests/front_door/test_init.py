"""What INIT leaves to the first request of a Lambda function: nothing that takes time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.gateway import event_of
from tests.support.front_door import FrontDoor

ROOT = Path(__file__).parents[2]

# Runs INIT, then one request, and says what that one loaded, fetched and connected.
SCRIPT = """
import json, socket, sys
import app
loaded, fetched, connected = set(sys.modules), [], []
client = app.services._secrets_client
client.meta.events.register("before-call", lambda **_: fetched.append("secret"))
sys.addaudithook(lambda event, args: event == "socket.connect" and connected.append(args[1][1]))
event = json.loads(sys.argv[1])
status = app.app(event, None)["statusCode"]
new = sorted(set(sys.modules) - loaded)
print(json.dumps({"status": status, "loaded": new, "fetched": fetched, "connected": connected}))
"""


def first_request(function: str, event: dict[str, Any]) -> Any:
    environ = {**os.environ, "AWS_LAMBDA_FUNCTION_NAME": "x", "WXGATE_FUNCTION": function}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", SCRIPT, json.dumps(event)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def login(door: FrontDoor) -> tuple[str, str, object]:
    return "POST", "/login", {"code": door.phone().code()}


def proxied(_door: FrontDoor) -> tuple[str, str, object]:
    return "GET", "/api/orders", None


def decryption(door: FrontDoor) -> tuple[str, str, object]:
    data = door.phone().do("getPhoneNumber")
    body = {"kind": "phone", "encryptedData": data["encryptedData"], "iv": data["iv"]}
    return "POST", "/decrypt", body


FIRST = {"login": login, "proxy": proxied, "decrypt": decryption}


@pytest.mark.parametrize("function", FIRST)
def test_the_first_request_loads_fetches_and_connects_nothing(
    front_door: FrontDoor, function: str
) -> None:
    headers = [
        ("Content-Type", "application/json"),
        ("Authorization", f"Bearer {front_door.login()}"),
    ]
    method, path, body = FIRST[function](front_door)
    event = event_of(method, path, headers, json.dumps(body), front_door.module.app.routes)
    answer = first_request(function, event)
    assert answer == {"status": 200, "loaded": [], "fetched": [], "connected": []}
