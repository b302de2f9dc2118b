"""Answers: text where it fits, base64 where it must, and never more than Lambda can carry."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidToken
from chalicelib.front.response import (
    MAX_ANSWER,
    Answer,
    AnswerTooLarge,
    empty_answer,
    json_answer,
    refusal,
)

OWN = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def sent(answer: Answer) -> bytes:
    """The bytes that API Gateway makes of an answer."""
    result = answer.to_dict()
    body: str = result["body"]
    return base64.b64decode(body) if result["isBase64Encoded"] else body.encode()


def encoded(body: bytes) -> bool:
    answer = Answer(body, {}, 200)
    assert sent(answer) == body
    assert len(json.dumps(answer.to_dict())) <= MAX_ANSWER
    return answer.is_base64


# --- JSON ---


def test_a_json_answer_carries_the_gates_own_headers() -> None:
    answer = json_answer({"昵称": ["<&>", "😀", None]}).to_dict()
    assert answer == {
        "statusCode": 200,
        "headers": OWN,
        "multiValueHeaders": {},
        "body": '{"昵称":["<&>","😀",null]}',
        "isBase64Encoded": False,
    }


def test_a_header_can_be_added_and_replaced() -> None:
    answer = json_answer([], status=201, headers={"Cache-Control": "public", "X": "y"})
    assert answer.to_dict()["headers"] == {**OWN, "Cache-Control": "public", "X": "y"}
    assert answer.status_code == 201


def test_a_header_with_a_line_break_is_not_sent() -> None:
    with pytest.raises(ValueError, match=r"^$"):
        json_answer({}, headers={"X": "a\nSet-Cookie: canary"})


def test_an_empty_answer_has_no_type() -> None:
    answer = empty_answer().to_dict()
    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"] == {k: v for k, v in OWN.items() if k != "Content-Type"}


# --- refusals ---


def test_a_refusal_has_the_contracts_shape() -> None:
    answer = refusal(InvalidToken(reason="never shown")).to_dict()
    assert answer["statusCode"] == 401
    assert json.loads(answer["body"]) == {"Code": "InvalidToken", "Message": InvalidToken.message}
    own = {"X-Wxgate-Error": "InvalidToken", "WWW-Authenticate": "Bearer"}
    assert answer["headers"] == {**OWN, **own}


# --- bytes ---


@pytest.mark.parametrize("body", [b"", b"{}", "昵称😀".encode(), bytes(range(128)), b"\r\n\0"])
def test_utf_8_goes_out_as_text(body: bytes) -> None:
    assert not encoded(body)


@pytest.mark.parametrize("body", [b"\xff", b"\x80", bytes(range(256)), "é".encode("latin-1")])
def test_what_is_no_utf_8_goes_out_as_base64(body: bytes) -> None:
    assert encoded(body)


def test_text_that_escaping_makes_too_large_goes_out_as_base64() -> None:
    # Lambda's runtime writes each of these bytes as six characters: 6.6 MB, base64 1.5 MB.
    assert encoded(b"\x01" * 1_100_000)
    assert not encoded(b"\x01" * 1_000_000)


@pytest.mark.parametrize(
    ("byte", "largest"),
    [(b"x", MAX_ANSWER - 16_384 - len('""')), (b"\xff", (MAX_ANSWER - 16_384) // 4 * 3)],
)
def test_the_largest_answer_fits_and_no_larger_one(byte: bytes, largest: int) -> None:
    assert encoded(byte * largest) == (byte == b"\xff")
    with pytest.raises(AnswerTooLarge):
        Answer(byte * (largest + 1), {}, 200)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_arrive_as_they_are(body: bytes) -> None:
    encoded(body)
