"""Many requests at once, on DynamoDB Local: nobody becomes another, and what is dead stays dead."""

import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from simulator import aws, desk
from simulator.wechat import openid_of
from tests.support.engines import new_table
from tests.support.front_door import APPID, Answer, FrontDoor

pytestmark = pytest.mark.dynamodb_local

THREADS = 32
RACING = 1000


class Door(FrontDoor):
    """A front door whose sessions are in DynamoDB Local."""

    def get(self, token: str) -> Answer:
        """Send a request that goes upstream where the token is good."""
        return self.send("GET", "/api/orders", token=token)

    def log_out(self, token: str, **members: object) -> None:
        assert self.send("POST", "/logout", token=token, json_body=members).status == 204

    def items(self) -> int:
        """How many items the table has."""
        url, table = (os.environ[n] for n in ("AWS_ENDPOINT_URL_DYNAMODB", "SESSIONS_TABLE"))
        with closing(aws.client("dynamodb", url)) as dynamodb:
            scan = dynamodb.get_paginator("scan").paginate
            return sum(page["Count"] for page in scan(TableName=table, ConsistentRead=True))


@pytest.fixture
def door(running_desk: desk.Desk, dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setenv("SESSIONS_TABLE", new_table(dynamodb_local_url))
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_url)
    door = Door(desk.load_app(), running_desk.urls["WeChat"])
    door.control("reset")
    door.log_out(door.login())  # who comes first reads the secrets
    return door


def at_once(act: Callable[[Any], Any], over: Any) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(act, over))


def upstream_saw(answer: Answer) -> str:
    assert answer.status == 200, answer
    openid: str = answer.json["headers"]["X-WX-OPENID"]
    return openid


def test_a_thousand_logins_of_a_hundred_users_give_each_his_own(door: Door) -> None:
    users = [f"user-{number % 100}" for number in range(RACING)]
    tokens = at_once(door.login, users)
    assert len(set(tokens)) == door.items() == RACING
    seen = at_once(lambda token: upstream_saw(door.get(token)), tokens)
    assert seen == [openid_of(APPID, user) for user in users]


def check_race(door: Door, tokens: list[str], **members: object) -> None:
    """Send RACING requests, half of them before a logout; what begins after it must be refused."""

    def ask(token: str) -> tuple[float, float, int]:
        began = time.perf_counter()
        status = door.get(token).status
        return began, time.perf_counter(), status

    half = list(itertools.islice(itertools.cycle(tokens), RACING // 2))
    with ThreadPoolExecutor(THREADS) as threads:
        asked = [threads.submit(ask, token) for token in half]
        asked[RACING // 4].result()
        began = time.perf_counter()
        door.log_out(tokens[0], **members)
        ended = time.perf_counter()
        asked += [threads.submit(ask, token) for token in half]
        answers = [request.result() for request in asked]
    assert {status for _, last, status in answers if last < began} == {200}
    after = [status for first, _, status in answers if first > ended]
    assert len(after) >= RACING // 4
    assert set(after) == {401}


def test_none_of_a_thousand_racing_requests_passes_once_the_logout_has_answered(door: Door) -> None:
    check_race(door, [door.login()])
    assert door.items() == 0


def test_none_passes_once_the_logout_everywhere_has_answered(door: Door) -> None:
    other = door.login("bob")
    check_race(door, [door.login() for _ in range(5)], everywhere=True)
    assert door.items() == 1
    assert upstream_saw(door.get(other)) == openid_of(APPID, "bob")


def test_no_session_comes_back_to_life(door: Door) -> None:
    """Each dies while others write beside it: a login in its place, a failure to count."""

    def race(number: int) -> tuple[str, str]:
        user = f"user-{number}"
        token = door.login(user)
        with ThreadPoolExecutor(4) as threads:
            threads.submit(failed_decryption, door, token)
            threads.submit(door.send, "GET", "/session", token=token)
            ended = threads.submit(door.send, "POST", "/logout", token=token, json_body={})
            new = threads.submit(door.login, user, replaces=token).result()
            assert ended.result().status in (204, 401)
        return token, new

    with ThreadPoolExecutor(10) as threads:
        raced = list(threads.map(race, range(100)))
    assert {door.get(old).status for old, _ in raced} == {401}
    assert {door.get(new).status for _, new in raced} == {200}


def failed_decryption(door: Door, token: str) -> None:
    body = {"kind": "phone", "encryptedData": "A" * 22 + "==", "iv": "A" * 22 + "=="}
    answer = door.send("POST", "/decrypt", token=token, json_body=body)
    assert answer.code in ("DecryptFailed", "InvalidToken")


def test_a_logout_everywhere_ends_what_was_and_nothing_that_begins_after_it(door: Door) -> None:
    tokens = at_once(door.login, ["alice"] * 30)
    with ThreadPoolExecutor(THREADS) as threads:
        meanwhile = [threads.submit(door.login) for _ in range(30)]
        door.log_out(tokens[0], everywhere=True)
        after = at_once(door.login, ["alice"] * 30)
        assert all(login.result() for login in meanwhile)
    assert {door.get(token).status for token in tokens} == {401}
    assert {door.get(token).status for token in after} == {200}
