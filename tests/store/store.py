"""A session store and the raw table beside it, for the tests that look at both."""

import base64
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.errors import InvalidToken
from chalicelib.identity import Identity
from chalicelib.sessions.sessions import FAILURES, Sessions
from chalicelib.sessions.table import Table
from chalicelib.sessions.tokens import Token, user_reference
from simulator import aws
from tests.support.aws_proxy import AwsProxy
from tests.support.engines import new_table
from tests.support.fakes import Alerts, Clock

APPID, OTHER_APPID = "wx4f4bc4dec97d474b", "wx0000000000000001"
TTL = 3600
KEY, KEY2, KEY3 = (base64.b64encode(bytes([n]) * 16).decode() for n in (1, 2, 3))
_numbers = itertools.count(1)


@dataclass
class Store:
    """A store for one test: its own user in a shared table, and the raw table beside it.

    `alerts` are what the operator was told.
    """

    sessions: Sessions
    clock: Clock
    dynamodb: Any
    table: str
    openid: str
    alerts: list[tuple[str, dict[str, str]]]
    engine: Any  # the proxy before the table, if there is one

    @property
    def user(self) -> bytes:
        return user_reference(APPID, self.openid)

    def login(
        self, session_key: str = KEY, *, replaces: object = None, unionid: str | None = None
    ) -> Token:
        who = Identity(APPID, self.openid, unionid)
        return self.sessions.create(who, session_key, replaces)

    def elsewhere(self, *, appid: str = APPID, user: str = "x") -> Token:
        return self.sessions.create(Identity(appid, self.openid + user, None), KEY, None)

    def keys(self, token: Token) -> tuple[str, ...]:
        return self.sessions.find_with_keys(token).session_keys

    def is_live(self, token: Token) -> bool:
        try:
            self.sessions.find(token)
        except InvalidToken:
            return False
        return True

    def failures(self) -> dict[bytes, int]:
        counters = [item for item in self.partition() if item["item"]["B"].startswith(FAILURES)]
        return {item["item"]["B"]: int(item["failures"]["N"]) for item in counters}

    def fail(self, token: Token, times: int = 1) -> None:
        for _ in range(times):
            self.sessions.count_failure(token)

    def key_of(self, item: bytes) -> dict[str, Any]:
        return {"user": {"B": self.user}, "item": {"B": item}}

    def raw(self, item: bytes) -> dict[str, Any]:
        where = {"TableName": self.table, "Key": self.key_of(item)}
        found: dict[str, Any] = self.dynamodb.get_item(**where, ConsistentRead=True).get("Item", {})
        return found

    def put(self, **attributes: Any) -> None:
        self.dynamodb.put_item(TableName=self.table, Item=attributes)

    def change(self, token: Token, **attributes: Any) -> None:
        """Change attributes of a session behind wxgate's back; None removes one."""
        changed = {**self.raw(token.item), **attributes}
        self.put(**{name: value for name, value in changed.items() if value is not None})

    def delete(self, token: Token) -> None:
        self.dynamodb.delete_item(TableName=self.table, Key=self.key_of(token.item))

    def partition(self) -> list[dict[str, Any]]:
        answer = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="#u = :u",
            ExpressionAttributeNames={"#u": "user"},
            ExpressionAttributeValues={":u": {"B": self.user}},
            ConsistentRead=True,
        )
        return list(answer["Items"])


@contextmanager
def stores(url: str, engine: AwsProxy | None = None) -> Iterator[Callable[..., Store]]:
    """Give what makes stores on one new table of an engine, perhaps through a proxy."""
    name = new_table(url)
    with pytest.MonkeyPatch.context() as patch:  # the client reads where DynamoDB is
        patch.setenv("AWS_ENDPOINT_URL", engine.url if engine else url)
        patch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
        table = Table(name, "us-east-1")

    def store(clock: Clock, appids: Sequence[str] = (APPID, OTHER_APPID)) -> Store:
        alerts = Alerts()
        sessions = Sessions(table, appids, TTL, clock, alerts)
        return Store(
            sessions, clock, dynamodb, name, f"o-user{next(_numbers)}", alerts.told, engine
        )

    with closing(aws.client("dynamodb", url)) as dynamodb:
        yield store
