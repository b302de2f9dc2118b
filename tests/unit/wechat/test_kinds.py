"""Kinds: exactly the documented fields of one kind are read, and every failure looks the same."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.identity import Identity
from chalicelib.wechat import kinds
from chalicelib.wechat.kinds import KINDS
from tests.support.fakes import NOW

APPID = "wx4f4bc4dec97d474b"
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
UNIONID = "ocMvos6NjeKLIBqg5Mr9QjxrP1FA"
MAX_AGE = 300
WATERMARK = {"timestamp": NOW, "appid": APPID}
ANN = Identity(APPID, OPENID, UNIONID)


# Every documented member of each kind.
SAMPLES: dict[str, dict[str, Any]] = {
    "user": {
        "openId": OPENID,
        "unionId": UNIONID,
        "nickName": "苏震巍😀",
        "gender": 1,
        **dict.fromkeys(("language", "country", "province", "city"), "苏 CN"),
        "avatarUrl": "",
    },
    "phone": {"phoneNumber": "13580006666", "purePhoneNumber": "13580006666", "countryCode": "86"},
    "werun": {"stepInfoList": [{"timestamp": 1445866601, "step": 9}, {"timestamp": 0, "step": 0}]},
    "share": {"openGId": "tGAAAAAAAAAAAAAAAAAAAAAAAAAAA", "msgTicket": "a.ticket~of:any/form"},
    "group": {"opengid": "tG/1", "open_single_roomid": "", "group_openid": "oG-_", "chat_type": 3},
}
REQUIRED = {
    "user": {"nickName", "avatarUrl"},
    "phone": {"phoneNumber", "purePhoneNumber", "countryCode"},
    "werun": {"stepInfoList"},
    "share": set[str](),
    "group": {"opengid"},
}
MEMBERS = [(kind, name) for kind, fields in SAMPLES.items() for name in fields]


def read(plaintext: bytes, kind: str, whose: Identity = ANN, now: float = NOW) -> Any:
    return kinds.read(plaintext, kind, whose=whose, now=now, max_age=MAX_AGE)


def written(fields: object) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def sample(kind: str, **members: Any) -> bytes:
    """The sample of a kind with members changed or added."""
    return written({**SAMPLES[kind], "watermark": WATERMARK, **members})


def refused(plaintext: bytes, kind: str, **given: Any) -> bool:
    """Whether `read` refuses, without a word and by no error but ValueError."""
    try:
        read(plaintext, kind, **given)
    except ValueError as error:
        return error.args == ()
    return False


def refused_with(kind: str, **members: Any) -> bool:
    return refused(sample(kind, **members), kind)


def test_of_five_kinds_every_documented_member_is_returned_and_no_other() -> None:
    assert list(KINDS) == ["user", "phone", "werun", "share", "group"] == list(SAMPLES)
    for kind, fields in SAMPLES.items():
        assert read(sample(kind, newInTheFuture={"a": [1]}, session_key="x"), kind) == fields


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
    other = "1" if isinstance(SAMPLES[kind][name], int) else 1
    values: list[object] = [None, True, 1.0, {}, ["x"], *([other] if name != "countryCode" else [])]
    assert [value for value in values if not refused_with(kind, **{name: value})] == []


@pytest.mark.parametrize("kind", ["", "User", "phone ", "watermark", "__class__", *KINDS])
def test_a_member_of_another_kind_is_refused_and_what_is_no_kind_opens_nothing(kind: str) -> None:
    for other, name in MEMBERS:
        if kind not in KINDS:
            assert refused(sample(other), kind)
        elif kind != other:
            assert refused_with(kind, **{name: SAMPLES[other][name]})
            assert refused_with(kind, **{name: None})


NO_DIGITS = ["١٣٥٨", "１３５８", "13580006666\n", " 13580006666", "135 8000 6666", "1e10"]
NO_IDS = ["a b", "x\n", "嘊", '"', "x" * 129]
GROUP_IDS = ("opengid", "open_single_roomid", "group_openid")
HUGE = (-1, 2**53, 10**400)  # what no reader, or not every reader, reads alike
WRONG: dict[str, list[dict[str, Any]]] = {
    "user": [
        *({"openId": other} for other in ("", OPENID.lower(), f"{OPENID}\n", UNIONID)),
        *({"unionId": other} for other in (" ", UNIONID.lower(), f"{UNIONID}\n", OPENID)),
        *({"gender": number} for number in HUGE),
    ],
    "phone": [
        *({"phoneNumber": n} for n in ("13580006667", "8513580006666", "++8613580006666")),
        *({"phoneNumber": n} for n in ("+13580006666", "1358000666")),
        {"purePhoneNumber": "13580006667"},
        *({"phoneNumber": n, "purePhoneNumber": n.lstrip("+")} for n in ("+", "", "1" * 21)),
        {"phoneNumber": "+8613580006666", "countryCode": "852"},
        *({"countryCode": code} for code in ("", -86, 8.6, "+86", 10**30, *NO_DIGITS)),
        {"phoneNumber": "1" * 25, "purePhoneNumber": "1" * 20, "countryCode": "1" * 5},
        *({"phoneNumber": n, "purePhoneNumber": n} for n in (*NO_DIGITS, "135-8000-6666", "1\0")),
    ],
    "werun": [
        {"stepInfoList": days}
        for days in (
            *({}, "", "x", [1], [[]], [{"timestamp": 1}], [{"step": 1}]),
            *([{"timestamp": 1, "step": step}] for step in (True, 2.5, "2")),
            [{"timestamp": 1, "step": 2}, None],
        )
    ],
    "share": [
        *({"msgTicket": ticket} for ticket in ("", "a b", "x\n", "票", "x" * 513)),
        *({"openGId": value} for value in NO_IDS),
    ],
    "group": [
        *({name: value} for name in GROUP_IDS for value in NO_IDS),
        *({"chat_type": number} for number in HUGE),
        {"opengid": ""},
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_that_is_not_as_documented_or_another_users_is_refused(kind: str) -> None:
    assert [changed for changed in WRONG[kind] if not refused_with(kind, **changed)] == []


def test_an_empty_id_is_none_and_a_ticket_needs_no_group() -> None:
    assert "unionId" not in read(sample("user", unionId=""), "user")
    for group in ({}, {"openGId": ""}):
        private = {**group, "watermark": WATERMARK}
        assert read(written({**private, "msgTicket": "a"}), "share") == {"msgTicket": "a"}
        assert refused(written(private), "share")


def test_a_profile_may_come_without_ids_and_with_none_that_the_session_does_not_know() -> None:
    assert refused(sample("user"), "user", whose=replace(ANN, unionid=None))
    fields = {k: v for k, v in SAMPLES["user"].items() if k not in ("openId", "unionId")}
    assert read(written({**fields, "watermark": WATERMARK}), "user") == fields


NUMBERS = [
    *((prefix + "13580006666", "13580006666", "86") for prefix in ("", "86", "+86")),
    *(("+85291234567", "91234567", "852"), ("1", "1", "1"), ("+" + "1" * 24, "1" * 20, "1" * 4)),
]
CHAT = {"open_single_roomid": "room_1", "group_openid": "oGroup-member_1", "chat_type": 1}
RIGHT: list[tuple[str, dict[str, Any]]] = [
    *(("user", {"gender": number}) for number in (0, 2**53 - 1)),
    *(("phone", dict(zip(SAMPLES["phone"], number, strict=True))) for number in NUMBERS),
    ("werun", {"stepInfoList": []}),
    ("group", {"opengid": "", **CHAT}),  # a chat of two has an id of its own
    *(("group", {"chat_type": number}) for number in (0, 2**53 - 1)),
]


@pytest.mark.parametrize(("kind", "fields"), RIGHT)
def test_a_value_at_the_edge_of_what_is_documented_is_returned(
    kind: str, fields: dict[str, Any]
) -> None:
    assert read(sample(kind, **fields), kind) == {**SAMPLES[kind], **fields}


def test_what_wechat_adds_or_leaves_out_makes_no_difference() -> None:
    day = {"timestamp": 1, "step": 2}
    more = sample("werun", stepInfoList=[{**day, "heartRate": 3}])
    assert read(more, "werun") == {"stepInfoList": [day]}
    assert read(sample("phone", countryCode=86), "phone") == SAMPLES["phone"]
    assert read(written({**CHAT, "watermark": WATERMARK}), "group") == CHAT


def test_a_watermark_is_at_most_so_old() -> None:
    for age in (-60.0, 0.0, 300.0):
        assert read(sample("share"), "share", now=NOW + age)
    for age in (-61, -60.001, 300.001, NOW):
        assert refused(sample("share"), "share", now=NOW + age)


def test_a_watermarks_time_is_an_integer() -> None:
    for timestamp in (None, True, str(NOW), float(NOW), [NOW], -1, 10**400, -(10**400)):
        plaintext = sample("share", watermark={"timestamp": timestamp, "appid": APPID})
        assert refused(plaintext, "share")
        assert refused(plaintext, "share", now=1.0)  # when True would be fresh


NOBODYS_APPID = (None, "", "wx0000000000000001", APPID.upper(), f"{APPID}\n", [APPID], 4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_a_watermark_of_the_sessions_app(kind: str) -> None:
    others = [{"timestamp": NOW, "appid": appid} for appid in NOBODYS_APPID]
    bad = (None, [], [WATERMARK], "x", 1, {}, {"appid": APPID}, {"timestamp": NOW}, *others)
    assert [mark for mark in bad if not refused_with(kind, watermark=mark)] == []
    assert refused(written(SAMPLES[kind]), kind)
    assert refused(sample(kind), kind, whose=replace(ANN, appid="wx0000000000000001"))


GOOD = sample("phone")


def test_what_is_not_one_strict_json_object_is_refused() -> None:
    assert read(GOOD, "phone") == SAMPLES["phone"]
    for plaintext in (
        *(b"", b"{", b"{}", b"null", b"[" + GOOD + b"]", b" " + GOOD, GOOD + b"\n", GOOD + GOOD),
        *(GOOD.decode().encode(codec) for codec in ("utf-16", "utf-32-be", "utf-8-sig")),
        *(GOOD[:-1] + more for more in (b',"countryCode":"86"}', b',"x":NaN}', b',"x":"\xff"}')),
    ):
        assert refused(plaintext, "phone")


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


@given(st.sampled_from([*KINDS]), FIELDS, WATERMARKS | ANYTHING, st.booleans())
def test_any_fields_are_what_the_kind_allows_or_the_one_error(
    kind: str, members: dict[str, Any], watermark: Any, complete: bool
) -> None:
    fields = {**(SAMPLES[kind] if complete else {}), **members, "watermark": watermark}
    try:
        result = read(json.dumps(fields).encode(), kind)
    except ValueError:
        return
    assert SAMPLES[kind].keys() >= result.keys()
    assert result.keys() >= REQUIRED[kind] or (kind == "group" and result["open_single_roomid"])
    assert fields.keys() - {"watermark"} <= SAMPLES[kind].keys()
    assert NOW - MAX_AGE <= watermark["timestamp"] <= NOW + kinds.CLOCK_SKEW
    assert result.get("openId", OPENID) == OPENID
