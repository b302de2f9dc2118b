"""The pages tell the truth: their commands are run, their tables are held against the code."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chalicelib import settings
from simulator import desk
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
from tests.support.front_door import FrontDoor

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


# --- the pages ---


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", page.read_text())
    for name, anchor in links:
        target = (page.parent / name) if name else page
        if "://" not in name:
            assert target.exists(), name
            assert not anchor or anchor[1:] in anchors(target), name + anchor


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
