"""JSON exactly as in RFC 8259: one object, one reading, one error."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.strict_json import NotStrictJson, load_object

CANARY = "appsecret-canary"


def refused(data: bytes) -> bool:
    try:
        load_object(data)
    except NotStrictJson:
        return True
    return False


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' \t\r\n{"a" : [2.5, -0, 1e3, true, null]} \n', {"a": [2.5, 0, 1000.0, True, None]}),
        ('{"昵称":"小程序\\n"}'.encode(), {"昵称": "小程序\n"}),
        (b'{"a":"\\ud83d\\ude00\\u0000"}', {"a": "😀\0"}),
        (b'{"":{"":""}}', {"": {"": ""}}),
        (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
        (b'{"a":"' + b"[{" * 100 + b'"}', {"a": "[{" * 100}),
        (b'{"a":[' + b"[],{}," * 100 + b"[]]}", {"a": [[], {}] * 100 + [[]]}),
    ],
    ids=range(7),
)
def test_rfc_8259_is_read(data: bytes, value: object) -> None:
    assert load_object(data) == value


NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000]
SURROGATES = ['"\\ud800"', '"\\udfff"', '"\\ude00\\ud83d"', '[{"b":"\\udc00"}]']
CODECS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
OTHERWISE = {
    "keys": [b'{"a":1,"a":2}', b'{"a":1,"a":1}', b'{"a":[{"x":{"b":0,"b":0}}]}'],
    "spelt keys": [b'{"a":1,"\\u0061":2}', b'{"\\ud800":1}'],
    "numbers": [f'{{"a":[{number}]}}'.encode() for number in NUMBERS],
    "surrogates": [*(f'{{"a":{text}}}'.encode() for text in SURROGATES), b'{"a":"\xed\xa0\x80"}'],
    "encodings": ['{"a":1}'.encode(codec) for codec in CODECS],
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_what_others_would_read_otherwise_is_refused(what: str) -> None:
    assert [data for data in OTHERWISE[what] if not refused(data)] == []


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b" ", b"{", b"{}{}", b"{} x", b"{}\0", b"{'a':1}", b'{"a":1,}', b"[]", b"null"),
        *(b'"{}"', b"1", b"true", b"// c\n{}", b"\xc2\xa0{}", b"\x0c{}", b"\xff"),
        *(b'{"a":%b}' % value for value in (b"[1,]", b"01", b"+1", b".5", b"0x1", b"True")),
        *(b'{"a":%b}' % value for value in (b'"\n"', b'"\\x41"', b'"\xc0\xaf"')),
    ],
)
def test_what_is_not_one_json_object_is_refused(data: bytes) -> None:
    assert refused(data)


NESTED: dict[str, Callable[[int], str]] = {
    "arrays": lambda depth: '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}",
    "objects around a value": lambda depth: '{"a":' * depth + "0" + "}" * depth,
    "a side branch": lambda depth: '{"a":{},"b":' + "[" * (depth - 1) + "]" * (depth - 1) + "}",
}


@pytest.mark.parametrize("shape", NESTED)
def test_nesting_is_bounded_at_32_and_beyond_the_interpreter(shape: str) -> None:
    assert not refused(NESTED[shape](32).encode())
    assert refused(NESTED[shape](33).encode())
    assert refused(NESTED[shape](100_000).encode())
    assert refused(NESTED[shape](100_000).encode()[:200_000])


@given(st.binary() | st.text(alphabet='{}[]",:\\ud8001eE+-.tfn ').map(str.encode))
def test_no_bytes_raise_another_error(data: bytes) -> None:
    if not refused(data):
        assert load_object(data) == json.loads(data)


NUMBER = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=3))
def test_what_is_json_is_read_as_it_was_written(value: Any) -> None:
    assert load_object(json.dumps(value).encode()) == value
    assert load_object(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        f'{{"appsecret":"{CANARY}"',
        f'{{"appsecret":"{CANARY}\\ud800"}}',
        f'{{"{CANARY}":1,"{CANARY}":1}}',
        f'{{"appsecret":"{CANARY}",}} ',
    ],
)
def test_the_error_holds_nothing_of_the_text(data: str) -> None:
    with pytest.raises(NotStrictJson) as caught:
        load_object(data.encode())
    # A JSONDecodeError carries the whole document in `doc`, a UnicodeError in `object`.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert caught.value.args == ()
