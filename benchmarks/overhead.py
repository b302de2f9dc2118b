"""Own CPU time: a login, a proxied request and a decryption, beside what cannot be saved.

The unmodified app gets API Gateway's events; everything that it calls runs in other processes, so
`time.process_time` counts the gate alone, kernel time included. Beside each request, in the same
run: the SDK call that it makes, done with botocore's bare client, and the HTTP exchange that it
makes, done with http.client.
"""

import contextlib
import http.client
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import botocore.session

from benchmarks import surroundings
from benchmarks.figures import Figure, Goal, differences, interleaved, ratios
from benchmarks.surroundings import Surroundings
from simulator.gateway import Context, event_of

GOAL = Goal("≤", 1)
KEY = {"user": {"B": b"u" * 16}, "item": {"B": b"i" * 32}}
ATTRIBUTES = ["user", "item", "version", "appid", "openid", "unionid", "expires_at"]


def exchange(url: str, method: str, target: str, body: object = None) -> Any:
    """Make one bare HTTP exchange, on a connection of its own as the gate does; give its JSON."""
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=10)) as connection:
        sent = None if body is None else json.dumps(body)
        connection.request(method, target, sent, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())


@dataclass
class Gate:
    """The unmodified app in this process, and a phone beside it."""

    app: Any
    around: Surroundings
    appid: str

    def event(self, method: str, target: str, body: object = None, token: str = "") -> Any:
        """Make the event of a request: API Gateway's part, not measured."""
        headers = [("Content-Type", "application/json"), ("User-Agent", "phone")]
        if token:
            headers.append(("Authorization", f"Bearer {token}"))
        text = None if body is None else json.dumps(body)
        return event_of(method, target, headers, text, self.app.routes)

    def answer(self, event: Any) -> Any:
        """Let the app answer an event; give its answer.

        Raises:
            AssertionError: if it is refused: a refusal is no measurement.
        """
        answer = self.app(event, Context())
        assert answer["statusCode"] == 200, answer
        return answer

    def phone(self, call: str) -> Any:
        """Make a wx call."""
        return exchange(
            self.around.urls["WeChat"],
            "POST",
            f"/wx/{call}",
            {"appid": self.appid, "user": "bench"},
        )

    def login_event(self) -> Any:
        """Make the event of a login with a fresh code."""
        return self.event("POST", "/login", {"code": self.phone("login")["code"]})

    def log_in(self) -> str:
        """Log in; give the token."""
        token: str = json.loads(self.answer(self.login_event())["body"])["token"]
        return token

    def decrypt_event(self) -> Any:
        """Log in, tap, and make the event that brings the data."""
        token = self.log_in()
        tapped = self.phone("getPhoneNumber")
        body = {"kind": "phone", "encryptedData": tapped["encryptedData"], "iv": tapped["iv"]}
        return self.event("POST", "/decrypt", body, token)


@contextlib.contextmanager
def gate() -> Iterator[Gate]:
    """Load the app in this process with everything around it elsewhere; its log goes nowhere."""
    before = dict(os.environ)
    with surroundings.running() as around:
        os.environ.update(around.environ)
        try:
            app = importlib.import_module("app").app
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                yield Gate(app, around, around.environ["WX_APPIDS"].partition(",")[0])
        finally:
            os.environ.clear()
            os.environ.update(before)


class BareCalls:
    """The same calls without the gate: botocore's client on the same table, http.client."""

    def __init__(self, around: Surroundings) -> None:
        self._wechat = around.urls["WeChat"]
        self._upstream = around.urls["upstream"]
        self._table = around.environ["SESSIONS_TABLE"]
        self._client: Any = botocore.session.get_session().create_client(
            "dynamodb", around.environ["AWS_DEFAULT_REGION"]
        )
        self._items = [KEY, {**KEY, "item": {"B": b"failures"}}]

    def put(self) -> None:
        """Write an item as big as a session."""
        item = {
            **KEY,
            "version": {"N": "1"},
            "appid": {"S": "wx4f4bc4dec97d474b"},
            "openid": {"S": "o" * 28},
            "unionid": {"S": "u" * 28},
            "sealed_key": {"B": b"s" * 52},
            "created_at": {"N": "1900000000"},
            "expires_at": {"N": "1900604800"},
        }
        self._client.put_item(TableName=self._table, Item=item)

    def get(self) -> None:
        """Read an item as the proxy does."""
        names = {f"#{place}": name for place, name in enumerate(ATTRIBUTES)}
        self._client.get_item(
            TableName=self._table,
            Key=KEY,
            ConsistentRead=True,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
        )

    def batch_get(self) -> None:
        """Read two items as decrypt does."""
        wanted = {"Keys": self._items, "ConsistentRead": True}
        self._client.batch_get_item(RequestItems={self._table: wanted})

    def ask_wechat(self) -> None:
        """Make a call to WeChat that it refuses: the answer is as short as a good one."""
        exchange(self._wechat, "GET", "/sns/jscode2session?appid=a&secret=b&js_code=c&grant_type=d")

    def ask_upstream(self) -> None:
        """Make a call to the upstream."""
        exchange(self._upstream, "GET", "/orders/7")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@dataclass(frozen=True)
class Step:
    """What is measured, and what must be done before each time, which is not."""

    action: Callable[[Any], object]
    before: Callable[[], Any] = lambda: None

    def milliseconds(self) -> float:
        """Do it once; give its CPU time."""
        given = self.before()
        started = time.process_time()
        self.action(given)
        return (time.process_time() - started) * 1e3


def _steps(door: Gate, bare: BareCalls) -> dict[str, Step]:
    proxied = door.event("GET", "/api/orders/7", token=door.log_in())
    decryption = door.decrypt_event()
    return {
        "login": Step(door.answer, door.login_event),
        "put": Step(lambda _: bare.put()),
        "WeChat": Step(lambda _: bare.ask_wechat()),
        "proxied request": Step(lambda _: door.answer(proxied)),
        "get": Step(lambda _: bare.get()),
        "upstream": Step(lambda _: bare.ask_upstream()),
        "decryption": Step(lambda _: door.answer(decryption)),
        "batch_get": Step(lambda _: bare.batch_get()),
    }


def _run(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Take every step in turn, round after round: each meets caches as cold as the others do."""
    taken = interleaved({name: step.milliseconds for name, step in steps.items()}, rounds)
    return {name: median(times) for name, times in taken.items()}


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure milliseconds of CPU: per request, of the bare calls, and what is the gate's own."""
    runs, rounds = (2, 5) if quick else (9, 60)
    with gate() as door, contextlib.closing(BareCalls(door.around)) as bare:
        print(f"DynamoDB is {door.around.engine}.", file=sys.stderr)
        _run(_steps(door, bare), rounds)
        taken = [_run(_steps(door, bare), rounds) for _ in range(runs)]
    samples = {name: [run[name] for run in taken] for name in taken[0]}
    return [
        *_figures("login", samples, "put", "WeChat"),
        *_figures("proxied request", samples, "get", "upstream"),
        *_figures("decryption", samples, "batch_get", None),
    ]


def _figures(
    name: str, samples: dict[str, list[float]], sdk: str, peer: str | None
) -> list[Figure]:
    """Tell of one request: `sdk` and `peer` name the samples of the bare calls that it makes."""
    bare = [sdk] if peer is None else [sdk, peer]
    unavoidable = [sum(pair) for pair in zip(*(samples[call] for call in bare), strict=True)]
    own = differences(samples[name], samples[sdk])
    figures = [
        Figure(f"{name}, CPU", "ms", samples[name]),
        Figure(f"{name}, bare SDK call ({sdk})", "ms", samples[sdk]),
        Figure(f"{name}, own on top of the SDK", "ms", own, GOAL),
    ]
    if peer is not None:
        own = differences(samples[name], unavoidable)
        figures += [
            Figure(f"{name}, bare HTTP exchange ({peer})", "ms", samples[peer]),
            Figure(f"{name}, own on top of both", "ms", own, GOAL),
        ]
    share = ratios(samples[name], unavoidable)
    return [*figures, Figure(f"{name}, CPU ÷ bare calls", "×", share)]
