"""DynamoDB fails: throttled, down, slow, refused, or holding what it should not."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from chalicelib.errors import InvalidToken, TooManyRequests
from chalicelib.sessions.sessions import Session
from chalicelib.sessions.tokens import Token
from tests.attacks import aws_front
from tests.attacks.aws_front import Fault as AwsFault
from tests.attacks.aws_front import Forward, Operation, refusing
from tests.attacks.events import ODDITIES
from tests.attacks.runner import JUNK
from tests.attacks.wechat import USERS
from tests.attacks.world import APPID, TTL, Exchange, World
from tests.faults.corpus import (
    Asked,
    Fault,
    alarms,
    always,
    check,
    covers,
    covers_each,
    reported,
    sessions_in,
)
from tests.faults.user import login, proxied
from tests.support.fakes import NOW
from tests.support.misbehaving import HOST, full_backlog

USER = USERS["A"]


def failed_decryption(world: World, token: str) -> Exchange:
    """Send data that does not open."""
    return world.door.send("POST", "/decrypt", token=token, json_body=JUNK)


def named(exchange: Exchange, name: str) -> list[Operation]:
    """The operations of a name."""
    return [done for done in exchange.operations if done.name == name]


# --- the session is written ----------------------------------------------------------------------


@covers("DDB-01")
def test_no_token_is_given_for_a_session_that_is_not_stored(world: World, fault: Fault) -> None:
    before = sessions_in(world)
    throttled = refusing("ProvisionedThroughputExceededException")
    with world.aws.failing("PutItem", throttled, times=5):
        exchange = login(world.door)
    check(world, fault, exchange, Asked(wechat=1, store=3))
    assert sessions_in(world) == before


@covers("DDB-05")
def test_a_write_whose_answer_is_lost_is_made_once(world: World, fault: Fault) -> None:
    before = sessions_in(world)
    with world.aws.failing("PutItem", aws_front.done_but_unanswered, times=1):
        exchange = login(world.door)
    # The SDK's second put meets the first one's item, which is ours by its sealed_key.
    check(world, fault, exchange, Asked(wechat=1, store=2))
    assert exchange.answer.status == 200
    assert sessions_in(world) == before + 1
    assert proxied(world.door, exchange.answer.json["token"]).answer.status == 200


@covers("DDB-07")
def test_a_token_that_exists_is_never_given_again(world: World, fault: Fault) -> None:
    with world.aws.failing("PutItem", refusing("ConditionalCheckFailedException"), times=1):
        exchange = login(world.door)
    check(world, fault, exchange, Asked(wechat=1, store=2))
    first, second = named(exchange, "PutItem")
    assert first.parameters["Item"]["item"] != second.parameters["Item"]["item"]
    assert proxied(world.door, exchange.answer.json["token"]).answer.status == 200


def _cancelled(*reasons: str) -> AwsFault:
    details = [{"Code": reason, "Message": reason} for reason in reasons]
    return refusing("TransactionCanceledException", CancellationReasons=details)


@covers("DDB-08")
@pytest.mark.parametrize(("times", "status"), [(1, 200), (2, 200), (9, 503)])
def test_a_conflict_is_tried_again_and_then_is_all_or_nothing(
    world: World, fault: Fault, times: int, status: int
) -> None:
    old = world.door.login()
    with world.aws.failing("TransactWriteItems", _cancelled("TransactionConflict", "None"), times):
        exchange = login(world.door, replaces=old)
    # Each time the old session is read again: it may have ended.
    check(world, fault, exchange, Asked(wechat=1, store=2 * min(times + 1, 3)))
    assert exchange.answer.status == status
    assert proxied(world.door, old).answer.status == (401 if status == 200 else 200)


@covers("DDB-09")
@pytest.mark.parametrize("reason", ["ThrottlingError", "ValidationError", "ItemCollectionSize"])
def test_of_two_writes_both_or_none_is_made(world: World, fault: Fault, reason: str) -> None:
    old, before = world.door.login(), sessions_in(world)
    with world.aws.failing("TransactWriteItems", _cancelled("None", reason)):
        exchange = login(world.door, replaces=old)
    check(world, fault, exchange, Asked(wechat=1, store=2))
    assert exchange.answer.status == 503
    assert sessions_in(world) == before
    assert proxied(world.door, old).answer.status == 200


def test_a_login_makes_one_write(world: World) -> None:
    assert [write.name for write in login(world.door).writes] == ["PutItem"]


# --- the session is read -------------------------------------------------------------------------

READ_FAULTS = {
    "DDB-02": refusing("ThrottlingException"),
    "DDB-03": refusing("InternalServerError", status=500),
    "DDB-04": aws_front.never_answering,
}


@covers_each(READ_FAULTS)
def test_a_read_that_fails_is_no_401_and_lets_nobody_through(
    world: World, token: str, fault: Fault, injected: AwsFault
) -> None:
    with world.aws.failing("GetItem", injected):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, Asked(store=3))
    assert proxied(world.door, token).answer.status == 200


@covers("DDB-15")
def test_a_store_that_accepts_no_connection_fails_fast_and_closed(
    world: World, token: str, fault: Fault
) -> None:
    with full_backlog() as port:
        door = world.open_door(AWS_ENDPOINT_URL_DYNAMODB=f"http://{HOST}:{port}")
        with door.inside():
            assert door.module.services.sessions  # the client is built before, as in INIT
        exchange = proxied(door, token)
    check(world, fault, exchange, Asked(store=3), at={"store": (HOST, port)})


@covers("DDB-16")
def test_a_connection_that_died_in_the_freeze_is_replaced(
    world: World, token: str, fault: Fault
) -> None:
    proxied(world.door, token)  # the connection stands
    with world.aws.failing("GetItem", aws_front.dead, times=1):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, Asked(upstream=1, store=2))


@covers("DDB-25")
def test_sessions_are_read_consistently(world: World, fault: Fault) -> None:
    token = world.door.login()
    exchange = proxied(world.door, token)
    check(world, fault, exchange, Asked(upstream=1, store=1))
    assert named(exchange, "GetItem")[0].parameters["ConsistentRead"] is True
    keys = named(failed_decryption(world, token), "BatchGetItem")[0].parameters["RequestItems"]
    assert keys[world.table]["ConsistentRead"] is True


# --- every operation, refused --------------------------------------------------------------------

Route = tuple[str, Asked, Callable[[World, str], Exchange]]

ROUTES: dict[str, Route] = {
    "login": ("PutItem", Asked(wechat=1, store=1), lambda world, _token: login(world.door)),
    "login that replaces": (
        "TransactWriteItems",
        Asked(wechat=1, store=2),
        lambda world, token: login(world.door, replaces=token),
    ),
    "proxy": ("GetItem", Asked(store=1), lambda world, token: proxied(world.door, token)),
    "decrypt": ("BatchGetItem", Asked(store=1), failed_decryption),
    "decrypt's counter": ("UpdateItem", Asked(store=2), failed_decryption),
    "logout": (
        "DeleteItem",
        Asked(store=1),
        lambda world, token: world.door.send("POST", "/logout", token=token, json_body={}),
    ),
    "logout everywhere": (
        "Query",
        Asked(store=1),
        lambda world, token: world.door.send(
            "POST", "/logout", token=token, json_body={"everywhere": True}
        ),
    ),
}
"""The operation that fails, who is asked where it fails at once, and the request."""


@covers_each(
    {
        "DDB-11": refusing("ResourceNotFoundException"),
        "DDB-12": refusing("AccessDeniedException"),
    }
)
@pytest.mark.parametrize("route", ROUTES)
def test_what_the_operator_must_repair_is_told_once(
    world: World, token: str, fault: Fault, injected: AwsFault, route: str
) -> None:
    operation, asked, send = ROUTES[route]
    world.forget_failures()
    with world.aws.failing(operation, injected):
        exchange = send(world, token)
    check(world, fault, exchange, asked)
    assert reported(exchange)["level"] == "ERROR"
    assert proxied(world.door, token).answer.status == 200


DOWN = {
    "failing": refusing("InternalServerError", status=500),
    "breaking off": aws_front.breaking_off,
}


@pytest.mark.parametrize("kind", DOWN)
@pytest.mark.parametrize("route", ROUTES)
def test_a_store_that_is_down_is_a_503_on_every_route(
    world: World, token: str, route: str, kind: str
) -> None:
    operation, _, send = ROUTES[route]
    world.forget_failures()
    with world.aws.failing(operation, DOWN[kind]):
        exchange = send(world, token)
    assert exchange.answer.code == "StoreUnavailable"
    always(world, exchange)
    assert proxied(world.door, token).answer.status == 200


@covers("DDB-27")
def test_a_failure_that_cannot_be_counted_is_not_answered_and_login_lives(
    world: World, token: str, fault: Fault
) -> None:
    world.forget_failures()
    with world.aws.failing("UpdateItem", refusing("InternalServerError", status=500)):
        exchange = failed_decryption(world, token)
        assert login(world.door).answer.status == 200
        assert proxied(world.door, token).answer.status == 200
    check(world, fault, exchange, Asked(store=4))


# --- items that a foreign hand has touched -------------------------------------------------------


@covers_each(
    {
        "DDB-17": ODDITIES["exp missing"],
        "DDB-18": ODDITIES["openid missing"],
        "DDB-19": ODDITIES["schema version 0"],
    }
)
def test_an_odd_item_is_a_refused_token_and_an_alarm(
    world: World, fault: Fault, injected: dict[str, Any]
) -> None:
    token = world.door.login()
    world.change_item(token, **injected)
    exchange = proxied(world.door, token)
    check(world, fault, exchange, Asked(store=1))
    # Another version is another release's, of a rolling deployment.
    assert alarms(exchange) == ([] if fault.id == "DDB-19" else ["MalformedItem"])
    assert reported(exchange)["reason"] == "item is malformed"
    world.drop_item(token)


# --- what ends stays ended -----------------------------------------------------------------------


@contextmanager
def _ending_before(world: World, operation: str, token: str) -> Iterator[None]:
    """Delete a session between a handler's read and its write."""

    def fault(connection: Any, _operation: Operation, forward: Forward) -> None:
        world.drop_item(token)
        connection.sendall(forward())

    with world.aws.failing(operation, fault, times=1):
        yield


@covers("DDB-23")
@pytest.mark.parametrize("operation", ["UpdateItem", "TransactWriteItems"])
def test_a_session_that_vanished_does_not_come_back(
    world: World, fault: Fault, operation: str
) -> None:
    token = world.door.login()
    world.forget_failures()
    with _ending_before(world, operation, token):
        if operation == "UpdateItem":
            assert failed_decryption(world, token).answer.status == 422
        else:
            assert login(world.door, replaces=token).answer.status == 200
    exchange = proxied(world.door, token)
    check(world, fault, exchange, Asked(store=1))
    assert exchange.answer.status == 401
    world.forget_failures()


ROUNDS = 1000 if os.environ.get("CI") == "true" else 30
"""The entry says 1000, which takes half a minute: at the desk some are enough."""


@covers("DDB-24")
def test_after_a_logout_was_answered_nothing_brings_the_token_back(
    world: World, fault: Fault
) -> None:
    outcomes = [_race(world) for _ in range(ROUNDS)]
    assert outcomes == [(204, 401)] * ROUNDS
    check(world, fault, proxied(world.door, world.door.login()), Asked(upstream=1, store=1))


def _race(world: World) -> tuple[int, int]:
    """Log out while the token is used in every other way; then use it once more."""
    sessions = world.door.module.services.sessions
    token = sessions.create(APPID, USER["openid"], None, USER["session_key"], None)
    session, _ = sessions.find_with_keys(token)
    others = [
        threading.Thread(target=_count, args=(sessions, session)),
        threading.Thread(target=_find, args=(sessions, token)),
    ]
    for other in others:
        other.start()
    ended = world.door.send("POST", "/logout", token=token.text, json_body={})
    for other in others:
        other.join()
    return ended.answer.status, proxied(world.door, token.text).answer.status


def _count(sessions: Any, session: Session) -> None:
    with suppress(TooManyRequests):
        sessions.count_failure(session)


def _find(sessions: Any, token: Token) -> None:
    with suppress(InvalidToken):
        sessions.find(token)


def test_the_clean_up_alone_ends_nothing(world: World) -> None:
    token = world.door.login_at(NOW - TTL)
    item = next(i for i in world.items() if i["item"]["B"] == Token.parse(token).item)
    assert json.loads(item["expires_at"]["N"]) == NOW  # it is still there, and refused
    assert proxied(world.door, token).answer.code == "InvalidToken"
