"""Any body of /login: either it is refused before WeChat is called, or all readers agree on it."""

import base64
import json
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.errors import InvalidRequest, UnknownApp
from chalicelib.front.request import Request
from chalicelib.handlers.login import login
from chalicelib.sessions.tokens import Token

APPID = "wx4f4bc4dec97d474b"


class WeChat:
    """Accepts every code, and records it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def app(self, appid: object) -> str:
        if appid not in (None, APPID):
            raise UnknownApp
        return APPID

    def code2session(self, appid: str, code: str, _: object) -> Any:
        self.calls.append((appid, code))
        return SimpleNamespace(appid=appid, openid="o-ann", unionid=None, session_key="key")


class Sessions:
    """Stores nothing, and gives one token."""

    ttl = 3600

    def create(self, *_: object) -> Token:
        return Token(b"u" * 16, b"s" * 32)


NAMES = st.sampled_from(["code", "appid", "replaces", "c\\u006fde"]) | st.text(max_size=4)
VALUES = st.sampled_from(['"code-A"', '"code-B"', f'"{APPID}"', "null", '"wx"', "[1]", "{}"])
MEMBERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
BODIES = MEMBERS.map(lambda pairs: ",".join(f'"{name}":{value}' for name, value in pairs))


def members(data: bytes, *, first_wins: bool) -> dict[str, Any]:
    """The members at the top, as a reader sees them that takes the first or last duplicate."""
    order = reversed if first_wins else list
    seen: dict[str, Any] = json.loads(data, object_pairs_hook=lambda pairs: dict(order(pairs)))
    return seen


@given(BODIES.map(lambda members: f"{{{members}}}".encode()) | st.binary())
@example(b'{"code":"code-A","code":"code-B"}')
def test_every_reader_of_a_login_body_finds_the_code_that_wechat_is_given(data: bytes) -> None:
    wechat: Any = WeChat()
    sessions: Any = Sessions()
    event = {
        "headers": {"content-type": "application/json"},
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }
    try:
        answer = login(Request(event), wechat=wechat, sessions=sessions)
    except (InvalidRequest, UnknownApp):
        assert wechat.calls == []
        return
    assert answer.status_code == 200
    assert members(data, first_wins=True) == members(data, first_wins=False)
    assert wechat.calls == [(APPID, members(data, first_wins=True)["code"])]
