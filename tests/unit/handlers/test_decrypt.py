"""Decrypt, phone, session, sign: what opens, what is counted, and what no answer reveals."""

import base64
import hmac
import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib import errors
from chalicelib.deadlines import CODE_MINIMUM, WECHAT_RESERVE, Deadline
from chalicelib.errors import DecryptFailed, InvalidRequest, TooManyRequests
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
SETTINGS: Any = SimpleNamespace(decrypt_max_age=300)
LEFT = 7.0
WATERMARK = {"appid": APPID, "timestamp": NOW - 300}  # as old as the operator says
PHONE = {"phoneNumber": "13812345678", "purePhoneNumber": "13812345678", "countryCode": "86"}
USER = {"nickName": "微信用户", "avatarUrl": ""}


@dataclass
class Sessions:
    """One live session; counts failures and reads. `full` is the Retry-After of a full window."""

    session: Session = ALICE
    full: int = 0
    counted: int = 0
    reads: int = 0

    def find(self, token: Token) -> Session:
        assert token == TOKEN
        self.reads += 1
        return replace(self.session, session_keys=())

    def find_with_keys(self, token: Token, *, limited: bool = True) -> Session:
        assert token == TOKEN
        self.reads += 1
        if limited and self.full:
            raise TooManyRequests(retry_after=self.full)
        return self.session

    def count_failure(self, token: Token) -> None:
        assert token == TOKEN
        self.counted += 1


@dataclass
class Assertions:
    """Signs by repeating the claims; without a key it cannot."""

    key: bool = True

    def ensure_key(self) -> None:
        if not self.key:
            raise errors.SecretsUnavailable

    def for_data(self, who: Identity, kind: str, data: dict[str, Any]) -> str:
        return json.dumps([who.openid, who.appid, kind, data])


class WeChat:
    """Knows one session_key; `calls` end with the seconds that are left."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def phone_number(self, who: Identity, code: str, deadline: Deadline) -> dict[str, str]:
        self.calls.append((who.appid, who.openid, code, deadline.remaining()))
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
    services: Any = {"sessions": sessions or Sessions(), "assertions": Assertions()}
    answer = decrypt.decrypt(sent(body, token), **services, clock=Clock(), settings=SETTINGS)
    return json.loads(answer.body)


def test_data_opens_to_the_fields_of_its_kind_alone_signed_for_the_upstream() -> None:
    sessions = Sessions()
    answer = opened(sealed("phone", {**PHONE, "undocumented": "x"}), sessions)
    assert answer["data"] == PHONE
    assert json.loads(answer["assertion"]) == ["o-alice", APPID, "phone", PHONE]
    assert (sessions.counted, sessions.reads) == (0, 1)


SIGNED = json.dumps(USER, ensure_ascii=False)


def profile(text: str = SIGNED, key: str = KEY, **fields: object) -> dict[str, Any]:
    """A user's open data beside a signed text."""
    signature = raw_data_signature(text, key)
    return sealed("user", {**USER, **fields}, rawData=text, signature=signature)


WHOLE = sealed("phone", PHONE)
FAILURES = {
    "a key that is not ours": sealed("phone", PHONE, OTHER),
    "another kind": sealed("user", PHONE),
    "no kind": {name: value for name, value in WHOLE.items() if name != "kind"},
    "another app": sealed("phone", {**PHONE, "watermark": {**WATERMARK, "appid": "wxother"}}),
    "another user": profile(openId="o-bob"),
    "a block of noise": {**WHOLE, "encryptedData": WHOLE["iv"]},
    "a wrong signature": {**profile(), "signature": "0" * 40},
    "signed text that differs": profile(nickName="Eve"),
    "signed text that is no JSON": profile("{"),
    "signed under another key than sealed": profile(key=OLDER),
}


@pytest.mark.parametrize("cause", FAILURES)
def test_every_failure_is_counted_and_looks_the_same(cause: str) -> None:
    sessions = Sessions()
    with pytest.raises(DecryptFailed) as refused:
        opened(FAILURES[cause], sessions)
    seen = sessions.counted, refused.value.message, refused.value.evidence
    assert seen == (1, DecryptFailed.message, {})


KIND = "kind is one of user, phone, werun, share, group."
PAIR = "rawData and signature are texts that come together."
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, InvalidRequest.message),
    "an unknown kind": ({**WHOLE, "kind": "money"}, KIND),
    "an empty kind": ({**WHOLE, "kind": ""}, KIND),
    "a kind that is no text": ({**WHOLE, "kind": ["phone"]}, KIND),
    "no data": ({**WHOLE, "encryptedData": None}, InvalidRequest.message),
    "a short iv": ({**WHOLE, "iv": "AAAA"}, InvalidRequest.message),
    "a signature alone": ({**WHOLE, "kind": "user", "signature": "x"}, PAIR),
    "an object": ({**WHOLE, "kind": "user", "rawData": {}, "signature": "x"}, PAIR),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_field_touches_no_key_and_is_named(fault: str) -> None:
    sessions, (body, message) = Sessions(), MALFORMED[fault]
    with pytest.raises(InvalidRequest) as refused:
        opened(body, sessions)
    assert refused.value.message == message
    assert (sessions.reads, sessions.counted) == (0, 0)


def test_signed_user_info_opens_with_the_key_that_signed_it() -> None:
    whose = {**USER, "openId": "o-alice"}
    for key in (KEY, OLDER):
        signature = raw_data_signature(SIGNED, key)
        body = sealed("user", whose, key, rawData=SIGNED, signature=signature)
        assert opened(body)["data"] == whose
    # A signature beside another kind is ignored.
    assert opened({**WHOLE, "rawData": 5, "signature": None})["data"] == PHONE


def test_after_too_many_failures_nothing_is_opened_nor_signed_until_the_window_ends() -> None:
    sessions = Sessions(full=123)
    with pytest.raises(TooManyRequests):
        opened(WHOLE, sessions)
    with pytest.raises(TooManyRequests):
        signed({"data": "x"}, sessions)
    assert sessions.counted == 0


def test_the_token_is_checked_before_the_body() -> None:
    for token in (None, "junk"):
        with pytest.raises(errors.InvalidToken):
            opened({}, token=token)
        with pytest.raises(errors.InvalidToken):
            signed({}, token=token)


def phoned(services: Any, code: str = "phonecode", left: float = LEFT) -> Any:
    return json.loads(decrypt.phone(sent({"code": code}, left=left), **services).body)


@pytest.fixture
def services() -> dict[str, Any]:
    return {"sessions": Sessions(), "wechat": WeChat(), "assertions": Assertions()}


def test_no_phone_code_is_spent_without_a_signing_key_time_or_a_code(services: Any) -> None:
    with pytest.raises(InvalidRequest):
        phoned(services, "a b")
    assert services["sessions"].reads == 0
    with pytest.raises(errors.DeadlineExceeded):
        phoned(services, left=CODE_MINIMUM - 0.1)
    with pytest.raises(errors.SecretsUnavailable):
        phoned({**services, "assertions": Assertions(key=False)})
    assert services["wechat"].calls == []


def test_a_phone_code_becomes_the_number_and_its_assertion(services: Any) -> None:
    answer = phoned(services, left=CODE_MINIMUM)
    assert answer["data"] == PHONE
    assert json.loads(answer["assertion"]) == ["o-alice", APPID, "phone", PHONE]
    left = CODE_MINIMUM - WECHAT_RESERVE
    assert services["wechat"].calls == [(APPID, "o-alice", "phonecode", left)]


@pytest.mark.parametrize(("keys", "valid"), [((KEY, OLDER), True), ((OTHER, KEY), False)])
def test_wechat_checks_the_current_key(keys: tuple[str, ...], valid: bool) -> None:
    sessions: Any = Sessions(replace(ALICE, session_keys=keys), full=123)
    wechat: Any = WeChat()
    answer = decrypt.session(sent({}), sessions=sessions, wechat=wechat)
    assert json.loads(answer.body) == {"valid": valid}
    assert wechat.calls == [(APPID, "o-alice", keys[0], LEFT - WECHAT_RESERVE)]


SIGN_KEY = "o0q0otL8aEzpcZL/FT9WsQ=="
# WeChat, «用户登录态签名», the example of a POST body.
KNOWN = {'{"foo":"bar"}': "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b"}


def signed(body: object, sessions: Any = None, token: str | None = TOKEN.text) -> Any:
    store: Any = sessions or Sessions(replace(ALICE, session_keys=(SIGN_KEY, OLDER)))
    request = sent(body, token)
    answer = decrypt.sign(request, sessions=store)
    assert request.log_fields.keys() == {"user"}
    return json.loads(answer.body)


def test_any_text_up_to_the_limit_is_signed_with_the_text_of_the_current_key() -> None:
    texts = ("x", "付" * 1365, " ", "\0", "x" * 4096)
    others = {x: hmac.new(SIGN_KEY.encode(), x.encode(), "sha256").hexdigest() for x in texts}
    for data, signature in (KNOWN | others).items():
        assert signed({"data": data}) == {"signature": signature}


def test_nothing_else_is_signed_and_no_key_is_read() -> None:
    sessions = Sessions()
    values = ("", None, 5, ["x"], {"foo": "bar"}, True, "x" * 4097, "付" * 1366)
    for body in ({}, *({"data": value} for value in values)):
        with pytest.raises(InvalidRequest, match=r"^data is a text of 1 to 4096 bytes\.$"):
            signed(body, sessions)
    assert sessions.reads == 0
