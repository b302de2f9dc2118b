"""What each request costs: operations of the store and calls to WeChat, counted."""

from collections.abc import Iterator
from typing import Any

import pytest
from pynamodb.signals import pre_dynamodb_send

from chalicelib.sessions.tokens import Token
from tests.conftest import FrontDoor


class Counter:
    """The operations of the store since the last look."""

    def __init__(self) -> None:
        self._operations: list[str] = []

    def __call__(self, _sender: object, *, operation_name: str, **_: object) -> None:
        self._operations.append(operation_name)

    def taken(self) -> list[str]:
        taken, self._operations = self._operations, []
        return taken


@pytest.fixture
def store() -> Iterator[Counter]:
    counter = Counter()
    with pre_dynamodb_send.connected_to(counter):
        yield counter


def calls(door: FrontDoor) -> list[str]:
    return [call["path"].rpartition("/")[2] for call in door.wechat_calls()]


def taps(door: FrontDoor, **changes: object) -> dict[str, Any]:
    data = door.phone().do("getPhoneNumber")
    return {"kind": "phone", "encryptedData": data["encryptedData"], "iv": data["iv"], **changes}


def test_a_login_is_one_call_and_one_write_even_when_cold(
    front_door: FrontDoor, store: Counter
) -> None:
    front_door.login()
    assert (store.taken(), calls(front_door)) == (["PutItem"], ["jscode2session"])


@pytest.mark.parametrize("replaces", ["junk", 5, Token(b"x" * 16, b"y" * 32).text, None])
def test_only_a_live_session_that_is_replaced_costs_more(
    front_door: FrontDoor, store: Counter, replaces: object
) -> None:
    old = front_door.login()
    store.taken()
    front_door.login(replaces=replaces)
    assert store.taken() == ["PutItem"]
    front_door.login(replaces=old)
    assert store.taken() == ["GetItem", "TransactWriteItems"]


COSTS = [
    ("GET", "/api/orders", None, ["GetItem"], []),
    ("POST", "/api/orders", {}, ["GetItem"], []),
    ("POST", "/sign", {"data": "x"}, ["BatchGetItem"], []),
    ("GET", "/session", None, ["BatchGetItem"], ["stable_token", "checksession"]),
    ("POST", "/logout", {}, ["DeleteItem"], []),
    ("POST", "/logout", {"everywhere": True}, ["Query", "DeleteItem"], []),
    ("GET", "/health", None, [], []),
    ("GET", "/.well-known/jwks.json", None, [], []),
]


@pytest.mark.parametrize(("method", "path", "body", "operations", "called"), COSTS)
def test_a_request_costs_no_more_than_it_needs(
    front_door: FrontDoor,
    store: Counter,
    method: str,
    path: str,
    body: object,
    operations: list[str],
    called: list[str],
) -> None:
    token = front_door.login()
    store.taken()
    assert front_door.send(method, path, token=token, json_body=body).status < 300
    assert (store.taken(), calls(front_door)[1:]) == (operations, called)


@pytest.mark.parametrize(
    ("changes", "operations"),
    [
        ({}, ["BatchGetItem"]),
        ({"kind": "share"}, ["BatchGetItem", "UpdateItem"]),
        ({"iv": "A"}, []),
    ],
)
def test_data_costs_one_read_and_a_failure_one_count(
    front_door: FrontDoor, store: Counter, changes: dict[str, Any], operations: list[str]
) -> None:
    token = front_door.login()
    store.taken()
    front_door.send("POST", "/decrypt", token=token, json_body=taps(front_door, **changes))
    assert store.taken() == operations


@pytest.mark.parametrize("token", [None, "", "junk", "wxg_junk", "wxg_" + "A" * 72])
def test_a_junk_token_costs_nothing(
    front_door: FrontDoor, store: Counter, token: str | None
) -> None:
    for method, path in [("POST", "/logout"), ("POST", "/decrypt"), ("GET", "/api/orders")]:
        assert front_door.send(method, path, token=token).code == "InvalidToken"
    assert (store.taken(), calls(front_door)) == ([], [])


def test_an_access_token_is_fetched_once_for_all_users(front_door: FrontDoor) -> None:
    for user in ("alice", "bob"):
        assert front_door.send("GET", "/session", token=front_door.login(user)).status == 200
    assert calls(front_door).count("stable_token") == 1
