"""Lists of attacks that others maintain, sent to the app under the invariants of the corpus.

A few items stand here. The lists are not part of this repository; get them from their homes, and
name a folder with them in FOREIGN_LISTS:

    *.json  JSONTestSuite (github.com/nst/JSONTestSuite), test_parsing: y_*, n_*, i_*
    *.txt   texts, one a line, as in PayloadsAllTheThings (github.com/swisskyrepo)
"""

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import pytest

from tests.attacks.corpus import Entry, Expected, Request
from tests.attacks.runner import Runner
from tests.attacks.world import Exchange

FOLDER = Path(os.environ.get("FOREIGN_LISTS", "no such folder"))

TEXTS = {"y_array": b"[1]", "y_object_duplicated_key": b'{"a":1,"a":2}', "n_open": b'{"a":'}
TEXTS |= {"n_comma": b"[1,]", "i_latin": b'["\xe9"]', "i_surrogate": b'["\\ud800"]'}
TEXTS |= {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.json"))}
LINES = ["../etc/passwd", "..%2f..%2fetc", "orders", "?x=../..", "\\..\\", "é"]
for _path in sorted(FOLDER.glob("*.txt")):
    LINES += filter(str.strip, _path.read_text(errors="ignore").splitlines())


def sent(runner: Runner, method: str, path: str, body: Any, *statuses: int) -> Exchange:
    """Send one request; any Code is right with these statuses."""
    bearer = ["Authorization", "Bearer {{TOKEN_A}}"]
    request = Request(method, path, [bearer, ["Content-Type", "application/json"]], body)
    expected = Expected([*statuses], None, "accepted", upstream_calls=[0, 1])
    return runner.run(Entry("foreign", path.split("/")[1], path, "", request, expected))


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_as_json_as_its_name_says(runner: Runner, name: str) -> None:
    texts = [TEXTS[name], b'{"code":"code-A","x":' + TEXTS[name] + b"}"]
    whole, member = ({"$b64": base64.b64encode(text).decode()} for text in texts)
    sent(runner, "POST", "/login", whole, 400)
    sent(runner, "POST", "/decrypt", whole, 400)
    # y where RFC 8259 allows it, n where not; a name twice it allows, and we do not, on purpose.
    right = {"y": (200,), "n": (400,), "i": (200, 400)}[name[0]]
    sent(runner, "POST", "/login", member, *((400,) if "duplicated" in name else right))


@pytest.mark.parametrize("line", dict.fromkeys(LINES))
def test_a_line_leads_nowhere_as_a_path_and_arrives_as_a_value(runner: Runner, line: str) -> None:
    for came in sent(runner, "GET", f"/api/{line}", None, 200, 400).upstream:
        path = unquote(unquote(unquote(came.target.partition("?")[0])))
        assert not {".", ".."} & set(path.replace("\\", "/").split("/"))
    [came] = sent(runner, "GET", f"/api/echo?q={quote(line, safe='')}", None, 200).upstream
    path, _, query = came.target.partition("?")
    assert (path, parse_qsl(query)) == ("/base/echo", [("q", line)])
