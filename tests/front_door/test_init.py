"""What INIT and a restore leave to the next request of a function: nothing that takes time."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from simulator.gateway import event_of
from tests.support.front_door import FrontDoor

ROOT = Path(__file__).parents[2]

# Runs INIT, perhaps a restore an hour later, and one request; prints what the last two did.
SCRIPT = """
import json, sys, time
frozen, wall = [0], time.time
time.time = lambda: wall() + frozen[0]
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
status = app.app(event, None)["statusCode"]
new = sorted(set(sys.modules) - loaded)
request = {"status": status, "loaded": new, "fetched": fetched, "connected": connected}
print(json.dumps([restored, request]))
"""


def run(function: str, event: dict[str, Any], state: str) -> Any:
    lambdas = {"AWS_LAMBDA_FUNCTION_NAME": "x", "WXGATE_FUNCTION": function}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", SCRIPT, json.dumps(event), state],
        cwd=ROOT,
        env={**os.environ, **lambdas, "DECRYPT_MAX_AGE": "9999"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


FIRST: dict[str, Callable[[FrontDoor], tuple[str, str, object]]] = {
    "login": lambda door: ("POST", "/login", {"code": door.phone().code()}),
    "proxy": lambda _: ("GET", "/api/orders", None),
    "decrypt": lambda door: ("POST", "/decrypt", door.phone().tap()),
}


@pytest.mark.parametrize("state", ["new", "restored"])
@pytest.mark.parametrize("function", FIRST)
def test_the_first_request_loads_fetches_and_connects_nothing(
    front_door: FrontDoor, function: str, state: str
) -> None:
    headers = [
        ("Content-Type", "application/json"),
        ("Authorization", f"Bearer {front_door.login()}"),
    ]
    method, path, body = FIRST[function](front_door)
    event = event_of(method, path, headers, json.dumps(body), front_door.module.app.routes)
    restored, request = run(function, event, state)
    assert request == {"status": 200, "loaded": [], "fetched": [], "connected": []}
    upstream = front_door.module.services.settings.upstream_url
    third = upstream if function == "proxy" else front_door.wechat_url
    # The table and the secrets are two clients of one server.
    urls = [front_door.aws_url, front_door.aws_url, third] if state == "restored" else []
    assert restored == sorted(urlsplit(url).port or 0 for url in urls)
