"""DynamoDB fails: throttled, down, slow, refused, or holding what it should not."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from simulator.gateway import Context
from tests.attacks.events import MALFORMED_ITEMS
from tests.attacks.world import JUNK, Door, Exchange, World
from tests.faults.corpus import (
    LOGIN,
    ONCE,
    Calls,
    Fault,
    alerts,
    check,
    covers,
    covers_each,
    login,
    proxied,
    request_line,
    sessions_in,
)
from tests.support import aws_proxy
from tests.support.aws_proxy import Fault as AwsFault
from tests.support.aws_proxy import Operation, after, cancelling, refusing
from tests.support.loopback import HOST, full_backlog
from tests.support.wechat import said, session_of


def failed_decryption(world: World, token: str) -> Exchange:
    """Send data that does not open."""
    return world.door.send("POST", "/decrypt", token=token, json_body=JUNK)


def logged_out(world: World, token: str, **fields: object) -> Exchange:
    """End the session, or all of this user's."""
    return world.door.send("POST", "/logout", token=token, json_body=fields)


def named(exchange: Exchange, name: str) -> list[Operation]:
    """The operations of a name."""
    return [done for done in exchange.operations if done.name == name]


def lives(world: World, token: str) -> bool:
    """Whether a session is live."""
    return proxied(world.door, token).answer.status == 200


# --- the session is written ----------------------------------------------------------------------


@covers("DDB-01")
def test_no_token_is_given_for_a_session_that_is_not_stored(world: World, fault: Fault) -> None:
    before = sessions_in(world)
    throttled = refusing("ProvisionedThroughputExceededException")
    with world.aws.failing("PutItem", throttled):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1, store=3))
    assert sessions_in(world) == before


@covers_each(
    {"DDB-05": aws_proxy.done_but_unanswered, "DDB-07": refusing("ConditionalCheckFailedException")}
)
def test_a_put_that_is_repeated_makes_one_session_of_one_token(
    world: World, fault: Fault, injected: AwsFault
) -> None:
    before = sessions_in(world)
    with world.aws.failing("PutItem", injected, times=1):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1, store=2))
    assert sessions_in(world) == before + 1
    assert lives(world, exchange.answer.json["token"])
    first, second = (put.parameters["Item"]["item"] for put in named(exchange, "PutItem"))
    # Of a lost answer the second put meets its own item; a token that exists is not given again.
    assert (first == second) == (fault.id == "DDB-05")


@covers("DDB-08")
@pytest.mark.parametrize(("times", "status"), [(1, 200), (2, 200), (9, 503)])
def test_a_conflict_is_tried_again_and_then_is_all_or_nothing(
    world: World, token: str, fault: Fault, times: int, status: int
) -> None:
    conflict = cancelling("TransactionConflict", "None")
    with world.aws.failing("TransactWriteItems", conflict, times):
        exchange = login(world.door, replaces=token)
    check(world, fault, exchange, Calls(wechat=1, store=len(exchange.store)))
    assert len(named(exchange, "TransactWriteItems")) == min(times + 1, 3)
    assert exchange.answer.status == status
    assert lives(world, token) == (status == 503)


@covers("DDB-09")
@pytest.mark.parametrize("reason", ["ThrottlingError", "ValidationError", "ItemCollectionSize"])
def test_of_two_writes_both_or_none_is_made(
    world: World, token: str, fault: Fault, reason: str
) -> None:
    before = sessions_in(world)
    with world.aws.failing("TransactWriteItems", cancelling("None", reason)):
        exchange = login(world.door, replaces=token)
    check(world, fault, exchange, Calls(wechat=1, store=2))
    assert exchange.answer.status == 503
    assert sessions_in(world) == before
    assert lives(world, token)


# --- the session is read -------------------------------------------------------------------------


@covers_each(
    {
        "DDB-02": refusing("ThrottlingException"),
        "DDB-03": refusing("InternalServerError", status=500),
        "DDB-04": aws_proxy.never_answering,
    }
)
def test_a_read_that_fails_is_no_401_and_lets_nobody_through(
    world: World, token: str, fault: Fault, injected: AwsFault
) -> None:
    with world.aws.failing("GetItem", injected):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, Calls(store=len(exchange.store)))
    assert 1 < len(exchange.store) <= 3
    assert lives(world, token)


@covers("DDB-15")
def test_a_store_that_accepts_no_connection_fails_fast_and_closed(
    world: World, token: str, fault: Fault
) -> None:
    with full_backlog() as port:
        door = world.open_door(AWS_ENDPOINT_URL_DYNAMODB=f"http://{HOST}:{port}")
        with door.inside():
            assert door.module.services.sessions  # the client is built before, as in INIT
        exchange = proxied(door, token)
    attempts = exchange.seen.addresses.count((HOST, port))
    assert 1 < attempts <= 3
    check(world, fault, exchange, Calls(store=attempts), at={"store": (HOST, port)})


@covers("DDB-16")
@pytest.mark.parametrize("ending", [aws_proxy.dead, aws_proxy.answering_then_closing])
def test_a_connection_that_died_in_the_freeze_is_replaced(
    world: World, token: str, fault: Fault, ending: AwsFault
) -> None:
    proxied(world.door, token)  # the connection stands
    with world.aws.failing("GetItem", ending, times=1):
        exchanges = [proxied(world.door, token) for _ in range(2)]
    for exchange in exchanges:
        check(world, fault, exchange, Calls(upstream=1, store=len(exchange.store)))
        assert len(exchange.store) <= 2


@covers("DDB-25")
def test_sessions_are_read_consistently(world: World, token: str, fault: Fault) -> None:
    exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)
    assert named(exchange, "GetItem")[0].parameters["ConsistentRead"] is True
    keys = named(failed_decryption(world, token), "BatchGetItem")[0].parameters["RequestItems"]
    assert keys[world.table]["ConsistentRead"] is True
    query = named(logged_out(world, token, everywhere=True), "Query")[0]
    assert query.parameters["ConsistentRead"] is True


# --- every operation, refused --------------------------------------------------------------------

Route = tuple[str, Calls, Callable[[World, str], Exchange]]

ROUTES: dict[str, Route] = {
    "login": ("PutItem", LOGIN, lambda world, _token: login(world.door)),
    "login that replaces": (
        "TransactWriteItems",
        Calls(wechat=1, store=2),
        lambda world, token: login(world.door, replaces=token),
    ),
    "proxy": ("GetItem", Calls(store=1), lambda world, token: proxied(world.door, token)),
    "decrypt": ("BatchGetItem", Calls(store=1), failed_decryption),
    "decrypt's counter": ("UpdateItem", Calls(store=2), failed_decryption),
    "logout": ("DeleteItem", Calls(store=1), logged_out),
    "logout everywhere": (
        "Query",
        Calls(store=1),
        lambda world, token: logged_out(world, token, everywhere=True),
    ),
}
"""The operation that fails, the calls where it fails at once, and the request."""


@covers_each(
    {
        "DDB-11": refusing("ResourceNotFoundException"),
        "DDB-12": refusing("AccessDeniedException"),
    }
)
@pytest.mark.parametrize("route", ROUTES)
def test_what_the_operator_must_repair_is_reported_at_once(
    world: World, token: str, fault: Fault, injected: AwsFault, route: str
) -> None:
    operation, calls, send = ROUTES[route]
    with world.aws.failing(operation, injected):
        exchange = send(world, token)
    check(world, fault, exchange, calls)
    assert request_line(exchange)["level"] == "ERROR"
    assert lives(world, token)


@covers("DDB-27")
def test_a_failure_that_cannot_be_counted_is_not_answered_and_login_lives(
    world: World, token: str, fault: Fault
) -> None:
    with world.aws.failing("UpdateItem", refusing("InternalServerError", status=500)):
        exchange = failed_decryption(world, token)
        assert login(world.door).answer.status == 200
        assert lives(world, token)
    check(world, fault, exchange, Calls(store=4))


@covers_each(
    {
        "DDB-17": MALFORMED_ITEMS["exp missing"],
        "DDB-18": MALFORMED_ITEMS["openid missing"],
        "DDB-19": MALFORMED_ITEMS["schema version 0"],
    }
)
def test_a_malformed_item_is_a_refused_token_and_an_alert(
    world: World, token: str, fault: Fault, injected: dict[str, Any]
) -> None:
    world.change_item(token, **injected)
    exchange = proxied(world.door, token)
    check(world, fault, exchange, Calls(store=1))
    # Another version is another release's, of a rolling deployment.
    assert alerts(exchange) == ([] if fault.id == "DDB-19" else ["MalformedItem"])
    world.drop_item(token)


# --- what ends stays ended -----------------------------------------------------------------------


@covers("DDB-23")
@pytest.mark.parametrize("operation", ["UpdateItem", "TransactWriteItems"])
def test_a_session_that_vanished_does_not_come_back(
    world: World, token: str, fault: Fault, operation: str
) -> None:
    # It is deleted between a handler's read and its write.
    with world.aws.failing(operation, after(lambda: world.drop_item(token)), times=1):
        if operation == "UpdateItem":
            assert failed_decryption(world, token).answer.status == 422
        else:
            assert login(world.door, replaces=token).answer.status == 200
    exchange = proxied(world.door, token)
    check(world, fault, exchange, Calls(store=1))
    assert exchange.answer.status == 401


ROUNDS = 1000 if os.environ.get("CI") == "true" else 30
"""As many as the entry says; on a desk some are enough."""


@covers("DDB-24")
def test_after_a_logout_was_answered_nothing_brings_the_token_back(
    world: World, fault: Fault
) -> None:
    # Without the proxy that watches the store, which takes half of the time.
    door = world.open_door(AWS_ENDPOINT_URL=world.engine_url)
    with door.inside(), ThreadPoolExecutor(1) as pool:
        outcomes = [_race(world, door, pool, number) for number in range(ROUNDS)]
    assert outcomes == [(204, 401)] * ROUNDS
    check(world, fault, proxied(world.door, world.door.login()), ONCE)


def _race(world: World, door: Door, pool: ThreadPoolExecutor, number: int) -> tuple[int, int]:
    """Log a user out while something is written about his session; then use it once more."""
    with world.wechat.scripted(said({**session_of("A"), "openid": f"oRacing{number}"})):
        answer = door.app(door.event("POST", "/login", json_body={"code": "code-A"}), Context())
    token = json.loads(answer["body"])["token"]
    counted = pool.submit(
        door.app, door.event("POST", "/decrypt", token=token, json_body=JUNK), Context()
    )
    ended = door.app(door.event("POST", "/logout", token=token, json_body={}), Context())
    counted.result()
    used = door.app(door.event("GET", "/api/echo", token=token), Context())
    return ended["statusCode"], used["statusCode"]
