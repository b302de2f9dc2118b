"""An entry as the event that API Gateway would hand over, by the rules in the corpus's meta."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.sessions.tokens import Token, user_reference
from simulator.gateway import event_of
from tests.attacks.corpus import META, Entry, expanded, filled
from tests.attacks.wechat import USERS
from tests.attacks.world import TTL, World
from tests.support.fakes import NOW

API_HOST = "abc123.execute-api.test"
SOURCE_IP = "203.0.113.9"


@dataclass(frozen=True)
class Mode:
    """How an event is built.

    `merciful` drops hop-by-hop headers as API Gateway does; `binary` hands every body over in
    base64, as API Gateway does where all media types are binary; `collapsed` merges the slashes
    right after /api/, as it may or may not do.
    """

    name: str
    merciful: bool = True
    binary: bool = False
    collapsed: bool = False


MERCIFUL = Mode("api-gateway")
MERCILESS = Mode("no-mercy", merciful=False)
BINARY = Mode("base64-body", binary=True)
COLLAPSED = Mode("slashes-merged", collapsed=True)


def modes(entry: Entry) -> list[Mode]:
    """The modes that make a difference to an entry; the first two always."""
    found = [MERCIFUL, MERCILESS]
    if isinstance(expanded(entry.request["body"]), str) and "event_override" not in entry.extra:
        found.append(BINARY)
    if entry.path.startswith("/api//"):
        found.append(COLLAPSED)
    return found


class Tokens:
    """Mints what the placeholders stand for; A and B are minted once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[str, str] = {}
        self.odd: list[str] = []
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
            "TOKEN_APP2": self._of_another_app,
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
        if name not in self._kept:
            self._kept[name] = self._world.door.login(f"code-{name}")
        return self._kept[name]

    def fill(self, name: str) -> str:
        """Give the value of a placeholder; a token, good or not, is a canary from now on.

        Raises:
            KeyError: if nobody knows what it means.
        """
        if name in ("TOKEN_A", "TOKEN_B"):
            return self.user(name[-1])
        name, _, oddity = name.partition(":")
        made = self._odd(oddity) if name == "TOKEN_ITEM" else self._made[name]()
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

    def _of_another_app(self) -> str:
        """A live session of a mini-program that this deployment does not serve."""
        other = self._world.open_door(WX_APPIDS=META["appid_other"])
        user = USERS["A"]
        with other.inside():
            token: Token = other.module.services.sessions.create(
                META["appid_other"], user["openid"], user["unionid"], user["session_key"], None
            )
        return token.text

    def _odd(self, oddity: str) -> str:
        """A live session whose item a foreign hand has touched."""
        token = self._world.door.login()
        self._world.change_item(token, **ODDITIES[oddity])
        self.odd.append(token)
        return token


def _random_block() -> str:
    return base64.b64encode(secrets.token_bytes(16)).decode()


ODDITIES: dict[str, dict[str, Any]] = {
    "exp in ms": {"expires_at": {"N": str((NOW + TTL) * 1000)}},
    "exp missing": {"expires_at": None},
    "exp is text": {"expires_at": {"S": str(NOW + TTL)}},
    "exp is not whole": {"expires_at": {"N": f"{NOW + TTL}.5"}},
    "openid missing": {"openid": None},
    "openid empty": {"openid": {"S": ""}},
    "openid is a number": {"openid": {"N": "7"}},
    "openid with CRLF": {"openid": {"S": "o\r\nX-WX-OPENID: oB7zyQ2mXk8sVtRwLp5cNdHgJf3A"}},
    "openid of B": {"openid": {"S": USERS["B"]["openid"]}},
    "appid missing": {"appid": None},
    "schema version 0": {"version": {"N": "0"}},
    "schema version 99": {"version": {"N": "99"}},
    "schema version missing": {"version": None},
    "schema version is text": {"version": {"S": "1"}},
}
"""What may be wrong with a stored item, by the corpus's words for it and a few of its siblings."""


def event(entry: Entry, tokens: Tokens, mode: Mode, routes: list[str]) -> dict[str, Any]:
    """Build the event of an entry."""
    request = {name: filled(value, tokens.fill) for name, value in entry.request.items()}
    target = str(expanded(request["path"]))
    if mode.collapsed:
        target = "/api/" + target.removeprefix("/api/").lstrip("/")
    body = expanded(request["body"])
    if mode.binary:
        body = body.encode()
    headers = [(name, value) for name, value in request["headers"]]
    built = event_of(
        request["method"],
        target,
        headers,
        body,
        routes,
        source_ip=SOURCE_IP,
        merciful=mode.merciful,
    )
    return {**built, **filled(entry.extra.get("event_override", {}), tokens.fill)}
