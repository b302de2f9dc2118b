"""Decrypt: what needs the session_key: open data, signatures, and whether WeChat still accepts it.

Trading a phone code belongs here too, since its answer is signed like decrypted data.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chalicelib.deadlines import CODE_MINIMUM, WECHAT_RESERVE, Clock
from chalicelib.errors import DeadlineExceeded, DecryptFailed, InvalidRequest
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, json_answer
from chalicelib.handlers.login import code_of
from chalicelib.settings import Settings
from chalicelib.wechat import kinds, opendata

if TYPE_CHECKING:
    from chalicelib.identity import Identity
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.upstream.assertions import Assertions
    from chalicelib.wechat.api import WeChat

MAX_SIGN_DATA = 4096  # bytes of UTF-8


def decrypt(
    request: Request,
    *,
    sessions: "Sessions",
    assertions: "Assertions",
    clock: Clock,
    settings: Settings,
) -> Answer:
    """Decrypt `{"kind", "encryptedData", "iv"}` with the current, then the previous session_key.

    Raises:
        InvalidRequest: if a field is malformed; no key is used.
        TooManyRequests: after too many failures of this user.
        DecryptFailed: whatever else is wrong with the data; each failure is counted.
    """
    token, body = request.token(), request.json()
    kind, signed = _kind(body), _signed(body)
    data, iv = opendata.ciphertext(body.get("encryptedData"), body.get("iv"))
    session = sessions.find_with_keys(token)
    now, max_age = clock(), settings.decrypt_max_age
    for session_key in session.session_keys:
        with suppress(ValueError):
            plaintext = opendata.decrypt(opendata.key_bytes(session_key), data, iv)
            fields = kinds.read(plaintext, kind, whose=session, now=now, max_age=max_age)
            if signed:
                opendata.check_raw_data(*signed, session_key, fields)
            break
    else:
        sessions.count_failure(token)
        raise DecryptFailed
    return _answer(session, kind, fields, assertions)


def phone(
    request: Request, *, sessions: "Sessions", wechat: "WeChat", assertions: "Assertions"
) -> Answer:
    """Trade `{"code"}` of the phone button for the phone number; needs no session_key.

    Raises:
        InvalidCode: the user must tap again.
        Misconfigured, SecretsUnavailable, DeadlineExceeded: the code is not spent.
        What else WeChat.phone_number raises.
    """
    token, code = request.token(), code_of(request.json())
    session = sessions.find(token)
    assertions.ensure_key()
    if request.deadline.remaining() < CODE_MINIMUM:
        raise DeadlineExceeded
    data = wechat.phone_number(session, code, request.deadline.less(WECHAT_RESERVE))
    return _answer(session, "phone", data, assertions)


def session(request: Request, *, sessions: "Sessions", wechat: "WeChat") -> Answer:
    """Answer `{"valid"}`: whether WeChat still accepts the session_key that is stored."""
    found = sessions.find_with_keys(request.token(), limited=False)
    deadline = request.deadline.less(WECHAT_RESERVE)
    valid = wechat.session_key_is_valid(found, found.session_keys[0], deadline)
    return json_answer({"valid": valid})


def sign(request: Request, *, sessions: "Sessions") -> Answer:
    """Sign `{"data"}`, the signData of wx.requestVirtualPayment, with the current session_key.

    Empty data is rejected: its signature is the one that WeChat's checksession takes for a login.

    Raises:
        InvalidRequest: unless data is 1 to MAX_SIGN_DATA bytes.
        TooManyRequests: after too many failed decryptions of this user.
    """
    token, data = request.token(), request.json().get("data")
    if not isinstance(data, str) or not 1 <= len(data.encode()) <= MAX_SIGN_DATA:
        raise InvalidRequest(f"data is a text of 1 to {MAX_SIGN_DATA} bytes.")
    session_key = sessions.find_with_keys(token).session_keys[0]
    return json_answer({"signature": opendata.user_signature(session_key, data)})


def _kind(body: Mapping[str, Any]) -> str:
    # Without a kind nothing is allowed, so nothing opens: that is a failure like any other.
    kind = body.get("kind", "")
    if not isinstance(kind, str) or ("kind" in body and kind not in kinds.KINDS):
        raise InvalidRequest(f"kind is one of {', '.join(kinds.KINDS)}.")
    return kind


def _signed(body: Mapping[str, Any]) -> tuple[str, str] | None:
    raw_data, signature = body.get("rawData"), body.get("signature")
    if body.get("kind") != "user" or (raw_data is None and signature is None):
        return None
    if not isinstance(raw_data, str) or not isinstance(signature, str):
        raise InvalidRequest("rawData and signature are texts that come together.")
    return raw_data, signature


def _answer(who: "Identity", kind: str, data: kinds.Fields, assertions: "Assertions") -> Answer:
    return json_answer({"data": data, "assertion": assertions.for_data(who, kind, data)})
