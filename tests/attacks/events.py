"""An entry as the event that API Gateway would hand over, by the rules in the corpus's meta."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.sessions.tokens import Token, user_reference
from simulator.gateway import event_of
from tests.attacks.corpus import META, Entry, expanded, filled
from tests.attacks.world import TTL, World
from tests.support.fakes import NOW
from tests.support.wechat import USERS

API_HOST = "abc123.execute-api.test"
SOURCE_IP = "203.0.113.9"


@dataclass(frozen=True)
class Mode:
    """How an event is built.

    `all_headers` keeps the hop-by-hop headers that API Gateway drops; `binary` hands every body
    over in base64, as API Gateway does where all media types are binary; `merged` merges the
    slashes right after /api/, as it may or may not do.
    """

    name: str
    all_headers: bool = False
    binary: bool = False
    merged: bool = False


GATEWAY = Mode("api-gateway")
ALL_HEADERS = Mode("all-headers", all_headers=True)
BASE64 = Mode("base64-body", binary=True)
MERGED = Mode("slashes-merged", merged=True)


def modes(entry: Entry) -> list[Mode]:
    """The modes that make a difference to an entry; the first two always."""
    found = [GATEWAY, ALL_HEADERS]
    if isinstance(expanded(entry.request["body"]), str) and "event_override" not in entry.extra:
        found.append(BASE64)
    if entry.path.startswith("/api//"):
        found.append(MERGED)
    return found


class Tokens:
    """Makes the tokens that the placeholders stand for; A's and B's are made once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._logged_in: dict[str, str] = {}
        self.malformed: list[str] = []
        self._made: dict[str, Callable[[], str]] = {
            "TOKEN_UNKNOWN": self._unknown,
            "TOKEN_BAD_CHECKSUM": self._bad_checksum,
            "TOKEN_EXPIRED": lambda: world.door.login_at(NOW - TTL - 60),
            "TOKEN_EXP_EQ_NOW": lambda: world.door.login_at(NOW - TTL),
            "TOKEN_EXP_NOW_PLUS_1": lambda: world.door.login_at(NOW - TTL + 1),
            "TOKEN_REVOKED": self._revoked,
            "TOKEN_REVOKED_NOW": self._revoked,
            "TOKEN_JUST_ISSUED": world.door.login,
            "TOKEN_A_PREVIOUS": self._previous,
            "TOKEN_APP2": lambda: world.open_door(WX_APPIDS=META["appid_other"]).login(),
            "TOKEN_A_MINUS1": lambda: self.user("A")[:-1],
            "TOKEN_A_SWAPCASE": lambda: self.user("A").swapcase(),
            "TOKEN_A_STORED_KEY": Token.parse(self.user("A")).item.hex,
            "RANDOM_IP": lambda: ".".join(str(secrets.randbelow(256)) for _ in range(4)),
            "API_HOST": lambda: API_HOST,
            "ATTACK_IV": _random_block,
            "ATTACK_BLOCK": _random_block,
        }

    def user(self, name: str) -> str:
        """The token of user A or B."""
        if name not in self._logged_in:
            self._logged_in[name] = self._world.door.login(f"code-{name}")
        return self._logged_in[name]

    def fill(self, name: str) -> str:
        """Give the value of a placeholder; a token, good or not, is a canary from now on.

        Raises:
            KeyError: if the placeholder is unknown.
        """
        if name in ("TOKEN_A", "TOKEN_B"):
            return self.user(name[-1])
        name, _, flaw = name.partition(":")
        made = self._malformed(flaw) if name == "TOKEN_ITEM" else self._made[name]()
        if name.startswith("TOKEN") and name != "TOKEN_A_STORED_KEY":  # the table has that one
            self._world.secrets["token"].add(made)
        return made

    def _unknown(self) -> str:
        return Token.new(user_reference(META["appid"], USERS["A"]["openid"])).text

    def _bad_checksum(self) -> str:
        text = self.user("A")
        return text[:-1] + ("A" if text[-1] != "A" else "B")

    def _revoked(self) -> str:
        token = self._world.door.login()
        ended = self._world.door.send("POST", "/logout", token=token, json_body={})
        assert ended.answer.status == 204
        return token

    def _previous(self) -> str:
        token = self._world.door.login()
        self._world.door.login()
        return token

    def _malformed(self, flaw: str) -> str:
        """A live session whose item another program has changed."""
        token = self._world.door.login()
        self._world.change_item(token, **MALFORMED_ITEMS[flaw])
        self.malformed.append(token)
        return token


def _random_block() -> str:
    return base64.b64encode(secrets.token_bytes(16)).decode()


MALFORMED_ITEMS: dict[str, dict[str, Any]] = {
    "exp in ms": {"expires_at": {"N": str((NOW + TTL) * 1000)}},
    "exp missing": {"expires_at": None},
    "openid missing": {"openid": None},
    "openid empty": {"openid": {"S": ""}},
    "openid with CRLF": {"openid": {"S": "o\r\nX-WX-OPENID: oB7zyQ2mXk8sVtRwLp5cNdHgJf3A"}},
    "schema version 0": {"version": {"N": "0"}},
    "schema version 99": {"version": {"N": "99"}},
}
"""What may be wrong with a stored item, by the corpora's words for it."""


def event(entry: Entry, tokens: Tokens, mode: Mode, routes: list[str]) -> dict[str, Any]:
    """Build the event of an entry."""
    request = {name: filled(value, tokens.fill) for name, value in entry.request.items()}
    target = str(expanded(request["path"]))
    if mode.merged:
        target = "/api/" + target.removeprefix("/api/").lstrip("/")
    body = expanded(request["body"])
    if mode.binary:
        body = body.encode()
    headers = [(name, value) for name, value in request["headers"]]
    built = event_of(request["method"], target, headers, body, routes, source_ip=SOURCE_IP)
    if mode.all_headers:
        built["headers"] = dict(headers) or None
        names = dict.fromkeys(name for name, _ in headers)
        built["multiValueHeaders"] = {
            name: [value for other, value in headers if other == name] for name in names
        } or None
    if built["pathParameters"]:  # they stay percent-encoded
        proxy = built["path"].removeprefix("/api/").removesuffix("/")
        built["pathParameters"] = {"proxy": proxy}
    return {**built, **filled(entry.extra.get("event_override", {}), tokens.fill)}
