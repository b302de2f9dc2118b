"""Decrypt, phone, session, sign: what opens, what is counted, and what no answer reveals."""

import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.deadlines import CODE_MINIMUM, WECHAT_RESERVE, Deadline
from chalicelib.errors import (
    DeadlineExceeded,
    DecryptFailed,
    GateError,
    InvalidCode,
    InvalidRequest,
    InvalidToken,
    SecretsUnavailable,
    StoreUnavailable,
    TooManyRequests,
)
from chalicelib.front.request import Request
from chalicelib.handlers import decrypt
from chalicelib.identity import Identity
from chalicelib.sessions.sessions import Session
from chalicelib.sessions.tokens import Token
from simulator.gateway import event_of
from simulator.wechat.cipher import encrypt, raw_data_signature
from tests.support.fakes import NOW, Clock

APPID = "wx4f4bc4dec97d474b"
KEY, OLDER, OTHER = (base64.b64encode(bytes([n]) * 16).decode() for n in (1, 2, 3))
ALICE = Session(APPID, "o-alice", "o-union", (KEY, OLDER))
TOKEN = Token.new(b"u" * 16)
IV = bytes(range(16))
LEFT = 7.0
WATERMARK = {"appid": APPID, "timestamp": NOW}
PHONE = {"phoneNumber": "13812345678", "purePhoneNumber": "13812345678", "countryCode": "86"}
USER = {"nickName": "微信用户", "avatarUrl": ""}


class Sessions:
    """One live session; counts failures and reads. `full` is the Retry-After of a full window."""

    def __init__(self, session: Session = ALICE, *, full: int = 0) -> None:
        self._session = session
        self._full = full
        self.counted = 0
        self.reads = 0
        self.refusal: GateError | None = None

    def find(self, token: Token) -> Session:
        assert token == TOKEN
        self.reads += 1
        return replace(self._session, session_keys=())

    def find_with_keys(self, token: Token, *, limited: bool = True) -> Session:
        assert token == TOKEN
        self.reads += 1
        if limited and self._full:
            raise TooManyRequests(retry_after=self._full)
        return self._session

    def count_failure(self, token: Token) -> None:
        assert token == TOKEN
        if self.refusal:
            raise self.refusal
        self.counted += 1


class Assertions:
    """Signs by repeating the claims; without a key it cannot."""

    def __init__(self, *, key: bool = True) -> None:
        self._key = key

    def ensure_key(self) -> None:
        if not self._key:
            raise SecretsUnavailable

    def for_data(self, who: Identity, kind: str, data: dict[str, Any]) -> str:
        return json.dumps([who.openid, who.appid, kind, data])


class WeChat:
    """Knows one phone code and one session_key; `calls` end with the seconds that are left."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def phone_number(self, who: Identity, code: str, deadline: Deadline) -> dict[str, str]:
        self.calls.append((who.appid, who.openid, code, deadline.remaining()))
        if code != "phonecode":
            raise InvalidCode
        return PHONE

    def session_key_is_valid(self, who: Identity, session_key: str, deadline: Deadline) -> bool:
        self.calls.append((who.appid, who.openid, session_key, deadline.remaining()))
        return session_key == KEY


def sent(body: object, token: str | None = TOKEN.text, left: float = LEFT) -> Request:
    headers = [("Content-Type", "application/json")]
    headers += [("Authorization", f"Bearer {token}")] if token else []
    event = event_of("POST", "/decrypt", headers, json.dumps(body), ["/decrypt"])
    return Request(event, Deadline.after(left, Clock()))


def sealed(kind: str, fields: dict[str, Any], key: str = KEY, **more: object) -> dict[str, Any]:
    plaintext = json.dumps({"watermark": WATERMARK, **fields}, ensure_ascii=False)
    data = encrypt(key, IV, plaintext)
    return {"kind": kind, "encryptedData": data, "iv": base64.b64encode(IV).decode(), **more}


def opened(body: object, sessions: Any = None, token: str | None = TOKEN.text) -> Any:
    assertions: Any = Assertions()
    store: Any = sessions or Sessions()
    answer = decrypt.decrypt(
        sent(body, token),
        sessions=store,
        assertions=assertions,
        clock=Clock(),
        max_age=300,
    )
    return json.loads(answer.body)


def test_data_opens_to_the_fields_of_its_kind_alone_signed_for_the_upstream() -> None:
    sessions = Sessions()
    answer = opened(sealed("phone", {**PHONE, "undocumented": "x"}), sessions)
    assert answer["data"] == PHONE
    assert json.loads(answer["assertion"]) == ["o-alice", APPID, "phone", PHONE]
    assert (sessions.counted, sessions.reads) == (0, 1)


def test_data_of_just_before_a_new_login_opens_with_the_previous_key() -> None:
    assert opened(sealed("phone", PHONE, OLDER))["data"] == PHONE


SIGNED = json.dumps(USER, ensure_ascii=False)
SIGNATURE = raw_data_signature(SIGNED, KEY)
FAILURES = {
    "a key that is not ours": sealed("phone", PHONE, OTHER),
    "another kind": sealed("user", PHONE),
    "no kind": {k: v for k, v in sealed("phone", PHONE).items() if k != "kind"},
    "another app": sealed("phone", {**PHONE, "watermark": {**WATERMARK, "appid": "wxother"}}),
    "another user": sealed("user", {**USER, "openId": "o-bob"}),
    "a block of noise": {**sealed("phone", PHONE), "encryptedData": base64.b64encode(IV).decode()},
    "a wrong signature": sealed("user", USER, rawData=SIGNED, signature="0" * 40),
    "signed text that differs": sealed(
        "user", {**USER, "nickName": "Eve"}, rawData=SIGNED, signature=SIGNATURE
    ),
    "signed text that is no JSON": sealed(
        "user", USER, rawData="{", signature=raw_data_signature("{", KEY)
    ),
    "signed under another key than sealed": sealed(
        "user", USER, rawData=SIGNED, signature=raw_data_signature(SIGNED, OLDER)
    ),
}


@pytest.mark.parametrize("cause", FAILURES)
def test_every_failure_is_counted_and_looks_the_same(cause: str) -> None:
    sessions = Sessions()
    with pytest.raises(DecryptFailed) as refused:
        opened(FAILURES[cause], sessions)
    assert sessions.counted == 1
    assert refused.value.message == DecryptFailed.message
    assert refused.value.evidence == {}


@pytest.mark.parametrize("refusal", [StoreUnavailable(), TooManyRequests(retry_after=77)])
def test_a_failure_that_cannot_be_counted_is_not_revealed(refusal: GateError) -> None:
    sessions = Sessions()
    sessions.refusal = refusal
    with pytest.raises(type(refusal)) as refused:
        opened(sealed("phone", PHONE, OTHER), sessions)
    assert refused.value is refusal


def test_a_watermark_may_be_as_old_as_the_operator_says() -> None:
    body = sealed("phone", {**PHONE, "watermark": {**WATERMARK, "timestamp": NOW - 300}})
    assert opened(body)["data"] == PHONE


WHOLE = sealed("phone", PHONE)
KIND = "kind is one of user, phone, werun, share, group."
PAIR = "rawData and signature are texts that come together."
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, InvalidRequest.message),
    "an unknown kind": ({**WHOLE, "kind": "money"}, KIND),
    "an empty kind": ({**WHOLE, "kind": ""}, KIND),
    "a kind that is no text": ({**WHOLE, "kind": ["phone"]}, KIND),
    "no data": ({**WHOLE, "encryptedData": None}, InvalidRequest.message),
    "a short iv": ({**WHOLE, "iv": "AAAA"}, InvalidRequest.message),
    "a signature alone": ({**WHOLE, "kind": "user", "signature": SIGNATURE}, PAIR),
    "an object": ({**WHOLE, "kind": "user", "rawData": {}, "signature": "x"}, PAIR),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_field_touches_no_key_and_is_named(fault: str) -> None:
    sessions, (body, message) = Sessions(), MALFORMED[fault]
    with pytest.raises(InvalidRequest) as refused:
        opened(body, sessions)
    assert refused.value.message == message
    assert (sessions.reads, sessions.counted) == (0, 0)


@pytest.mark.parametrize("key", [KEY, OLDER])
def test_signed_user_info_opens_with_the_key_that_signed_it(key: str) -> None:
    signature = raw_data_signature(SIGNED, key)
    body = sealed("user", {**USER, "openId": "o-alice"}, key, rawData=SIGNED, signature=signature)
    assert opened(body)["data"] == {**USER, "openId": "o-alice"}


def test_a_signature_beside_another_kind_is_ignored() -> None:
    assert opened(sealed("phone", PHONE, rawData=5, signature=None))["data"] == PHONE


def test_after_too_many_failures_nothing_opens_until_the_window_ends() -> None:
    sessions = Sessions(full=123)
    with pytest.raises(TooManyRequests):
        opened(sealed("phone", PHONE), sessions)
    assert sessions.counted == 0


def test_the_token_is_checked_before_the_body() -> None:
    for token in (None, "junk"):
        with pytest.raises(InvalidToken):
            opened({}, token=token)


def phoned(body: object, wechat: Any, sessions: Any) -> Any:
    assertions: Any = Assertions()
    answer = decrypt.phone(sent(body), sessions=sessions, wechat=wechat, assertions=assertions)
    return json.loads(answer.body)


def test_without_a_signing_key_no_phone_code_is_spent() -> None:
    assertions: Any = Assertions(key=False)
    sessions: Any = Sessions()
    wechat: Any = WeChat()
    request = sent({"code": "phonecode"})
    with pytest.raises(SecretsUnavailable):
        decrypt.phone(request, sessions=sessions, wechat=wechat, assertions=assertions)
    assert wechat.calls == []


def test_without_time_for_an_answer_no_phone_code_is_spent() -> None:
    fakes: Any = {"sessions": Sessions(), "wechat": WeChat(), "assertions": Assertions()}
    with pytest.raises(DeadlineExceeded):
        decrypt.phone(sent({"code": "phonecode"}, left=CODE_MINIMUM - 0.1), **fakes)
    assert fakes["wechat"].calls == []


def test_a_phone_code_becomes_the_number_and_its_assertion() -> None:
    wechat = WeChat()
    answer = phoned({"code": "phonecode"}, wechat, Sessions())
    assert answer["data"] == PHONE
    assert json.loads(answer["assertion"]) == ["o-alice", APPID, "phone", PHONE]
    assert wechat.calls == [(APPID, "o-alice", "phonecode", LEFT - WECHAT_RESERVE)]


def test_a_malformed_phone_code_costs_nothing() -> None:
    wechat, sessions = WeChat(), Sessions()
    with pytest.raises(InvalidRequest):
        phoned({"code": "a b"}, wechat, sessions)
    assert (wechat.calls, sessions.reads) == ([], 0)


@pytest.mark.parametrize(("keys", "valid"), [((KEY, OLDER), True), ((OTHER, KEY), False)])
def test_wechat_checks_the_current_key(keys: tuple[str, ...], valid: bool) -> None:
    sessions: Any = Sessions(replace(ALICE, session_keys=keys), full=123)
    wechat: Any = WeChat()
    answer = decrypt.session(sent({}), sessions=sessions, wechat=wechat)
    assert json.loads(answer.body) == {"valid": valid}
    assert wechat.calls == [(APPID, "o-alice", keys[0], LEFT - WECHAT_RESERVE)]


# --- signatures ---

SIGN_DATA = '{"foo":"bar"}'
SIGN_KEY = "o0q0otL8aEzpcZL/FT9WsQ=="
# WeChat, «用户登录态签名», the example of a POST body.
KNOWN_SIGNATURE = "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b"


def signed(body: object, sessions: Any = None, token: str | None = TOKEN.text) -> Any:
    store: Any = sessions or Sessions(replace(ALICE, session_keys=(SIGN_KEY, OLDER)))
    request = sent(body, token)
    answer = decrypt.sign(request, sessions=store)
    assert request.log_fields.keys() == {"user"}
    return json.loads(answer.body)


def test_data_is_signed_with_the_text_of_the_current_key() -> None:
    assert signed({"data": SIGN_DATA}) == {"signature": KNOWN_SIGNATURE}


@pytest.mark.parametrize("data", ["x", "付" * 1365, " ", "\0", "x" * 4096])
def test_any_text_up_to_the_limit_is_signed(data: str) -> None:
    key = SIGN_KEY.encode()
    assert signed({"data": data})["signature"] == hmac.new(key, data.encode(), "sha256").hexdigest()


@pytest.mark.parametrize(
    "data",
    ["", None, 5, ["x"], {"foo": "bar"}, True, "x" * 4097, "付" * 1366],
    ids=lambda d: str(d)[:9],
)
def test_nothing_else_is_signed_and_no_key_is_read(data: object) -> None:
    sessions = Sessions()
    for body in ({"data": data}, {}):
        with pytest.raises(InvalidRequest, match=r"^data is a text of 1 to 4096 bytes\.$"):
            signed(body, sessions)
    assert sessions.reads == 0


def test_who_may_not_decrypt_may_not_sign() -> None:
    with pytest.raises(TooManyRequests):
        signed({"data": "x"}, Sessions(full=123))
    with pytest.raises(InvalidToken):
        signed({"data": "x"}, token="junk")
