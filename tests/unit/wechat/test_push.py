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
from chalicelib.errors import GateError, Misconfigured, PushRefused, RequestTooLarge, UnknownApp
from chalicelib.network.secrets import REFRESH_INTERVAL, Secrets
from chalicelib.wechat.messages import Message
from chalicelib.wechat.push import MAX_AGE, MAX_BODY, OVERLAP, Push, PushKey
from simulator.wechat.push import Pushed, encrypted, push_secret_of, sealed, signature_of, xml
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, told_by

CORPUS = Path(__file__).parents[2] / "corpus/vectors.json"
VECTORS = {entry["id"]: entry for entry in json.loads(CORPUS.read_text())["vectors"]}
APPID, OTHER = "wx4f4bc4dec97d474b", "wx0000000000000001"
SECRET = push_secret_of(APPID)
MESSAGE: dict[str, Any] = {
    "ToUserName": "gh_1",
    "MsgType": "event",
    "Event": "e",
    "CreateTime": NOW,
}
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


def signed(envelope: bytes, text: str) -> Pushed:
    """A push whose signature is right for some Encrypt, whatever its body is."""
    query = {"timestamp": str(NOW), "nonce": "7", "encrypt_type": "aes"}
    signature = signature_of(SECRET["token"], str(NOW), "7", text)
    return Pushed({**query, "msg_signature": signature}, envelope, "")


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
    if (
        vector == "push-secure-official"
    ):  # which shows the other signature too, and the random bytes
        query["signature"] = entry["url_signature_param"]
        sealed_by = entry["encodingAESKey"], entry["appid"], entry["random16"].encode()
        assert encrypted(entry["expected_msg"].encode(), *sealed_by) == entry["Encrypt"]
    envelope = {"ToUserName": "gh_1", "Encrypt": entry["Encrypt"]}
    body = xml(envelope) if is_xml else json.dumps(envelope)
    pushed = Pushed(query, body.encode(), "")
    message = gate_of(entry).take(pushed, entry["appid"])
    assert message.appid == entry["appid"]
    if entry["expected_msg"].startswith("{"):
        assert json.loads(message.body) == json.loads(entry["expected_msg"])
    else:
        fields = re.findall(r"<(\w+)>(?:<!\[CDATA\[)?([^<\]]+)", entry["expected_msg"])
        assert json.loads(message.body) == dict(fields)


def test_an_envelope_of_the_public_vectors_opens() -> None:
    """Among their keys are those whose last character has spare bits that are not zero."""
    for vector in ("push-enc-pamtest-1", "push-dec-powerwechat", "push-echostr-encrypted-wecom"):
        entry = VECTORS[vector]
        key = base64.b64decode(entry["encodingAESKey"] + "=")
        appid = entry.get("appid") or entry["receive_id"]
        text = entry.get("Encrypt") or entry["expected_Encrypt"]
        message = entry.get("expected_msg") or entry["msg"]
        assert PushKey("token", key, 0).decrypt(text, appid) == message.encode()


def test_a_clock_may_be_off_by_five_minutes(gate: Gate) -> None:
    for off in (-MAX_AGE, MAX_AGE):
        gate.take(made(timestamp=str(NOW + off)))
    for off in (-MAX_AGE - 1, MAX_AGE + 1):
        assert gate.reason(made(timestamp=str(NOW + off))) == "time"


@given(st.binary(max_size=200), st.booleans())
def test_any_message_under_the_right_key_is_a_message_or_refused(data: bytes, is_xml: bool) -> None:
    gate = Gate()
    for content in (data, b'{"a":%s}' % data, b"<xml><a>%s</a></xml>" % data):
        try:
            assert isinstance(json.loads(gate.take(made(content, is_xml=is_xml)).body), dict)
        except PushRefused as error:
            assert error.evidence == {"reason": "envelope"}  # noqa: PT017 - one of two outcomes


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
    large = json.dumps({"Content": "很" * 250_000}, ensure_ascii=False).encode()
    assert gate.take(made(large)).body.count("很") == 250_000


@pytest.mark.parametrize("name", ["timestamp", "nonce", "msg_signature", "encrypt_type"])
def test_a_parameter_that_is_malformed_or_comes_twice_is_refused(gate: Gate, name: str) -> None:
    for value in (None, "", "\ud800", "x" * 1025, "a\nb", "１９"):
        pushed = made()
        query = {key: text for key, text in pushed.query.items() if key != name}
        query |= {} if value is None else {name: value}
        reason = gate.reason(Pushed(query, pushed.body, ""))
        assert reason in ("query", "mode", "signature")
    twice = [*pushed.query.items(), (name, pushed.query[name])]
    with pytest.raises(PushRefused):
        gate.push.open(APPID, twice, pushed.body)


def test_what_is_signed_cannot_be_changed(gate: Gate) -> None:
    pushed, other = made(), made(b'{"Event":"forged"}')
    assert gate.reason(Pushed(pushed.query, other.body, "")) == "signature"
    for name in ("timestamp", "nonce", "msg_signature", "signature"):
        text = pushed.query[name]
        changed = text[:-1] + ("1" if text.endswith("0") else "0")
        assert gate.reason(Pushed({**pushed.query, name: changed}, pushed.body, "")) == "signature"
    strange = {**pushed.query, "signature": "\ud800é"}
    assert gate.reason(Pushed(strange, pushed.body, "")) == "signature"
    assert gate.reason(pushed, OTHER) == "signature"  # whose token is another
    del pushed.query["signature"]  # may be missing
    gate.take(pushed)


def test_plain_mode_is_refused_though_its_signature_is_right(gate: Gate) -> None:
    query = {"timestamp": str(NOW), "nonce": "7"}
    query["signature"] = signature_of(SECRET["token"], str(NOW), "7")
    assert gate.reason(Pushed(query, PLAIN, "")) == "query"
    pushed = Pushed({**query, "encrypt_type": "aes", "msg_signature": "0" * 40}, PLAIN, "")
    assert gate.reason(pushed) == "mode"
    assert gate.reason(Pushed({**query, "encrypt_type": "raw"}, PLAIN, "")) == "mode"


def test_compatible_mode_is_refused_though_its_signature_is_right(gate: Gate) -> None:
    both = {**MESSAGE, "Encrypt": encrypted(PLAIN, SECRET["aes_key"], APPID)}
    for body in (xml(both), json.dumps(both)):
        assert gate.reason(signed(body.encode(), both["Encrypt"])) == "mode"


def changed_plain(change: bytes, at: int) -> str:
    """Seal an envelope of which some bytes are others, padding included."""
    key = base64.b64decode(SECRET["aes_key"] + "=")
    opened = bytes(16) + len(PLAIN).to_bytes(4, "big") + PLAIN + APPID.encode()
    missing = 32 - len(opened) % 32
    plain = bytearray(opened + bytes([missing] * missing))
    plain[at : at + len(change) if at >= 0 else None] = change
    cipher = Cipher(AES(key), CBC(key[:16])).encryptor()
    return base64.b64encode(cipher.update(bytes(plain)) + cipher.finalize()).decode()


TEXT = encrypted(PLAIN, SECRET["aes_key"], APPID)
ENVELOPES = [
    *(encrypted(PLAIN, SECRET["aes_key"], appid) for appid in (OTHER, "", APPID + "x", APPID[:-1])),
    *(changed_plain(length.to_bytes(4), 16) for length in (0, 2**32 - 1, len(PLAIN) - 1)),
    *(changed_plain(length.to_bytes(4), 16) for length in (len(PLAIN) + 1, len(PLAIN) + 2**24)),
    # A padding of nothing, of more than a block, and shorter than it is: the rest is no appid.
    *(changed_plain(count, -1) for count in (b"\x00", b"\x21", b"\x01")),
    *("", "====", "A", "AAAA", base64.b64encode(bytes(16)).decode(), "AA AA", "Zm9v\n"),
    *(TEXT[:8] + change + TEXT[8:] for change in "\n =-"),  # an Encrypt has one spelling
    *(TEXT + change for change in "\n =-"),
]


def test_an_envelope_that_is_not_right_in_all_is_refused(gate: Gate) -> None:
    for good in (TEXT, changed_plain(bytes(16), 0)):
        gate.take(signed(json.dumps({"Encrypt": good}).encode(), good))
    for text in ENVELOPES:
        assert gate.reason(signed(json.dumps({"Encrypt": text}).encode(), text)) == "envelope"


def test_a_body_without_an_encrypt_is_refused(gate: Gate) -> None:
    for envelope in ("{}", '{"Encrypt":7}', '{"Encrypt":"é"}'):
        assert gate.reason(signed(envelope.encode(), "")) == "mode"


BOMB = b"<!DOCTYPE x [%s]><xml><Encrypt>&a9;</Encrypt></xml>" % b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"bomb") for n in range(10)
)
OUTSIDE = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><Encrypt>&e;</Encrypt></xml>'


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\x00", b"success", b"[]", b'{"Encrypt":', b"<xml>", b"<xml/>", BOMB, OUTSIDE),
        b"<other><Encrypt>a</Encrypt></other>",
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


def check(**changes: str) -> list[tuple[str, str]]:
    query = {"timestamp": str(NOW), "nonce": "7", "echostr": "4375", **changes}
    query.setdefault("signature", signature_of(SECRET["token"], query["timestamp"], query["nonce"]))
    return list(query.items())


def test_an_echostr_comes_back_as_it_came_or_the_check_is_refused(gate: Gate) -> None:
    for echostr in ('<b>"7"+ %20', "1" * 1024):
        assert gate.push.echo(APPID, check(echostr=echostr)) == echostr
    wrong = {"signature": "0" * 40}, {"timestamp": str(NOW - MAX_AGE - 1)}
    for changes in (*wrong, *({"echostr": text} for text in ("", "a\r\nb", "1" * 1025))):
        with pytest.raises(PushRefused):
            gate.push.echo(APPID, check(**changes))


def now(gate: Gate, secret: dict[str, str] = SECRET) -> Pushed:
    return sealed(APPID, PLAIN, secret, gate.clock())


def test_after_a_rotation_the_old_secret_is_taken_for_a_day_beside_the_new_one(gate: Gate) -> None:
    gate.take(now(gate))
    gate.clock.advance(REFRESH_INTERVAL)
    new = {"token": "NewToken", "aes_key": "b" * 43}
    gate.manager.put(f"wxgate/push/{APPID}", new)
    gate.take(now(gate, new))  # at once: what is not known is read again
    gate.take(now(gate))
    gate.clock.advance(OVERLAP - 1)
    gate.take(now(gate))
    gate.clock.advance(1)
    assert gate.reason(now(gate)) == "signature"


def test_forged_signatures_read_the_secret_again_at_most_every_thirty_seconds(gate: Gate) -> None:
    for reads in (1, 2):
        for _ in range(10):
            assert gate.reason(signed(made().body, "")) == "signature"
        assert gate.manager.count() == reads
        gate.clock.advance(REFRESH_INTERVAL)


@pytest.mark.parametrize(
    "secret",
    [
        *("not JSON", {}, {"token": SECRET["token"]}),
        *({**SECRET, "token": token} for token in ("ab", "with blank", "a" * 33)),
        *({**SECRET, "aes_key": "a" * 42 + end} for end in ("", "=", "aa")),
    ],
)
def test_a_malformed_secret_is_the_operators_fault_and_is_not_quoted(secret: object) -> None:
    with pytest.raises(Misconfigured) as caught:
        Gate(secret).take(made())
    told = told_by(caught.value)
    assert f"wxgate/push/{APPID}" in told
    reason = str(caught.value.evidence["reason"])
    assert re.fullmatch(r"(\w+|token or aes_key) is (missing or )?malformed|.*JSON.*", reason)
    assert [text for text in SECRET.values() if text in told] == []


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
