"""Cold start: spawn until the first `/next`, per Lambda function, under AWS's runtime client.

`make bench-init`: fresh processes of the built package, in turn with a naive Chalice app of the
same libraries, imported at the top and packaged as `chalice package` does it: without .pyc files.
The figure "naive, compiled" tells how much of the difference is the .pyc files. First request and
warm requests follow in fresh processes too.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import requests

from benchmarks.figures import Figure, Goal, interleaved, ratios, table, write
from infrastructure import package, rehearsal, template
from infrastructure.intrinsics import environment
from infrastructure.parts import Template
from infrastructure.rehearsal import Surroundings
from simulator.desk import DEFAULT_APP
from simulator.gateway import answer_of, event_of
from simulator.runtime_api import Function, install_client

OUTPUT = template.ROOT / "build/init.json"
RUNS = 10
WARM_REQUESTS = 20

INIT_GOAL = Goal("≤", 200)
NAIVE_GOAL = Goal("≥", 5)

NAIVE = """
import base64, hashlib, hmac, json, os

import botocore.session
import jwt
import requests
import urllib3
from chalice.app import Chalice
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

app = Chalice(app_name="naive")
session = botocore.session.get_session()
secrets = session.create_client("secretsmanager", "us-east-1")
dynamodb = session.create_client("dynamodb", "us-east-1")
http = requests.Session()


class Item(Model):
    class Meta:
        table_name = "sessions"
        region = "us-east-1"

    user = BinaryAttribute(hash_key=True, legacy_encoding=False)
    item = BinaryAttribute(range_key=True, legacy_encoding=False)
    openid = UnicodeAttribute()
    expires_at = NumberAttribute()


@app.route("/health")
def health():
    return {"status": "ok"}
"""

REQUESTS = ("requests", "charset-normalizer", "idna", "certifi")
"""What most would call WeChat with; the gate ships none of it, so it is taken from here."""

EMPTY = "def handle(event, context):\n    return event\n"

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| +(\S+)$")


@dataclass(frozen=True)
class Workshop:
    """Packages to start functions from, and what the functions call."""

    sam: Template
    ours: Path
    naive: Path
    compiled: Path
    empty: Path
    client: Path
    around: Surroundings

    def function(self, name: str) -> Function:
        """Start one of the gate's functions."""
        return rehearsal.start(self.sam, name, self.ours, self.client, self.around)

    def other(self, folder: Path, handler: str) -> Function:
        """Start a function of another package."""
        return Function(folder.name, handler, folder, self.client, {})


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Build the package for this machine, and the naive one of the same libraries."""
    with TemporaryDirectory() as temporary, rehearsal.surroundings() as around:
        place = Path(temporary)
        package.build(package.here(), place)
        ours = place / "package"
        for name in ("naive", "compiled"):
            _write_naive(place / name, ours)
        _compile(place / "compiled")
        (place / "empty").mkdir()
        (place / "empty/app.py").write_text(EMPTY)
        client = install_client(place / "client")
        _compile(client)
        sam = json.loads((place / "sam.json").read_text())
        yield Workshop(
            sam, ours, place / "naive", place / "compiled", place / "empty", client, around
        )


def _write_naive(folder: Path, ours: Path) -> None:
    """Lay out what `chalice package` would: all of the libraries and requests, none compiled."""
    folder.mkdir()
    libraries = package.libraries(package.here())
    subprocess.run(["cp", "-r", f"{libraries}/.", folder], check=True)
    for name in REQUESTS:
        for file in metadata.files(name) or ():
            if ".dist-info" not in str(file) and ".." not in file.parts and file.suffix != ".pyc":
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(Path(str(file.locate())).read_bytes())
    (folder / "chalice").mkdir()
    for name in ("__init__.py", "app.py"):
        (folder / "chalice" / name).write_bytes((ours / "chalice" / name).read_bytes())
    (folder / "app.py").write_text(NAIVE)


def _compile(folder: Path) -> None:
    options = ["-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([sys.executable, "-S", "-m", "compileall", *options, str(folder)], check=True)


# --- init ----------------------------------------------------------------------------------------


def inits(shop: Workshop, runs: int) -> list[Figure]:
    """Take the time from spawn to the first `/next`, in turn, and the processor's part of it."""
    names = list(template.functions(shop.sam))
    makers: dict[str, Callable[[], Function]] = {
        **{name: partial(shop.function, name) for name in names},
        "naive": partial(shop.other, shop.naive, "app.app"),
        "naive, compiled": partial(shop.other, shop.compiled, "app.app"),
        "of an empty function": partial(shop.other, shop.empty, "app.handle"),
    }
    processor: dict[str, list[float]] = {name: [] for name in makers}

    def start(name: str) -> float:
        with closing(makers[name]()) as function:
            milliseconds = function.wait() * 1000
            processor[name].append(function.cpu_seconds() * 1000)
        return milliseconds

    samples = interleaved({name: partial(start, name) for name in makers}, runs)
    goals = dict.fromkeys(names, INIT_GOAL)
    return [
        *(Figure(f"init {k.lower()}", "ms", samples[k], goals.get(k)) for k in makers),
        *(Figure(f"init {k.lower()}, CPU", "ms", processor[k][-runs:]) for k in makers),
        *(
            Figure(
                f"naive / {k.lower()}", "times", ratios(samples["naive"], samples[k]), NAIVE_GOAL
            )
            for k in names
        ),
    ]


# --- requests ------------------------------------------------------------------------------------


@dataclass
class Phone:
    """A user, and the event of each function's request."""

    around: Surroundings
    token: str = ""

    def wx(self, call: str) -> Any:
        """Make a wx call."""
        user = {"appid": DEFAULT_APP, "user": "bench"}
        return requests.post(f"{self.around.wechat_url}/wx/{call}", json=user, timeout=5).json()

    def request(self, function: Function, name: str) -> float:
        """Make a function's main request; give the milliseconds that it took.

        Raises:
            AssertionError: if it is refused: a refusal is no measurement.
        """
        event = self._main_event(name)
        began = time.perf_counter()
        result = function.invoke(event)
        milliseconds = (time.perf_counter() - began) * 1000
        status, _, data = answer_of(result)
        assert status == 200, data
        self.token = json.loads(data).get("token", self.token)
        return milliseconds

    def _main_event(self, function: str) -> Any:
        if function == "Login":
            return self._event("POST", "/login", {"code": self.wx("login")["code"]})
        if function == "Proxy":
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


def answers(shop: Workshop, runs: int) -> list[Figure]:
    """Take the time of the first request of a fresh process, and of warm ones after it."""
    phone = Phone(shop.around)
    names = list(template.functions(shop.sam))
    words = ("first request {}", "first request {}, CPU", "warm request {}")
    samples: dict[str, list[float]] = {w.format(n.lower()): [] for w in words for n in names}
    for _ in range(runs):
        for name in names:
            with closing(shop.function(name)) as function:
                function.wait()
                before = function.cpu_seconds()
                first = phone.request(function, name)
                processor = (function.cpu_seconds() - before) * 1000
                warm = median(phone.request(function, name) for _ in range(WARM_REQUESTS))
            for word, sample in zip(words, (first, processor, warm), strict=True):
                samples[word.format(name.lower())].append(sample)
    return [Figure(name, "ms", taken) for name, taken in samples.items()]


# --- what the time goes into ---------------------------------------------------------------------


def imports(shop: Workshop, name: str) -> list[tuple[str, float]]:
    """Give the import time of `app` by top-level package, the most costly first: name, ms."""
    properties = template.functions(shop.sam)[name]["Properties"]
    variables = environment(shop.sam, name, rehearsal.parameters(shop.around))
    code = f"import sys; sys.path.insert(0, {str(shop.ours)!r}); import app"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-X", "importtime", "-c", code],
        env={**variables, "_HANDLER": properties["Handler"], "AWS_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    spent: Counter[str] = Counter()
    shipped = {path.name.partition(".")[0] for path in shop.ours.iterdir()}
    for line in done.stderr.splitlines():
        if found := _IMPORT.match(line):
            top = found[2].partition(".")[0]
            spent[top if top in shipped else "the standard library"] += int(found[1])
    return [(top, microseconds / 1000) for top, microseconds in spent.most_common()]


def _print_imports(shop: Workshop) -> None:
    for name in template.functions(shop.sam):
        costs = [f"{top} {ms:.0f}" for top, ms in imports(shop, name) if ms >= 0.5]
        print(f"Imports of {name.lower()}, ms under -X importtime: {', '.join(costs)}")


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure everything; print what the time goes into."""
    runs = 3 if quick else RUNS
    with workshop() as shop:
        _print_imports(shop)
        return inits(shop, runs) + answers(shop, runs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write build/init.json; give the exit status, always 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.init", description="Cold starts.")
    parser.add_argument("--quick", action="store_true", help="few runs: does it work at all?")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: build/init.json")
    options = parser.parse_args(arguments)
    figures = measure(quick=options.quick)
    print(table(figures))
    write(options.output, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
