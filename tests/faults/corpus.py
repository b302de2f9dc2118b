"""The entries of faults.json, which test covers each, and the check of every outcome."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks import watch
from tests.attacks.watch import Address, Seen
from tests.attacks.world import Door, Exchange, World
from tests.support.loopback import HOST

CORPUS = Path(__file__).parents[1] / "corpus/faults.json"

_content: dict[str, Any] = json.loads(CORPUS.read_text())
BUDGETS: dict[str, Any] = _content["meta"]["budgets_ms"]

ALLOWANCE = 0.4
"""Seconds that a busy machine may add to a budget: less than any further attempt takes."""

Ours = dict[str, tuple[int, str | None]]
"""The status and Code that hold, by the entry."""

CONTRADICTIONS: Ours = {
    # docs/errors.md gives both status 503; WeChat's Retry-After is passed on.
    "WX-06": (503, "WeChatUnavailable"),
    "WX-16": (503, "WeChatBusy"),
}
"""Entries that docs/errors.md contradicts."""

DOCUMENTED: Ours = {
    "DDB-19": (401, "InvalidToken"),  # an item of another schema: log in again
    # A failed decryption that cannot be counted is not answered; login keeps no counter.
    "DDB-27": (503, "StoreUnavailable"),
    "RUN-03": (200, None),  # the platform's answer; ours is that no half-written state is left
    # The platform ends a process that is out of memory. Where Python still raises, the request
    # fails and the next one is served.
    "RUN-04": (500, "InternalError"),
    "RUN-21": (200, None),  # the platform's answer; the template keeps the functions apart
}
"""Entries that leave the outcome to documentation or to the platform."""


@dataclass(frozen=True)
class Fault:
    """One fault: what goes wrong where, the exact outcome, and what the client should do."""

    id: str
    area: str
    text: str
    statuses: list[int]
    code: str | None
    client_should: str


def _read(item: dict[str, Any]) -> Fault:
    outcome = item["outcome"]
    ours = {**CONTRADICTIONS, **DOCUMENTED}.get(item["id"])
    statuses, code = ([ours[0]], ours[1]) if ours else (outcome["status"], outcome["code"])
    text = f"{item['fault']} ({item['inject']}): {item['why']}"
    return Fault(item["id"], item["area"], text, statuses, code, outcome["client_should"])


FAULTS = {item["id"]: _read(item) for item in _content["faults"]}
COVERED: set[str] = set()


def covers(*entries: Any) -> pytest.MarkDecorator:
    """Run a test for each of these entries, as `fault`; of a table, its value is `injected`."""
    if isinstance(entries[0], str):
        COVERED.update(entries)
        return pytest.mark.parametrize("fault", [FAULTS[name] for name in entries], ids=entries)
    [table] = entries
    COVERED.update(table)
    cases = [(FAULTS[name], value) for name, value in table.items()]
    return pytest.mark.parametrize(("fault", "injected"), cases, ids=list(table))


CODE = "canary-code-A-5Nf8wQ"
"""A login code of user A; it must not turn up anywhere but at WeChat."""


def login(door: Door, code: str = CODE, *, context: Any = None, **fields: object) -> Exchange:
    return door.send("POST", "/login", json_body={"code": code, **fields}, context=context)


def login_event(world: World, code: str = CODE, **fields: str) -> dict[str, Any]:
    return world.door.event("POST", "/login", json_body={"code": code, **fields})


def proxied(door: Door, token: str, method: str = "GET", **options: Any) -> Exchange:
    body = None if method in ("GET", "HEAD") else {"a": 1}
    return door.send(method, "/api/orders", token=token, json_body=body, **options)


def seconds(name: str) -> float:
    return float(BUDGETS[name]) / 1000


ATTEMPTS = int(BUDGETS["dynamodb_attempts_max"])

_upstream = re.fullmatch(r"min\((\d+), remaining - (\d+)\)", BUDGETS["upstream_total"])
assert _upstream, "the upstream's budget has another form"
UPSTREAM_TOTAL, UPSTREAM_RESERVE = (int(number) / 1000 for number in _upstream.groups())


def budget(fault: Fault) -> float:
    """Give the seconds for an answer, with a whole invocation before it."""
    areas = {"wechat": seconds("wechat_total"), "secrets": seconds("secrets_total")}
    areas |= {"dynamodb": seconds("dynamodb_attempt") * ATTEMPTS, "upstream": UPSTREAM_TOTAL}
    return areas.get(fault.area, seconds("login_total"))


@dataclass(frozen=True)
class Calls:
    """How many calls each other side got, refused and broken connections counted."""

    wechat: int = 0
    upstream: int = 0
    store: int = 0
    secrets: int = 0


ONCE = Calls(upstream=1, store=1)
LOGIN = Calls(wechat=1, store=1)

Elsewhere = Mapping[str, Address]
"""Another address than the world's for one of the sides."""


def _places(world: World, at: Elsewhere | None) -> dict[str, Address]:
    aws = (HOST, world.aws.port)
    own = {"wechat": (HOST, world.wechat.port), "upstream": (HOST, world.upstream.port)}
    return {**own, "store": aws, "secrets": aws, **(at or {})}


def calls_in(world: World, exchange: Exchange, at: Elsewhere | None = None) -> Calls:
    seen, places = exchange.seen, _places(world, at)

    def attempts(side: str) -> int:
        host, port = places[side]
        return seen.addresses.count((host, port)) if host == HOST else seen.lookups.count(host)

    services = Counter(done.service for done in exchange.operations)
    return Calls(
        max(attempts("wechat"), len(exchange.wechat)),
        max(attempts("upstream"), len(exchange.upstream)),
        attempts("store") if "store" in (at or {}) else services["DynamoDB"],
        services["secretsmanager"],
    )


def check(
    world: World,
    fault: Fault,
    exchange: Exchange,
    calls: Calls,
    *,
    at: Elsewhere | None = None,
    within: float | None = None,
) -> None:
    """Check the outcome, and what always holds; `within` replaces the entry's budget."""
    answer = exchange.answer
    assert answer.status in fault.statuses, (fault, answer)
    if answer.status >= 400:
        # Where an entry names no Code, the upstream's own answer is meant, or a token that ended.
        assert answer.code in ([fault.code] if fault.code else [None, "InvalidToken"]), answer
    assert calls_in(world, exchange, at) == calls, fault
    operations = Counter(done.name for done in exchange.store)
    assert max(operations.values(), default=0) <= ATTEMPTS, operations
    assert exchange.own_seconds < (within or budget(fault)) + ALLOWANCE, fault
    always(world, exchange, at)


def always(world: World, exchange: Exchange, at: Elsewhere | None = None) -> None:
    """Check the `always` list of the corpus, and that secrets stay where they are."""
    answer = exchange.answer
    assert answer.headers["X-Request-Id"]
    text, secrets = f"{answer.headers}{answer.body!r}", dict(world.secrets)
    if answer.code:
        assert answer.json == {"Code": answer.code, "Message": answer.json["Message"]}
        assert answer.status not in (429, 503) or answer.headers["Retry-After"]
        secrets |= {**world.personal, "AWS's text": {"canary-aws-text"}}
    elif answer.body.startswith(b'{"token":'):
        secrets["token"] = secrets["token"] - {answer.json["token"]}
    assert watch.leaks(text, secrets) == [], text
    nothing_leaks(world, exchange.seen, at)
    request_line(exchange)


def nothing_leaks(world: World, seen: Seen, at: Elsewhere | None = None) -> None:
    assert watch.leaks(seen.said, {**world.secrets, **world.personal}) == [], seen.said
    places = set(_places(world, at).values())
    assert set(seen.addresses) <= places
    assert set(seen.lookups) <= {host for host, _ in places}


def alerts(exchange: Exchange) -> list[str]:
    return [event["alert"] for event in exchange.seen.events if event["event"] == "alert"]


def request_line(exchange: Exchange) -> dict[str, Any]:
    [line] = [event for event in exchange.seen.events if event["event"] != "alert"]
    assert line["event"] == "request"
    return line
