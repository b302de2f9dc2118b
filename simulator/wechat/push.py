"""WeChat's message push: what it tells a mini-program's server of its users, sealed and signed.

Source: WeChat pages «消息推送», «消息加解密说明», «授权用户信息变更».
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import requests
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from simulator.wechat.accounts import Accounts, openid_of, simulated_id
from simulator.wechat.messages import (
    Answer,
    Call,
    FailError,
    JsonFace,
    JsonObject,
    compact,
    members_of,
    text_in,
)
from simulator.wechat.phone import user_in

SECONDS = 5.0
"""That WeChat waits for an answer."""

TRIES = 3
K = 32  # bytes of a block of padding

Send = Callable[[str, Mapping[str, str], bytes, str], tuple[int, bytes]]
"""Posts (url, query, body, content type) and gives status and body; OSError if none came."""


def push_secret_of(appid: str) -> dict[str, str]:
    """Derive an app's token and EncodingAESKey, the same after every restart."""
    digest = hashlib.sha256(f"push\0{appid}".encode()).digest()
    return {"token": digest.hex()[:32], "aes_key": base64.b64encode(digest).decode()[:43]}


def signature_of(*parts: str) -> str:
    """Sign: sha1 over the sorted parts, lower hex."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def encrypted(message: bytes, aes_key: str, appid: str, random: bytes = b"") -> str:
    """Seal a message: 16 random bytes, length, message, appid; AES-256-CBC, padded to 32."""
    key = base64.b64decode(f"{aes_key}=")
    plain = random or secrets.token_bytes(16)
    plain += len(message).to_bytes(4, "big") + message + appid.encode()
    missing = K - len(plain) % K
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(cipher.update(plain + bytes([missing] * missing))).decode()


def xml(members: Mapping[str, Any]) -> str:
    """Write a message as XML: texts as CDATA, numbers as they are."""
    return f"<xml>{''.join(_element(name, value) for name, value in members.items())}</xml>"


def _element(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inside = "".join(_element(*member) for member in value.items())
    elif isinstance(value, list):
        return "".join(_element(name, one) for one in value)
    elif isinstance(value, str) and "]]>" not in value:
        inside = f"<![CDATA[{value}]]>"
    else:
        inside = escape(str(value))
    return f"<{name}>{inside}</{name}>"


@dataclass(frozen=True)
class Pushed:
    """One push: the query of its URL, its body and that one's media type."""

    query: dict[str, str]
    body: bytes
    content_type: str


def sealed(
    appid: str,
    message: bytes,
    secret: Mapping[str, str],
    now: float,
    *,
    is_xml: bool = False,
    **changes: str,
) -> Pushed:
    """Wrap a message as secure mode does; `changes` are of the query, before it is signed."""
    query = {"timestamp": str(int(now)), "nonce": str(secrets.randbelow(10**10)), **changes}
    signed = query["timestamp"], query["nonce"]
    text = encrypted(message, secret["aes_key"], appid)
    query |= {"signature": signature_of(secret["token"], *signed), "encrypt_type": "aes"}
    query |= {"msg_signature": signature_of(secret["token"], *signed, text)}
    envelope = {"ToUserName": simulated_id("gh_", appid)[:15], "Encrypt": text}
    body = xml(envelope) if is_xml else compact(envelope)
    return Pushed(query, body.encode(), "text/xml" if is_xml else "application/json")


def post(url: str, query: Mapping[str, str], body: bytes, kind: str) -> tuple[int, bytes]:
    """Post as WeChat does: five seconds, no proxy of this machine."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            url, params=query, data=body, headers={"Content-Type": kind}, timeout=SECONDS
        )
    return answer.status_code, answer.content


class PushFace:
    """The acts that make WeChat push; `url` gives the push URL less the appid, "" without one.

    Each answers `{"ok", "attempts"}`: whether one was answered by `success` or nothing, and of
    each its status (null if none came) and answer.
    """

    def __init__(self, accounts: Accounts, url: Callable[[], str], send: Send) -> None:
        self._accounts = accounts
        self._url = url
        self._send = send
        routes = {"revoke": ("POST", self._revoke), "closeAccount": ("POST", self._close_account)}
        self._phone = JsonFace("/wx/", routes)
        self._control = JsonFace("/control/", {"push": ("POST", self._push)})
        self.paths = self._phone.paths | self._control.paths

    def answer(self, call: Call) -> Answer:
        """Answer one call, after the push."""
        return (self._phone if call.path in self._phone.paths else self._control).answer(call)

    def _push(self, call: Call) -> JsonObject:
        body = members_of(call)
        fields = body.get("fields", {})
        if not isinstance(fields, dict):
            raise FailError("fields is not an object")
        if body.get("format", "json") not in ("json", "xml"):
            raise FailError("format is neither json nor xml")
        appid, event = text_in(body, "appid"), text_in(body, "event")
        if appid not in self._accounts.apps:
            raise FailError("invalid appid")
        user = {"OpenID": openid_of(appid, text_in(body, "user"))} if "user" in body else {}
        is_xml = body.get("format") == "xml"
        return self._deliver(appid, event, {**user, **fields}, is_xml=is_xml)

    def _revoke(self, call: Call) -> JsonObject:
        """Do what a user does in a mini-program's settings: take back nickname and avatar."""
        body = members_of(call)
        user = user_in(body, self._accounts)
        fields = {"OpenID": user.openid, "RevokeInfo": str(body.get("revokeInfo", "6"))}
        return self._deliver(user.appid, "user_authorization_revoke", fields)

    def _close_account(self, call: Call) -> JsonObject:
        user = user_in(members_of(call), self._accounts)
        self._accounts.expire(user)
        fields = {"OpenID": user.openid}
        return self._deliver(user.appid, "user_authorization_cancellation", fields)

    def _deliver(
        self, appid: str, event: str, fields: JsonObject, *, is_xml: bool = False
    ) -> JsonObject:
        if not self._url():
            raise FailError("there is no push URL: the gate serves no events")
        now = int(self._accounts.clock())
        message: JsonObject = {
            "ToUserName": simulated_id("gh_", appid)[:15],
            "FromUserName": simulated_id("o", "push", appid),  # not the user
            "CreateTime": now,
            "MsgType": "event",
            "Event": event,
            "AppID": appid,
            **fields,
        }
        text = xml(message) if is_xml else json.dumps(message, ensure_ascii=False)
        attempts: list[JsonObject] = []
        while len(attempts) < TRIES and not (attempts and attempts[-1]["ok"]):
            attempts.append(self._attempt(appid, text.encode(), is_xml=is_xml))
        return {"ok": attempts[-1]["ok"], "attempts": attempts}

    def _attempt(self, appid: str, message: bytes, *, is_xml: bool) -> JsonObject:
        now = self._accounts.clock()
        pushed = sealed(appid, message, push_secret_of(appid), now, is_xml=is_xml)
        url = f"{self._url()}{appid}"
        try:
            status, body = self._send(url, pushed.query, pushed.body, pushed.content_type)
        except OSError as error:  # requests' errors are
            return {"ok": False, "status": None, "answer": type(error).__name__}
        ok = status == 200 and body in (b"success", b"")
        return {"ok": ok, "status": status, "answer": body.decode(errors="replace")}
