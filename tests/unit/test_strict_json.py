"""JSON exactly as in RFC 8259: one value, one reading, one error."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.strict_json import NotStrictJson, load_object, loads

CANARY = "appsecret-canary"


def refused(data: bytes) -> bool:
    try:
        loads(data)
    except NotStrictJson:
        return True
    return False


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b' \t\r\n{"a" : [1, 2.5, -0, 1e3, true, false, null]} \n', None),
        ('{"昵称":"小程序\\n"}'.encode(), {"昵称": "小程序\n"}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\u0000"', "\0"),
        (b'{"":{"":""}}', {"": {"": ""}}),
        (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
        (b"[]", []),
        (b"null", None),
    ],
)
def test_rfc_8259_is_read(data: bytes, value: object) -> None:
    assert loads(data) == (value if value is not None else json.loads(data))


@pytest.mark.parametrize(
    "data",
    [b'{"a":1,"a":2}', b'{"a":1,"a":1}', b'[{"x":{"b":0,"b":0}}]', b'{"a":1,"\\u0061":2}'],
)
def test_a_duplicate_key_is_refused_at_any_depth(data: bytes) -> None:
    assert refused(data)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000])
def test_a_number_that_others_read_otherwise_is_refused(number: str) -> None:
    assert refused(number.encode())
    assert refused(f'{{"a":[{number}]}}'.encode())


@pytest.mark.parametrize(
    "data",
    [
        *(b'"\\ud800"', b'"\\udfff"', b'"\\ude00\\ud83d"', b'{"\\ud800":1}'),
        *(b'{"a":[{"b":"\\udc00"}]}', b'"\xed\xa0\x80"'),
    ],
)
def test_a_lone_surrogate_is_refused_also_in_a_key(data: bytes) -> None:
    assert refused(data)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_no_encoding_but_utf_8_is_read(codec: str) -> None:
    assert refused('{"a":1}'.encode(codec))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b" ", b"{", b"{}{}", b"{} x", b"{}\0", b"{'a':1}", b'{"a":1,}', b"[1,]", b"01"),
        *(b"+1", b".5", b"0x1", b"True", b'"\n"', b'"\\x41"', b"\xff", b'"\xc0\xaf"', b"// c\n{}"),
        *(b"\xc2\xa0{}", b"\x0c{}"),
    ],
)
def test_what_is_not_one_json_value_is_refused(data: bytes) -> None:
    assert refused(data)


NESTED: dict[str, Callable[[int], str]] = {
    "arrays": lambda depth: "[" * depth + "]" * depth,
    "arrays around a value": lambda depth: "[" * depth + "0" + "]" * depth,
    "objects": lambda depth: '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1),
    "objects around a value": lambda depth: '{"a":' * depth + "0" + "}" * depth,
    "a side branch": lambda depth: '[{"a":1},' + "[" * (depth - 1) + "]" * depth,
}


@pytest.mark.parametrize("shape", NESTED)
def test_nesting_is_bounded_at_32(shape: str) -> None:
    assert not refused(NESTED[shape](32).encode())
    assert refused(NESTED[shape](33).encode())


def test_brackets_side_by_side_are_no_nesting() -> None:
    assert loads(b"[" + b"[],{}," * 100 + b"[]]")[0] == []


def test_brackets_in_a_text_are_no_nesting() -> None:
    assert loads(b'{"a":"' + b"[{" * 100 + b'"}') == {"a": "[{" * 100}


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_nesting_beyond_the_interpreter_is_refused_all_the_same(bracket: bytes) -> None:
    assert refused(bracket * 100_000)
    assert refused(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("data", [b"[]", b"null", b'"{}"', b"1", b"true"])
def test_an_object_is_demanded(data: bytes) -> None:
    with pytest.raises(NotStrictJson):
        load_object(data)


def test_an_object_is_given() -> None:
    assert load_object(b'{"a":{}}') == {"a": {}}


# --- no other error, and nothing of the text in it ---


@given(st.binary())
def test_no_bytes_raise_another_error(data: bytes) -> None:
    if not refused(data):
        assert loads(data) == json.loads(data)


@given(st.text(alphabet='{}[]",:\\ud8001eE+-.tfn '))
def test_no_brackets_and_escapes_raise_another_error(text: str) -> None:
    if not refused(text.encode()):
        assert loads(text.encode()) == json.loads(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Text without surrogates is what a text in UTF-8 can hold.
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_what_is_json_is_read_as_it_was_written(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


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
        loads(data.encode())
    # A JSONDecodeError carries the whole document in `doc`, a UnicodeError in `object`.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert caught.value.args == ()
