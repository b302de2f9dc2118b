"""How the tests read pages: code blocks, tables, words in backticks, and the OpenAPI document."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import yaml  # type: ignore[import-untyped]  # has no types

from chalicelib.errors import GateError
from simulator.desk import Desk
from tests import support
from tests.support.front_door import Phone

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"

SPEC: dict[str, Any] = yaml.safe_load((DOCS / "openapi.yaml").read_text())
METHODS = ("get", "head", "post", "put", "patch", "delete")

ERRORS = {error.__name__: error for error in GateError.__subclasses__()}
BY_API_GATEWAY = {"GateBusy": 503, "Blocked": 403}
STATUSES = {name: error.status for name, error in ERRORS.items()} | BY_API_GATEWAY
"""Every Code and its status; the last two are made by API Gateway."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose header begins with a word."""
    found = re.search(rf"^\| {first} \|.*\n\|[- |]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"no table begins with {first}"
    return [[cell.strip("| ") for cell in row.split(" | ")] for row in found[1].splitlines()]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def skeleton(text: str) -> list[str]:
    """Headings by level, tables by rows, fences and list items: what stays in translation."""
    return re.findall(r"^(?:#+(?= )|```\w*|\|(?= )|\d+\.(?= )|-(?= ))", text, re.MULTILINE)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a node of the OpenAPI document says, or the one that it refers to."""
    found = SPEC
    if "$ref" not in node:
        return node
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of the OpenAPI document, as (path, method, what stands there)."""
    for path, item in SPEC["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method.upper(), item[method]


def need(program: str) -> None:
    support.need(None if shutil.which(program) else f"{program} is missing")


def login(running: Desk, user: str) -> requests.Response:
    code = Phone(running.urls["WeChat"], user).code()
    return requests.post(f"{running.urls['gate']}/login", json={"code": code}, timeout=5)


def bearer_of(running: Desk, user: str) -> dict[str, str]:
    """Log a user in, and give the header for what is sent then."""
    return {"Authorization": f"Bearer {login(running, user).json()['token']}"}
