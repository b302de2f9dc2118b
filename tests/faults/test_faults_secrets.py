"""Secrets Manager fails, or holds what it should not: no code is spent without a good secret."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from simulator import aws
from tests.attacks.world import APPID, Door, World
from tests.faults import corpus
from tests.faults.corpus import Calls, Fault, check, covers, login
from tests.support import aws_proxy
from tests.support.aws_proxy import Fault as AwsFault
from tests.support.aws_proxy import answering, refusing

READ = "GetSecretValue"
CANARY = "canary-secret-value-9Zt"


def holding(value: object) -> AwsFault:
    text = value if isinstance(value, str) else json.dumps(value)
    return answering({"Name": "x", "VersionId": "v" * 32, "SecretString": text})


BINARY = base64.b64encode(CANARY.encode()).decode()


@covers(
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
    world.secrets["secret"] = {CANARY}
    with world.aws.failing(READ, injected):
        exchange = login(cold)
    check(world, fault, exchange, Calls(secrets=1))
    line = corpus.request_line(exchange)
    assert line["reason"]
    assert line["secret"] == f"attacks/app/{APPID}"
    assert login(cold).answer.status == 200  # repaired, it works at once: no failure is cached


DOWN = {
    "throttled": (refusing("ThrottlingException"), 2),
    "failing": (refusing("InternalServiceError", status=500), 2),
    "silent": (aws_proxy.never_answering, 2),
    "dead": (aws_proxy.dead, 2),
    # botocore does not notice that half of an answer is missing.
    "breaking off": (aws_proxy.breaking_off, 1),
}
"""What happens to each read, and how many there are."""


@covers("SEC-05")
@pytest.mark.parametrize("kind", DOWN)
def test_without_a_warm_value_no_code_is_spent(
    world: World, cold: Door, fault: Fault, kind: str
) -> None:
    failing, attempts = DOWN[kind]
    with world.aws.failing(READ, failing):
        exchange = login(cold)
    check(world, fault, exchange, Calls(secrets=attempts))
    assert login(cold).answer.status == 200


@covers("SEC-06")
@pytest.mark.parametrize("kind", DOWN)
def test_a_warm_value_bridges_an_outage_of_an_hour_with_an_alert(
    world: World, fault: Fault, kind: str, cold: Door, later: Callable[[float], None]
) -> None:
    failing, attempts = DOWN[kind]
    login(cold)
    later(360)  # due to be read again
    with world.aws.failing(READ, failing):
        exchange = login(cold)
        check(world, fault, exchange, Calls(wechat=1, store=1, secrets=attempts))
        assert corpus.alerts(exchange) == ["StaleSecret"]
        later(3600 - 360 + 1)
        assert login(cold).answer.code == "SecretsUnavailable"


NEW = "new0123456789abcdef0123456789abc"


@pytest.fixture
def rotated(world: World) -> Iterator[Door]:
    """An app that has read its own secret, which was then rotated to NEW."""
    prefix, known = f"rotating-{len(world.aws.operations)}/", world.wechat.appsecret
    with closing(aws.client("secretsmanager", world.engine_url)) as manager:
        aws.make_secrets(manager, prefix, {APPID: known})
        door = world.open_door(SECRET_PREFIX=prefix)
        login(door)
        world.secrets["appsecret"].add(NEW)
        value = json.dumps({"appsecret": NEW})
        manager.put_secret_value(SecretId=f"{prefix}app/{APPID}", SecretString=value)
    yield door
    world.wechat.appsecret = known


@covers("SEC-12")
@pytest.mark.parametrize("spent", [False, True])
def test_a_rotation_is_noticed_by_wechats_refusal(
    world: World, fault: Fault, rotated: Door, spent: bool
) -> None:
    world.wechat.appsecret = NEW
    if spent:  # a code that was spent with the wrong secret is refused for that alone
        first = rotated.send("POST", "/login", json_body={"code": "code-used"})
        assert (first.answer.code, len(first.wechat)) == ("InvalidCode", 2)
    else:
        check(world, fault, login(rotated), Calls(wechat=2, secrets=1, store=1))
    check(world, fault, login(rotated), corpus.LOGIN)  # the new value is cached


@covers("SEC-13")
def test_a_wrong_rotation_is_read_again_once_in_thirty_seconds(
    world: World, fault: Fault, rotated: Door, later: Callable[[float], None]
) -> None:
    world.wechat.appsecret = "neither0123456789abcdef012345678"
    exchange = login(rotated)
    check(world, fault, exchange, Calls(wechat=2, secrets=1))
    assert corpus.request_line(exchange)["level"] == "ERROR"
    assert [corpus.calls_in(world, login(rotated)).secrets for _ in range(5)] == [0] * 5
    later(31)
    assert 1 <= corpus.calls_in(world, login(rotated)).secrets <= 2
