"""The entries of attacks.json, how their placeholders are filled, and what contradicts us."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent.parent / "corpus" / "attacks.json"

_content: dict[str, Any] = json.loads(CORPUS.read_text())
META: dict[str, Any] = _content["meta"]

CONTRADICTIONS = {
    "LOGIN-072": "The contract has no limit of ours on logins: API Gateway throttles, and WeChat's "
    "own quota answers 45011. Every answer is the uniform 401, and other users still log in.",
    "LOGIN-073": "As LOGIN-072: the forged header changes nothing.",
}
"""Entries whose expectation contract.md does not share, and why; what holds is still checked."""

_PLACEHOLDER = re.compile(r"\{\{([A-Z][A-Z0-9_]*(?::[^{}]*)?)\}\}")


@dataclass(frozen=True)
class Entry:
    """One attack: what is sent, and what must come of it."""

    id: str
    group: str
    title: str
    why: str
    request: dict[str, Any]
    expect: dict[str, Any]
    extra: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.id} {self.title}: {self.why}"

    @property
    def calls_to_upstream(self) -> Any:
        """How many requests the upstream may see; only the proxy may call it."""
        proxied = "/api" in str(self.request["path"])
        return self.expect.get("upstream_calls", [0, 1] if proxied else 0)

    @property
    def path(self) -> str:
        """The target as it stands on the wire."""
        return str(expanded(self.request["path"]))


def entries() -> list[Entry]:
    """Read all entries."""
    known = ("id", "group", "title", "why", "request", "expect")
    return [
        Entry(
            **{name: item[name] for name in known},
            extra={name: value for name, value in item.items() if name not in known},
        )
        for item in _content["attacks"]
    ]


def entry(identifier: str) -> Entry:
    """Give one entry."""
    return next(item for item in entries() if item.id == identifier)


def expanded(value: Any) -> Any:
    """Write out `{"$repeat"}`; text stays text, `{"$b64"}` becomes bytes, None stays None."""
    match value:
        case {"$repeat": {"prefix": prefix, "unit": unit, "count": count, "suffix": suffix}}:
            return f"{prefix}{unit * count}{suffix}"
        case {"$b64": text}:
            return base64.b64decode(text)
        case _:
            return value


def filled(value: Any, fill: Callable[[str], str]) -> Any:
    """Replace `{{NAME}}` in every text of a value; `{{x}}` and `{{7*7}}` are the attack's own."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: fill(found[1]), value)
    if isinstance(value, list):
        return [filled(item, fill) for item in value]
    if isinstance(value, dict):
        return {filled(name, fill): filled(item, fill) for name, item in value.items()}
    return value
