"""Open data: the published vectors open, what is malformed does not (spliced: tests/attacks)."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from chalicelib.errors import InvalidRequest
from chalicelib.identity import Identity
from chalicelib.wechat import kinds, opendata
from chalicelib.wechat.kinds import KINDS
from simulator.wechat import cipher

KEY, IV = bytes(range(16)), bytes(range(16, 32))


def encrypted(padded: bytes) -> bytes:
    encryptor = Cipher(AES128(KEY), CBC(IV)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


GROUPS = json.loads((Path(__file__).parents[2] / "corpus" / "vectors.json").read_text())
VECTORS = {v["id"]: v for name in ("vectors", "negative", "synthetic") for v in GROUPS[name]}

OPENS = {"opendata-official-demo": "user", "syn-phone": "phone"}
OPENS |= {"syn-werun": "werun", "syn-shareinfo": "share"}
MALFORMED = {"neg-easywechat-prefix", "neg-plus-became-space"}
REFUSED = {"neg-official-wrong-key": "user", "syn-wrong-watermark-appid": "phone"}
RAW_DATA = {"rawdata-sha1-official", "rawdata-sha1-senparc-utf8"}
USER_SIGNATURES = {"user-signature-official", "syn-user-signature-empty-body"}
PUSH = {name for name in VECTORS if name.startswith("push-")}  # tests/unit/wechat/test_push.py
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


def test_a_malformed_vector_or_one_of_another_key_or_app_is_refused() -> None:
    for name in MALFORMED:
        with pytest.raises(InvalidRequest):
            Published(VECTORS[name]).plaintext()
    for name, kind in REFUSED.items():
        with pytest.raises(ValueError, match=r"^(Invalid padding bytes\.)?$"):
            Published(VECTORS[name]).read(kind)


def test_a_user_signature_is_the_published_one_and_the_simulators() -> None:
    for vector in (VECTORS[name] for name in USER_SIGNATURES):
        key, text = vector["session_key"], vector["message"]
        signature = opendata.user_signature(key, text)
        assert signature == cipher.user_signature(key, text.encode()) == vector["signature"]
        assert signature != vector.get("wrong_if_key_is_base64_decoded")


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


def test_no_other_count_is_a_padding() -> None:
    for count in (0, 17, 32, 255):
        for padded in (b"x" * 31 + bytes([count]), bytes([count]) * 256):
            with pytest.raises(ValueError, match="padding"):
                opendata.decrypt(KEY, encrypted(padded), IV)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def malformed(data: object, iv: object) -> bool:
    try:
        opendata.ciphertext(data, iv)
    except InvalidRequest as error:
        return error.message == InvalidRequest.message
    return False


def test_whole_blocks_are_taken_other_sizes_are_malformed_and_an_iv_is_one_block() -> None:
    for size in (16, 32, 16_384):
        assert opendata.ciphertext(b64(bytes(size)), b64(IV)) == (bytes(size), IV)
    for size in (0, 1, 15, 17, 31, 16_400, 1 << 20):
        assert malformed(b64(bytes(size)), b64(IV))
        assert malformed(b64(IV), b64(bytes(size)))
    assert malformed(b64(IV), b64(bytes(32)))


TEXT = b64(b"\xfb\xef\xbe" * 5 + b"\0")  # ++++++++++++++++++++AA==


@pytest.mark.parametrize(
    "spelt",
    [
        *(TEXT[:-2], f"{TEXT}=", f" {TEXT}\n", f"{TEXT[:8]}\r\n{TEXT[8:]}", TEXT.replace("+", "-")),
        *(TEXT.replace("+", " "), TEXT + "AAAA", TEXT + TEXT, TEXT.replace("A", "Ａ")),
        *(f"{TEXT[:-1]}\ud800", TEXT.encode(), [TEXT], None, 1),
    ],
    ids=range(14),
)
def test_base64_has_one_alphabet_and_nothing_around_it(spelt: object) -> None:
    assert malformed(b64(bytes(16)), spelt)
    assert malformed(spelt, b64(IV))
    assert not malformed(TEXT, TEXT)


def test_a_session_key_is_sixteen_bytes_of_base64_and_never_quoted() -> None:
    text = b64(KEY)
    assert opendata.key_bytes(text) == KEY
    for wrong in (None, 1, KEY, "", "x", b64(KEY[:15]), b64(KEY + b"x"), text[:-1], f"{text} "):
        with pytest.raises(ValueError, match=r"^(?!.*AAEC)"):
            opendata.key_bytes(wrong)


RAW = '{"nickName":"苏震巍","gender":1}'
FIELDS = {"nickName": "苏震巍", "gender": 1, "openId": "o-ann"}
SESSION_KEY = "jCdFs2HMx+A9Dr9lhMJKxA=="


def signature_of(raw_data: str) -> str:
    return hashlib.sha1((raw_data + SESSION_KEY).encode(), usedforsecurity=False).hexdigest()


SIGNATURE = signature_of(RAW)


def test_raw_data_is_known_by_its_published_signature() -> None:
    for vector in (VECTORS[name] for name in RAW_DATA):
        opendata.check_raw_data(vector["rawData"], vector["signature"], vector["session_key"], {})


GOOD: dict[str, Any] = {"raw_data": RAW, "signature": SIGNATURE, "session_key": SESSION_KEY}


@pytest.mark.parametrize(
    "changed",
    [
        *({"raw_data": f"{RAW} "}, {"raw_data": RAW + SESSION_KEY}, {"session_key": ""}),
        *({"signature": SIGNATURE[:-1] + "0"}, {"signature": SIGNATURE.upper()}),
        *({"signature": f"{SIGNATURE} "}, {"signature": SIGNATURE[:20]}, {"signature": "é"}),
        *({"fields": {**FIELDS, "gender": gender}} for gender in (2, "1")),
        {"fields": {**FIELDS, "nickName": "Band"}},
        *(
            {"raw_data": text, "signature": signature_of(text)}
            for text in ("", "x", "[]", '{"gender":1,"gender":1}', '{"gender":NaN}')
        ),
    ],
)
def test_raw_data_whose_signature_is_another_or_that_says_otherwise_is_refused(
    changed: dict[str, Any],
) -> None:
    opendata.check_raw_data(**GOOD, fields=FIELDS)
    with pytest.raises(ValueError, match=r"^$"):
        opendata.check_raw_data(**{**GOOD, "fields": FIELDS, **changed})
