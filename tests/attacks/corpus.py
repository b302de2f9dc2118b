"""The entries of attacks.json: what each sends, what must come of it, and what contradicts us.

A member, a setup or a count that is not understood here fails, so that nothing is left out.
"""

import base64
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.loopback import Act, echo, says, whole
from tests.support.wechat import CORPUS

CONTRADICTIONS = {
    "LOGIN-072": "TooManyRequests (docs/errors.md) knows no limit of ours on logins: API Gateway "
    "throttles, and WeChat's own quota answers 45011. Every answer is the uniform 401, and other "
    "users still log in.",
    "LOGIN-073": "As LOGIN-072: the forged header changes nothing.",
}
"""Entries that README.md and docs/errors.md contradict, and why; what holds is still checked."""


@dataclass(frozen=True)
class Setup:
    """What an entry asks for around its one send: sends before it, a flood, many at once."""

    before: int = 0
    flood: int = 0
    at_once: int = 0


SETUPS = {
    None: Setup(),
    "20 parallel sends": Setup(at_once=20),
    "500 sends from one source address": Setup(flood=500),
    "500 sends, new X-Forwarded-For each time": Setup(flood=500),
    "send the control phone request twice before": Setup(before=2),
    # test_oracle.py sends them all; here one of them is sent.
    "run lab/cbc.py inter() against the endpoint": Setup(),
}
"""What each `setup` of the corpus means."""


@dataclass(frozen=True)
class Request:
    """What is sent; `path` is the target as it stands on the wire."""

    method: str
    path: Any
    headers: list[list[str]]
    body: Any

    def filled(self, fill: Callable[[str], str]) -> "Request":
        """Replace every `{{NAME}}`, and write long texts and bytes out."""
        path, body = expanded(filled(self.path, fill)), expanded(filled(self.body, fill))
        return Request(self.method, path, filled(self.headers, fill), body)


@dataclass(frozen=True)
class Expected:
    """What must come of it; a count is a number, the least and the most, or None for any."""

    status: list[int]
    code: str | list[str] | None
    invariant: str
    uniform_group: str | None = None
    upstream_calls: Any = None
    wechat_calls: Any = None
    store_reads: Any = None
    store_writes: Any = None
    evil_calls: Any = 0

    @property
    def codes(self) -> list[str]:
        """The Codes that an entry leaves; none where any will do."""
        return self.code if isinstance(self.code, list) else [self.code] if self.code else []


@dataclass(frozen=True)
class Entry:
    """One attack."""

    id: str
    group: str
    title: str
    why: str
    request: Request
    expect: Expected
    source: str = ""
    setup: Setup = SETUPS[None]
    event_override: dict[str, Any] = field(default_factory=dict)
    fake_upstream: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.id} {self.title}: {self.why}"


def _read(item: dict[str, Any]) -> Entry:
    expect = {"uniform_group": item.get("uniform_group"), **item["expect"]}
    if "upstream_calls" not in expect:  # only the proxy may call it
        expect["upstream_calls"] = [0, 1] if "/api" in str(item["request"]["path"]) else 0
    parts = {
        "request": Request(**item["request"]),
        "expect": Expected(**expect),
        "setup": SETUPS[item.get("setup")],
    }
    return Entry(**{k: v for k, v in item.items() if k != "uniform_group"} | parts)


ENTRIES = [_read(item) for item in json.loads(CORPUS.read_text())["attacks"]]

_PLACEHOLDER = re.compile(r"\{\{([A-Z][A-Z0-9_]*(?::[^{}]*)?)\}\}")


def filled(value: Any, fill: Callable[[str], str]) -> Any:
    """Replace `{{NAME}}` in every text of a value; `{{x}}` and `{{7*7}}` are the attack's own."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: fill(found[1]), value)
    if isinstance(value, list):
        return [filled(item, fill) for item in value]
    if isinstance(value, dict):
        return {filled(name, fill): filled(item, fill) for name, item in value.items()}
    return value


def expanded(value: Any) -> Any:
    """Write out `{"$repeat"}`; text stays text, `{"$b64"}` becomes bytes, None stays None."""
    match value:
        case {"$repeat": {"prefix": prefix, "unit": unit, "count": count, "suffix": suffix}}:
            return f"{prefix}{unit * count}{suffix}"
        case {"$b64": text}:
            return base64.b64decode(text)
        case dict():
            raise ValueError(f"not understood: {sorted(value)}")
        case _:
            return value


BOMB = "double gzip of 256 MiB of zero bytes (lab hdr.py builds it)"
"""The one `body` of a `fake_upstream` that is a description; any other is the text to answer."""


def bomb() -> bytes:
    """256 MiB of zero bytes, packed twice (RFC 1952: members may be joined)."""
    return gzip.compress(gzip.compress(bytes(1 << 20), mtime=0) * 256, mtime=0)


def upstream_act(
    status: int = 200,
    headers: list[list[str]] | None = None,
    body: str = "{}",
    body_repeat: tuple[str, int] = ("", 0),
    body_b64: str = "",
) -> Act:
    if status in (204, 304):  # RFC 9110 6.4.1: no body, whatever a length says
        return says(f"HTTP/1.1 {status} Phrase\r\n\r\n".encode())
    text = bomb() if body == BOMB else body.encode()
    data = body_repeat[0].encode() * body_repeat[1] or base64.b64decode(body_b64) or text
    return says(whole(data, status=status, headers=headers or []))


def upstream_of(entry: Entry) -> Act:
    """The upstream's answer as an entry describes it; it echoes where none does."""
    script = filled(entry.fake_upstream, lambda name: {"API_HOST": API_HOST}[name])
    return echo if script is None else upstream_act(**script)


API_HOST = "abc123.execute-api.test"
SOURCE_IP = "203.0.113.9"
