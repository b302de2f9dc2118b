"""WeChat's message push: official vectors, every refusal, and rotations of the secret."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.deadlines import Deadline
from chalicelib.errors import (
    GateError,
    Misconfigured,
    PushRefused,
    RequestTooLarge,
    SecretsUnavailable,
    UnknownApp,
)
from chalicelib.network.secrets import CACHE_SECONDS, REFRESH_INTERVAL, Secrets
from chalicelib.wechat.messages import Message
from chalicelib.wechat.push import MAX_AGE, MAX_BODY, OVERLAP, Push, PushKey
from simulator.wechat.push import Pushed, encrypted, push_secret_of, sealed, signature_of, xml
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, client_error, told_by

CORPUS = Path(__file__).parents[2] / "corpus/vectors.json"
VECTORS = {entry["id"]: entry for entry in json.loads(CORPUS.read_text())["vectors"]}
APPID, OTHER = "wx4f4bc4dec97d474b", "wx0000000000000001"
SECRET = push_secret_of(APPID)
MESSAGE = {"ToUserName": "gh_1", "MsgType": "event", "Event": "e", "CreateTime": NOW}
PLAIN = json.dumps(MESSAGE).encode()


class Gate:
    """A Push for two apps, on Secrets Manager in memory and a clock that stands still."""

    def __init__(self, secret: object = SECRET, appid: str = APPID) -> None:
        self.clock = Clock()
        self.manager = SecretsManager(self.clock)
        self.manager.put(f"wxgate/push/{appid}", secret)
        self.manager.put(f"wxgate/push/{OTHER}", push_secret_of(OTHER))
        secrets = Secrets(self.manager, self.clock, Alerts())
        self.push = Push(secrets, "wxgate/", (appid, OTHER), self.clock)

    def take(self, pushed: Pushed, appid: str = APPID) -> Message:
        return self.push.open(appid, list(pushed.query.items()), pushed.body)

    def reason(self, pushed: Pushed, appid: str = APPID) -> object:
        """Why a push is refused."""
        with pytest.raises(PushRefused) as caught:
            self.take(pushed, appid)
        return caught.value.evidence["reason"]


@pytest.fixture
def gate() -> Gate:
    return Gate()


def made(message: bytes = PLAIN, **changes: Any) -> Pushed:
    return sealed(APPID, message, SECRET, float(NOW), **changes)


def signed(envelope: bytes, text: str, **changes: str) -> Pushed:
    """A push whose signature is right for some Encrypt, whatever its body is."""
    query = {"timestamp": str(NOW), "nonce": "7", "encrypt_type": "aes", **changes}
    parts = SECRET["token"], query["timestamp"], query["nonce"]
    return Pushed({**query, "msg_signature": signature_of(*parts, text)}, envelope, "")


# --- WeChat's own vectors ---


def gate_of(vector: dict[str, Any]) -> Gate:
    secret = {"token": vector["token"], "aes_key": vector.get("encodingAESKey", "A" * 43)}
    gate = Gate(secret, vector.get("appid", APPID))
    gate.clock.now = float(vector["timestamp"])
    return gate


def test_the_official_check_of_the_url_is_answered_by_its_echostr() -> None:
    vector = VECTORS["push-url-verify-official"]
    query = [(name, vector[name]) for name in ("signature", "timestamp", "nonce", "echostr")]
    assert gate_of(vector).push.echo(APPID, query) == vector["answer_body"]


@pytest.mark.parametrize("vector", ["push-secure-official", "push-dec-wxbizmsgcrypt-sample"])
@pytest.mark.parametrize("is_xml", [False, True])
def test_an_official_push_opens_to_its_message(vector: str, is_xml: bool) -> None:
    entry = VECTORS[vector]
    query = {name: entry[name] for name in ("timestamp", "nonce", "msg_signature")}
    query |= {"encrypt_type": "aes", "openid": "o-of-the-url"}
    envelope = {"ToUserName": "gh_1", "Encrypt": entry["Encrypt"]}
    body = xml(envelope) if is_xml else json.dumps(envelope)
    pushed = Pushed(query, body.encode(), "")
    message = gate_of(entry).take(pushed, entry["appid"])
    if entry["expected_msg"].startswith("{"):
        assert json.loads(message.body) == json.loads(entry["expected_msg"])
    else:
        fields = re.findall(r"<(\w+)>(?:<!\[CDATA\[)?([^<\]]+)", entry["expected_msg"])
        assert json.loads(message.body) == dict(fields)


def test_the_official_push_carries_a_signature_of_the_plain_rule_too() -> None:
    entry = VECTORS["push-secure-official"]
    key = PushKey(entry["token"], b"", 0)
    assert key.has_signed(entry["url_signature_param"], entry["timestamp"], entry["nonce"])


@pytest.mark.parametrize(
    "vector", ["push-enc-pamtest-1", "push-dec-powerwechat", "push-echostr-encrypted-wecom"]
)
def test_an_envelope_of_the_public_vectors_opens(vector: str) -> None:
    """Among their keys are those whose last character has spare bits that are not zero."""
    entry = VECTORS[vector]
    key = base64.b64decode(entry["encodingAESKey"] + "=")
    appid = entry.get("appid") or entry["receive_id"]
    text = entry.get("Encrypt") or entry["expected_Encrypt"]
    message = entry.get("expected_msg") or entry["msg"]
    assert PushKey("token", key, 0).decrypt(text, appid) == message.encode()


def test_the_simulator_seals_as_the_official_vector_does() -> None:
    entry = VECTORS["push-secure-official"]
    random, message = entry["random16"].encode(), entry["expected_msg"].encode()
    assert encrypted(message, entry["encodingAESKey"], entry["appid"], random) == entry["Encrypt"]


# --- what is taken ---


@pytest.mark.parametrize("is_xml", [False, True])
def test_a_push_is_taken(gate: Gate, is_xml: bool) -> None:
    message = gate.take(made(is_xml=is_xml))
    assert json.loads(message.body) == MESSAGE
    assert message.appid == APPID


@pytest.mark.parametrize("off", [-MAX_AGE, MAX_AGE])
def test_a_clock_may_be_off_by_five_minutes(gate: Gate, off: int) -> None:
    gate.take(made(timestamp=str(NOW + off)))


def test_wechats_second_signature_may_be_missing(gate: Gate) -> None:
    pushed = made()
    del pushed.query["signature"]
    gate.take(pushed)


@given(st.binary(max_size=200), st.booleans())
def test_any_message_under_the_right_key_is_a_message_or_refused(data: bytes, is_xml: bool) -> None:
    gate = Gate()
    for content in (data, b'{"a":%s}' % data, b"<xml><a>%s</a></xml>" % data):
        try:
            assert isinstance(json.loads(gate.take(made(content, is_xml=is_xml)).body), dict)
        except PushRefused as error:
            assert error.evidence == {"reason": "envelope"}  # noqa: PT017 - one of two outcomes


# --- what is refused ---


def test_an_app_that_is_not_served_is_unknown(gate: Gate) -> None:
    for appid in ("wx-unknown", ""):
        with pytest.raises(UnknownApp):
            gate.take(made(), appid)
        with pytest.raises(UnknownApp):
            gate.push.echo(appid, [])


def test_a_body_of_a_mebibyte_is_looked_at_and_a_larger_one_is_not(gate: Gate) -> None:
    assert gate.reason(Pushed(made().query, b"x" * MAX_BODY, "")) == "body"
    with pytest.raises(RequestTooLarge):
        gate.take(Pushed(made().query, b"x" * (MAX_BODY + 1), ""))


def test_a_large_message_is_taken(gate: Gate) -> None:
    large = json.dumps({"Content": "很" * 250_000}, ensure_ascii=False).encode()
    assert gate.take(made(large)).body.count("很") == 250_000


@pytest.mark.parametrize("off", [-MAX_AGE - 1, MAX_AGE + 1])
def test_a_push_of_another_time_is_refused(gate: Gate, off: int) -> None:
    assert gate.reason(made(timestamp=str(NOW + off))) == "time"


def test_a_recorded_push_is_refused_six_minutes_later(gate: Gate) -> None:
    recorded = made()
    gate.take(recorded)
    gate.clock.advance(MAX_AGE + 1)
    assert gate.reason(recorded) == "time"


@pytest.mark.parametrize("name", ["timestamp", "nonce", "msg_signature", "encrypt_type"])
@pytest.mark.parametrize("value", [None, "", "\ud800", "x" * 1025, "a\nb", "１９"])
def test_a_malformed_query_is_refused(gate: Gate, name: str, value: str | None) -> None:
    pushed = made()
    pushed.query.pop(name)
    if value is not None:
        pushed.query[name] = value
    assert gate.reason(pushed) in ("query", "mode", "signature")


@pytest.mark.parametrize("name", ["timestamp", "nonce", "msg_signature", "encrypt_type"])
def test_a_parameter_that_comes_twice_is_refused(gate: Gate, name: str) -> None:
    pushed = made()
    query = [*pushed.query.items(), (name, pushed.query[name])]
    with pytest.raises(PushRefused):
        gate.push.open(APPID, query, pushed.body)


@pytest.mark.parametrize("name", ["timestamp", "nonce", "msg_signature", "signature"])
def test_what_is_signed_cannot_be_changed(gate: Gate, name: str) -> None:
    pushed = made()
    last = pushed.query[name][-1]
    pushed.query[name] = pushed.query[name][:-1] + ("1" if last == "0" else "0")
    assert gate.reason(pushed) == "signature"


def test_the_body_cannot_be_changed(gate: Gate) -> None:
    pushed, other = made(), made(b'{"Event":"forged"}')
    assert gate.reason(Pushed(pushed.query, other.body, "")) == "signature"


def test_a_signature_of_another_alphabet_is_refused(gate: Gate) -> None:
    pushed = made()
    assert gate.reason(Pushed({**pushed.query, "signature": "\ud800é"}, pushed.body, "")) == (
        "signature"
    )


def test_plain_mode_is_refused_though_its_signature_is_right(gate: Gate) -> None:
    query = {"timestamp": str(NOW), "nonce": "7"}
    query["signature"] = signature_of(SECRET["token"], str(NOW), "7")
    assert gate.reason(Pushed(query, PLAIN, "")) == "query"
    pushed = Pushed({**query, "encrypt_type": "aes", "msg_signature": "0" * 40}, PLAIN, "")
    assert gate.reason(pushed) == "mode"
    assert gate.reason(Pushed({**query, "encrypt_type": "raw"}, PLAIN, "")) == "mode"


@pytest.mark.parametrize("is_xml", [False, True])
def test_compatible_mode_is_refused_though_its_signature_is_right(gate: Gate, is_xml: bool) -> None:
    text = encrypted(PLAIN, SECRET["aes_key"], APPID)
    both = {**MESSAGE, "Encrypt": text}
    body = xml(both) if is_xml else json.dumps(both)
    assert gate.reason(signed(body.encode(), text)) == "mode"


def test_the_envelope_of_another_app_is_refused(gate: Gate) -> None:
    for appid in (OTHER, "", APPID + "x", APPID[:-1]):
        text = encrypted(PLAIN, SECRET["aes_key"], appid)
        envelope = json.dumps({"ToUserName": "gh_1", "Encrypt": text}).encode()
        assert gate.reason(signed(envelope, text)) == "envelope"


def test_a_push_to_one_app_opens_at_no_other(gate: Gate) -> None:
    assert gate.reason(made(), OTHER) == "signature"


def changed_plain(change: bytes, at: int) -> str:
    """Seal an envelope of which some bytes are others, padding included."""
    key = base64.b64decode(SECRET["aes_key"] + "=")
    opened = bytes(16) + len(PLAIN).to_bytes(4, "big") + PLAIN + APPID.encode()
    missing = 32 - len(opened) % 32
    plain = bytearray(opened + bytes([missing] * missing))
    plain[at : at + len(change) if at >= 0 else None] = change
    cipher = Cipher(AES(key), CBC(key[:16])).encryptor()
    return base64.b64encode(cipher.update(bytes(plain)) + cipher.finalize()).decode()


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (b"\xff\xff\xff\xff", 16),  # a length beyond the end
        (b"\x01", 16),
        (b"\x00\x00\x00\x00", 16),  # none
        ((len(PLAIN) + 1).to_bytes(4, "big"), 16),
        ((len(PLAIN) - 1).to_bytes(4, "big"), 16),
        (b"\x00", -1),  # padding of nothing
        (b"\x21", -1),  # of more than a block
        (b"\x01", -1),  # shorter than it is: the rest is no appid
    ],
)
def test_an_envelope_with_a_wrong_length_or_padding_is_refused(
    gate: Gate, change: bytes, at: int
) -> None:
    text = changed_plain(change, at)
    assert gate.reason(signed(json.dumps({"Encrypt": text}).encode(), text)) == "envelope"


def test_an_unchanged_envelope_of_these_tests_opens(gate: Gate) -> None:
    """Guards the test above: it would pass with an envelope that never opens."""
    text = changed_plain(bytes(16), 0)
    gate.take(signed(json.dumps({"Encrypt": text}).encode(), text))


@pytest.mark.parametrize(
    "text", ["", "====", "A", "AAAA", base64.b64encode(bytes(16)).decode(), "AA AA", "Zm9v\n"]
)
def test_an_encrypt_that_is_no_ciphertext_is_refused(gate: Gate, text: str) -> None:
    assert gate.reason(signed(json.dumps({"Encrypt": text}).encode(), text)) == "envelope"


@pytest.mark.parametrize("change", ["\n", " ", "=", "-"])
def test_an_encrypt_has_one_spelling(gate: Gate, change: str) -> None:
    text = encrypted(PLAIN, SECRET["aes_key"], APPID)
    for spelling in (text[:8] + change + text[8:], text + change):
        envelope = json.dumps({"Encrypt": spelling}).encode()
        assert gate.reason(signed(envelope, spelling)) == "envelope"


@pytest.mark.parametrize("envelope", [b"{}", b'{"Encrypt":7}', '{"Encrypt":"é"}'.encode()])
def test_a_body_without_an_encrypt_is_refused(gate: Gate, envelope: bytes) -> None:
    assert gate.reason(signed(envelope, "")) == "mode"


BOMB = b"<!DOCTYPE x [%s]><xml><Encrypt>&a9;</Encrypt></xml>" % b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"bomb") for n in range(10)
)
OUTSIDE = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><Encrypt>&e;</Encrypt></xml>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"success",
        b"[]",
        b'{"Encrypt":',
        b"<xml>",
        b"<xml/>",
        b"<other><Encrypt>a</Encrypt></other>",
        BOMB,
        OUTSIDE,
        b'<!DOCTYPE x SYSTEM "http://evil.test/x.dtd"><xml><Encrypt>a</Encrypt></xml>',
        b"<xml>%s</xml>" % (b"<a/>" * 250_000),
        b"<xml>%s%s</xml>" % (b"<a>" * 4_000, b"</a>" * 4_000),
        b'{"Encrypt":%s' % (b"[" * 100_000),
        '<?xml version="1.0" encoding="utf-16"?><xml/>'.encode("utf-16"),
    ],
    ids=range(15),
)
def test_a_body_that_is_no_envelope_is_refused(gate: Gate, body: bytes) -> None:
    assert gate.reason(Pushed(made().query, body, "")) == "body"


@given(
    st.lists(st.tuples(st.sampled_from([*made().query, "openid", ""]), st.text(max_size=20))),
    st.binary(max_size=300),
    st.booleans(),
)
@example([], b"", False)
def test_nothing_but_what_is_signed_is_taken(
    query: list[tuple[str, str]], body: bytes, good: bool
) -> None:
    """Any query with any body, alone or added to a push that is right."""
    gate, pushed = Gate(), made()
    sent = [*pushed.query.items(), *query] if good else query
    with pytest.raises(PushRefused):
        gate.push.open(APPID, sent, body)
    with pytest.raises(PushRefused):
        gate.push.echo(APPID, [pair for pair in sent if pair[0] != "echostr"])


# --- the check of the URL ---


def check(**changes: str) -> list[tuple[str, str]]:
    query = {"timestamp": str(NOW), "nonce": "7", "echostr": "4375", **changes}
    query.setdefault("signature", signature_of(SECRET["token"], query["timestamp"], query["nonce"]))
    return list(query.items())


def test_an_echostr_comes_back_as_it_came(gate: Gate) -> None:
    for echostr in ('<b>"7"+ %20', "1" * 1024):
        assert gate.push.echo(APPID, check(echostr=echostr)) == echostr


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "0" * 40},
        {"timestamp": str(NOW - MAX_AGE - 1)},
        {"echostr": ""},
        {"echostr": "a\r\nb"},
        {"echostr": "1" * 1025},
    ],
)
def test_a_wrong_check_is_refused(gate: Gate, changes: dict[str, str]) -> None:
    with pytest.raises(PushRefused):
        gate.push.echo(APPID, check(**changes))


def test_every_refusal_is_one_answer(gate: Gate) -> None:
    answers = set()
    for pushed in (made(timestamp="1"), made(b"junk"), signed(b"{}", ""), Pushed({}, b"", "")):
        with pytest.raises(PushRefused) as caught:
            gate.take(pushed)
        answers.add((caught.value.status, caught.value.message, str(caught.value.headers)))
    assert answers == {(403, "Forbidden.", "{}")}


# --- the secret ---


def rotated(gate: Gate) -> Pushed:
    """Rotate the secret; give a push under the new one."""
    new = {"token": "NewToken", "aes_key": "b" * 43}
    gate.manager.put(f"wxgate/push/{APPID}", new)
    return sealed(APPID, PLAIN, new, gate.clock())


def now(gate: Gate) -> Pushed:
    return sealed(APPID, PLAIN, SECRET, gate.clock())


def test_after_a_rotation_the_old_secret_is_taken_for_a_day_beside_the_new_one(gate: Gate) -> None:
    gate.take(now(gate))
    gate.clock.advance(REFRESH_INTERVAL)
    new = rotated(gate)
    gate.take(new)  # at once: what is not known is read again
    gate.take(now(gate))
    gate.clock.advance(OVERLAP - 1)
    gate.take(now(gate))
    gate.clock.advance(1)
    assert gate.reason(now(gate)) == "signature"


def test_forged_signatures_read_the_secret_again_at_most_every_thirty_seconds(gate: Gate) -> None:
    for _ in range(10):
        assert gate.reason(signed(made().body, "")) == "signature"
    assert gate.manager.count() == 1
    gate.clock.advance(REFRESH_INTERVAL)
    for _ in range(10):
        assert gate.reason(signed(made().body, "")) == "signature"
    assert gate.manager.count() == 2


def test_a_stale_secret_serves_while_secrets_manager_is_down(gate: Gate) -> None:
    gate.take(now(gate))
    gate.manager.failure = client_error("InternalServiceError")
    gate.clock.advance(CACHE_SECONDS)
    gate.take(now(gate))


def test_without_secrets_manager_a_push_is_answered_503() -> None:
    gate = Gate()
    gate.manager.failure = client_error("InternalServiceError")
    with pytest.raises(SecretsUnavailable):
        gate.take(made())


@pytest.mark.parametrize(
    "secret",
    [
        "not JSON",
        {},
        {"token": SECRET["token"]},
        {**SECRET, "token": "ab"},
        {**SECRET, "token": "with blank"},
        {**SECRET, "token": "a" * 33},
        {**SECRET, "aes_key": "a" * 42},
        {**SECRET, "aes_key": "a" * 42 + "="},
        {**SECRET, "aes_key": "a" * 44},
    ],
)
def test_a_malformed_secret_is_the_operators_fault_and_is_not_quoted(secret: object) -> None:
    with pytest.raises(Misconfigured) as caught:
        Gate(secret).take(made())
    told = told_by(caught.value)
    assert f"wxgate/push/{APPID}" in told
    assert re.search(r"is missing or malformed|token or aes_key is malformed|JSON", told)
    assert SECRET["token"] not in told
    assert SECRET["aes_key"] not in told


def test_a_missing_secret_is_the_operators_fault(gate: Gate) -> None:
    gate.manager.failure = client_error("ResourceNotFoundException")
    with pytest.raises(Misconfigured):
        gate.take(made())


def test_no_error_holds_what_was_pushed(gate: Gate) -> None:
    canary = b'{"canary-7":'
    for pushed in (made(canary), Pushed(made().query, canary, "")):
        with pytest.raises(GateError) as caught:
            gate.take(pushed)
        assert "canary" not in told_by(caught.value)
    assert "canary" not in repr(gate.take(made(canary + b"1}")))
    assert SECRET["token"] not in repr(PushKey(SECRET["token"], b"", 0))


def test_secrets_are_read_ahead_until_the_deadline(gate: Gate) -> None:
    gate.push.warm(Deadline(0.0, lambda: 0.0))
    assert gate.manager.calls == []
    gate.push.warm(Deadline(0.1, lambda: 0.0))
    assert gate.manager.count() == 2
