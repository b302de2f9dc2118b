"""The entries of faults.json, which test covers each, and where the contract says otherwise."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks import watch
from tests.attacks.world import Exchange, World

CORPUS = Path(__file__).parent.parent / "corpus" / "faults.json"

_content: dict[str, Any] = json.loads(CORPUS.read_text())
BUDGETS: dict[str, Any] = _content["meta"]["budgets_ms"]

CONTRADICTIONS: dict[str, tuple[int, str | None, str]] = {
    "WX-06": (503, "WeChatUnavailable", "The contract gives WeChatUnavailable status 503."),
    "WX-16": (
        503,
        "WeChatBusy",
        "The contract gives WeChatBusy status 503; WeChat's Retry-After is passed on.",
    ),
}
"""Entries that contract.md contradicts: the status and Code that hold, and why."""

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
    """One fault: what goes wrong, and the exact outcome."""

    id: str
    text: str
    statuses: list[int]
    code: str | None
    budget: float

    def __str__(self) -> str:
        return f"{self.id} {self.text}"


def _budget(item: dict[str, Any]) -> float:
    """Seconds that the answer may take."""
    if item["area"] == "upstream":
        return 20.0
    return float(BUDGETS["login_total"]) / 1000


def _read() -> dict[str, Fault]:
    found = {}
    for item in _content["faults"]:
        outcome = item["outcome"]
        status, code, _ = {**CONTRADICTIONS, **DOCUMENTED}.get(item["id"], (None, None, ""))
        found[item["id"]] = Fault(
            item["id"],
            f"{item['fault']} ({item['inject']}): {item['why']}",
            [status] if status else outcome["status"],
            code if status else outcome["code"],
            _budget(item),
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


def check(world: World, fault: Fault, exchange: Exchange) -> None:
    """Check the outcome, and what always holds, whatever fails."""
    answer = exchange.answer
    assert answer.status in fault.statuses, (fault, answer)
    if answer.status >= 400:
        # Where an entry names no Code, the upstream's own answer is meant, or a token that ended.
        assert answer.code in ([fault.code] if fault.code else [None, "InvalidToken"]), answer
    assert exchange.seconds < fault.budget, (fault, exchange.seconds)
    always(world, exchange)


def always(world: World, exchange: Exchange) -> None:
    """Check the `always` list of the corpus, and that secrets stay where they are."""
    answer, seen = exchange.answer, exchange.seen
    assert answer.headers["X-Request-Id"]
    if answer.code:
        assert set(answer.json) == {"Code", "Message"}
        assert answer.json["Code"] == answer.code
        assert answer.status not in (429, 503) or answer.headers["Retry-After"]
        secrets = {**world.secrets, **world.personal, "AWS's text": {"canary-aws-text"}}
        assert watch.leaks(f"{answer.headers}{answer.body!r}", secrets) == []
    known = {**world.secrets, **world.personal}
    assert watch.leaks(seen.said, known) == [], seen.said
    assert [event["event"] for event in seen.events] == ["request"]


def sessions_in(world: World) -> int:
    """Count the stored sessions."""
    return sum(item["item"]["B"] != b"decrypt-failures" for item in world.items())
