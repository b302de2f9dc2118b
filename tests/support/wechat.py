"""WeChat as the corpora have it: a table of codes, two users, errmsg texts that must not leak.

Not the simulator: the corpora fix openids and keys, and their answers are often no WeChat's.
"""

import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.loopback import Act, Loopback, Peer, Request, answers, whole

CORPUS = Path(__file__).parents[1] / "corpus/attacks.json"
META: dict[str, Any] = json.loads(CORPUS.read_text())["meta"]

APPSECRET = "cafe0123456789abcdef0123456789ab"
ACCESS_TOKEN = "canary-access-token-7Jq2"
PHONE = "13777000042"
RID = "6a7b8c9d-0e1f2a3b-4c5d6e7f"
PLAIN = [("Content-Type", "text/plain")]

USERS: dict[str, dict[str, Any]] = {
    **META["users"],
    # One whose sessions may all be ended.
    "C": {
        "openid": "oCanaryC4hVq8mXk8sVtRwLp5cNd",
        "unionid": "ocCanaryC4hVq8mXk8sVtRwLp5cN",
        "session_key": "Y2FuYXJ5LWtleS1DLTR2cQ==",
    },
}


def said(fields: object, *, content_type: str = "text/plain") -> Act:
    """Answer as WeChat does, with the content type that /sns/* has."""
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return answers(body, headers=[("Content-Type", content_type)])


def refusal(errcode: int) -> dict[str, object]:
    return {"errcode": errcode, "errmsg": f"canary-errmsg, rid: {RID}"}


def session_of(user: str, session_key: str | None = None) -> dict[str, Any]:
    known = USERS[user]
    fields = {"openid": known["openid"], "session_key": session_key or known["session_key"]}
    return fields | ({"unionid": known["unionid"]} if known["unionid"] else {})


class FakeWeChat(Loopback):
    """The server; `appsecret` is the one that it takes, `codes` says what each code gives."""

    def __init__(self) -> None:
        self.appsecret = APPSECRET
        self.codes: dict[str, Any] = dict(META["fake_wechat"])
        self._spent: set[str] = set()
        self._spending = threading.Lock()
        super().__init__(self._exchange)

    def renew(self) -> None:
        self._spent.clear()

    def _exchange(self, peer: Peer) -> None:
        body = json.dumps(self._fields(peer.read_request())).encode()
        peer.send(whole(body, headers=PLAIN))

    def _fields(self, request: Request) -> dict[str, Any]:
        parts = urlsplit(request.target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/sns/jscode2session":
                return self._session(query)
            case "/cgi-bin/stable_token":
                return {"access_token": ACCESS_TOKEN, "expires_in": 7200}
            case "/wxa/business/getuserphonenumber":
                return _phone()
        return {"errcode": 0, "errmsg": "ok"}

    def _session(self, query: dict[str, str]) -> dict[str, Any]:
        if query.get("secret") != self.appsecret:
            return refusal(40125)
        code = query.get("js_code", "")
        meaning = self.codes.get(code, 40029)
        if isinstance(meaning, int):
            return refusal(meaning)
        user, _, once = str(meaning).removeprefix("openid ").partition(", ")
        with self._spending:
            if code in self._spent:
                return refusal(40163)
            if once:
                self._spent.add(code)
        return session_of(user)


def _phone() -> dict[str, Any]:
    watermark = {"timestamp": META["frozen_clock"], "appid": META["appid"]}
    numbers = {"phoneNumber": PHONE, "purePhoneNumber": PHONE, "countryCode": "86"}
    return {"errcode": 0, "errmsg": "ok", "phone_info": {**numbers, "watermark": watermark}}
