"""The unmodified app among servers that watch it: WeChat, the upstream and AWS, all on loopback."""

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chalicelib.sessions.tokens import Token
from simulator import aws, desk
from simulator.gateway import Context, answer_of, event_of
from tests.attacks import watch
from tests.support import wechat
from tests.support.aws_proxy import READS, WRITES, AwsProxy, Operation
from tests.support.engines import new_table
from tests.support.fakes import NOW, Clock
from tests.support.front_door import Answer, headers_and_body
from tests.support.loopback import Loopback, Request, echo
from tests.support.wechat import APPSECRET, META, USERS

APPID: str = META["appid"]
OTHER_APPID: str = META["appid_other"]
PREFIX = "attacks/"
KEYS = "/.well-known/jwks.json"
JUNK = {"kind": "phone", "encryptedData": "MDEyMzQ1Njc4OWFiY2RlZg==", "iv": "A" * 22 + "=="}
"""Well-formed open data that opens under no key."""

TTL = 604_800
assert META["frozen_clock"] == NOW  # the tests' clock and the corpus's stand at the same second


@dataclass
class Exchange:
    """What servers and process noted for a while; and the event and answer, if there is one."""

    event: Any = None
    result: Any = None
    answer: Answer = field(default_factory=lambda: Answer(0, {}, b""))
    seconds: float = 0.0
    wechat: list[Request] = field(default_factory=list)
    upstream: list[Request] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    seen: watch.Seen = field(default_factory=watch.Seen)

    @property
    def own_seconds(self) -> float:
        return self.seconds - self.seen.stalled

    @property
    def store(self) -> list[Operation]:
        return [done for done in self.operations if done.service == "DynamoDB"]

    @property
    def reads(self) -> list[Operation]:
        return [done for done in self.store if done.name in READS]

    @property
    def writes(self) -> list[Operation]:
        return [done for done in self.store if done.name in WRITES]


class World:
    """The servers, one table, the secrets, a frozen clock. `secrets` are the canaries by name."""

    def __init__(self, engine_url: str) -> None:
        self.clock = Clock()
        self.wechat = wechat.FakeWeChat()
        self.upstream = Loopback(echo)
        self.aws = AwsProxy(engine_url)
        self.engine_url = engine_url
        self._forgotten = 0
        self.table = new_table(engine_url)
        self.dynamodb: Any = aws.client("dynamodb", engine_url)
        with closing(aws.client("secretsmanager", engine_url)) as manager:
            aws.make_secrets(manager, PREFIX, dict.fromkeys((APPID, OTHER_APPID), APPSECRET))
            signing = manager.get_secret_value(SecretId=f"{PREFIX}signing")["SecretString"]
        keys = [v for user in USERS.values() for k, v in user.items() if k.startswith("session")]
        self.secrets: dict[str, set[str]] = {
            "appsecret": {APPSECRET},
            "session_key": set(keys),
            "access_token": {wechat.ACCESS_TOKEN},
            "token": set(),
            "private key": set(json.loads(signing)["private_key"].split("\n")[1:3]),
        }
        self.personal: dict[str, set[str]] = {
            "openid": {user["openid"] for user in USERS.values()},
            "unionid": {user["unionid"] for user in USERS.values() if user["unionid"]},
            "phone": {wechat.PHONE, "13900000001", "13800138000"},
            "errmsg": {"canary-errmsg"},
        }
        ports = (self.wechat.port, self.upstream.port, self.aws.port)
        self.configured: set[watch.Address] = {("127.0.0.1", port) for port in ports}
        self.environ = {
            "WX_APPIDS": APPID,
            "SESSIONS_TABLE": self.table,
            "SECRET_PREFIX": PREFIX,
            "UPSTREAM_URL": f"{self.upstream.url}/base",
            "UPSTREAM_ALLOW_PRIVATE": "true",
            "WECHAT_API_URL": self.wechat.url,
            "AWS_ENDPOINT_URL": self.aws.url,
            "LOG_LEVEL": "DEBUG",
        }
        self.door = self.open_door()
        self.key_set: dict[str, Any] = self.door.send("GET", KEYS).answer.json

    def close(self) -> None:
        self.dynamodb.close()
        for server in (self.wechat, self.upstream, self.aws):
            server.close()

    def open_door(self, **environ: str) -> "Door":
        """Load the app anew, as a cold start does; names override the environment."""
        return Door(self, {**self.environ, **environ})

    @contextlib.contextmanager
    def watching(self) -> Iterator[Exchange]:
        marks = len(self.wechat.requests), len(self.upstream.requests), len(self.aws.operations)
        noted, started = Exchange(), time.monotonic()
        with watch.watching() as noted.seen:
            yield noted
            noted.seconds = time.monotonic() - started
        noted.wechat = self.wechat.requests[marks[0] :]
        noted.upstream = self.upstream.requests[marks[1] :]
        noted.operations = self.aws.operations[marks[2] :]

    # --- the table ---

    def items(self) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table)
        return [item for page in pages for item in page["Items"]]

    def sessions(self) -> int:
        return sum("openid" in item for item in self.items())

    def secrets_in_table(self) -> list[str]:
        """Name what a dump holds and may not: the table has openids and unionids in clear.

        Two live sessions are stored before, and a key that one inherited. Bytes are read in every
        spelling that a dump may have.
        """
        self.door.login("code-B")
        old = self.door.login("code-A")
        replaced = wechat.session_of("A", USERS["A"]["session_key_replaced"])
        with self.wechat.scripted(wechat.said(replaced)):
            self.door.login("code-A", replaces=old)
        assert self.sessions() >= 2
        dump = ""
        for value in [v for item in self.items() for a in item.values() for v in a.values()]:
            dump += f"{value!r}\n"
            if isinstance(value, bytes):
                dump += f"{value.hex()} {base64.b64encode(value).decode()}\n"
        codes, phone = set(self.wechat.codes), self.personal["phone"]
        return watch.leaks(dump, {**self.secrets, "phone": phone, "code": codes})

    def forget_failures(self) -> None:
        done = self.aws.operations[self._forgotten :]
        keys = [op.parameters["Key"].items() for op in done if op.name == "UpdateItem"]
        for key in {tuple((name, value["B"]) for name, value in key) for key in keys}:
            binary = {name: {"B": base64.b64decode(value)} for name, value in key}
            self.dynamodb.delete_item(TableName=self.table, Key=binary)
        self._forgotten = len(self.aws.operations)

    def change_item(self, token: str, **attributes: Any) -> None:
        item = self.dynamodb.get_item(TableName=self.table, Key=_key(token))["Item"] | attributes
        left = {name: value for name, value in item.items() if value is not None}
        self.dynamodb.put_item(TableName=self.table, Item=left)

    def drop_item(self, token: str) -> None:
        self.dynamodb.delete_item(TableName=self.table, Key=_key(token))


def _key(token: str) -> dict[str, Any]:
    parsed = Token.parse(token)
    return {"user": {"B": parsed.user}, "item": {"B": parsed.item}}


class Door:
    """One loaded app and the environment that it lives in; `start` is what was seen meanwhile."""

    def __init__(self, world: World, environ: dict[str, str]) -> None:
        self.world = world
        self.environ = environ
        with self.inside(), watch.watching() as self.start:
            self.module = desk.load_app()
        # Nothing else of the app is touched: all else that differs is its environment.
        self.module.services.clock = world.clock
        self.app: Any = self.module.app
        self._notes: list[str] = []
        self.app.register_middleware(watch.exceptions_to(self._notes), "http")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Set the environment for a while: some of it is read when a client is first needed."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
                patch.delenv(name)
            for name, value in self.environ.items():
                patch.setenv(name, value)
            yield

    @contextlib.contextmanager
    def _watching(self) -> Iterator[Exchange]:
        self._notes.clear()
        with self.inside(), self.world.watching() as noted:
            yield noted
        noted.seen.exceptions += self._notes

    def serve(self, event: Any, context: Any = None) -> Exchange:
        with self._watching() as noted:
            result = self.app(event, context or Context())
        return self._exchange(event, result, noted)

    def serve_at_once(self, events: list[Any]) -> list[Exchange]:
        """Serve many events in as many threads; each exchange has what was seen of all."""
        with self._watching() as noted, ThreadPoolExecutor(len(events)) as pool:
            results = list(pool.map(lambda event: self.app(event, Context()), events))
        return [self._exchange(*one, noted) for one in zip(events, results, strict=True)]

    def _exchange(self, event: Any, result: Any, noted: Exchange) -> Exchange:
        """Put together what came of an event; a token that it gave is a canary from now on."""
        status, headers, body = answer_of(result)
        answer = Answer(status, dict(headers), body)
        if status == 200 and event.get("resource") == "/login":
            self.world.secrets["token"].add(answer.json["token"])
        return replace(noted, event=event, result=result, answer=answer)

    def send(self, method: str, target: str, *, context: Any = None, **sent: Any) -> Exchange:
        return self.serve(self.event(method, target, **sent), context)

    def event(self, method: str, target: str, **sent: Any) -> dict[str, Any]:
        return event_of(method, target, *headers_and_body(**sent), self.app.routes)

    def login(self, code: str = "code-A", **fields: object) -> str:
        exchange = self.send("POST", "/login", json_body={"code": code, **fields})
        assert exchange.answer.status == 200, exchange.answer
        return str(exchange.answer.json["token"])

    def login_at(self, now: float) -> str:
        self.world.clock.now, before = now, self.world.clock.now
        token, self.world.clock.now = self.login(), before
        return token
