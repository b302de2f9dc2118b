"""The front door without a socket: the unmodified app behind API Gateway's event shape.

Fixtures of a desk that runs once for all tests; loaded by the conftest of a folder.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import requests

from simulator import desk
from simulator.gateway import LAMBDA_SECONDS, Context, answer_of, event_of, through_api_gateway
from tests.support.engines import new_table

APPID = desk.DEFAULT_APP
TAPS = {
    "user": ("getUserInfo", "openId"),
    "phone": ("getPhoneNumber", "purePhoneNumber"),
    "werun": ("getWeRunData", "stepInfoList"),
    "share": ("getShareInfo", "openGId"),
    "group": ("getGroupEnterInfo", "opengid"),
}
"""The wx call that gives each kind of open data, and a member of it."""


@dataclass
class Answer:
    """An answer of the front door: what API Gateway would send to the phone."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.headers.get("X-Wxgate-Error")

    def keeps_its_promises(self) -> None:
        assert self.headers["X-Request-Id"]
        assert self.headers["X-Content-Type-Options"] == "nosniff"
        if self.code is not None:
            assert self.json == {"Code": self.code, "Message": self.json["Message"]}
            assert self.headers["Cache-Control"] == "no-store"


Sent = tuple[list[tuple[str, str]], bytes | str | None]


def headers_and_body(
    token: str | None = None,
    headers: list[tuple[str, str]] | None = None,
    json_body: object = None,
    body: bytes | str | None = None,
) -> Sent:
    sent = list(headers or [])
    if token is not None:
        sent.append(("Authorization", f"Bearer {token}"))
    if json_body is not None:
        sent.append(("Content-Type", "application/json"))
        body = json.dumps(json_body)
    return sent, body


@dataclass
class Phone:
    """A user's phone: what wx.* does behind the scenes, through the simulator's phone face."""

    url: str
    user: str = "alice"
    appid: str = APPID

    def do(self, call: str, **fields: object) -> Any:
        body = {"appid": self.appid, "user": self.user, **fields}
        return requests.post(f"{self.url}/wx/{call}", json=body, timeout=5).json()

    def code(self) -> str:
        return str(self.do("login")["code"])

    def tap(self, kind: str = "phone") -> dict[str, str]:
        """Get open data of a kind, as /decrypt takes them."""
        data = self.do(TAPS[kind][0])
        return {"kind": kind, "encryptedData": data["encryptedData"], "iv": data["iv"]}


@dataclass
class FrontDoor:
    """The unmodified app behind API Gateway's event shape, without a socket between."""

    module: ModuleType
    wechat_url: str
    aws_url: str = ""
    answers: list[Answer] = field(default_factory=list)

    def send(
        self, method: str, target: str, *, seconds: float = LAMBDA_SECONDS, **sent: Any
    ) -> Answer:
        """Send one request, with what `headers_and_body` takes; Lambda has `seconds` left."""
        headers, body = headers_and_body(**sent)
        arrived = through_api_gateway(headers, "127.0.0.1")
        event = event_of(method, target, arrived, body, self.module.app.routes)
        status, answered, data = answer_of(self.module.app(event, Context(seconds=seconds)))
        self.answers.append(Answer(status, dict(answered), data))
        return self.answers[-1]

    def phone(self, user: str = "alice", appid: str = APPID) -> Phone:
        return Phone(self.wechat_url, user, appid)

    def login(self, user: str = "alice", **fields: object) -> str:
        code = self.phone(user, str(fields.get("appid", APPID))).code()
        answer = self.send("POST", "/login", json_body={"code": code, **fields})
        assert answer.status == 200, answer
        return str(answer.json["token"])

    def control(self, action: str, **fields: object) -> None:
        requests.post(f"{self.wechat_url}/control/{action}", json=fields, timeout=5)

    def wechat_calls(self) -> Any:
        """What WeChat's server face received since the last reset."""
        return requests.get(f"{self.wechat_url}/control/log?after=0", timeout=5).json()


@pytest.fixture(scope="session")
def running_desk() -> Iterator[desk.Desk]:
    """The whole desk, once for all tests, on free ports."""
    before = dict(os.environ)
    running = desk.set_up(0)
    yield running
    running.close()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def front_door(running_desk: desk.Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontDoor]:
    """A freshly loaded app in front of the desk: an empty table, and WeChat's state reset."""
    monkeypatch.setenv("SESSIONS_TABLE", new_table(running_desk.urls["AWS"]))
    door = FrontDoor(desk.load_app(), running_desk.urls["WeChat"], running_desk.urls["AWS"])
    door.control("reset")
    yield door
    for answer in door.answers:
        answer.keeps_its_promises()
