"""What several test files share: engines, the desk, and the front door without a socket."""

import gc
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import requests
from hypothesis import Phase, settings

from simulator import aws, desk
from simulator.gateway import LAMBDA_SECONDS, Context, answer_of, event_of, through_api_gateway
from tests.support import dynamodb_local
from tests.support.fakes import Clock

# No test may reach a real account, whatever the machine's environment says.
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_EC2_METADATA_DISABLED="true",
)
for _name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(_name, None)

# Properties: many examples where it is judged, enough at the desk; no example is timed.
settings.register_profile("desk", max_examples=300, deadline=None)
settings.register_profile("ci", max_examples=2_000, deadline=None, database=None)
# A mutant is killed by any example: the first is as good as the smallest.
settings.register_profile(
    "mutants",
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "desk")


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of garbage collections."""
    gc.freeze()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave out what a file's tests have left: a collection of it all would take seconds.

    The servers of the tests stand still meanwhile, and a try of a second's is over.
    """
    if nextitem is None or nextitem.path != item.path:
        gc.freeze()


APPID = desk.DEFAULT_APP
_numbers = itertools.count(1)


@pytest.fixture
def clock() -> Clock:
    """A frozen clock."""
    return Clock()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The embedded AWS engine."""
    server = aws.start("127.0.0.1", 0)
    yield server.url
    server.close()


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    """DynamoDB Local; skipped with one line where it cannot run, but never in CI."""
    reason = dynamodb_local.missing()
    if reason and not dynamodb_local.must_run():
        pytest.skip(reason)
    process, url = dynamodb_local.start()
    yield url
    process.kill()
    process.wait()


@pytest.fixture(
    scope="session",
    params=["moto", pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local)],
)
def engine_url(request: pytest.FixtureRequest) -> str:
    """Each engine in turn: a test of the store runs on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def new_table(url: str) -> str:
    """Make a sessions table with a fresh name, as the template declares it; give the name."""
    name = f"sessions-{os.getpid()}-{next(_numbers)}"
    with closing(aws.client("dynamodb", url)) as dynamodb:
        aws.make_table(dynamodb, name)
    return name


@dataclass
class Answer:
    """An answer of the front door: what API Gateway would send to the phone."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The gate's own error Code, None where the gate did not refuse."""
        return self.headers.get("X-Wxgate-Error")

    def keeps_its_promises(self) -> None:
        """Check what the contract says of every answer, whatever was asked."""
        assert self.headers["X-Request-Id"]
        assert self.headers["X-Content-Type-Options"] == "nosniff"
        if self.code is not None:
            assert self.json == {"Code": self.code, "Message": self.json["Message"]}
            assert self.headers["Cache-Control"] == "no-store"


@dataclass
class Phone:
    """A user's phone: what wx.* does behind the scenes, through the simulator's phone face."""

    url: str
    user: str = "alice"
    appid: str = APPID

    def do(self, call: str, **fields: object) -> dict[str, Any]:
        """Make a wx call, such as login or getPhoneNumber."""
        body = {"appid": self.appid, "user": self.user, **fields}
        answer: dict[str, Any] = requests.post(f"{self.url}/wx/{call}", json=body, timeout=5).json()
        return answer

    def code(self) -> str:
        """Get a login code."""
        code: str = self.do("login")["code"]
        return code


@dataclass
class FrontDoor:
    """The unmodified app behind API Gateway's event shape, without a socket between."""

    module: ModuleType
    wechat_url: str
    aws_url: str = ""
    answers: list[Answer] = field(default_factory=list)

    def send(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        headers: list[tuple[str, str]] | None = None,
        json_body: object = None,
        body: bytes | str | None = None,
        merciful: bool = True,
        seconds: float = LAMBDA_SECONDS,
    ) -> Answer:
        """Send one request through the adapter; give the answer.

        `seconds` is what Lambda has left for it.
        """
        sent = list(headers or [])
        if token is not None:
            sent.append(("Authorization", f"Bearer {token}"))
        if json_body is not None:
            sent.append(("Content-Type", "application/json"))
            body = json.dumps(json_body)
        arrived = through_api_gateway(sent, "127.0.0.1")
        event = event_of(method, target, arrived, body, self.module.app.routes, merciful=merciful)
        status, answered, data = answer_of(self.module.app(event, Context(seconds=seconds)))
        self.answers.append(Answer(status, dict(answered), data))
        return self.answers[-1]

    def phone(self, user: str = "alice", appid: str = APPID) -> Phone:
        """Take a user's phone in hand."""
        return Phone(self.wechat_url, user, appid)

    def login(self, user: str = "alice", **fields: object) -> str:
        """Log a user in; give the token."""
        code = self.phone(user, str(fields.get("appid", APPID))).code()
        answer = self.send("POST", "/login", json_body={"code": code, **fields})
        assert answer.status == 200, answer
        token: str = answer.json["token"]
        return token

    def control(self, action: str, **fields: object) -> None:
        """Use the simulator's control face."""
        requests.post(f"{self.wechat_url}/control/{action}", json=fields, timeout=5)

    def wechat_calls(self) -> list[dict[str, Any]]:
        """What WeChat's server face received since the last reset."""
        calls: list[dict[str, Any]] = requests.get(
            f"{self.wechat_url}/control/log", params={"after": 0}, timeout=5
        ).json()
        return calls


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
