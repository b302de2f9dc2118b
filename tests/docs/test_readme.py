"""The pages tell the truth: their commands are run, their tables are held against the code."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from chalicelib import settings
from chalicelib.upstream import headers
from simulator import desk
from simulator.serving import serve
from tests.conftest import FrontDoor
from tests.docs.pages import (
    CHINESE,
    DOCS,
    ENGLISH,
    ROOT,
    STATUSES,
    blocks,
    needs_token,
    operations,
    quoted,
    resolved,
    rows,
    skeleton,
)
from tests.support import dynamodb_local

ARCHITECTURE, UPSTREAM = DOCS / "architecture.md", DOCS / "upstream.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]

both = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=lambda path: path.name)


# --- the quick start ---


def transcript(readme: Path) -> str:
    return readme.read_text().partition("<!-- transcript -->")[2].partition("<!-- /transcript")[0]


def pattern(shown: list[str]) -> re.Pattern[str]:
    """What the page shows as answers: … stands for anything, white space for itself or none."""
    text = "".join("".join(shown).split())
    return re.compile(".+?".join(map(re.escape, text.split("…"))))


needs_curl = pytest.mark.skipif(
    not (shutil.which("curl") or dynamodb_local.must_run()), reason="curl is missing"
)


@needs_curl
@both
def test_the_quick_start_does_what_it_shows(readme: Path, running_desk: desk.Desk) -> None:
    script = "\n".join(blocks(transcript(readme), "bash"))
    for port, name in (("8000", "gate"), ("8001", "WeChat")):
        script = script.replace(f"http://127.0.0.1:{port}", running_desk.urls[name])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert pattern(blocks(transcript(readme), "text")).fullmatch("".join(done.stdout.split()))


def test_both_readmes_give_the_same_commands_and_answers() -> None:
    for language in ("bash", "text", "python"):
        texts = [blocks(readme.read_text(), language) for readme in (ENGLISH, CHINESE)]
        assert texts[0] == texts[1] != []


def test_both_readmes_are_built_alike() -> None:
    assert skeleton(ENGLISH.read_text()) == skeleton(CHINESE.read_text())


def test_the_ports_are_those_of_make_run() -> None:
    ports = [int(row[0]) for row in rows(ENGLISH.read_text(), "port")]
    assert ports == [8000 + offset for offset in range(len(desk.PORTS))]


# --- the tables ---


def variables(readme: Path) -> dict[str, str]:
    """Name → cell of its default."""
    first = "name" if readme == ENGLISH else "名称"
    table = rows(readme.read_text(), first)
    return {name: default for names, default, *_ in table for name in quoted(names)}


@both
def test_the_environment_table_is_that_of_the_settings(readme: Path) -> None:
    table = variables(readme)
    assert set(table) == set(settings.VARIABLES)
    for name, variable in settings.VARIABLES.items():
        assert (table[name] in ("required", "必填")) is bool(variable.functions), name
        assert (quoted(table[name]) or [""])[0] == (variable.default or ""), name


def fields(schema: dict[str, Any]) -> dict[str, bool]:
    """The names of a JSON object's members, and whether each must be there."""
    schema = resolved(schema)
    return {name: name in schema.get("required", []) for name in schema.get("properties", {})}


def shown(cell: str) -> dict[str, bool]:
    """The members that a cell shows, as `{"code", "appid"?}` or `{"status":"ok"}`."""
    named = re.findall(r'(?<!:)"(\w+)"(\??)', "".join(quoted(cell)))
    return {name: not optional for name, optional in named}


@both
def test_the_table_of_routes_is_that_of_the_specification(readme: Path) -> None:
    table = rows(readme.read_text(), "request" if readme == ENGLISH else "请求")
    told = {(q[-1], method): row for row in table for q in [quoted(row[0])] for method in q[:-1]}
    assert told.keys() == {(path, method) for path, method, _ in operations()}
    for path, method, operation in operations():
        request, body, answer, function = told[path, method]
        assert (function, "token" in request) == (*operation["tags"], needs_token(operation))
        if "proxy" in path or method == "GET":
            continue
        media = operation["requestBody"]["content"]["application/json"]
        # rawData and signature are told as belonging together; 204 has no body
        extra = {"rawData": False, "signature": False} if path == "/decrypt" else {}
        assert shown(body) | extra == fields(media["schema"]), path
        content = resolved(operation["responses"].get("200", {})).get("content", {})
        assert shown(answer) == fields(content.get("application/json", {}).get("schema", {})), path


@both
def test_the_codes_are_those_of_the_gate(readme: Path) -> None:
    table = rows(readme.read_text(), "Code")
    told = {code: int(status) for codes, status, *_ in table for code in quoted(codes)}
    assert told == STATUSES


# --- the example of docs/upstream.md ---


@pytest.fixture
def business(
    running_desk: desk.Desk, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FrontDoor, str]]:
    """The Python example, served; and a gate that has it as its upstream."""
    monkeypatch.setenv("GATE_URL", running_desk.urls["gate"])
    example: dict[str, Any] = {"__name__": "example"}
    (source,) = blocks(UPSTREAM.read_text(), "python")
    exec(compile(source, str(UPSTREAM), "exec"), example)  # noqa: S102 - the page's own code
    example["Business"].log_message = lambda *_: None
    server = serve(example["Business"], "127.0.0.1", 0)
    example["UPSTREAM"] = server.url
    monkeypatch.setenv("UPSTREAM_URL", server.url)
    monkeypatch.setenv("PUBLIC_PATHS", "news")
    yield FrontDoor(desk.load_app(), running_desk.urls["WeChat"]), server.url
    server.close()


Business = tuple[FrontDoor, str]


def test_the_example_knows_the_user_behind_the_gate(business: Business) -> None:
    gate, _ = business
    told = gate.send("GET", "/api/orders/%E4%B8%8A?x=1", token=gate.login("ann")).json
    assert told == {"user": "ozwWZcMcCuh5zclAyu69EmeG_9lp"}


def test_the_example_takes_no_user_from_a_visitor(business: Business) -> None:
    gate, _ = business
    assert gate.send("GET", "/api/news").json == {"user": None}


def signed(gate: FrontDoor, url: str) -> dict[str, str]:
    """What proves a GET of an address, for sixty seconds."""
    claims = {"sub": "o1", "appid": "wx1", "htm": "GET", "htu": url}
    return {"X-WX-ASSERTION": gate.module.services.assertions.sign(claims, 60)}


def test_the_example_refuses_the_assertion_of_another_request(business: Business) -> None:
    gate, url = business
    headers = signed(gate, f"{url}/orders/7")
    assert requests.get(f"{url}/orders/7", headers=headers, timeout=5).status_code == 200
    assert requests.get(f"{url}/orders/8", headers=headers, timeout=5).status_code == 401
    assert requests.post(f"{url}/orders/7", "{}", headers=headers, timeout=5).status_code == 401


def test_the_example_refuses_what_another_key_signed(business: Business) -> None:
    gate, url = business
    genuine = signed(gate, url)["X-WX-ASSERTION"]
    claims = jwt.decode(genuine, options={"verify_signature": False})
    key = generate_private_key(SECP256R1())
    headers = {"kid": jwt.get_unverified_header(genuine)["kid"]}
    forged = jwt.encode(claims, key, algorithm="ES256", headers=headers)
    answer = requests.get(url, headers={"X-WX-ASSERTION": forged}, timeout=5)
    assert answer.status_code == 401


def stored(gate: FrontDoor, bearer: str, assertion: str) -> Any:
    return gate.send("POST", "/api/phone", token=bearer, json_body={"assertion": assertion})


def opened_phone(gate: FrontDoor, token: str) -> str:
    code = gate.phone("ann").do("getPhoneNumber")["code"]
    answer = gate.send("POST", "/phone", token=token, json_body={"code": code})
    assertion: str = answer.json["assertion"]
    return assertion


def test_the_example_stores_a_phone_number_that_the_gate_opened(business: Business) -> None:
    gate, _ = business
    token = gate.login("ann")
    answer = stored(gate, token, opened_phone(gate, token))
    assert answer.json["stored"]["phoneNumber"] == "13852393413"


def test_the_example_refuses_the_phone_number_of_another_user(business: Business) -> None:
    gate, _ = business
    of_ann = opened_phone(gate, gate.login("ann"))
    assert stored(gate, gate.login("bob"), of_ann).status == 401


# --- the pages ---


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:chalicelib|simulator|tests|docs)/[\w./]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_example_of_a_log_line_has_the_fields_of_a_real_one(
    front_door: FrontDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = blocks(ARCHITECTURE.read_text(), "json")
    spent = {"code": front_door.phone().code()}
    for _ in range(2):
        front_door.send("POST", "/login", json_body=spent)
    real = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert real.keys() == json.loads(line).keys()
    assert real["errcode"] == json.loads(line)["errcode"]


def test_the_lists_of_headers_are_those_of_the_proxy() -> None:
    quotes = re.findall(r"(?:^> .*\n)+", ARCHITECTURE.read_text(), re.MULTILINE)
    lists = [set(re.findall(r"[\w-]+", quote.lower())) for quote in quotes]
    assert lists == [headers.REQUEST_HEADERS, headers.ANSWER_HEADERS]
