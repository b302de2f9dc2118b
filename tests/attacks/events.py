"""An entry as the event that API Gateway would hand over, by the rules in the corpus's meta."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.sessions.tokens import Token, user_reference
from simulator.gateway import event_of
from tests.attacks.corpus import API_HOST, SOURCE_IP, Entry, filled
from tests.attacks.world import OTHER_APPID, TTL, World
from tests.support.fakes import NOW
from tests.support.wechat import META, USERS


@dataclass(frozen=True)
class Mode:
    """How an event is built.

    `strict` keeps the hop-by-hop headers that API Gateway drops; `binary` hands every body over in
    base64, as API Gateway does where all media types are binary; `merged` merges the slashes right
    after /api/, as it may or may not do.
    """

    name: str
    strict: bool = False
    binary: bool = False
    merged: bool = False


GATEWAY, ALL_HEADERS = Mode("api-gateway"), Mode("all-headers", strict=True)
BASE64, MERGED = Mode("base64-body", binary=True), Mode("slashes-merged", merged=True)


def modes(entry: Entry) -> list[Mode]:
    """The modes that make a difference to an entry; the first two always."""
    text = not entry.event_override and "$b64" not in str(entry.request.body)
    found = [GATEWAY, ALL_HEADERS] + [BASE64] * (text and entry.request.body is not None)
    return found + [MERGED] * str(entry.request.path).startswith("/api//")


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


class Tokens:
    """Makes what the placeholders stand for; A's and B's tokens are made once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._logged_in: dict[str, str] = {}
        self._malformed: list[str] = []
        login, login_at = world.door.login, world.door.login_at
        self._made: dict[str, Callable[[], str]] = {
            "TOKEN_A": lambda: self.user("A"),
            "TOKEN_B": lambda: self.user("B"),
            "TOKEN_UNKNOWN": lambda: (
                Token.new(user_reference(META["appid"], USERS["A"]["openid"])).text
            ),
            "TOKEN_BAD_CHECKSUM": lambda: (
                self.user("A")[:-1] + ("B" if self.user("A").endswith("A") else "A")
            ),
            "TOKEN_EXPIRED": lambda: login_at(NOW - TTL - 60),
            "TOKEN_EXP_EQ_NOW": lambda: login_at(NOW - TTL),
            "TOKEN_EXP_NOW_PLUS_1": lambda: login_at(NOW - TTL + 1),
            "TOKEN_REVOKED": self._revoked,
            "TOKEN_REVOKED_NOW": self._revoked,
            "TOKEN_JUST_ISSUED": login,
            "TOKEN_A_PREVIOUS": lambda: (login(), login())[0],
            "TOKEN_APP2": lambda: world.open_door(WX_APPIDS=OTHER_APPID).login(),
            "TOKEN_A_MINUS1": lambda: self.user("A")[:-1],
            "TOKEN_A_SWAPCASE": lambda: self.user("A").swapcase(),
            "TOKEN_A_STORED_KEY": Token.parse(self.user("A")).item.hex,
            "RANDOM_IP": lambda: ".".join(str(secrets.randbelow(256)) for _ in range(4)),
            "API_HOST": lambda: API_HOST,
            "ATTACK_IV": _random_block,
            "ATTACK_BLOCK": _random_block,
        }

    def user(self, name: str) -> str:
        if name not in self._logged_in:
            self._logged_in[name] = self._world.door.login(f"code-{name}")
        return self._logged_in[name]

    def fill(self, name: str) -> str:
        """Give the value of a placeholder; a token, good or not, is a canary from now on."""
        name, _, flaw = name.partition(":")
        made = self._of_malformed_item(flaw) if name == "TOKEN_ITEM" else self._made[name]()
        if name.startswith("TOKEN") and name != "TOKEN_A_STORED_KEY":  # the table has that one
            self._world.secrets["token"].add(made)
        return made

    def _revoked(self) -> str:
        token = self._world.door.login()
        ended = self._world.door.send("POST", "/logout", token=token, json_body={})
        assert ended.answer.status == 204
        return token

    def _of_malformed_item(self, flaw: str) -> str:
        """The token of a live session whose item another program has changed."""
        token = self._world.door.login()
        self._world.change_item(token, **MALFORMED_ITEMS[flaw])
        self._malformed.append(token)
        return token

    def drop_malformed_items(self) -> None:
        """Let no malformed item outlive its entry."""
        while self._malformed:
            self._world.drop_item(self._malformed.pop())


def _random_block() -> str:
    return base64.b64encode(secrets.token_bytes(16)).decode()


def event(entry: Entry, tokens: Tokens, mode: Mode, routes: list[str]) -> dict[str, Any]:
    sent = entry.request.filled(tokens.fill)
    target = "/api/" + sent.path[5:].lstrip("/") if mode.merged else sent.path
    body = sent.body.encode() if mode.binary else sent.body
    headers = [(name, value) for name, value in sent.headers]
    built = event_of(
        sent.method, target, headers, body, routes, source_ip=SOURCE_IP, lenient=not mode.strict
    )
    if built["pathParameters"]:  # they stay percent-encoded
        proxy = built["path"].removeprefix("/api/").removesuffix("/")
        built["pathParameters"] = {"proxy": proxy}
    return {**built, **filled(entry.event_override, tokens.fill)}
