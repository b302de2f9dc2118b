"""`python -m tests.attacks.suites`: lists of attacks that others keep, run against the whole app.

They are not part of this repository; get them where they are kept, and name the files:

    --json FOLDER   JSONTestSuite (github.com/nst/JSONTestSuite), test_parsing: y_*, n_*, i_*.json
    --cbc FILE      Wycheproof (github.com/C2SP/wycheproof), aes_cbc_pkcs5_test.json
    --lists FILE…   texts, one a line, as in PayloadsAllTheThings (github.com/swisskyrepo)

Each JSON text is a body of /login and /decrypt, and a member of a good body; each vector goes
through the decryption; each line is a path below /api/ and a value of a query. The invariants
G1 to G12 of the corpus hold for every request.
"""

import argparse
import base64
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from chalicelib import strict_json
from chalicelib.errors import InvalidRequest
from chalicelib.wechat import opendata
from simulator import aws
from tests.attacks.corpus import Entry
from tests.attacks.events import MERCIFUL, MERCILESS
from tests.attacks.runner import Runner
from tests.attacks.world import World
from tests.unit.upstream.test_paths import forms_of

JSON_TYPE = ["Content-Type", "application/json"]
BEARER = ["Authorization", "Bearer {{TOKEN_A}}"]

Breaches = Iterator[str]


def _entry(group: str, request: dict[str, Any], statuses: list[int], **expect: Any) -> Entry:
    """Make an entry of the corpus's kind; any Code is right that comes with these statuses."""
    expected = {"status": statuses, "code": None, "invariant": "accepted", **expect}
    return Entry("foreign", group, "foreign", "of another's list", request, expected, {})


# --- JSON ----------------------------------------------------------------------------------------


def json_breaches(runner: Runner, name: str, text: bytes) -> Breaches:
    """Try one text; `name` begins with y where JSON (RFC 8259) allows it, n where it does not."""
    good = _parses(text)
    # What the RFC allows and we do not, on purpose: a name twice, half a surrogate pair.
    if name.startswith("n") and good:
        yield "is read, and is no JSON"
    if name.startswith("y") and not good and "duplicated" not in name:
        yield "is not read, and is JSON"
    for mode in (MERCIFUL, MERCILESS):
        for path, headers, statuses in (
            ("/login", [JSON_TYPE], [400]),
            ("/decrypt", [JSON_TYPE, BEARER], [400, 422]),
        ):
            body = {"method": "POST", "path": path, "headers": headers, "body": _as_body(text)}
            yield from runner.run(_entry(path[1:], body, statuses, wechat_calls=0), mode)
        member = b'{"code":"code-A","x":' + text + b"}"
        body = {
            "method": "POST",
            "path": "/login",
            "headers": [JSON_TYPE],
            "body": _as_body(member),
        }
        good = _parses(member)
        entry = _entry("login", body, [200 if good else 400], wechat_calls=int(good))
        yield from runner.run(entry, mode)
        if good and name.startswith("n"):
            yield "is read as a member, and is no JSON"


def _parses(text: bytes) -> bool:
    try:
        strict_json.loads(text)
    except strict_json.NotStrictJson:
        return False
    return True


def _as_body(text: bytes) -> object:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return {"$b64": base64.b64encode(text).decode()}


# --- AES-CBC -------------------------------------------------------------------------------------


def vector_breaches(vector: dict[str, Any]) -> Breaches:
    """Try one vector: key, iv, ct and msg in hexadecimal; result is valid or invalid."""
    key, iv, data, message = (bytes.fromhex(vector[name]) for name in ("key", "iv", "ct", "msg"))
    sent = (base64.b64encode(part).decode() for part in (data, iv))
    try:
        opened = opendata.decrypt(key, *opendata.ciphertext(*sent))
    except (ValueError, InvalidRequest):
        if vector["result"] == "valid":
            yield f"vector {vector['tcId']} is valid and refused"
        return
    if vector["result"] != "valid":
        yield f"vector {vector['tcId']} is invalid and opens"
    elif opened != message:
        yield f"vector {vector['tcId']} opens to something else"


def vectors(file: Path) -> list[dict[str, Any]]:
    """Read the vectors whose keys have the length of a session_key, 128 bits."""
    groups = json.loads(file.read_text())["testGroups"]
    return [vector for group in groups if group["keySize"] == 128 for vector in group["tests"]]


# --- paths and values ----------------------------------------------------------------------------


def line_breaches(runner: Runner, line: str) -> Breaches:
    """Try one line as a path below /api/, as it stands, and as a value of a query."""
    received = runner.world.upstream.received
    before = len(received)
    asked = {"method": "GET", "path": f"/api/{line}", "headers": [BEARER], "body": None}
    yield from runner.run(_entry("proxy-path", asked, [200, 400]), MERCILESS)
    for came in received[before:]:
        path = came.target.partition("?")[0]
        segments = [s for form in forms_of(path) for s in form.replace("\\", "/").split("/")]
        if {".", ".."} & set(segments):
            yield f"dots came upstream: {path}"
    before = len(received)
    asked["path"] = f"/api/echo?q={quote(line, safe='')}"
    yield from runner.run(_entry("proxy-query", asked, [200]), MERCILESS)
    for came in received[before:]:
        target = came.target.partition("?")
        if (target[0], parse_qsl(target[2])) != ("/base/echo", [("q", line)] if line else []):
            yield f"another target came upstream: {came.target}"


def lines(file: Path) -> list[str]:
    """Read a list's lines; what is no UTF-8 comes as half surrogates, which no event has."""
    return [
        line
        for line in dict.fromkeys(file.read_text(errors="ignore").splitlines())
        if line and not line.isspace()
    ]


# --- the run -------------------------------------------------------------------------------------


def tried(runner: Runner, options: argparse.Namespace) -> Iterator[tuple[str, str, list[str]]]:
    """Try everything; give list, item and the breaches of each."""
    for file in sorted(options.json.glob("*.json")) if options.json else ():
        yield "JSON", file.name, list(json_breaches(runner, file.name, file.read_bytes()))
    for vector in vectors(options.cbc) if options.cbc else ():
        yield "AES-CBC", str(vector["tcId"]), list(vector_breaches(vector))
    for listed in options.lists:
        for line in lines(listed):
            yield listed.name, line, list(line_breaches(runner, line))


def told(results: Iterable[tuple[str, str, list[str]]]) -> tuple[dict[str, int], list[str]]:
    """Count what was tried of each list, and tell every breach."""
    counts: dict[str, int] = {}
    broken = []
    for suite, item, breaches in results:
        counts[suite] = counts.get(suite, 0) + 1
        broken += [f"{suite}, {item!r}: {breach}" for breach in breaches]
    return counts, broken


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.suites")
    parser.add_argument("--json", type=Path, help="folder of JSONTestSuite's test_parsing")
    parser.add_argument("--cbc", type=Path, help="Wycheproof's aes_cbc_pkcs5_test.json")
    parser.add_argument("--lists", type=Path, nargs="*", default=[], help="texts, one a line")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites that are named; give 1 if anything broke."""
    options = _arguments(arguments)
    engine = aws.start("127.0.0.1", 0)
    world = World(engine.url)
    try:
        counts, broken = told(tried(Runner(world), options))
    finally:
        world.close()
        engine.close()
    for suite, count in counts.items():
        sys.stdout.write(f"{suite}: {count} tried\n")
    sys.stdout.write("\n".join([*broken, f"{len(broken)} breaches", ""]))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
