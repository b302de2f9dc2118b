"""Open data: the published vectors open, what is malformed or spliced does not."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidRequest
from chalicelib.identity import Identity
from chalicelib.wechat import kinds, opendata
from chalicelib.wechat.kinds import KINDS
from simulator.wechat import cipher
from tests.unit.wechat.test_kinds import SAMPLES, read, sample, written

KEY, OTHER_KEY, IV = bytes(range(16)), bytes(range(50, 66)), bytes(range(16, 32))


def encrypted(padded: bytes, key: bytes = KEY) -> bytes:
    encryptor = Cipher(AES128(key), CBC(IV)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def sealed(plaintext: bytes) -> bytes:
    count = 16 - len(plaintext) % 16
    return encrypted(plaintext + bytes([count]) * count)


def opened(data: bytes, kind: str, key: bytes = KEY, iv: bytes = IV) -> dict[str, Any]:
    fields: dict[str, Any] = read(opendata.decrypt(key, data, iv), kind)
    return fields


def refused(data: bytes, kind: str, key: bytes = KEY, iv: bytes = IV) -> bool:
    try:
        opened(data, kind, key, iv)
    except ValueError:
        return True
    return False


# --- the published vectors -----------------------------------------------------------------------

GROUPS = json.loads((Path(__file__).parents[2] / "corpus" / "vectors.json").read_text())
VECTORS = {v["id"]: v for name in ("vectors", "negative", "synthetic") for v in GROUPS[name]}

OPENS = {
    "opendata-official-demo": "user",
    "syn-phone": "phone",
    "syn-werun": "werun",
    "syn-shareinfo": "share",
}
MALFORMED = {"neg-easywechat-prefix", "neg-plus-became-space"}
REFUSED = {"neg-official-wrong-key": "user", "syn-wrong-watermark-appid": "phone"}
RAW_DATA = {"rawdata-sha1-official", "rawdata-sha1-senparc-utf8"}
USER_SIGNATURES = {"user-signature-official", "syn-user-signature-empty-body"}
# Message push (消息推送) is another door of WeChat's, which nothing here reads.
PUSH = {name for name in VECTORS if name.startswith("push-")}
OFFICIAL = VECTORS["opendata-official-demo"]


class Published:
    """A vector, and whose its plaintext says that it is."""

    def __init__(self, vector: dict[str, Any]) -> None:
        self.vector = vector
        self.fields = json.loads(vector.get("expected_plaintext", OFFICIAL["expected_plaintext"]))
        self.now = self.fields.pop("watermark")["timestamp"]
        ids = self.fields.get("openId", ""), self.fields.get("unionId")
        self.whose = Identity(vector.get("appid", OFFICIAL["appid"]), *ids)

    def plaintext(self) -> bytes:
        data, iv = opendata.ciphertext(self.vector["encryptedData"], self.vector["iv"])
        return opendata.decrypt(opendata.key_bytes(self.vector["session_key"]), data, iv)

    def read(self, kind: str) -> dict[str, Any]:
        return kinds.read(self.plaintext(), kind, whose=self.whose, now=self.now, max_age=300)


def test_every_vector_has_its_test() -> None:
    assert len(VECTORS) == sum(len(GROUPS[name]) for name in ("vectors", "negative", "synthetic"))
    assert VECTORS.keys() == {*OPENS, *MALFORMED, *REFUSED, *RAW_DATA, *USER_SIGNATURES, *PUSH}


@pytest.mark.parametrize("name", OPENS)
def test_a_vector_opens_to_what_is_published_and_as_its_own_kind_alone(name: str) -> None:
    published = Published(VECTORS[name])
    assert published.plaintext().decode() == VECTORS[name]["expected_plaintext"]
    assert published.read(OPENS[name]) == published.fields
    for kind in KINDS.keys() - {OPENS[name]}:
        with pytest.raises(ValueError, match=r"^$"):
            published.read(kind)


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_a_vector_whose_base64_is_wrong_is_malformed(name: str) -> None:
    with pytest.raises(InvalidRequest):
        Published(VECTORS[name]).plaintext()


@pytest.mark.parametrize("name", REFUSED)
def test_a_vector_of_another_key_or_app_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^(Invalid padding bytes\.)?$"):
        Published(VECTORS[name]).read(REFUSED[name])


@pytest.mark.parametrize("name", sorted(USER_SIGNATURES))
def test_a_user_signature_is_the_published_one_and_the_simulators(name: str) -> None:
    vector = VECTORS[name]
    signature = opendata.user_signature(vector["session_key"], vector["message"])
    assert signature == cipher.user_signature(vector["session_key"], vector["message"].encode())
    assert signature == vector["signature"] != vector.get("wrong_if_key_is_base64_decoded")


# --- padding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 17))
def test_a_good_padding_is_removed_and_one_with_another_byte_is_refused(count: int) -> None:
    plaintext = b"x" * (32 - count)
    padded = plaintext + bytes([count]) * count
    assert opendata.decrypt(KEY, encrypted(padded), IV) == plaintext
    for place in range(1, count + 1):
        broken = bytearray(padded)
        broken[-place] ^= 0x40
        with pytest.raises(ValueError, match="padding"):
            opendata.decrypt(KEY, encrypted(bytes(broken)), IV)


@pytest.mark.parametrize("count", [0, 17, 32, 255])
def test_no_other_count_is_a_padding(count: int) -> None:
    for padded in (b"x" * 31 + bytes([count]), bytes([count]) * 256):
        with pytest.raises(ValueError, match="padding"):
            opendata.decrypt(KEY, encrypted(padded), IV)


# --- the request's fields ------------------------------------------------------------------------


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def malformed(data: object, iv: object) -> bool:
    try:
        opendata.ciphertext(data, iv)
    except InvalidRequest as error:
        return error.message == InvalidRequest.message
    return False


@pytest.mark.parametrize("size", [16, 32, 16_384])
def test_whole_blocks_are_taken(size: int) -> None:
    assert opendata.ciphertext(b64(bytes(size)), b64(IV)) == (bytes(size), IV)


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31, 16_400, 1 << 20])
def test_other_sizes_are_malformed_and_an_iv_is_one_block(size: int) -> None:
    assert malformed(b64(bytes(size)), b64(IV))
    assert malformed(b64(IV), b64(bytes(size)))
    assert malformed(b64(IV), b64(bytes(32)))


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text[:-2],
        lambda text: text + "=",
        lambda text: f" {text}\n",
        lambda text: text[:8] + "\r\n" + text[8:],
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: text.replace("+", " "),
        lambda text: text + "AAAA",
        lambda text: text + text,
        lambda text: text.replace("A", "Ａ"),
        lambda text: text[:-1] + "\ud800",
        lambda text: text.encode(),
        lambda text: [text],
        lambda _: None,
        lambda _: 1,
    ],
    ids=range(14),
)
def test_base64_has_one_alphabet_and_nothing_around_it(spell: Any) -> None:
    text = b64(b"\xfb\xef\xbe" * 5 + b"\0")
    assert "+" in text
    assert "A" in text
    assert malformed(b64(bytes(16)), spell(text))
    assert malformed(spell(text), b64(IV))


def test_a_session_key_is_sixteen_bytes_of_base64() -> None:
    assert opendata.key_bytes(b64(KEY)) == KEY


@pytest.mark.parametrize(
    "wrong", [None, 1, KEY, "", "x", b64(KEY[:15]), b64(KEY + b"x"), b64(KEY)[:-1], b64(KEY) + " "]
)
def test_what_is_no_session_key_is_refused_without_a_word_of_it(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*AAEC)"):
        opendata.key_bytes(wrong)


# --- an attacker who knows one plaintext and chooses iv and blocks -------------------------------


def rewritten(plaintext: bytes, wanted: bytes) -> bytes:
    """The iv under which the first block of a known plaintext reads as `wanted`."""
    return bytes(i ^ p ^ w for i, p, w in zip(IV, plaintext, wanted, strict=False))


def test_a_nickname_cannot_be_made_a_phone_number() -> None:
    tail = '13812345678","purePhoneNumber":"13812345678","countryCode":"86","x":"'
    plaintext = written({"nickName": "AAAA" + tail, **json.loads(sample("user"))})
    forged = rewritten(plaintext, b'{"phoneNumber":"')
    assert opendata.decrypt(KEY, sealed(plaintext), forged).startswith(b'{"phoneNumber":"')
    assert refused(sealed(plaintext), "phone", iv=forged)


@pytest.mark.parametrize("start", ["openGId", "msgTicket"])
def test_a_profile_cannot_be_made_a_group(start: str) -> None:
    plaintext = sample("user").replace(b'": ', b'":')
    forged = rewritten(plaintext, f'{{"{start}":"abcd'.encode()[:16])
    assert json.loads(opendata.decrypt(KEY, sealed(plaintext), forged))[start].startswith("ab")
    assert refused(sealed(plaintext), "share", iv=forged)


def test_no_flipped_bit_of_the_iv_gives_another_openid() -> None:
    data = sealed(sample("user"))
    nameless = {k: v for k, v in SAMPLES["user"].items() if k != "openId"}
    for bit in range(128):
        iv = (int.from_bytes(IV) ^ 1 << bit).to_bytes(16)
        # A flip within the name leaves a profile without an openId, still of the same user.
        assert refused(data, "user", iv=iv) or opened(data, "user", iv=iv) == nameless


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_cannot_be_cut_swapped_or_repeated(kind: str) -> None:
    data = sealed(sample(kind))
    blocks = [data[i : i + 16] for i in range(0, len(data), 16)]
    swapped = [blocks[1], blocks[0], *blocks[2:]]
    assert opened(data, kind) == SAMPLES[kind]
    for changed in (blocks[:-1], swapped, [*blocks, blocks[-1]], blocks[::-1]):
        assert refused(b"".join(changed), kind)


@given(
    data=st.integers(1, 4).flatmap(lambda n: st.binary(min_size=16 * n, max_size=16 * n)),
    iv=st.binary(min_size=16, max_size=16),
    kind=st.sampled_from([*KINDS]),
)
def test_any_bytes_are_refused_by_the_one_error(data: bytes, iv: bytes, kind: str) -> None:
    assert refused(data, kind, iv=iv)
    assert refused(data, kind, OTHER_KEY, iv)


# --- rawData and its signature -------------------------------------------------------------------

RAW = '{"nickName":"苏震巍","gender":1}'
FIELDS = {"nickName": "苏震巍", "gender": 1, "openId": "o-ann"}
SESSION_KEY = "jCdFs2HMx+A9Dr9lhMJKxA=="


def signature_of(raw_data: str) -> str:
    return hashlib.sha1((raw_data + SESSION_KEY).encode(), usedforsecurity=False).hexdigest()


SIGNATURE = signature_of(RAW)


@pytest.mark.parametrize("name", sorted(RAW_DATA))
def test_raw_data_is_known_by_its_published_signature(name: str) -> None:
    vector = VECTORS[name]
    opendata.check_raw_data(vector["rawData"], vector["signature"], vector["session_key"], {})
    with pytest.raises(ValueError, match=r"^$"):
        opendata.check_raw_data(vector["rawData"], vector["signature"], SESSION_KEY + "x", {})


@pytest.mark.parametrize(
    ("raw_data", "signature", "session_key"),
    [
        *((RAW + " ", SIGNATURE, SESSION_KEY), (RAW + SESSION_KEY, SIGNATURE, SESSION_KEY)),
        *((RAW, SIGNATURE[:-1] + "0", SESSION_KEY), (RAW, SIGNATURE.upper(), SESSION_KEY)),
        *((RAW, SIGNATURE + " ", SESSION_KEY), (RAW, SIGNATURE[:20], SESSION_KEY)),
        *((RAW, "é", SESSION_KEY), (RAW, SIGNATURE, "")),
    ],
)
def test_another_signature_is_refused(raw_data: str, signature: str, session_key: str) -> None:
    opendata.check_raw_data(RAW, SIGNATURE, SESSION_KEY, FIELDS)
    with pytest.raises(ValueError, match=r"^$"):
        opendata.check_raw_data(raw_data, signature, session_key, FIELDS)


@pytest.mark.parametrize(
    ("raw_data", "changed"),
    [
        *((RAW, changed) for changed in ({"nickName": "Band"}, {"gender": 2}, {"gender": "1"})),
        *((text, {}) for text in ("", "x", "[]", '{"gender":1,"gender":1}', '{"gender":NaN}')),
    ],
)
def test_raw_data_that_is_no_json_object_or_says_otherwise_is_refused(
    raw_data: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        opendata.check_raw_data(
            raw_data, signature_of(raw_data), SESSION_KEY, {**FIELDS, **changed}
        )
