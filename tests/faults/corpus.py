"""The entries of faults.json, which test covers each, and the check of every outcome."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.attacks import watch
from tests.attacks.watch import Address, Seen
from tests.attacks.world import Exchange, World
from tests.support.misbehaving import HOST

CORPUS = Path(__file__).parent.parent / "corpus" / "faults.json"

_content: dict[str, Any] = json.loads(CORPUS.read_text())
BUDGETS: dict[str, Any] = _content["meta"]["budgets_ms"]

ALLOWANCE = 0.4
"""Seconds that a busy machine may add to a budget: less than any further attempt takes."""

CONTRADICTIONS: dict[str, tuple[int, str | None, str]] = {
    "WX-06": (503, "WeChatUnavailable", "docs/errors.md gives WeChatUnavailable status 503."),
    "WX-16": (
        503,
        "WeChatBusy",
        "docs/errors.md gives WeChatBusy status 503; WeChat's Retry-After is passed on.",
    ),
}
"""Entries that docs/errors.md contradicts: the status and Code that hold, and why."""

DOCUMENTED: dict[str, tuple[int, str | None, str]] = {
    "DDB-19": (401, "InvalidToken", "An item of another schema is a refused token: log in again."),
    "DDB-27": (
        503,
        "StoreUnavailable",
        "A failed decryption that cannot be counted is not answered; login keeps no counter.",
    ),
    "RUN-03": (200, None, "The platform's answer; ours is that the state is whole afterwards."),
    "RUN-04": (
        500,
        "InternalError",
        "The platform ends a process that is out of memory. Where Python still raises, the request "
        "fails and the next one is served.",
    ),
    "RUN-21": (200, None, "The platform's answer; the template keeps the functions apart."),
}
"""Entries that leave the outcome to documentation or to the platform: ours, and why."""

COVERED: set[str] = set()


@dataclass(frozen=True)
class Fault:
    """One fault: what goes wrong where, the exact outcome, and what the client should do."""

    id: str
    area: str
    during: str
    text: str
    statuses: list[int]
    code: str | None
    client_should: str

    def __str__(self) -> str:
        return f"{self.id} {self.text}"


def _read() -> dict[str, Fault]:
    found = {}
    for item in _content["faults"]:
        outcome = item["outcome"]
        status, code, _ = {**CONTRADICTIONS, **DOCUMENTED}.get(item["id"], (None, None, ""))
        found[item["id"]] = Fault(
            item["id"],
            item["area"],
            item["during"],
            f"{item['fault']} ({item['inject']}): {item['why']}",
            [status] if status else outcome["status"],
            code if status else outcome["code"],
            outcome["client_should"],
        )
    return found


FAULTS = _read()


def covers(*identifiers: str) -> pytest.MarkDecorator:
    """Run a test once for each of these entries; it gets the entry as `fault`."""
    COVERED.update(identifiers)
    cases = [pytest.param(FAULTS[name], id=name) for name in identifiers]
    return pytest.mark.parametrize("fault", cases)


def covers_each(table: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Run a test for each entry of a table; it gets the entry and the table's value."""
    COVERED.update(table)
    cases = [pytest.param(FAULTS[name], value, id=name) for name, value in table.items()]
    return pytest.mark.parametrize(("fault", "injected"), cases)


# --- time ----------------------------------------------------------------------------------------


def seconds(name: str) -> float:
    """Give a budget of the corpus."""
    return float(BUDGETS[name]) / 1000


LEFT = seconds("lambda_timeout")
TRIES = int(BUDGETS["dynamodb_attempts_max"])

_upstream = re.fullmatch(r"min\((\d+), remaining - (\d+)\)", BUDGETS["upstream_total"])
assert _upstream, "the upstream's budget has another form"
UPSTREAM_TOTAL, UPSTREAM_RESERVE = (int(number) / 1000 for number in _upstream.groups())


def budget(fault: Fault, left: float) -> float:
    """Give the seconds for an answer, where so many are left of the invocation."""
    upstream = min(UPSTREAM_TOTAL, left - UPSTREAM_RESERVE)
    areas = {
        "wechat": seconds("wechat_total"),
        "secrets": seconds("secrets_total"),
        "dynamodb": seconds("dynamodb_attempt") * TRIES,
        "upstream": upstream,
        "runtime": upstream,
    }
    in_all = seconds("login_total") if fault.during == "POST /login" else LEFT
    return min(areas[fault.area], in_all)


# --- who was asked -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """How often each other side was asked, refused and broken connections counted."""

    wechat: int = 0
    upstream: int = 0
    store: int = 0
    secrets: int = 0


Elsewhere = Mapping[str, Address]
"""Another address than the world's for one of Asked's sides."""

NOWHERE: Elsewhere = MappingProxyType({})


def _places(world: World, at: Elsewhere) -> dict[str, Address]:
    aws = (HOST, world.aws.port)
    own = {"wechat": (HOST, world.wechat.port), "upstream": (HOST, world.upstream.port)}
    return {**own, "store": aws, "secrets": aws, **at}


def asked_in(world: World, exchange: Exchange, at: Elsewhere = NOWHERE) -> Asked:
    """Count; of a connection that serves several requests each, of a name its look-ups."""
    seen, places = exchange.seen, _places(world, at)

    def tries(side: str) -> int:
        host, port = places[side]
        return seen.addresses.count((host, port)) if host == HOST else seen.lookups.count(host)

    services = Counter(done.service for done in exchange.operations)
    return Asked(
        max(tries("wechat"), len(exchange.wechat)),
        max(tries("upstream"), len(exchange.upstream)),
        tries("store") if "store" in at else services["DynamoDB"],
        services["secretsmanager"],
    )


# --- the outcome ---------------------------------------------------------------------------------


def check(
    world: World,
    fault: Fault,
    exchange: Exchange,
    asked: Asked,
    *,
    at: Elsewhere = NOWHERE,
    left: float = LEFT,
) -> None:
    """Check the outcome, and what always holds, whatever fails.

    `left` is what the invocation had, in seconds.
    """
    answer = exchange.answer
    assert answer.status in fault.statuses, (fault, answer)
    if answer.status >= 400:
        # Where an entry names no Code, the upstream's own answer is meant, or a token that ended.
        assert answer.code in ([fault.code] if fault.code else [None, "InvalidToken"]), answer
    found = asked_in(world, exchange, at)
    assert found == asked, (fault, found)
    operations = Counter(done.name for done in exchange.store)
    assert max(operations.values(), default=0) <= TRIES, operations
    assert exchange.seconds < budget(fault, left) + ALLOWANCE, (fault, exchange.seconds)
    always(world, exchange, at)


def always(world: World, exchange: Exchange, at: Elsewhere = NOWHERE) -> None:
    """Check the `always` list of the corpus, and that secrets stay where they are."""
    answer = exchange.answer
    assert answer.headers["X-Request-Id"]
    told, secrets = f"{answer.headers}{answer.body!r}", dict(world.secrets)
    if answer.code:
        assert set(answer.json) == {"Code", "Message"}
        assert answer.json["Code"] == answer.code
        assert answer.status not in (429, 503) or answer.headers["Retry-After"]
        secrets |= {**world.personal, "AWS's text": {"canary-aws-text"}}
    elif answer.body.startswith(b'{"token":'):
        secrets["token"] = secrets["token"] - {answer.json["token"]}
    assert watch.leaks(told, secrets) == [], told
    kept_in(world, exchange.seen, at)
    reported(exchange)


def kept_in(world: World, seen: Seen, at: Elsewhere = NOWHERE) -> None:
    """Check that no secret was said, and nobody asked but the configured ones."""
    assert watch.leaks(seen.said, {**world.secrets, **world.personal}) == [], seen.said
    places = set(_places(world, at).values())
    assert set(seen.addresses) <= places
    assert seen.names <= {host for host, _ in places}


def alarms(exchange: Exchange) -> list[str]:
    """Name what the operator is told of though the request is served."""
    return [event["alert"] for event in exchange.seen.events if event["event"] == "alert"]


def reported(exchange: Exchange) -> dict[str, Any]:
    """Give the one log line of a request; an alert is a line of its own."""
    [line] = [event for event in exchange.seen.events if event["event"] != "alert"]
    assert line["event"] == "request"
    return line


# --- the table -----------------------------------------------------------------------------------


def sessions_in(world: World) -> int:
    """Count the stored sessions."""
    pages = world.dynamodb.get_paginator("scan").paginate(
        TableName=world.table,
        Select="COUNT",
        FilterExpression="NOT begins_with(#item, :counter)",
        ExpressionAttributeNames={"#item": "item"},
        ExpressionAttributeValues={":counter": {"B": b"decrypt-failures-"}},
    )
    return sum(page["Count"] for page in pages)
