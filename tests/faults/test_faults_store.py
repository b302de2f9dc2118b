"""DynamoDB fails: throttled, down, slow, refused, or holding what it should not."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from simulator.gateway import Context
from tests.attacks.events import MALFORMED_ITEMS
from tests.attacks.world import JUNK, Door, Exchange, World
from tests.faults import corpus
from tests.faults.corpus import Calls, Fault, check, covers, login, proxied
from tests.support import aws_proxy
from tests.support.aws_proxy import Fault as AwsFault
from tests.support.aws_proxy import Operation, after, cancelling, refusing
from tests.support.loopback import HOST, full_backlog
from tests.support.wechat import said, session_of


def failed_decryption(world: World, token: str) -> Exchange:
    return world.door.send("POST", "/decrypt", token=token, json_body=JUNK)


def logged_out(world: World, token: str, **fields: object) -> Exchange:
    return world.door.send("POST", "/logout", token=token, json_body=fields)


def named(exchange: Exchange, name: str) -> list[Operation]:
    return [done for done in exchange.operations if done.name == name]


def lives(world: World, token: str) -> bool:
    return proxied(world.door, token).answer.status == 200


@covers("DDB-01")
def test_no_token_is_given_for_a_session_that_is_not_stored(world: World, fault: Fault) -> None:
    before = world.sessions()
    throttled = refusing("ProvisionedThroughputExceededException")
    with world.aws.failing("PutItem", throttled):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1, store=3))
    assert world.sessions() == before


@covers(
    {"DDB-05": aws_proxy.done_but_unanswered, "DDB-07": refusing("ConditionalCheckFailedException")}
)
def test_a_put_that_is_repeated_makes_one_session_of_one_token(
    world: World, fault: Fault, injected: AwsFault
) -> None:
    before = world.sessions()
    with world.aws.failing("PutItem", injected, times=1):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1, store=2))
    assert world.sessions() == before + 1
    assert lives(world, exchange.answer.json["token"])
    first, second = (put.parameters["Item"]["item"] for put in named(exchange, "PutItem"))
    # Of a lost answer the second put meets its own item; a token that exists is not given again.
    assert (first == second) == (fault.id == "DDB-05")


CONFLICT = cancelling("TransactionConflict", "None")
CANCELLED = {
    "DDB-08": [(CONFLICT, 1, 2), (CONFLICT, 2, 3), (CONFLICT, 9, 3)],
    "DDB-09": [(cancelling("None", why), 9, 1) for why in ("ThrottlingError", "ValidationError")],
}
"""How a transaction is cancelled, how often, and how often it is tried."""


@covers(CANCELLED)
def test_of_two_writes_both_or_none_is_made(
    world: World, fault: Fault, injected: list[tuple[AwsFault, int, int]]
) -> None:
    for cancelled, times, tries in injected:
        old, before = world.door.login(), world.sessions()
        with world.aws.failing("TransactWriteItems", cancelled, times):
            exchange = login(world.door, replaces=old)
        check(world, fault, exchange, Calls(wechat=1, store=len(exchange.store)))
        assert len(named(exchange, "TransactWriteItems")) == tries
        assert exchange.answer.status == (200 if times < tries else 503)
        assert lives(world, old) == (times >= tries)
        assert world.sessions() == before  # the old one, or the one that replaced it


@covers(
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
    check(world, fault, exchange, corpus.ONCE)
    assert named(exchange, "GetItem")[0].parameters["ConsistentRead"] is True


Route = tuple[str, Callable[[World, str], Exchange], Calls]

ROUTES: dict[str, Route] = {
    "login": ("PutItem", lambda world, _: login(world.door), corpus.LOGIN),
    "login that replaces": (
        "TransactWriteItems",
        lambda world, token: login(world.door, replaces=token),
        Calls(wechat=1, store=2),
    ),
    "proxy": ("GetItem", lambda world, token: proxied(world.door, token), Calls(store=1)),
    "decrypt": ("BatchGetItem", failed_decryption, Calls(store=1)),
    "decrypt's counter": ("UpdateItem", failed_decryption, Calls(store=2)),
    "logout": ("DeleteItem", logged_out, Calls(store=1)),
    "logout everywhere": ("Query", partial(logged_out, everywhere=True), Calls(store=1)),
}
"""The operation that fails, the request, and the calls where it fails at once."""


@covers(
    {"DDB-11": refusing("ResourceNotFoundException"), "DDB-12": refusing("AccessDeniedException")}
)
@pytest.mark.parametrize("route", ROUTES)
def test_what_the_operator_must_repair_is_reported_at_once(
    world: World, token: str, fault: Fault, injected: AwsFault, route: str
) -> None:
    operation, send, calls = ROUTES[route]
    with world.aws.failing(operation, injected):
        exchange = send(world, token)
    check(world, fault, exchange, calls)
    assert corpus.request_line(exchange)["level"] == "ERROR"
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


FLAWS = {"DDB-17": "exp missing", "DDB-18": "openid missing", "DDB-19": "schema version 0"}


@covers(FLAWS)
def test_a_malformed_item_is_a_refused_token_and_an_alert(
    world: World, token: str, fault: Fault, injected: str
) -> None:
    world.change_item(token, **MALFORMED_ITEMS[injected])
    exchange = proxied(world.door, token)
    check(world, fault, exchange, Calls(store=1))
    # Another version is another release's, of a rolling deployment.
    assert corpus.alerts(exchange) == ([] if fault.id == "DDB-19" else ["MalformedItem"])
    world.drop_item(token)


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
    check(world, fault, proxied(world.door, world.door.login()), corpus.ONCE)


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
