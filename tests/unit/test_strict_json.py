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
        (
            b' \t\r\n{"a" : [1, 2.5, -0, 1e3, true, false, null]} \n',
            {"a": [1, 2.5, 0, 1000.0, True, False, None]},
        ),
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


@pytest.mark.parametrize(
    "data",
    [b'{"a":1,"a":2}', b'{"a":1,"a":1}', b'{"a":[{"x":{"b":0,"b":0}}]}', b'{"a":1,"\\u0061":2}'],
)
def test_a_duplicate_key_is_refused_at_any_depth(data: bytes) -> None:
    assert refused(data)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000])
def test_a_number_that_others_read_otherwise_is_refused(number: str) -> None:
    assert refused(f'{{"a":[{number}]}}'.encode())


@pytest.mark.parametrize(
    "text",
    [b'"\\ud800"', b'"\\udfff"', b'"\\ude00\\ud83d"', b'[{"b":"\\udc00"}]', b'"\xed\xa0\x80"'],
)
def test_a_lone_surrogate_is_refused_also_in_a_key(text: bytes) -> None:
    assert refused(b'{"a":' + text + b"}")
    assert refused(b'{"\\ud800":1}')


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_no_encoding_but_utf_8_is_read(codec: str) -> None:
    assert refused('{"a":1}'.encode(codec))


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


# --- no other error, and nothing of the text in it ---


@given(st.binary() | st.text(alphabet='{}[]",:\\ud8001eE+-.tfn ').map(str.encode))
def test_no_bytes_raise_another_error(data: bytes) -> None:
    if not refused(data):
        assert load_object(data) == json.loads(data)


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
