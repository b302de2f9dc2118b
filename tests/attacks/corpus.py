"""The entries of attacks.json, how their placeholders are filled, and what contradicts us."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpus/attacks.json"

_content: dict[str, Any] = json.loads(CORPUS.read_text())
META: dict[str, Any] = _content["meta"]

CONTRADICTIONS = {
    "LOGIN-072": "TooManyRequests (docs/errors.md) knows no limit of ours on logins: API Gateway "
    "throttles, and WeChat's own quota answers 45011. Every answer is the uniform 401, and other "
    "users still log in.",
    "LOGIN-073": "As LOGIN-072: the forged header changes nothing.",
}
"""Entries that README.md and docs/errors.md contradict, and why; what holds is still checked."""

CAPS = {"<= configured cap": 1}
"""Counts in words: the most that one send may make. We configure no cap; one send is one call."""

BOMB = "double gzip of 256 MiB of zero bytes (lab hdr.py builds it)"
"""The one `body` of a `fake_upstream` that is a description; any other is the text to answer."""


@dataclass(frozen=True)
class Setup:
    """What an entry asks for around its one send: sends before it, a flood, many at once."""

    before: int = 0
    flood: int = 0
    at_once: int = 0


SETUPS = {
    "20 parallel sends": Setup(at_once=20),
    "500 sends from one source address": Setup(flood=500),
    "500 sends, new X-Forwarded-For each time": Setup(flood=500),
    "send the control phone request twice before": Setup(before=2),
    # test_oracle.py sends them all; here one of them is sent.
    "run lab/cbc.py inter() against the endpoint": Setup(),
}
"""What each `setup` of the corpus means."""

COUNTS = {"upstream_calls", "wechat_calls", "store_reads", "store_writes", "evil_calls"}
MEMBERS = {
    "entry": {"id", "group", "title", "why", "source", "request", "expect"}
    | {"setup", "event_override", "fake_upstream", "uniform_group"},
    "request": {"method", "path", "headers", "body"},
    "expect": {"status", "code", "invariant", "uniform_group"} | COUNTS,
    "event_override": {"headers", "multiValueHeaders", "body", "isBase64Encoded"},
    "fake_upstream": {"status", "headers", "body", "body_repeat", "body_b64"},
}
"""The members that are read, of an entry and of what stands in it."""

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
    def setup(self) -> Setup:
        """What is to be sent besides the one request; KeyError if the meaning is unknown."""
        return SETUPS[self.extra["setup"]] if "setup" in self.extra else Setup()

    @property
    def uniform_group(self) -> str | None:
        """The group whose answers are all equal; it may stand beside `expect` too."""
        group: str | None = self.expect.get("uniform_group", self.extra.get("uniform_group"))
        return group

    @property
    def path(self) -> str:
        """The target as it stands on the wire."""
        return str(expanded(self.request["path"]))


def members(name: str) -> list[dict[str, Any]]:
    """Give every entry as it stands in the file, or what stands in one under a name."""
    found: list[dict[str, Any]] = _content["attacks"]
    return found if name == "entry" else [item[name] for item in found if name in item]


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
    """Write out `{"$repeat"}`; text stays text, `{"$b64"}` becomes bytes, None stays None.

    Raises:
        ValueError: if an object has another form.
    """
    match value:
        case {"$repeat": {"prefix": prefix, "unit": unit, "count": count, "suffix": suffix}}:
            return f"{prefix}{unit * count}{suffix}"
        case {"$b64": text}:
            return base64.b64decode(text)
        case dict():
            raise ValueError(f"not understood: {sorted(value)}")
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
