"""Runs an entry of the corpus against a door and tells every breach."""

import base64
import contextlib
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.attacks.corpus import BOMB, Entry, filled
from tests.attacks.events import API_HOST, GATEWAY, Mode, Tokens, event
from tests.attacks.expectations import check_of
from tests.attacks.invariants import Case, breaches
from tests.attacks.world import JUNK, Door, Exchange, World, echo
from tests.support.loopback import Act, says, whole


class Runner:
    """One world, its tokens, and the answer that every entry of a uniform group must equal.

    `last` is what came of the last request.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = Tokens(world)
        self._models: dict[str, Exchange] = {}
        self.last: Exchange

    def run(self, entry: Entry, mode: Mode = GATEWAY, door: Door | None = None) -> list[str]:
        """Run one entry through a door, the unmodified app's where none is given."""
        door = door or self.world.door
        self.world.wechat.renew()
        if entry.group == "decrypt":
            self.world.forget_failures()
        with self.world.upstream.scripted(upstream_script(entry.extra.get("fake_upstream"))):
            try:
                return self._judge(entry, mode, door)
            except Exception as error:  # noqa: BLE001 - G1: no exception escapes
                return [f"g1: {type(error).__name__} escaped: {error}"]
            finally:
                self._forget()

    def _judge(self, entry: Entry, mode: Mode, door: Door) -> list[str]:
        built = event(entry, self.tokens, mode, door.app.routes)
        found: list[str] = []
        for _ in range(entry.setup.before + 1):
            with _peak() as peak:
                self.last = exchange = door.serve(built)
            found += self._case(entry, mode, exchange, peak=peak[0])
        return found

    def _case(self, entry: Entry, mode: Mode, exchange: Exchange, **counts: int) -> list[str]:
        case = Case(self.world, self.tokens, entry, mode, exchange, **counts)
        found = breaches(case)
        found += check_of(entry.expect["invariant"])(case)
        found += self._uniform(entry, exchange)
        return found

    def _forget(self) -> None:
        """Let malformed items not outlive their entry."""
        for text in self.tokens.malformed:
            self.world.drop_item(text)
        self.tokens.malformed.clear()

    # --- G11 ---

    def _uniform(self, entry: Entry, exchange: Exchange) -> Iterator[str]:
        group = entry.uniform_group
        if group is None:
            return
        model = self.model(group)
        if comparable(exchange) != comparable(model):
            yield f"g11: not the answer of {group}: {comparable(exchange)}"
        if group == "decrypt-failure" and operations_of(exchange) != operations_of(model):
            yield f"g11: not the store operations of {group}: {operations_of(exchange)}"

    def model(self, group: str) -> Exchange:
        """Give the exchange that stands for a uniform group, from the unmodified app."""
        if group not in self._models:
            door, token = self.world.door, self.tokens.user("A")
            self._models[group] = {
                "login-failure": lambda: door.send(
                    "POST", "/login", json_body={"code": "code-unheard-of"}
                ),
                "token-failure": lambda: door.send("GET", "/api/echo"),
                "decrypt-failure": lambda: door.send(
                    "POST", "/decrypt", token=token, json_body=JUNK
                ),
            }[group]()
            self.world.forget_failures()
        return self._models[group]

    # --- many sends ---

    def flood(self, entry: Entry, mode: Mode) -> tuple[list[Exchange], list[str]]:
        """Send a flood entry as often as it says; give what came of each, and every breach."""
        door = self.world.door
        events = (self._event(entry, mode) for _ in range(entry.setup.flood))
        exchanges = [door.serve(one) for one in events]
        return exchanges, [text for one in exchanges for text in self._case(entry, mode, one)]

    def parallel(self, entry: Entry, mode: Mode, sends: int) -> tuple[list[Exchange], list[str]]:
        """Send an entry many times at once; give what came of each, and every breach."""
        self.world.wechat.renew()
        exchanges = self.world.door.serve_at_once([self._event(entry, mode) for _ in range(sends)])
        return exchanges, [
            text for one in exchanges for text in self._case(entry, mode, one, sends=sends)
        ]

    def _event(self, entry: Entry, mode: Mode) -> dict[str, Any]:
        return event(entry, self.tokens, mode, self.world.door.app.routes)


def comparable(exchange: Exchange) -> tuple[int, dict[str, str], bytes]:
    """Give the answer without its request id."""
    headers = {k: v for k, v in exchange.answer.headers.items() if k != "X-Request-Id"}
    return exchange.answer.status, headers, exchange.answer.body


def operations_of(exchange: Exchange) -> list[str]:
    return [done.name for done in exchange.store]


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
    found = re.search(
        rf"^{name}:\s+([0-9]+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    return int(found[1]) * 1024 if found else 0


def bomb() -> bytes:
    """256 MiB of zero bytes, packed twice (RFC 1952: members may be joined)."""
    return gzip.compress(gzip.compress(bytes(1 << 20), mtime=0) * 256, mtime=0)


def upstream_script(scripted: dict[str, Any] | None) -> Act:
    """The upstream's answer as an entry describes it; it echoes where none does."""
    if scripted is None:
        return echo
    scripted = filled(scripted, lambda name: {"API_HOST": API_HOST}[name])
    match scripted:
        case {"body_repeat": [unit, count]}:
            body = unit.encode() * count
        case {"body_b64": text}:
            body = base64.b64decode(text)
        case {"body": text}:
            body = bomb() if text == BOMB else text.encode()
        case _:
            body = b"{}"
    status, headers = scripted.get("status", 200), scripted.get("headers", [])
    if status in (204, 304):  # RFC 9110 6.4.1: no body, whatever a length says
        return says(f"HTTP/1.1 {status} Phrase\r\n\r\n".encode())
    return says(whole(body, status=status, headers=headers))
