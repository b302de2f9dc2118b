"""The front door with a queue of its own, and a simulated WeChat that pushes to it."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from simulator import aws, desk
from simulator.event_source import poll
from simulator.wechat import WeChat, appsecret_of
from simulator.wechat.messages import Call
from simulator.wechat.push import Pushed
from tests.support import load_fixtures
from tests.support.front_door import APPID, Answer, FrontDoor

EVENTS_PATH = "/wxgate/test-events"
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    load_fixtures(config, "engines", "front_door")


@dataclass
class Events:
    """The front door with a queue of its own, a WeChat that pushes to it, and the echo behind."""

    door: FrontDoor
    sqs: Any
    queue: str
    upstream: str
    wechat: WeChat

    def act(self, path: str, **members: object) -> dict[str, Any]:
        """Let the simulated WeChat do something that it pushes."""
        body = json.dumps({"appid": APPID, **members}).encode()
        answer: dict[str, Any] = json.loads(self.wechat.answer(Call("POST", path, {}, body)).body)
        return answer

    def take(self, pushed: Pushed, appid: str = APPID) -> Answer:
        target = f"/events/{appid}?{urlencode(pushed.query)}"
        return self.door.send("POST", target, body=pushed.body)

    def deliver(self) -> int:
        """Let Lambda take one batch from the queue."""
        return poll(self.sqs, self.queue, self.door.module.deliver_function)

    def shown(self) -> list[dict[str, Any]]:
        """What the echo has received on this test's path."""
        echo = requests.get(self.upstream + os.environ["EVENTS_PATH"], timeout=5).json()
        found: list[dict[str, Any]] = echo.get("events", [])
        return found


@pytest.fixture
def events(
    front_door: FrontDoor, running_desk: desk.Desk, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Events]:
    number = next(_numbers)
    with closing(aws.client("sqs", running_desk.urls["AWS"])) as sqs:
        queue = aws.make_queue(sqs, f"events-{os.getpid()}-{number}")
        monkeypatch.setenv("EVENTS_QUEUE_URL", queue)
        monkeypatch.setenv("EVENTS_PATH", f"{EVENTS_PATH}-{number}")
        front_door.module = desk.load_app()
        made = Events(front_door, sqs, queue, running_desk.urls["upstream"], WeChat({}))

        def send(url: str, query: Any, body: bytes, _kind: str) -> tuple[int, bytes]:
            answer = made.take(Pushed(query, body, ""), url.rpartition("/")[2])
            return answer.status, answer.body

        made.wechat = WeChat({APPID: appsecret_of(APPID)}, send=send)
        made.wechat.push_url = "front-door/events/"
        yield made
