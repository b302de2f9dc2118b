"""The unmodified app among servers that watch it: WeChat, the upstream and AWS, all on loopback."""

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from chalicelib.sessions.tokens import Token
from simulator import aws, desk
from simulator.gateway import Context, answer_of, event_of
from tests.attacks import watch
from tests.attacks.corpus import META
from tests.support.aws_proxy import READS, WRITES, AwsProxy, Operation
from tests.support.engines import new_table
from tests.support.fakes import NOW, Clock
from tests.support.front_door import Answer
from tests.support.loopback import Loopback, Peer, Request, whole
from tests.support.wechat import (
    ACCESS_TOKEN,
    APPSECRET,
    PHONE,
    USERS,
    FakeWeChat,
    said,
    session_of,
)

APPID: str = META["appid"]
OTHER_APPID: str = META["appid_other"]
PREFIX = "attacks/"
KEYS = "/.well-known/jwks.json"
JUNK = {"kind": "phone", "encryptedData": "MDEyMzQ1Njc4OWFiY2RlZg==", "iv": "A" * 22 + "=="}
"""Well-formed open data that opens under no key."""


@dataclass
class Exchange:
    """One event, its answer, and everything that was seen meanwhile."""

    event: dict[str, Any]
    result: dict[str, Any]
    answer: Answer
    seconds: float
    wechat: list[Request]
    upstream: list[Request]
    operations: list[Operation]
    seen: watch.Seen

    @property
    def own_seconds(self) -> float:
        """What it took, less what a busy machine withheld."""
        return self.seconds - self.seen.stalled

    @property
    def store(self) -> list[Operation]:
        """What was asked of DynamoDB."""
        return [done for done in self.operations if done.service == "DynamoDB"]

    @property
    def reads(self) -> list[Operation]:
        """The reads of the store."""
        return [done for done in self.store if done.name in READS]

    @property
    def writes(self) -> list[Operation]:
        """The writes to the store."""
        return [done for done in self.store if done.name in WRITES]


@dataclass
class Watched:
    """What the servers and the watch noted while a block ran."""

    wechat: list[Request] = field(default_factory=list)
    upstream: list[Request] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    seen: watch.Seen = field(default_factory=watch.Seen)


class World:
    """The servers, one table, the secrets, a frozen clock. `secrets` are the canaries by name."""

    def __init__(self, engine_url: str) -> None:
        self.clock = Clock()
        self.wechat = FakeWeChat()
        self.upstream = Loopback(echo)
        self.aws = AwsProxy(engine_url)
        self.engine_url = engine_url
        self._forgotten = 0
        self.table = new_table(engine_url)
        self.dynamodb: Any = aws.client("dynamodb", engine_url)
        with closing(aws.client("secretsmanager", engine_url)) as manager:
            aws.make_secrets(manager, PREFIX, dict.fromkeys((APPID, OTHER_APPID), APPSECRET))
        self.secrets: dict[str, set[str]] = {
            "appsecret": {APPSECRET},
            "session_key": {key for user in USERS.values() for key in _keys(user)},
            "access_token": {ACCESS_TOKEN},
            "token": set(),
        }
        self.personal: dict[str, set[str]] = {
            "openid": {user["openid"] for user in USERS.values()},
            "unionid": {user["unionid"] for user in USERS.values() if user["unionid"]},
            "phone": {PHONE, "13900000001", "13800138000"},
            "errmsg": {"canary-errmsg"},
        }
        self.door = self.open_door()
        self.key_set: dict[str, Any] = self.door.send("GET", KEYS).answer.json

    def close(self) -> None:
        """End all servers."""
        self.dynamodb.close()
        for server in (self.wechat, self.upstream, self.aws):
            server.close()

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the app: addresses of this world, the loudest log."""
        return {
            "WX_APPIDS": APPID,
            "SESSIONS_TABLE": self.table,
            "SECRET_PREFIX": PREFIX,
            "UPSTREAM_URL": f"{self.upstream.url}/base",
            "UPSTREAM_ALLOW_PRIVATE": "true",
            "WECHAT_API_URL": self.wechat.url,
            "AWS_ENDPOINT_URL": self.aws.url,
            "LOG_LEVEL": "DEBUG",
        }

    @property
    def configured(self) -> set[watch.Address]:
        """Every address that the app may contact."""
        ports = (self.wechat.port, self.upstream.port, self.aws.port)
        return {("127.0.0.1", port) for port in ports}

    def open_door(self, **environ: str) -> "Door":
        """Load the app anew, as a cold start does; names override the environment."""
        return Door(self, {**self.environ, **environ})

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watched]:
        """Note what servers and process do during a block."""
        marks = len(self.wechat.requests), len(self.upstream.requests), len(self.aws.operations)
        watched = Watched()
        with watch.watching() as watched.seen:
            yield watched
        watched.wechat = self.wechat.requests[marks[0] :]
        watched.upstream = self.upstream.requests[marks[1] :]
        watched.operations = self.aws.operations[marks[2] :]

    def items(self) -> list[dict[str, Any]]:
        """Dump the table."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table)
        return [item for page in pages for item in page["Items"]]

    @property
    def unstored(self) -> dict[str, set[str]]:
        """What the table may not hold. It holds openids and unionids in clear, on purpose."""
        return {
            **self.secrets,
            "phone": self.personal["phone"],
            "code": set(self.wechat.codes),
        }

    def fill_table(self) -> None:
        """Store all that may ever be stored: two live sessions, and a key that one inherited."""
        self.door.login("code-B")
        old = self.door.login("code-A")
        with self.wechat.scripted(said(session_of("A", USERS["A"]["session_key_replaced"]))):
            self.door.login("code-A", replaces=old)

    def dump(self) -> str:
        """Give the table as text, bytes in every spelling that a dump may have."""
        return "\n".join(
            f"{value!r} {value.hex()} {base64.b64encode(value).decode()}"
            if isinstance(value, bytes)
            else str(value)
            for item in self.items()
            for attribute in item.values()
            for value in attribute.values()
        )

    def forget_failures(self) -> None:
        """Delete every failure counter, as the end of its window would."""
        counted = [op for op in self.aws.operations[self._forgotten :] if op.name == "UpdateItem"]
        for user, item in {_key_of(operation) for operation in counted}:
            key = {"user": {"B": base64.b64decode(user)}, "item": {"B": base64.b64decode(item)}}
            self.dynamodb.delete_item(TableName=self.table, Key=key)
        self._forgotten = len(self.aws.operations)

    def change_item(self, token: str, **attributes: Any) -> None:
        """Change the stored item of a token; None takes an attribute away."""
        parsed = Token.parse(token)
        key = {"user": {"B": parsed.user}, "item": {"B": parsed.item}}
        item = self.dynamodb.get_item(TableName=self.table, Key=key)["Item"] | attributes
        kept = {name: value for name, value in item.items() if value is not None}
        self.dynamodb.put_item(TableName=self.table, Item=kept)

    def drop_item(self, token: str) -> None:
        """Delete the stored item of a token."""
        parsed = Token.parse(token)
        key = {"user": {"B": parsed.user}, "item": {"B": parsed.item}}
        self.dynamodb.delete_item(TableName=self.table, Key=key)


class Door:
    """One loaded app and the environment that it lives in; `start` is what was seen meanwhile."""

    def __init__(self, world: World, environ: dict[str, str]) -> None:
        self.world = world
        self.environ = environ
        with self.inside(), watch.watching() as self.start:
            self.module: ModuleType = desk.load_app()
        # Nothing else of the app is touched: all else that differs is its environment.
        self.module.services.clock = world.clock
        self.app: Any = self.module.app
        self._notes: list[str] = []
        self.app.register_middleware(watch.exceptions_to(self._notes.append), "http")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Set the environment for a while: some of it is read when a client is first needed."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
                patch.delenv(name)
            for name, value in self.environ.items():
                patch.setenv(name, value)
            yield

    def serve(self, event: Any, context: Any = None) -> Exchange:
        """Serve one event and tell all that was seen."""
        with self._watching() as watched:
            started = time.monotonic()
            result = self.app(event, context or Context())
            seconds = time.monotonic() - started
        return self._exchange(event, result, seconds, watched)

    def serve_at_once(self, events: list[Any]) -> list[Exchange]:
        """Serve many events in as many threads; each exchange has what was seen of all."""
        with self._watching() as watched, ThreadPoolExecutor(len(events)) as pool:
            started = time.monotonic()
            results = list(pool.map(lambda event: self.app(event, Context()), events))
            seconds = time.monotonic() - started
        return [
            self._exchange(event, result, seconds, watched)
            for event, result in zip(events, results, strict=True)
        ]

    @contextlib.contextmanager
    def _watching(self) -> Iterator[Watched]:
        self._notes.clear()
        with self.inside(), self.world.watching() as watched:
            yield watched
        watched.seen.exceptions += self._notes

    def _exchange(self, event: Any, result: Any, seconds: float, watched: Watched) -> Exchange:
        """Put together what came of an event; a token that it gave is a canary from now on."""
        status, headers, body = answer_of(result)
        answer = Answer(status, dict(headers), body)
        if status == 200 and event.get("resource") == "/login":
            self.world.secrets["token"].add(answer.json["token"])
        return Exchange(
            event,
            result,
            answer,
            seconds,
            watched.wechat,
            watched.upstream,
            watched.operations,
            watched.seen,
        )

    def send(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        json_body: object = None,
        headers: list[tuple[str, str]] | None = None,
        context: Any = None,
    ) -> Exchange:
        """Send one request through the event of API Gateway."""
        sent = list(headers or [])
        body = None
        if token is not None:
            sent.append(("Authorization", f"Bearer {token}"))
        if json_body is not None:
            sent.append(("Content-Type", "application/json"))
            body = json.dumps(json_body)
        return self.serve(event_of(method, target, sent, body, self.app.routes), context)

    def login(self, code: str = "code-A", **fields: object) -> str:
        """Log in; give the token."""
        exchange = self.send("POST", "/login", json_body={"code": code, **fields})
        assert exchange.answer.status == 200, exchange.answer
        token: str = exchange.answer.json["token"]
        return token

    def login_at(self, now: float, code: str = "code-A") -> str:
        """Log in at another time."""
        self.world.clock.now, before = now, self.world.clock.now
        try:
            return self.login(code)
        finally:
            self.world.clock.now = before


def echo(peer: Peer) -> None:
    """What the upstream does: answer what arrived, and keep the connection."""
    request = peer.read_request()
    body = {"method": request.method, "target": request.target, "headers": request.headers}
    headers = [("Content-Type", "application/json")]
    peer.send(whole(json.dumps(body).encode(), headers=headers))


def _key_of(operation: Operation) -> tuple[str, str]:
    key = operation.parameters["Key"]
    return key["user"]["B"], key["item"]["B"]


def _keys(user: dict[str, Any]) -> list[str]:
    return [value for name, value in user.items() if name.startswith("session_key")]


TTL = 604_800
assert META["frozen_clock"] == NOW  # the tests' clock and the corpus's stand at the same second
