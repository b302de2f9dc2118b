"""Runs an entry of the corpus against a door and tells every breach."""

import base64
import contextlib
import gzip
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.attacks import loopback
from tests.attacks.corpus import Entry, filled
from tests.attacks.events import API_HOST, MERCIFUL, Mode, Tokens, event
from tests.attacks.invariants import MEMORY, Case, breaches
from tests.attacks.particulars import PARTICULARS
from tests.attacks.world import Door, Exchange, World, echo

FLOOD = 100
"""Sends of a flood entry; the corpus says 500, which tells nothing more where no limit is ours."""

JUNK = {
    "kind": "phone",
    "encryptedData": base64.b64encode(b"0123456789abcdef").decode(),
    "iv": base64.b64encode(bytes(16)).decode(),
}


class Runner:
    """One world, its tokens, and the answer that every entry of a uniform group must equal."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = Tokens(world)
        self._models: dict[str, Exchange] = {}

    def run(self, entry: Entry, mode: Mode = MERCIFUL, door: Door | None = None) -> list[str]:
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

    def _judge(self, entry: Entry, mode: Mode, door: Door) -> list[str]:
        built = event(entry, self.tokens, mode, door.app.routes)
        found: list[str] = []
        for _ in range(2 if entry.extra.get("setup", "").startswith("send the control") else 0):
            found += self._case(entry, mode, door.serve(built))
        with _bounded_memory(entry) as peaks:
            exchange = door.serve(built)
        found += self._case(entry, mode, exchange)
        if peaks and peaks[0] > MEMORY:
            found.append(f"g9: {peaks[0] >> 20} MiB at the peak")
        self._forget()
        return found

    def _case(self, entry: Entry, mode: Mode, exchange: Exchange) -> list[str]:
        case = Case(self.world, self.tokens, entry, mode, exchange)
        if exchange.answer.status == 200 and entry.group == "login":
            self.world.secrets["token"].add(exchange.answer.json["token"])
        found = breaches(case)
        found += PARTICULARS[entry.expect["invariant"]](case)
        found += self._uniform(entry, exchange)
        return found

    def _forget(self) -> None:
        """Let odd items not outlive their entry."""
        for text in self.tokens.odd:
            self.world.drop_item(text)
        self.tokens.odd.clear()

    # --- G11 ---

    def _uniform(self, entry: Entry, exchange: Exchange) -> Iterator[str]:
        group = entry.expect.get("uniform_group")
        if group is None:
            return
        model = self.model(group)
        if told(exchange) != told(model):
            yield f"g11: not the answer of {group}: {told(exchange)}"
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

    def flood(self, entry: Entry, mode: Mode) -> list[Exchange]:
        """Send a flood entry again and again."""
        door = self.world.door
        return [door.serve(event(entry, self.tokens, mode, door.app.routes)) for _ in range(FLOOD)]

    def parallel(self, entry: Entry, mode: Mode, sends: int) -> list[dict[str, Any]]:
        """Send an entry many times at once; give the Lambda answers."""
        self.world.wechat.renew()
        door = self.world.door
        events = [event(entry, self.tokens, mode, door.app.routes) for _ in range(sends)]
        with door.inside(), self.world.watching(), ThreadPoolExecutor(sends) as pool:
            return list(pool.map(lambda one: door.app(one, None), events))


def told(exchange: Exchange) -> tuple[int, dict[str, str], bytes]:
    headers = {k: v for k, v in exchange.answer.headers.items() if k != "X-Request-Id"}
    return exchange.answer.status, headers, exchange.answer.body


def operations_of(exchange: Exchange) -> list[str]:
    return [done.name for done in exchange.store]


@contextlib.contextmanager
def _bounded_memory(entry: Entry) -> Iterator[list[int]]:
    """Measure the peak where something big is sent or answered; it costs time elsewhere."""
    peaks: list[int] = []
    if "$repeat" not in str(entry.request) and "fake_upstream" not in entry.extra:
        yield peaks
        return
    tracemalloc.start()
    try:
        yield peaks
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def bomb() -> bytes:
    """256 MiB of zero bytes, packed twice (RFC 1952: members may be joined)."""
    return gzip.compress(gzip.compress(bytes(1 << 20), mtime=0) * 256, mtime=0)


def upstream_script(scripted: dict[str, Any] | None) -> loopback.Script:
    """The upstream's answer as an entry describes it; it echoes where none does."""
    if scripted is None:
        return echo
    scripted = filled(scripted, lambda name: {"API_HOST": API_HOST}[name])
    match scripted:
        case {"body_repeat": [unit, count]}:
            body = unit.encode() * count
        case {"body_b64": text}:
            body = base64.b64decode(text)
        case {"body": _}:
            body = bomb()
        case _:
            body = b"{}"
    return loopback.sending(
        loopback.answer(scripted.get("status", 200), scripted.get("headers", []), body)
    )
