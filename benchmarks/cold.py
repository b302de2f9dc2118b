"""Cold starts as a phone feels them: INIT plus the first answer, under AWS's runtime client.

Fresh processes of the built package, in turn with a naive Chalice login of the same libraries:
once as `chalice package` leaves it, without .pyc files, and once with them. INIT runs at full
speed; from the first event on a function has Lambda's share of a processor (quota.py). Every hop
runs in the clear, then with TLS.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import requests

from benchmarks import naive, relays
from benchmarks.figures import Figure, Goal, ratios
from benchmarks.quota import Quota, share
from infrastructure import intrinsics, package, rehearsal, template
from infrastructure.parts import Template
from simulator.desk import DEFAULT_APP
from simulator.gateway import answer_of, event_of
from simulator.runtime_api import Function, install_client

RUNS = 10
WARM_REQUESTS = 20

GOALS = {
    "start of login ÷ naive": Goal("≤", 0.33),
    "start of login ÷ naive, compiled": Goal("≤", 0.6),
    "warm login ÷ naive": Goal("≤", 0.9),
}
FIRST_ANSWER = {"plain": Goal("≤", 60), "TLS": Goal("≤", 150)}


@dataclass(frozen=True)
class Candidate:
    """A function to start: its package and handler, its memory in MB, and what it is asked."""

    name: str
    folder: Path
    handler: str
    memory: int
    environment: Mapping[str, str]
    request: str


@dataclass
class Start:
    """What one process took, in milliseconds: INIT, the first answer, the median warm one."""

    init: float
    first: float
    warm: float

    @property
    def whole(self) -> float:
        """INIT and first answer: what the phone waits for."""
        return self.init + self.first


@dataclass
class Phone:
    """A user, and the event of each kind of request."""

    wechat_url: str
    token: str = ""

    def wx(self, call: str) -> Any:
        """Make a wx call."""
        user = {"appid": DEFAULT_APP, "user": "bench"}
        return requests.post(f"{self.wechat_url}/wx/{call}", json=user, timeout=5).json()

    def event(self, request: str) -> Any:
        """Make the event of a login, a proxied request or a decryption."""
        if request == "login":
            return self._event("POST", "/login", {"code": self.wx("login")["code"]})
        if request == "proxied request":
            return self._event("GET", "/api/orders/7", None)
        sealed = self.wx("getPhoneNumber")
        body = {"kind": "phone", "encryptedData": sealed["encryptedData"], "iv": sealed["iv"]}
        return self._event("POST", "/decrypt", body)

    def _event(self, method: str, path: str, body: object) -> Any:
        headers = [("Content-Type", "application/json")]
        if self.token:
            headers.append(("Authorization", f"Bearer {self.token}"))
        routes = ("/login", "/decrypt", "/api/{proxy+}")
        return event_of(method, path, headers, json.dumps(body) if body else None, routes)


@dataclass
class Bench:
    """The candidates, the client to start them with, and the processor share of each memory."""

    client: Path
    phone: Phone
    quotas: dict[int, Quota | None] = field(default_factory=dict)

    @property
    def throttled(self) -> bool:
        """Whether shares are held by the kernel; else CPU time is divided by the share."""
        return all(self.quotas.values())

    def start(self, candidate: Candidate) -> Start:
        """Start a fresh process, and time INIT, the first answer and warm ones."""
        function = Function(
            candidate.name,
            candidate.handler,
            candidate.folder,
            self.client,
            candidate.environment,
        )
        with closing(function):
            init = function.wait() * 1000
            if quota := self.quotas[candidate.memory]:
                quota.hold(function.pid)
            first = self._request(function, candidate)
            warm = [self._request(function, candidate) for _ in range(WARM_REQUESTS)]
        return Start(init, first, median(warm))

    def _request(self, function: Function, candidate: Candidate) -> float:
        """Make one request; give its milliseconds.

        Raises:
            AssertionError: if it is refused: a refusal is no measurement.
        """
        event = self.phone.event(candidate.request)
        before, began = function.cpu_seconds(), time.perf_counter()
        result = function.invoke(event)
        seconds = time.perf_counter() - began
        if not self.throttled:
            seconds = (function.cpu_seconds() - before) / share(candidate.memory)
        status, _, data = answer_of(result)
        assert status == 200, (candidate.name, status, data)
        if candidate.request == "login" and candidate.name == "login":
            self.phone.token = json.loads(data)["token"]
        return seconds * 1000


@dataclass(frozen=True)
class Packages:
    """Our package and its template, and the naive app without and with .pyc files."""

    sam: Template
    ours: Path
    naive: Path
    compiled: Path
    client: Path


@contextmanager
def packages() -> Iterator[Packages]:
    """Build everything for this machine, once."""
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        package.build(package.here(), place)
        for name in ("naive", "compiled"):
            naive.write(place / name, place / "package")
        client = install_client(place / "client")
        naive.compile_all(place / "compiled")
        naive.compile_all(client)
        sam = json.loads((place / "sam.json").read_text())
        yield Packages(sam, place / "package", place / "naive", place / "compiled", client)


_REQUESTS = {"Login": "login", "Proxy": "proxied request", "Decrypt": "decryption"}


def candidates(
    packed: Packages, around: rehearsal.Surroundings, environ: Mapping[str, str]
) -> list[Candidate]:
    """Name our three functions and the naive login, all with the same surroundings."""
    found = []
    for name, request in _REQUESTS.items():
        properties = template.functions(packed.sam)[name]["Properties"]
        resolved = intrinsics.environment(packed.sam, name, rehearsal.parameters(around))
        found.append(
            Candidate(
                request,
                packed.ours,
                properties["Handler"],
                properties["MemorySize"],
                {**resolved, "AWS_ENDPOINT_URL": around.aws_url, **environ},
                request,
            )
        )
    login = found[0]
    for name, folder in (("naive", packed.naive), ("naive, compiled", packed.compiled)):
        found.append(Candidate(name, folder, "app.app", login.memory, login.environment, "login"))
    return found


def _figures(hop: str, starts: Mapping[str, list[Start]]) -> list[Figure]:
    figures = []
    for name, taken in starts.items():
        ours = not name.startswith("naive")
        goal = FIRST_ANSWER[hop] if ours else None
        figures += [
            Figure(f"{hop}: {name}, INIT", "ms", [one.init for one in taken]),
            Figure(f"{hop}: {name}, first answer", "ms", [one.first for one in taken], goal),
            Figure(f"{hop}: {name}, warm", "ms", [one.warm for one in taken]),
        ]
    login = starts["login"]
    for other in ("naive", "naive, compiled"):
        whole = ratios([one.whole for one in login], [one.whole for one in starts[other]])
        warm = ratios([one.warm for one in login], [one.warm for one in starts[other]])
        name = f"start of login ÷ {other}"
        figures.append(Figure(f"{hop}: {name}", "×", whole, GOALS[name]))
        name = f"warm login ÷ {other}"
        figures.append(Figure(f"{hop}: {name}", "×", warm, GOALS.get(name)))
    return figures


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure every start in the clear and with TLS, all candidates in turn."""
    runs = 2 if quick else RUNS
    figures = []
    with ExitStack() as stack:
        packed = stack.enter_context(packages())
        plain = stack.enter_context(rehearsal.surroundings())
        urls = {"aws": plain.aws_url, "wechat": plain.wechat_url, "upstream": plain.upstream_url}
        secure = stack.enter_context(relays.running(urls))
        behind_tls = rehearsal.Surroundings(
            secure.urls["aws"], secure.urls["wechat"], secure.urls["upstream"], plain.table
        )
        bench = Bench(packed.client, Phone(plain.wechat_url))
        hops = {
            "plain": candidates(packed, plain, {}),
            "TLS": candidates(packed, behind_tls, secure.environ),
        }
        for memory in {one.memory for one in hops["plain"]}:
            bench.quotas[memory] = quota = Quota.of(memory)
            if quota:
                stack.callback(quota.close)
        for hop, each in hops.items():
            starts: dict[str, list[Start]] = {one.name: [] for one in each}
            for _ in range(runs):
                for one in each:
                    starts[one.name].append(bench.start(one))
            figures += _figures(hop, starts)
        if not bench.throttled:
            figures.append(Figure("answers are CPU time ÷ share: no quota here", "", [1]))
    return figures
