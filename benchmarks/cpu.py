"""CPU time of a login, a proxied request and a decryption, beside their bare calls, all over TLS.

The unmodified app gets API Gateway's events; everything that it calls runs in other processes, so
`time.process_time` counts the gate alone, kernel time included. The bare calls of a request are
the SDK call by botocore's client and the HTTP exchange by requests.Session (WeChat) or a urllib3
pool (upstream), each on a kept connection.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

import boto3
import requests
import urllib3

from benchmarks import gate, relays, surroundings
from benchmarks.figures import Figure, Goal, differences, interleaved, ratios
from benchmarks.relays import Relays
from benchmarks.surroundings import Surroundings

GOAL = Goal("≤", 1.3)
KEY = {"user": {"B": b"u" * 16}, "item": {"B": b"i" * 32}}
ATTRIBUTES = ["user", "item", "version", "appid", "openid", "unionid", "expires_at"]


class BareCalls:
    """The calls that cannot be saved, without the gate."""

    def __init__(self, around: Surroundings, relayed: Relays) -> None:
        self._urls = relayed.urls
        self._table = around.environ["SESSIONS_TABLE"]
        bundle = str(relayed.ca_bundle)
        self._dynamodb: Any = boto3.client(
            "dynamodb", "us-east-1", endpoint_url=relayed.urls["DynamoDB"], verify=bundle
        )
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = bundle
        self._pool = urllib3.PoolManager(ca_certs=bundle)

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
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def get(self) -> None:
        """Read an item as the proxy does."""
        names = {f"#{place}": name for place, name in enumerate(ATTRIBUTES)}
        self._dynamodb.get_item(
            TableName=self._table,
            Key=KEY,
            ConsistentRead=True,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
        )

    def batch_get(self) -> None:
        """Read two items as decrypt does."""
        wanted = {"Keys": [KEY, {**KEY, "item": {"B": b"failures"}}], "ConsistentRead": True}
        self._dynamodb.batch_get_item(RequestItems={self._table: wanted})

    def ask_wechat(self) -> None:
        """Make a call to WeChat that it refuses: the answer is as short as a good one."""
        query = {"appid": "a", "secret": "b", "js_code": "c", "grant_type": "d"}
        self._session.get(f"{self._urls['WeChat']}/sns/jscode2session", params=query, timeout=10)

    def ask_upstream(self) -> None:
        """Make a call to the upstream."""
        self._pool.request("GET", f"{self._urls['upstream']}/orders/7")

    def close(self) -> None:
        """Close the connections."""
        self._dynamodb.close()
        self._session.close()
        self._pool.clear()


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


def _steps(door: gate.Gate, bare: BareCalls) -> dict[str, Step]:
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
    with ExitStack() as stack:
        around = stack.enter_context(surroundings.running())
        print(f"DynamoDB is {around.engine}.", file=sys.stderr)
        hops = {name: around.urls[name] for name in ("WeChat", "upstream", "AWS")}
        hops["DynamoDB"] = around.urls.get("DynamoDB", around.urls["AWS"])
        relayed = stack.enter_context(relays.running(hops))
        environ = {
            **around.environ,
            **relayed.environ,
            "WECHAT_API_URL": relayed.urls["WeChat"],
            "UPSTREAM_URL": relayed.urls["upstream"],
            "AWS_ENDPOINT_URL": relayed.urls["AWS"],
            "AWS_ENDPOINT_URL_DYNAMODB": relayed.urls["DynamoDB"],
        }
        door = stack.enter_context(gate.loaded(environ, around.urls["WeChat"]))
        bare = BareCalls(around, relayed)
        stack.callback(bare.close)
        steps = _steps(door, bare)
        _run(steps, rounds)
        taken = [_run(steps, rounds) for _ in range(runs)]
    samples = {name: [run[name] for run in taken] for name in taken[0]}
    return [
        *_figures("login", samples, "put", "WeChat"),
        *_figures("proxied request", samples, "get", "upstream"),
        *_figures("decryption", samples, "batch_get"),
    ]


def _figures(name: str, samples: dict[str, list[float]], *calls: str) -> list[Figure]:
    bare = [sum(of_run) for of_run in zip(*(samples[call] for call in calls), strict=True)]
    return [
        Figure(f"{name}, CPU", "ms", samples[name]),
        *(Figure(f"{name}, bare call ({call})", "ms", samples[call]) for call in calls),
        Figure(f"{name}, the gate's own", "ms", differences(samples[name], bare)),
        Figure(f"{name}, CPU ÷ bare calls", "×", ratios(samples[name], bare), GOAL),
    ]
