"""Open data: exactly what a kind allows is opened, and every failure looks the same."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import DecryptFailed, InvalidRequest
from chalicelib.wechat import opendata
from chalicelib.wechat.opendata import KINDS, Signed
from tests.support.fakes import NOW

APPID = "wx4f4bc4dec97d474b"
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
UNIONID = "ocMvos6NjeKLIBqg5Mr9QjxrP1FA"
MAX_AGE = 300
KEY, OTHER_KEY, IV = bytes(range(16)), bytes(range(50, 66)), bytes(range(16, 32))
WATERMARK = {"timestamp": NOW, "appid": APPID}

# Every documented member of each kind.
SAMPLES: dict[str, dict[str, Any]] = {
    "user": {
        "openId": OPENID,
        "unionId": UNIONID,
        "nickName": "苏震巍😀",
        "gender": 1,
        "language": "zh_CN",
        "city": "",
        "province": "Jiangsu",
        "country": "CN",
        "avatarUrl": "https://thirdwx.qlogo.cn/0",
    },
    "phone": {
        "phoneNumber": "13580006666",
        "purePhoneNumber": "13580006666",
        "countryCode": "86",
    },
    "werun": {
        "stepInfoList": [{"timestamp": 1445866601, "step": 100}, {"timestamp": 0, "step": 0}]
    },
    "share": {"openGId": "tGAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    "group": {
        "opengid": "tGAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "open_single_roomid": "",
        "group_openid": "oGroup-member_1",
        "chat_type": 3,
    },
}
REQUIRED = {
    "user": {"nickName", "avatarUrl"},
    "phone": {"phoneNumber", "purePhoneNumber", "countryCode"},
    "werun": {"stepInfoList"},
    "share": {"openGId"},
    "group": {"opengid"},
}
MEMBERS = [(kind, name) for kind, fields in SAMPLES.items() for name in fields]


def read(plaintext: bytes, kind: str, **changed: Any) -> dict[str, Any]:
    known = {"appid": APPID, "openid": OPENID, "unionid": UNIONID, "now": NOW, "max_age": MAX_AGE}
    return opendata.read(plaintext, kind, **{**known, **changed})


def written(fields: object) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def opened(kind: str, **members: Any) -> dict[str, Any]:
    """Read the sample of a kind with members changed or added."""
    return read(written({**SAMPLES[kind], "watermark": WATERMARK, **members}), kind)


def refused(plaintext: bytes, kind: str = "phone", **changed: Any) -> bool:
    """Whether `read` refuses, without a word and by no error but ValueError."""
    try:
        read(plaintext, kind, **changed)
    except ValueError as error:
        return error.args == ()
    return False


def refused_with(kind: str, **members: Any) -> bool:
    return refused(written({**SAMPLES[kind], "watermark": WATERMARK, **members}), kind)


def encrypted(padded: bytes, key: bytes = KEY) -> bytes:
    encryptor = Cipher(AES128(key), CBC(IV)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def padded(plaintext: bytes) -> bytes:
    count = 16 - len(plaintext) % 16
    return plaintext + bytes([count]) * count


def sealed(kind: str, key: bytes = KEY, **members: Any) -> bytes:
    fields = {**SAMPLES[kind], "watermark": WATERMARK, **members}
    return encrypted(padded(written(fields)), key)


def open_phone(keys: list[bytes], data: bytes, iv: bytes = IV) -> dict[str, Any]:
    return opendata.open_with(keys, data, iv, lambda plaintext: read(plaintext, "phone"))


# --- the five kinds ---


def test_there_are_five_kinds() -> None:
    assert list(KINDS) == ["user", "phone", "werun", "share", "group"] == list(SAMPLES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_documented_member_is_returned(kind: str) -> None:
    assert opened(kind) == SAMPLES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_member_is_ignored_and_never_returned(kind: str) -> None:
    assert opened(kind, newInTheFuture={"a": [1]}, session_key="x") == SAMPLES[kind]


def test_an_unknown_member_of_a_day_is_never_returned() -> None:
    days = [{"timestamp": 1, "step": 2, "heartRate": 3}]
    assert opened("werun", stepInfoList=days) == {"stepInfoList": [{"timestamp": 1, "step": 2}]}


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_only_what_is_required_must_be_there(kind: str, name: str) -> None:
    fields = {k: v for k, v in SAMPLES[kind].items() if k != name}
    plaintext = written({**fields, "watermark": WATERMARK})
    if name in REQUIRED[kind]:
        assert refused(plaintext, kind)
    else:
        assert read(plaintext, kind) == fields


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_a_member_of_another_type_is_refused(kind: str, name: str) -> None:
    values: list[object] = [None, True, 1.0, {}, ["x"]]
    for value in values:
        assert refused_with(kind, **{name: value})


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_a_text_is_no_number_and_a_number_no_text(kind: str, name: str) -> None:
    other = "1" if isinstance(SAMPLES[kind][name], int) else 1
    if name != "countryCode":
        assert refused_with(kind, **{name: other})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("other", "name"), MEMBERS)
def test_a_member_of_another_kind_is_refused(kind: str, other: str, name: str) -> None:
    if kind != other:
        assert refused_with(kind, **{name: SAMPLES[other][name]})
        assert refused_with(kind, **{name: None})


@pytest.mark.parametrize("kind", ["", "User", "phone ", "watermark", "__class__"])
def test_what_is_no_kind_opens_nothing(kind: str) -> None:
    assert refused(written({**SAMPLES["phone"], "watermark": WATERMARK}), kind)


# --- user ---


@pytest.mark.parametrize("other", ["", OPENID.lower(), OPENID + " ", OPENID + "\n", UNIONID])
def test_a_profile_of_another_openid_is_refused(other: str) -> None:
    assert refused_with("user", openId=other)


@pytest.mark.parametrize("other", ["", UNIONID.lower(), UNIONID + "\r\n", OPENID])
def test_a_profile_of_another_unionid_is_refused(other: str) -> None:
    assert refused_with("user", unionId=other)


def test_a_unionid_that_the_session_does_not_know_is_refused() -> None:
    plaintext = written({**SAMPLES["user"], "watermark": WATERMARK})
    assert refused(plaintext, "user", unionid=None)


def test_a_session_with_a_unionid_reads_a_profile_without() -> None:
    fields = {k: v for k, v in SAMPLES["user"].items() if k not in ("openId", "unionId")}
    assert read(written({**fields, "watermark": WATERMARK}), "user") == fields


# --- phone ---


@pytest.mark.parametrize(
    ("number", "pure", "country"),
    [
        ("13580006666", "13580006666", "86"),
        ("+8613580006666", "13580006666", "86"),
        ("8613580006666", "13580006666", "86"),
        ("85291234567", "91234567", "852"),
        ("+85291234567", "91234567", "852"),
        ("1", "1", "1"),
        ("+" + "1" * 24, "1" * 20, "1" * 4),
    ],
)
def test_a_number_agrees_with_its_parts(number: str, pure: str, country: str) -> None:
    fields = {"phoneNumber": number, "purePhoneNumber": pure, "countryCode": country}
    assert opened("phone", **fields) == fields


def test_a_country_code_may_be_a_number_and_is_given_as_text() -> None:
    assert opened("phone", countryCode=86) == SAMPLES["phone"]


@pytest.mark.parametrize(
    "changed",
    [
        {"phoneNumber": "13580006667"},
        {"purePhoneNumber": "13580006667"},
        {"phoneNumber": "8513580006666"},
        {"phoneNumber": "++8613580006666"},
        {"phoneNumber": "+13580006666"},
        {"phoneNumber": "+", "purePhoneNumber": ""},
        {"phoneNumber": "", "purePhoneNumber": ""},
        {"phoneNumber": "1358000666", "purePhoneNumber": "13580006666"},
        {"phoneNumber": "+8613580006666", "countryCode": "852"},
        {"countryCode": ""},
        {"countryCode": -86},
        {"countryCode": 8.6},
        {"countryCode": "+86"},
        {"countryCode": 10**30},
        {"phoneNumber": "1" * 21, "purePhoneNumber": "1" * 21},
        {"phoneNumber": "1" * 25, "purePhoneNumber": "1" * 20, "countryCode": "1" * 5},
    ],
    ids=str,
)
def test_a_number_that_does_not_agree_with_its_parts_is_refused(changed: dict[str, Any]) -> None:
    assert refused_with("phone", **changed)


@pytest.mark.parametrize(
    "spell",
    [
        "١٣٥٨٠٠٠٦٦٦٦",
        "１３５８０００６６６６",
        "13580006666\n",
        "13580006666\r\n",
        " 13580006666",
        "135 8000 6666",
        "135-8000-6666",
        "13580006666\0",
        "0x13580006666",
        "1e10",
    ],
)
def test_only_ascii_digits_are_digits(spell: str) -> None:
    assert refused_with("phone", phoneNumber=spell, purePhoneNumber=spell)
    assert refused_with("phone", countryCode=spell)


# --- werun and groups ---


@pytest.mark.parametrize(
    "days",
    [
        {},
        [1],
        [[]],
        [{"timestamp": 1}],
        [{"step": 1}],
        [{"timestamp": 1, "step": True}],
        [{"timestamp": 1, "step": 2.5}],
        [{"timestamp": "1", "step": 2}],
        [{"timestamp": 1, "step": 2}, None],
    ],
    ids=str,
)
def test_a_day_is_a_timestamp_and_a_step_count(days: object) -> None:
    assert refused_with("werun", stepInfoList=days)


def test_no_days_are_days() -> None:
    assert opened("werun", stepInfoList=[]) == {"stepInfoList": []}


@pytest.mark.parametrize("name", ["opengid", "open_single_roomid", "group_openid"])
@pytest.mark.parametrize("value", ["a b", "x\n", "嘊", '"', "x" * 129])
def test_a_group_id_is_an_opaque_word(name: str, value: str) -> None:
    assert refused_with("group", **{name: value})


@pytest.mark.parametrize(("kind", "name"), [("group", "opengid"), ("share", "openGId")])
def test_a_group_has_an_id(kind: str, name: str) -> None:
    assert refused_with(kind, **{name: ""})


def test_a_chat_of_two_has_an_id_of_its_own() -> None:
    chat = {"open_single_roomid": "room_1", "group_openid": "oGroup-member_1", "chat_type": 1}
    assert opened("group", opengid="", **chat) == {"opengid": "", **chat}
    assert read(written({**chat, "watermark": WATERMARK}), "group") == chat


@pytest.mark.parametrize(
    ("kind", "name"), [("user", "gender"), ("group", "chat_type"), ("werun", "stepInfoList")]
)
def test_a_number_is_one_that_every_reader_reads_alike(kind: str, name: str) -> None:
    def value(number: int) -> object:
        return [{"timestamp": number, "step": 0}] if kind == "werun" else number

    for number in (0, 2**53 - 1):
        assert opened(kind, **{name: value(number)})[name] == value(number)
    for number in (-1, 2**53, 10**400):
        assert refused_with(kind, **{name: value(number)})


# --- the watermark ---


@pytest.mark.parametrize("age", [-60, -59, 0, 299, 300])
def test_a_watermark_of_this_age_is_taken(age: int) -> None:
    assert opened("share", watermark={"timestamp": NOW - age, "appid": APPID})


@pytest.mark.parametrize("age", [-61, 301, 3600, NOW, 2 * NOW, -(10**12)])
def test_a_watermark_of_this_age_is_refused(age: int) -> None:
    assert refused_with("share", watermark={"timestamp": NOW - age, "appid": APPID})


def test_a_fraction_of_a_second_counts() -> None:
    plaintext = written({**SAMPLES["share"], "watermark": WATERMARK})
    assert read(plaintext, "share", now=NOW + 300.0)
    assert refused(plaintext, "share", now=NOW + 300.001)
    assert read(plaintext, "share", now=NOW - 60.0)
    assert refused(plaintext, "share", now=NOW - 60.001)


@pytest.mark.parametrize(
    "timestamp",
    [None, True, False, str(NOW), float(NOW), [NOW], 0, -1, 10**400, -(10**400)],
    ids=type,
)
def test_a_watermarks_time_is_an_integer_near_now(timestamp: object) -> None:
    assert refused_with("share", watermark={"timestamp": timestamp, "appid": APPID})
    plaintext = written({**SAMPLES["share"], "watermark": {"timestamp": timestamp, "appid": APPID}})
    assert refused(plaintext, "share", now=float(NOW))


def test_true_is_no_timestamp_in_the_second_after_the_epoch() -> None:
    plaintext = written({**SAMPLES["share"], "watermark": {"timestamp": True, "appid": APPID}})
    assert refused(plaintext, "share", now=1.0)


@pytest.mark.parametrize(
    "appid",
    [
        *(None, "", "wx0000000000000001", APPID.upper(), f" {APPID}", [APPID], 4),
        pytest.param(f"{APPID}\0", id="a nought behind it"),
    ],
    ids=repr,
)
def test_a_watermark_of_another_app_is_refused(appid: object) -> None:
    assert refused_with("share", watermark={"timestamp": NOW, "appid": appid})


@pytest.mark.parametrize(
    "watermark", [None, [], [WATERMARK], "x", 1, {}, {"appid": APPID}, {"timestamp": NOW}], ids=str
)
def test_a_watermark_is_needed(watermark: object) -> None:
    assert refused_with("share", watermark=watermark)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_a_watermark(kind: str) -> None:
    assert refused(written(SAMPLES[kind]), kind)


# --- the text ---


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-32-be", "utf-8-sig"])
def test_a_text_in_another_encoding_is_refused(codec: str) -> None:
    text = json.dumps({**SAMPLES["phone"], "watermark": WATERMARK})
    assert refused(text.encode(codec))


GOOD = written({**SAMPLES["phone"], "watermark": WATERMARK})


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b"[" + GOOD + b"]",
        b" " + GOOD,
        GOOD + b"\n",
        GOOD + b"\0",
        GOOD + GOOD,
        GOOD + b"x}",
        GOOD[:-1] + b',"countryCode":"86"}',
        GOOD[:-1] + b',"watermark":{}}',
        GOOD[:-1] + b',"x":NaN}',
        GOOD[:-1] + b',"x":Infinity}',
        GOOD[:-1] + b',"x":1e999}',
        GOOD[:-1] + b',"x":"\\ud800"}',
        GOOD[:-1] + b',"x":"\xff"}',
        GOOD[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}",
        GOOD[:-1] + b',"x":' + b"[" * 8000 + b"]" * 8000 + b"}",
        GOOD[:-1] + b',"x":' + b"1" * 5000 + b"}",
    ],
    ids=range(20),
)
def test_what_is_not_one_strict_json_object_is_refused(plaintext: bytes) -> None:
    assert not refused(GOOD)
    assert refused(plaintext)


# --- padding ---


@pytest.mark.parametrize("count", range(1, 17))
def test_every_good_padding_is_removed(count: int) -> None:
    plaintext = b"x" * (32 - count)
    assert opendata.unpad(plaintext + bytes([count]) * count) == plaintext
    assert opendata.decrypt(KEY, encrypted(plaintext + bytes([count]) * count), IV) == plaintext


def test_no_other_count_is_a_padding() -> None:
    for count in [0, *range(17, 256)]:
        for block in (b"x" * 31 + bytes([count]), bytes([count]) * 256):
            with pytest.raises(ValueError, match=r"^$"):
                opendata.unpad(block)


@pytest.mark.parametrize("count", range(2, 17))
def test_every_byte_of_a_padding_is_checked(count: int) -> None:
    for place in range(2, count + 1):
        broken = bytearray(b"x" * (32 - count) + bytes([count]) * count)
        broken[-place] ^= 1
        with pytest.raises(ValueError, match=r"^$"):
            opendata.unpad(bytes(broken))


# --- the request's fields ---


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
def test_anything_but_one_to_1024_whole_blocks_is_malformed(size: int) -> None:
    assert malformed(b64(bytes(size)), b64(IV))


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_an_iv_is_sixteen_bytes(size: int) -> None:
    assert malformed(b64(bytes(16)), b64(bytes(size)))


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text[:-2],
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:8] + "\r\n" + text[8:],
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: text.replace("+", " "),
        lambda text: text + "AAAA",
        lambda text: text + text,
        lambda text: "=" + text[1:],
        lambda text: text.replace("A", "Ａ"),
        lambda text: text[:-1] + "\ud800",
        lambda text: text.encode(),
        lambda text: [text],
        lambda text: {"iv": text},
        lambda _: None,
        lambda _: 1,
    ],
    ids=range(17),
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


# --- keys ---


def test_the_current_key_opens() -> None:
    assert open_phone([KEY], sealed("phone")) == SAMPLES["phone"]
    assert open_phone([KEY, OTHER_KEY], sealed("phone")) == SAMPLES["phone"]


def test_the_previous_key_opens_what_was_encrypted_before_a_new_login() -> None:
    assert open_phone([OTHER_KEY, KEY], sealed("phone")) == SAMPLES["phone"]


def test_the_current_key_is_tried_before_the_previous_one() -> None:
    data, tried = sealed("phone"), []

    def watch(plaintext: bytes) -> dict[str, Any]:
        tried.append(plaintext)
        raise ValueError

    for keys in ([KEY, KEY], [KEY, OTHER_KEY], [OTHER_KEY, KEY]):
        with pytest.raises(DecryptFailed):
            opendata.open_with(keys, data, IV, watch)
    # Under the other key the padding fails before anything is read.
    assert tried == [opendata.decrypt(KEY, data, IV)] * 4


def test_the_first_key_that_opens_is_the_last_one_tried() -> None:
    tried = []

    def take(plaintext: bytes) -> dict[str, Any]:
        tried.append(plaintext)
        return {}

    assert opendata.open_with([KEY, KEY], sealed("phone"), IV, take) == {}
    assert len(tried) == 1


@pytest.mark.parametrize("keys", [[], [OTHER_KEY], [OTHER_KEY, OTHER_KEY]])
def test_without_the_right_key_nothing_opens(keys: list[bytes]) -> None:
    with pytest.raises(DecryptFailed):
        open_phone(keys, sealed("phone"))


def failure(keys: list[bytes], data: bytes, iv: bytes = IV, kind: str = "phone") -> DecryptFailed:
    with pytest.raises(DecryptFailed) as caught:
        opendata.open_with(keys, data, iv, lambda plaintext: read(plaintext, kind))
    return caught.value


def test_every_failure_looks_the_same() -> None:
    failures = [
        failure([OTHER_KEY], sealed("phone")),
        failure([KEY], sealed("share")),
        failure([KEY], sealed("phone", watermark={})),
        failure([KEY], sealed("phone", watermark={"timestamp": 10**400, "appid": APPID})),
        failure([KEY], encrypted(bytes(32))),
        failure([KEY], encrypted(padded(b"{"))),
        failure([KEY], encrypted(padded(b"\xff"))),
        failure([], sealed("phone")),
        failure([KEY], sealed("phone"), kind="unknown"),
    ]
    looks = {(e.code, e.status, e.message, str(e.headers), str(e.evidence)) for e in failures}
    assert len(looks) == 1
    assert all(error.__cause__ is error.__context__ is None for error in failures)


# --- an attacker who knows one plaintext and chooses the iv ---


def rewritten(plaintext: bytes, wanted: bytes) -> bytes:
    """The iv under which the first block of a known plaintext reads as `wanted`."""
    return bytes(i ^ p ^ w for i, p, w in zip(IV, plaintext, wanted, strict=False))


def test_a_nickname_cannot_be_made_a_phone_number() -> None:
    tail = '13812345678","purePhoneNumber":"13812345678","countryCode":"86","x":"'
    known = {"nickName": tail, **SAMPLES["user"], "watermark": WATERMARK}
    plaintext = written({**known, "nickName": "AAAA" + tail})
    data = encrypted(padded(plaintext))
    forged = rewritten(plaintext, b'{"phoneNumber":"')
    read_back = opendata.decrypt(KEY, data, forged)
    assert read_back.startswith(b'{"phoneNumber":"')
    failure([KEY], data, forged)


def test_a_profile_cannot_be_made_a_group() -> None:
    plaintext = written({**SAMPLES["user"], "watermark": WATERMARK}).replace(b'": ', b'":')
    forged = rewritten(plaintext, b'{"openGId":"abcd')
    data = encrypted(padded(plaintext))
    assert json.loads(opendata.decrypt(KEY, data, forged))["openGId"].startswith("abcd")
    failure([KEY], data, forged, "share")


def test_no_flipped_bit_of_the_iv_gives_another_openid() -> None:
    data = sealed("user")
    for flip in (1 << bit for bit in range(128)):
        iv = (int.from_bytes(IV) ^ flip).to_bytes(16)
        try:
            fields = opendata.open_with([KEY], data, iv, lambda plaintext: read(plaintext, "user"))
        except DecryptFailed:
            continue
        # A flip within the name leaves a profile without an openId, still of the same user.
        assert fields == {k: v for k, v in SAMPLES["user"].items() if k != "openId"}


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_cannot_be_cut_swapped_or_repeated(kind: str) -> None:
    data = sealed(kind)
    blocks = [data[i : i + 16] for i in range(0, len(data), 16)]
    swapped = [blocks[1], blocks[0], *blocks[2:]]
    for changed in (blocks[:-1], swapped, [*blocks, blocks[-1]], blocks[::-1]):
        failure([KEY], b"".join(changed), kind=kind)


# --- rawData and its signature ---


RAW = '{"nickName":"苏震巍","gender":1}'
SESSION_KEY = "jCdFs2HMx+A9Dr9lhMJKxA=="
SIGNATURE = hashlib.sha1((RAW + SESSION_KEY).encode(), usedforsecurity=False).hexdigest()


def test_raw_data_is_known_by_its_signature() -> None:
    assert Signed(RAW, SIGNATURE).was_signed_with(SESSION_KEY)


@pytest.mark.parametrize(
    ("raw_data", "signature", "session_key"),
    [
        (RAW + " ", SIGNATURE, SESSION_KEY),
        (RAW, SIGNATURE[:-1] + "0", SESSION_KEY),
        (RAW, SIGNATURE.upper(), SESSION_KEY),
        (RAW, SIGNATURE + " ", SESSION_KEY),
        (RAW, SIGNATURE[:20], SESSION_KEY),
        (RAW, "", SESSION_KEY),
        (RAW, "é", SESSION_KEY),
        (RAW, SIGNATURE, "HyVFkGl5F5OQWJZZaNzBBg=="),
        (RAW, SIGNATURE, ""),
        (RAW + SESSION_KEY, SIGNATURE, SESSION_KEY),
    ],
)
def test_another_signature_is_refused(raw_data: str, signature: str, session_key: str) -> None:
    assert not Signed(raw_data, signature).was_signed_with(session_key)


def test_fields_that_raw_data_tells_too_are_returned() -> None:
    fields = {"nickName": "苏震巍", "gender": 1, "openId": OPENID}
    assert Signed(RAW, SIGNATURE).agreeing(fields) == fields


@pytest.mark.parametrize("changed", [{"nickName": "Band"}, {"gender": 2}, {"gender": "1"}])
def test_fields_that_raw_data_tells_otherwise_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        Signed(RAW, SIGNATURE).agreeing({"nickName": "苏震巍", "gender": 1, **changed})


@pytest.mark.parametrize("raw_data", ["", "x", "[]", '{"gender":1,"gender":1}', '{"gender":NaN}'])
def test_raw_data_that_is_no_strict_json_object_is_refused(raw_data: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        Signed(raw_data, SIGNATURE).agreeing({"gender": 1})


# --- whatever comes: what a kind allows, or the one error ---


@given(
    data=st.integers(1, 4).flatmap(lambda n: st.binary(min_size=16 * n, max_size=16 * n)),
    iv=st.binary(min_size=16, max_size=16),
    kind=st.sampled_from([*KINDS]),
)
def test_any_bytes_are_data_or_the_one_error(data: bytes, iv: bytes, kind: str) -> None:
    assert failure([KEY, OTHER_KEY], data, iv, kind).code == "DecryptFailed"


@given(plaintext=st.binary() | st.text().map(str.encode), kind=st.sampled_from([*KINDS]))
def test_any_text_without_a_watermark_is_the_one_error(plaintext: bytes, kind: str) -> None:
    failure([KEY], encrypted(padded(plaintext)), kind=kind)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
KNOWN = st.sampled_from([value for fields in SAMPLES.values() for value in fields.values()])
FIELDS = st.dictionaries(st.sampled_from([name for _, name in MEMBERS]), KNOWN | ANYTHING)
WATERMARKS = st.just(WATERMARK) | st.fixed_dictionaries(
    {"appid": st.just(APPID), "timestamp": ANYTHING | st.integers(NOW - 400, NOW + 100)}
)


@given(
    kind=st.sampled_from([*KINDS]),
    members=FIELDS,
    watermark=WATERMARKS | ANYTHING,
    whole=st.booleans(),
)
def test_any_fields_are_what_the_kind_allows_or_the_one_error(
    kind: str, members: dict[str, Any], watermark: Any, whole: bool
) -> None:
    fields = {**(SAMPLES[kind] if whole else {}), **members, "watermark": watermark}
    data = encrypted(padded(json.dumps(fields).encode()))
    try:
        result = opendata.open_with([KEY], data, IV, lambda plaintext: read(plaintext, kind))
    except DecryptFailed:
        return
    assert SAMPLES[kind].keys() >= result.keys()
    assert result.keys() >= REQUIRED[kind] or (kind == "group" and result["open_single_roomid"])
    assert fields.keys() - {"watermark"} <= SAMPLES[kind].keys()
    assert NOW - MAX_AGE <= watermark["timestamp"] <= NOW + opendata.CLOCK_SKEW
    assert result.get("openId", OPENID) == OPENID
