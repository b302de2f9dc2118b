"""Runs an entry of the corpus against the app, and asserts all that must hold of it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.attacks.corpus import Entry, upstream_of
from tests.attacks.events import GATEWAY, Mode, Tokens, event
from tests.attacks.expectations import check_of, decision
from tests.attacks.invariants import INVARIANTS, Case
from tests.attacks.world import JUNK, Exchange, World


class Runner:
    """One world, its tokens, and the answer that every entry of a uniform group must equal."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = Tokens(world)
        self._models: dict[str, Exchange] = {}

    def run(self, entry: Entry, mode: Mode = GATEWAY) -> Exchange:
        """Send one entry, and what it wants sent before; check and give what came of the last."""
        self.world.wechat.renew()
        if entry.group == "decrypt":
            self.world.forget_failures()
        built = self.event(entry, mode)
        with self.world.upstream.scripted(upstream_of(entry)):
            for _ in range(entry.setup.before + 1):
                with _peak() as peak:
                    exchange = self.world.door.serve(built)
                self.check(entry, mode, exchange, peak=peak[0])
        self.tokens.drop_malformed_items()
        return exchange

    def event(self, entry: Entry, mode: Mode = GATEWAY) -> dict[str, Any]:
        return event(entry, self.tokens, mode, self.world.door.app.routes)

    def check(self, entry: Entry, mode: Mode, exchange: Exchange, **numbers: int) -> None:
        """Assert the invariants, the entry's own sentence and our decision."""
        case = Case(self.world, self.tokens, entry, mode, exchange, **numbers)
        for check in (*INVARIANTS, check_of(entry.expect.invariant)):
            check(case)
        if case.sends == 1:
            assert decision(entry, mode) in (None, (case.status, case.code))
        if entry.expect.uniform_group:  # G11
            model = self.model(entry.expect.uniform_group)
            assert comparable(exchange) == comparable(model)
            if entry.expect.uniform_group == "decrypt-failure":
                assert [op.name for op in exchange.store] == [op.name for op in model.store]

    def model(self, group: str) -> Exchange:
        if group not in self._models:
            door, token = self.world.door, self.tokens.user("A")
            requests: dict[str, tuple[str, str, dict[str, Any]]] = {
                "login-failure": ("POST", "/login", {"json_body": {"code": "code-x"}}),
                "token-failure": ("GET", "/api/echo", {}),
                "decrypt-failure": ("POST", "/decrypt", {"token": token, "json_body": JUNK}),
            }
            method, path, sent = requests[group]
            self._models[group] = door.send(method, path, **sent)
            self.world.forget_failures()
        return self._models[group]


def comparable(exchange: Exchange) -> tuple[int, dict[str, str], bytes]:
    headers = {k: v for k, v in exchange.answer.headers.items() if k != "X-Request-Id"}
    return exchange.answer.status, headers, exchange.answer.body


@contextlib.contextmanager
def _peak() -> Iterator[list[int]]:
    """Measure by how many bytes the process grew at most, the servers' threads included.

    By Linux's own count (proc(5)); elsewhere it stays 0. Not by tracemalloc: CPython 3.11 may crash
    where other threads allocate as it stops (gh-128679).
    """
    peaks, process = [0], Path("/proc/self")
    if not process.exists():
        yield peaks
        return
    (process / "clear_refs").write_text("5")  # the peak is what there is now
    before = _memory("VmRSS")
    yield peaks
    peaks[0] = _memory("VmHWM") - before


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    [kilobytes] = re.findall(rf"^{name}:\s+([0-9]+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024
