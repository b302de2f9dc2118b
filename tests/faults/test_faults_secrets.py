"""Secrets Manager fails, or holds what it should not: no code is spent on a secret that is not."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from simulator import aws
from tests.attacks import aws_front
from tests.attacks.aws_front import Fault as AwsFault
from tests.attacks.aws_front import answering, refusing
from tests.attacks.loopback import Received, Script, silence
from tests.attacks.wechat import refusal, said
from tests.attacks.world import APPID, Door, Exchange, World
from tests.faults.corpus import (
    ALLOWANCE,
    TRIES,
    Asked,
    Fault,
    alarms,
    always,
    asked_in,
    check,
    covers,
    covers_each,
    reported,
    seconds,
    sessions_in,
)
from tests.faults.user import login

READ = "GetSecretValue"
CANARY = "canary-secret-value-9Zt"
BINARY = base64.b64encode(CANARY.encode()).decode()


@pytest.fixture(autouse=True)
def canary(world: World) -> None:
    """What a malformed secret holds must not turn up either."""
    world.secrets["secret"] = {CANARY}


@pytest.fixture
def cold(world: World) -> Door:
    """An app that has read no secret yet."""
    return world.door.cool()


def reads(exchange: Exchange) -> int:
    """How often Secrets Manager was asked."""
    return sum(done.name == READ for done in exchange.operations)


def holding(value: object) -> AwsFault:
    """Secrets Manager holds this text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return answering({"Name": "x", "VersionId": "v" * 32, "SecretString": text})


# --- the operator's faults -----------------------------------------------------------------------


@covers_each(
    {
        "SEC-01": refusing("AccessDeniedException"),
        "SEC-02": refusing("ResourceNotFoundException"),
        "SEC-03": refusing("InvalidRequestException"),
        "SEC-04": refusing("DecryptionFailure"),
        "SEC-08": holding(CANARY),
        "SEC-09": holding({"appid": APPID, "secret": CANARY}),
        "SEC-11": answering({"Name": "x", "SecretBinary": BINARY}),
        "SEC-15": holding({"appid": "wxffffffffffffffff", "appsecret": CANARY}),
    }
)
def test_a_secret_that_cannot_be_used_spends_no_code(
    world: World, cold: Door, fault: Fault, injected: AwsFault
) -> None:
    before = sessions_in(world)
    with world.aws.failing(READ, injected):
        exchange = login(cold)
    check(world, fault, exchange, Asked(secrets=1))
    assert sessions_in(world) == before
    assert login(cold).answer.status == 200  # repaired, it works at once: no failure is kept


def test_the_log_names_the_member_and_the_secret_but_no_value(world: World, cold: Door) -> None:
    with world.aws.failing(READ, holding({"secret": CANARY})):
        line = reported(login(cold))
    assert line["reason"] == "appsecret is missing or malformed"
    assert line["secret"] == f"attacks/app/{APPID}"


def test_a_repaired_signing_key_works_at_once(world: World, cold: Door) -> None:
    with world.aws.failing(READ, holding({"kid": "x", "private_key": CANARY})):
        exchange = cold.send("GET", "/.well-known/jwks.json")
    assert exchange.answer.code == "Misconfigured"
    always(world, exchange)
    assert cold.send("GET", "/.well-known/jwks.json").answer.status == 200


SIBLINGS: dict[str, object] = {
    "an array": "[]",
    "null": "null",
    "an empty text": "",
    "appsecret empty": {"appsecret": ""},
    "appsecret null": {"appsecret": None},
    "appsecret a number": {"appsecret": 7},
    "appsecret with a newline": {"appsecret": f"{CANARY}\n"},
    "appsecret not ASCII": {"appsecret": f"{CANARY}é"},
    "appsecret very long": {"appsecret": CANARY * 40},
    "appsecret twice": f'{{"appsecret":"{CANARY}","appsecret":"x"}}',
    "half a surrogate pair": f'{{"appsecret":"{CANARY}\\ud800"}}',
}


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_a_malformed_secret_is_the_operators_fault(world: World, cold: Door, sibling: str) -> None:
    with world.aws.failing(READ, holding(SIBLINGS[sibling])):
        exchange = login(cold)
    assert exchange.answer.code == "Misconfigured"
    assert exchange.wechat == []
    always(world, exchange)


# --- Secrets Manager is down ---------------------------------------------------------------------

DOWN = {
    "throttled": refusing("ThrottlingException"),
    "failing": refusing("InternalServiceError", status=500),
    "silent": aws_front.never_answering,
    "dead": aws_front.dead,
    "dripping": aws_front.dripping,
    "breaking off": aws_front.breaking_off,
}


@covers("SEC-05")
@pytest.mark.parametrize("kind", DOWN)
def test_without_a_warm_value_no_code_is_spent(
    world: World, cold: Door, fault: Fault, kind: str
) -> None:
    with world.aws.failing(READ, DOWN[kind]):
        exchange = login(cold)
    check(world, fault, exchange, Asked(secrets=2))
    assert login(cold).answer.status == 200


@pytest.fixture
def warm(world: World, cold: Door) -> Iterator[Door]:
    """An app that has read its secrets six minutes ago: they are due to be read again."""
    login(cold)
    world.clock.advance(360)
    yield cold
    world.clock.advance(-360)


@covers("SEC-06")
@pytest.mark.parametrize("kind", DOWN)
def test_a_warm_value_bridges_an_outage_with_an_alarm(
    world: World, fault: Fault, kind: str, warm: Door
) -> None:
    with world.aws.failing(READ, DOWN[kind]):
        exchange = login(warm)
    check(world, fault, exchange, Asked(wechat=1, secrets=2, store=1))
    assert alarms(exchange) == ["StaleSecret"]


def test_a_warm_value_bridges_no_more_than_an_hour(world: World, cold: Door) -> None:
    login(cold)
    world.clock.advance(3601)
    with world.aws.failing(READ, DOWN["throttled"]):
        exchange = login(cold)
    world.clock.advance(-3601)
    assert exchange.answer.code == "SecretsUnavailable"


# --- rotation ------------------------------------------------------------------------------------


@pytest.fixture
def rotating(world: World) -> Iterator[Any]:
    """A secret of its own, an app that has read it, and the hand that rotates it."""
    prefix = f"rotating-{len(world.aws.operations)}/"
    with closing(aws.client("secretsmanager", world.engine_url)) as manager:
        aws.make_secrets(manager, prefix, {APPID: world.wechat.appsecret})
        door, known = world.open_door(SECRET_PREFIX=prefix), world.wechat.appsecret
        login(door)

        def rotate(appsecret: str) -> None:
            world.secrets["appsecret"].add(appsecret)
            value = json.dumps({"appsecret": appsecret})
            manager.put_secret_value(SecretId=f"{prefix}app/{APPID}", SecretString=value)

        yield door, rotate
        world.wechat.appsecret = known


@covers("SEC-12")
def test_a_rotation_is_noticed_by_wechats_refusal(
    world: World, fault: Fault, rotating: Any
) -> None:
    door, rotate = rotating
    rotate("new0123456789abcdef0123456789abc")
    world.wechat.appsecret = "new0123456789abcdef0123456789abc"
    exchange = login(door)
    check(world, fault, exchange, Asked(wechat=2, secrets=1, store=1))
    again = login(door)
    assert (len(again.wechat), reads(again)) == (1, 0)  # the new value is kept


@covers("SEC-13")
def test_a_wrong_rotation_is_read_again_once_in_thirty_seconds(
    world: World, fault: Fault, rotating: Any
) -> None:
    door, rotate = rotating
    rotate("new0123456789abcdef0123456789abc")
    world.wechat.appsecret = "neither0123456789abcdef012345678"
    exchange = login(door)
    check(world, fault, exchange, Asked(wechat=2, secrets=1))
    assert reported(exchange)["level"] == "ERROR"
    assert [reads(login(door)) for _ in range(5)] == [0] * 5
    world.clock.advance(31)
    later = reads(login(door))
    world.clock.advance(-31)
    assert 1 <= later <= 2


def test_a_rotation_that_wechat_does_not_know_yet_uses_the_previous_secret(
    world: World, rotating: Any
) -> None:
    door, rotate = rotating
    rotate("new0123456789abcdef0123456789abc")
    world.clock.advance(360)
    exchange = login(door)
    world.clock.advance(-360)
    assert exchange.answer.status == 200
    assert len(exchange.wechat) == 2


def test_a_login_that_is_slow_at_every_step_ends_inside_its_budget(
    world: World, rotating: Any
) -> None:
    door, rotate = rotating
    rotate("new0123456789abcdef0123456789abc")
    silent_once = world.aws.failing(READ, aws_front.never_answering, times=1)
    with silent_once, world.wechat.scripted(_refusing_late([])):
        exchange = login(door)
    assert exchange.answer.code == "WeChatTimeout"
    assert asked_in(world, exchange) == Asked(wechat=2, secrets=2)
    # What is left is the store's: a write tried as often as it may.
    store = seconds("dynamodb_attempt") * TRIES
    assert exchange.seconds < seconds("login_total") - store + ALLOWANCE
    always(world, exchange)


def _refusing_late(calls: list[Received]) -> Script:
    """WeChat refuses the secret at the last moment, and then says nothing."""

    def script(connection: socket.socket, received: Received) -> None:
        calls.append(received)
        if len(calls) > 1:
            return silence(connection, received)
        time.sleep(3.7)
        return said(refusal(40125))(connection, received)

    return script


def test_a_code_that_was_spent_with_the_wrong_secret_is_refused(
    world: World, rotating: Any
) -> None:
    door, rotate = rotating
    rotate("new0123456789abcdef0123456789abc")
    world.wechat.appsecret = "new0123456789abcdef0123456789abc"
    exchange = door.send("POST", "/login", json_body={"code": "code-used"})
    assert exchange.answer.code == "InvalidCode"
    assert len(exchange.wechat) == 2
