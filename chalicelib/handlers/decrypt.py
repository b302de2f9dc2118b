"""Decrypt: what needs the session_key: open data, signatures, and whether WeChat still accepts it.

Trading a phone code belongs here too, since its answer is signed like decrypted data.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.errors import DecryptFailed, InvalidRequest, TooManyRequests
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, json_answer
from chalicelib.wechat import kinds, opendata
from chalicelib.wechat.codes import code_of

if TYPE_CHECKING:
    from chalicelib.sessions.sessions import Session, Sessions
    from chalicelib.upstream.assertions import Assertions
    from chalicelib.wechat.api import WeChat

MAX_SIGN_DATA = 4096
"""Bytes of UTF-8 that /sign takes."""


@dataclass(frozen=True)
class _Sealed:
    """The request of /decrypt: data and iv decoded, the claimed kind, and signed rawData if any."""

    kind: str
    data: bytes
    iv: bytes
    signed: opendata.Signed | None


def decrypt(
    request: Request,
    *,
    sessions: "Sessions",
    assertions: "Assertions",
    clock: Callable[[], float],
    max_age: float,
) -> Answer:
    """Decrypt `{"kind", "encryptedData", "iv"}` with the current, then the previous session_key.

    Raises:
        InvalidRequest: if a field is malformed; no key is used.
        TooManyRequests: after too many failures of this user.
        DecryptFailed: whatever else is wrong with the data; each failure is counted.
    """
    token = request.token()
    sealed = _sealed(request.json())
    session, failures = sessions.find_with_keys(token)
    now = clock()
    if failures.too_many:
        raise TooManyRequests(retry_after=failures.seconds_left(now))
    try:
        data = _opened(sealed, session, now, max_age)
    except DecryptFailed:
        sessions.count_failure(session)
        raise
    return _answer(session, sealed.kind, data, assertions)


def phone(
    request: Request, *, sessions: "Sessions", wechat: "WeChat", assertions: "Assertions"
) -> Answer:
    """Trade `{"code"}` of the phone button for the phone number; needs no session_key.

    Raises:
        InvalidCode: the user must tap again.
        Misconfigured, SecretsUnavailable: without a signing key; the code is not spent.
        What else WeChat.phone_number raises.
    """
    token = request.token()
    code = code_of(request.json())
    session = sessions.find(token)
    assertions.ensure_key()
    data = wechat.phone_number(session.appid, session.openid, code, request.deadline)
    return _answer(session, "phone", data, assertions)


def session(request: Request, *, sessions: "Sessions", wechat: "WeChat") -> Answer:
    """Answer `{"valid"}`: whether WeChat still accepts the session_key that is stored.

    Raises:
        What WeChat.session_key_is_valid raises.
    """
    found, _ = sessions.find_with_keys(request.token())
    valid = wechat.session_key_is_valid(
        found.appid, found.openid, found.session_keys[0], request.deadline
    )
    return json_answer({"valid": valid})


def sign(request: Request, *, sessions: "Sessions", clock: Callable[[], float]) -> Answer:
    """Sign `{"data"}`, the signData of wx.requestVirtualPayment, with the current session_key.

    HMAC-SHA256 in lower-case hex, with the base64 text as the key (WeChat, «用户登录态签名»). Empty
    data is rejected: its signature is the one that WeChat's checksession takes for a login.

    Raises:
        InvalidRequest: unless data is 1 to MAX_SIGN_DATA bytes.
        TooManyRequests: after too many failed decryptions of this user.
    """
    token = request.token()
    data = request.json().get("data")
    if not isinstance(data, str) or not 1 <= len(data.encode()) <= MAX_SIGN_DATA:
        raise InvalidRequest(f"data is a text of 1 to {MAX_SIGN_DATA} bytes.")
    found, failures = sessions.find_with_keys(token)
    if failures.too_many:
        raise TooManyRequests(retry_after=failures.seconds_left(clock()))
    digest = hmac.digest(found.session_keys[0].encode(), data.encode(), hashlib.sha256)
    return json_answer({"signature": digest.hex()})


def _sealed(body: Mapping[str, Any]) -> _Sealed:
    # Without a kind nothing is allowed, so nothing opens: that is a failure like any other.
    kind = body.get("kind", "")
    if not isinstance(kind, str) or ("kind" in body and kind not in kinds.KINDS):
        raise InvalidRequest(f"kind is one of {', '.join(kinds.KINDS)}.")
    data, iv = opendata.ciphertext(body.get("encryptedData"), body.get("iv"))
    return _Sealed(kind, data, iv, _signed(kind, body))


def _signed(kind: str, body: Mapping[str, Any]) -> opendata.Signed | None:
    raw_data, signature = body.get("rawData"), body.get("signature")
    if kind != "user" or (raw_data is None and signature is None):
        return None
    if not isinstance(raw_data, str) or not isinstance(signature, str):
        raise InvalidRequest("rawData and signature are texts that come together.")
    return opendata.Signed(raw_data, signature)


def _opened(sealed: _Sealed, session: "Session", now: float, max_age: float) -> Mapping[str, Any]:
    for key in session.session_keys:
        if sealed.signed and not sealed.signed.was_signed_with(key):
            continue
        with suppress(ValueError):
            plaintext = opendata.decrypt(opendata.key_bytes(key), sealed.data, sealed.iv)
            fields = kinds.read(plaintext, sealed.kind, whose=session, now=now, max_age=max_age)
            return sealed.signed.agreeing(fields) if sealed.signed else fields
    raise DecryptFailed


def _answer(
    session: "Session", kind: str, data: Mapping[str, Any], assertions: "Assertions"
) -> Answer:
    assertion = assertions.for_data(
        openid=session.openid, appid=session.appid, kind=kind, data=data
    )
    return json_answer({"data": data, "assertion": assertion})
