"""The pages tell the truth: their commands are run, their tables are compared with the code."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chalicelib import settings
from simulator import desk
from tests.docs import pages
from tests.support.front_door import FrontDoor

ENGLISH, CHINESE = pages.ENGLISH.read_text(), pages.CHINESE.read_text()
PAGES = [*sorted(pages.ROOT.glob("*.md")), *sorted(pages.DOCS.glob("*.md"))]

both = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=["en", "zh"])


def test_the_quick_start_does_what_it_shows(running_desk: desk.Desk) -> None:
    pages.need("curl")
    shown = ENGLISH.partition("<!-- transcript -->")[2].partition("<!-- /transcript")[0]
    script = "\n".join(pages.blocks(shown, "bash"))
    for port, name in (("8000", "gate"), ("8001", "WeChat")):
        script = script.replace(f"http://127.0.0.1:{port}", running_desk.urls[name])
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    # … stands for anything, white space for itself or none
    answers = "".join("".join(pages.blocks(shown, "text")).split())
    pattern = ".+?".join(map(re.escape, answers.split("…")))
    assert re.fullmatch(pattern, "".join(done.stdout.split()))


def test_both_readmes_have_the_same_parts_commands_and_answers() -> None:
    assert pages.skeleton(ENGLISH) == pages.skeleton(CHINESE)
    for language in ("bash", "text", "python"):
        assert pages.blocks(ENGLISH, language) == pages.blocks(CHINESE, language) != []


@both
def test_the_environment_table_is_that_of_the_settings(readme: str) -> None:
    found = pages.rows(readme, "name" if readme == ENGLISH else "名称")
    table = {name: default for names, default, *_ in found for name in pages.quoted(names)}
    assert set(table) == set(settings.VARIABLES)
    for name, variable in settings.VARIABLES.items():
        assert (table[name] in ("required", "必填")) is bool(variable.functions), name
        assert (pages.quoted(table[name]) or [""])[0] == (variable.default or ""), name


def fields(schema: dict[str, Any]) -> dict[str, bool]:
    """The names of a JSON object's members, and whether each must be there."""
    schema = pages.resolved(schema)
    return {name: name in schema.get("required", []) for name in schema.get("properties", {})}


def shown(cell: str) -> dict[str, bool]:
    """The members that a cell shows, as `{"code", "appid"?}` or `{"status":"ok"}`."""
    named = re.findall(r'(?<!:)"(\w+)"(\??)', "".join(pages.quoted(cell)))
    return {name: not optional for name, optional in named}


@both
def test_the_table_of_routes_is_that_of_the_specification(readme: str) -> None:
    table = pages.rows(readme, "request" if readme == ENGLISH else "请求")
    named = [(pages.quoted(row[0]), row) for row in table]
    told = {(path, method): row for (*methods, path), row in named for method in methods}
    assert told.keys() == {(path, method) for path, method, _ in pages.operations()}
    for path, method, operation in pages.operations():
        request, body, answer, function = told[path, method]
        takes = bool(operation.get("security", pages.SPEC["security"]))
        assert (function, "token" in request) == (*operation["tags"], takes)
        if "proxy" in path or method == "GET":
            continue
        media = operation["requestBody"]["content"]["application/json"]
        # rawData and signature come together, which the cell says in words; 204 has no body
        extra = {"rawData": False, "signature": False} if path == "/decrypt" else {}
        assert shown(body) | extra == fields(media["schema"]), path
        content = pages.resolved(operation["responses"].get("200", {})).get("content", {})
        assert shown(answer) == fields(content.get("application/json", {}).get("schema", {})), path


@both
def test_the_codes_are_those_of_the_gate(readme: str) -> None:
    table = pages.rows(readme, "Code")
    told = {code: int(status) for codes, status, *_ in table for code in pages.quoted(codes)}
    assert told == pages.STATUSES


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_and_every_path_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    for name, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", text):
        target = (page.parent / name) if name else page
        if "://" not in name:
            assert target.exists(), name
            assert not anchor or anchor[1:] in anchors(target), name + anchor
    named = re.findall(r"`((?:chalicelib|simulator|tests|docs|miniprogram)/[\w./]+)`", text)
    assert [path for path in named if not (pages.ROOT / path).exists()] == []


def test_the_example_of_a_log_line_has_the_fields_of_a_real_one(
    front_door: FrontDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = pages.blocks((pages.DOCS / "architecture.md").read_text(), "json")
    spent = {"code": front_door.phone().code()}
    for _ in range(2):
        front_door.send("POST", "/login", json_body=spent)
    real = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert real.keys() == json.loads(line).keys()
    assert real["errcode"] == json.loads(line)["errcode"]
