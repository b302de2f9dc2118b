"""Any body of /login is refused before WeChat is asked, or is one JSON object with one code."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from chalicelib import errors
from chalicelib.front.request import NO_LIMIT, Request
from chalicelib.front.response import Answer
from chalicelib.handlers import login
from chalicelib.network.connections import Transport
from chalicelib.network.secrets import AppSecrets
from chalicelib.sessions.sessions import Sessions
from chalicelib.sessions.tokens import Token
from chalicelib.wechat.api import Login, WeChat
from fuzz import demand, kept
from tests.attacks import corpus

APPID: str = corpus.META["appid"]
REFUSALS = (
    errors.InvalidRequest,
    errors.UnknownApp,
    errors.RequestTooLarge,
    errors.UnsupportedMediaType,
)

_CODE = re.compile(r"[A-Za-z0-9_-]{1,128}")


class _WeChat(WeChat):
    """Says yes to every code, and keeps those that it is asked about."""

    def __init__(self) -> None:
        super().__init__(
            Transport(allow_private=False),
            "https://api.weixin.qq.com",
            (APPID,),
            cast(AppSecrets, None),
            lambda: 0.0,
        )
        self.asked: list[tuple[str, str]] = []

    def code2session(self, appid: str, code: str, remaining: Callable[[], float]) -> Login:  # noqa: ARG002 - overrides
        self.asked.append((appid, code))
        return Login(appid, "o-ann", None, "c2Vzc2lvbl9rZXlfMTIzNA==")


class _Sessions:
    """Stores nothing; gives one token."""

    ttl = 3600
    token = Token(b"u" * 16, b"s" * 32)

    def create(self, *_session: object) -> Token:
        return self.token


Handler = Callable[..., Answer]


def check(data: bytes, handler: Handler = login.login) -> None:
    """Send a body to the handler.

    Raises:
        Breach: if WeChat is asked about anything but the one code of one JSON object.
        Any error of the handler's that is no refusal of a malformed request.
    """
    event = {
        "headers": {"content-type": "application/json"},
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }
    wechat = _WeChat()
    try:
        answer = handler(
            Request(event, lambda: NO_LIMIT),
            wechat=wechat,
            sessions=cast(Sessions, _Sessions()),
        )
    except REFUSALS:
        demand(wechat.asked == [], "a request that is refused reaches nobody")
        return
    demand(answer.status_code == 200, "what is not refused logs in")
    _understood_alike(data, wechat.asked)


def _understood_alike(data: bytes, asked: list[tuple[str, str]]) -> None:
    """Another reader of the same bytes must see the same code, whichever duplicate it takes."""
    first, last = _members(data, reverse=True), _members(data, reverse=False)
    demand(first == last, "no duplicate member at the top")
    demand(asked == [(APPID, last["code"])], "WeChat is asked once, about the code that was sent")
    demand(_CODE.fullmatch(last["code"]), "a code holds nothing that could change a URL")
    demand(last.get("appid") in (None, APPID), "only an app that is served logs in")


def _members(data: bytes, *, reverse: bool) -> dict[str, Any]:
    def joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs) if reverse else pairs)

    members: dict[str, Any] = json.loads(data.decode(), object_pairs_hook=joined)
    return members


def seeds() -> Iterator[bytes]:
    """Give what is kept, and the bodies of the corpus's login group that are not megabytes."""
    yield from kept("login_body")
    for entry in corpus.entries():
        body = corpus.expanded(entry.request["body"])
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        if entry.group == "login" and data and len(data) < 4096:
            yield data
