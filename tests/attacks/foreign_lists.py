"""`python -m tests.attacks.foreign_lists`: lists of attacks that others maintain, sent to the app.

They are not part of this repository; get them from their homes, and name the files:

    --json FOLDER   JSONTestSuite (github.com/nst/JSONTestSuite), test_parsing: y_*, n_*, i_*.json
    --lists FILE…   texts, one a line, as in PayloadsAllTheThings (github.com/swisskyrepo)

Each JSON text is a body of /login and /decrypt, and a member of a good body; each line is a path
below /api/ and a value of a query. The invariants G1 to G12 of the corpus hold for every request.
"""

import argparse
import base64
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from simulator import aws
from tests.attacks.corpus import Entry
from tests.attacks.runner import Runner
from tests.attacks.world import World

JSON_TYPE = ["Content-Type", "application/json"]
BEARER = ["Authorization", "Bearer {{TOKEN_A}}"]


def _run(runner: Runner, group: str, statuses: list[int], **request: Any) -> tuple[int, list[str]]:
    """Send one request, any Code is right with these statuses; give the status and the breaches."""
    expected = {"status": statuses, "code": None, "invariant": "accepted"}
    entry = Entry("foreign", group, "foreign", "of another's list", request, expected, {})
    breaches = runner.run(entry)
    return runner.last.answer.status, breaches


def json_breaches(runner: Runner, name: str, text: bytes) -> Iterator[str]:
    """Try one text; `name` begins with y where JSON (RFC 8259) allows it, n where it does not."""

    def sent(path: str, headers: list[list[str]], body: bytes) -> tuple[int, list[str]]:
        content = {"$b64": base64.b64encode(body).decode()}
        statuses = [200, 400] if body is not text else [400, 422]
        request = {"method": "POST", "path": path, "headers": headers, "body": content}
        return _run(runner, path[1:], statuses, **request)

    yield from sent("/login", [JSON_TYPE], text)[1]
    yield from sent("/decrypt", [JSON_TYPE, BEARER], text)[1]
    status, breaches = sent("/login", [JSON_TYPE], b'{"code":"code-A","x":' + text + b"}")
    yield from breaches
    if name.startswith("n") and status == 200:
        yield "is read, and is no JSON"
    # What the RFC allows and we do not, on purpose: a name twice.
    if name.startswith("y") and status != 200 and "duplicated" not in name:
        yield "is not read, and is JSON"


def line_breaches(runner: Runner, line: str) -> Iterator[str]:
    """Try one line as a path below /api/, as it stands, and as a value of a query."""
    bare = {"method": "GET", "headers": [BEARER], "body": None}
    yield from _run(runner, "proxy-path", [200, 400], path=f"/api/{line}", **bare)[1]
    for came in runner.last.upstream:
        path = came.target.partition("?")[0]
        if {".", ".."} & set(unquote(unquote(unquote(path))).replace("\\", "/").split("/")):
            yield f"dots came upstream: {path}"
    target = f"/api/echo?q={quote(line, safe='')}"
    yield from _run(runner, "proxy-query", [200], path=target, **bare)[1]
    for came in runner.last.upstream:
        path, _, query = came.target.partition("?")
        if (path, parse_qsl(query)) != ("/base/echo", [("q", line)] if line else []):
            yield f"another target came upstream: {came.target}"


def tried(runner: Runner, options: argparse.Namespace) -> Iterator[tuple[str, str, list[str]]]:
    """Try everything; give list, item and the breaches of each."""
    for file in sorted(options.json.glob("*.json")) if options.json else ():
        yield "JSON", file.name, list(json_breaches(runner, file.name, file.read_bytes()))
    for listed in options.lists:
        for line in dict.fromkeys(listed.read_text(errors="ignore").splitlines()):
            if line.strip():
                yield listed.name, line, list(line_breaches(runner, line))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lists that are named; give 1 if anything broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.foreign_lists")
    parser.add_argument("--json", type=Path, help="folder of JSONTestSuite's test_parsing")
    parser.add_argument("--lists", type=Path, nargs="*", default=[], help="texts, one a line")
    engine = aws.start("127.0.0.1", 0)
    world = World(engine.url)
    counts: Counter[str] = Counter()
    broken = 0
    try:
        for name, item, breaches in tried(Runner(world), parser.parse_args(arguments)):
            counts[name] += 1
            broken += len(breaches)
            sys.stdout.writelines(f"{name}, {item!r}: {breach}\n" for breach in breaches)
    finally:
        world.close()
        engine.close()
    sys.stdout.writelines(f"{name}: {count} tried\n" for name, count in counts.items())
    sys.stdout.write(f"{broken} breaches\n")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
