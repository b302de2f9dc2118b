"""What each request costs: calls to WeChat and operations of the store, counted."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from pynamodb.signals import pre_dynamodb_send

from chalicelib.sessions.tokens import Token, user_reference
from tests.support.front_door import APPID, FrontDoor


class Counter:
    """What the store was asked since the last look."""

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


def asked_of_wechat(door: FrontDoor) -> list[str]:
    return [call["path"] for call in door.wechat_calls()]


def taps(door: FrontDoor, kind: str = "phone", **changes: object) -> dict[str, Any]:
    tapped = door.phone().do("getPhoneNumber")
    return {"kind": kind, "encryptedData": tapped["encryptedData"], "iv": tapped["iv"], **changes}


def test_a_login_is_one_call_and_one_write_even_when_cold(
    front_door: FrontDoor, store: Counter
) -> None:
    front_door.login()
    assert store.taken() == ["PutItem"]
    assert asked_of_wechat(front_door) == ["/sns/jscode2session"]


def test_a_login_that_replaces_is_one_read_and_one_transaction(
    front_door: FrontDoor, store: Counter
) -> None:
    old = front_door.login()
    store.taken()
    front_door.login(replaces=old)
    assert store.taken() == ["GetItem", "TransactWriteItems"]


@pytest.mark.parametrize("replaces", ["junk", 5, None, Token(b"x" * 16, b"y" * 32).text])
def test_a_login_that_replaces_nothing_reads_nothing(
    front_door: FrontDoor, store: Counter, replaces: object
) -> None:
    front_door.login(replaces=replaces)
    assert store.taken() == ["PutItem"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"code": ""},
        {"code": 7},
        {"code": "a&secret=b"},
        {"code": "good", "appid": "wxunknown"},
        {"code": "good", "appid": 7},
    ],
)
def test_a_junk_login_costs_nothing(front_door: FrontDoor, store: Counter, body: object) -> None:
    assert front_door.send("POST", "/login", json_body=body).status == 400
    assert (store.taken(), asked_of_wechat(front_door)) == ([], [])


def test_a_code_that_wechat_refuses_is_sent_once_and_writes_nothing(
    front_door: FrontDoor, store: Counter
) -> None:
    assert front_door.send("POST", "/login", json_body={"code": "unknown"}).code == "InvalidCode"
    assert (store.taken(), asked_of_wechat(front_door)) == ([], ["/sns/jscode2session"])


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_request_that_is_passed_on_is_one_read_and_no_write(
    front_door: FrontDoor, store: Counter, method: str
) -> None:
    token = front_door.login()
    store.taken()
    assert front_door.send(method, "/api/orders", token=token).status == 200
    assert store.taken() == ["GetItem"]
    assert len(asked_of_wechat(front_door)) == 1


ROUTES = [
    ("POST", "/logout"),
    ("GET", "/session"),
    ("POST", "/decrypt"),
    ("POST", "/phone"),
    ("GET", "/api/orders"),
]
JUNK = [None, "", "junk", "wxg_junk", "wxg_" + "A" * 72]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("token", JUNK)
def test_a_junk_token_costs_no_read(
    front_door: FrontDoor, store: Counter, method: str, path: str, token: str | None
) -> None:
    assert front_door.send(method, path, token=token).code == "InvalidToken"
    assert (store.taken(), asked_of_wechat(front_door)) == ([], [])


def test_a_well_formed_token_that_nobody_was_given_costs_one_read(
    front_door: FrontDoor, store: Counter
) -> None:
    token = Token.new(user_reference(APPID, "o-nobody")).text
    assert front_door.send("GET", "/api/orders", token=token).code == "InvalidToken"
    assert store.taken() == ["GetItem"]


@pytest.mark.parametrize("path", ["/health", "/.well-known/jwks.json", "/nowhere"])
def test_what_is_public_costs_nothing(front_door: FrontDoor, store: Counter, path: str) -> None:
    front_door.send("GET", path)
    assert (store.taken(), asked_of_wechat(front_door)) == ([], [])


def test_data_that_opens_is_one_read(front_door: FrontDoor, store: Counter) -> None:
    token = front_door.login()
    store.taken()
    assert front_door.send("POST", "/decrypt", token=token, json_body=taps(front_door)).code is None
    assert store.taken() == ["BatchGetItem"]


BLOCK = base64.b64encode(bytes(16)).decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "share"},
        {"kind": "user", "rawData": "{}", "signature": "0" * 40},
        {"encryptedData": BLOCK},
        {"iv": BLOCK},
    ],
)
def test_every_failure_is_one_read_and_one_count(
    front_door: FrontDoor, store: Counter, changes: dict[str, Any]
) -> None:
    token = front_door.login()
    store.taken()
    for _ in range(2):
        body = taps(front_door, **changes)
        answer = front_door.send("POST", "/decrypt", token=token, json_body=body)
        assert answer.code == "DecryptFailed"
        assert store.taken() == ["BatchGetItem", "UpdateItem"]


def test_malformed_data_costs_no_read(front_door: FrontDoor, store: Counter) -> None:
    token = front_door.login()
    store.taken()
    body = taps(front_door, iv="AAAA")
    assert front_door.send("POST", "/decrypt", token=token, json_body=body).code == "InvalidRequest"
    assert store.taken() == []


def test_an_access_token_is_fetched_once_for_all_users(
    front_door: FrontDoor, store: Counter
) -> None:
    for user in ("alice", "bob"):
        token = front_door.login(user)
        store.taken()
        assert front_door.send("GET", "/session", token=token).json == {"valid": True}
        assert store.taken() == ["BatchGetItem"]
    checks = [path for path in asked_of_wechat(front_door) if path != "/sns/jscode2session"]
    assert checks == ["/cgi-bin/stable_token", "/wxa/checksession", "/wxa/checksession"]


def test_a_phone_code_is_one_read_and_one_call(front_door: FrontDoor, store: Counter) -> None:
    token = front_door.login()
    store.taken()
    code = front_door.phone().do("getPhoneNumber")["code"]
    assert front_door.send("POST", "/phone", token=token, json_body={"code": code}).code is None
    assert store.taken() == ["GetItem"]
    assert asked_of_wechat(front_door)[2:] == ["/wxa/business/getuserphonenumber"]


def test_a_logout_is_one_write(front_door: FrontDoor, store: Counter) -> None:
    token = front_door.login()
    store.taken()
    assert front_door.send("POST", "/logout", token=token).status == 204
    assert store.taken() == ["DeleteItem"]


def test_a_logout_everywhere_is_one_query_and_the_deletions(
    front_door: FrontDoor, store: Counter
) -> None:
    token, _, _ = (front_door.login() for _ in range(3))
    store.taken()
    front_door.send("POST", "/logout", token=token, json_body={"everywhere": True})
    assert store.taken() == ["Query", "BatchWriteItem", "DeleteItem"]
