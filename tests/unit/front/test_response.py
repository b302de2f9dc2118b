"""Answers: text where it fits, base64 where it must, and never more than Lambda can carry."""

import base64
import json

import pytest
from hypothesis import example, given
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


def test_a_json_answer_carries_the_gates_own_headers() -> None:
    body = '{"昵称":["<&>","😀",null]}'
    expected = {"statusCode": 200, "headers": OWN, "multiValueHeaders": {}, "body": body}
    answer = json_answer({"昵称": ["<&>", "😀", None]}).to_dict()
    assert answer == {**expected, "isBase64Encoded": False}


def test_a_header_can_be_added_and_replaced() -> None:
    answer = json_answer([], status=201, headers={"Cache-Control": "public", "X": "y"})
    assert answer.to_dict()["headers"] == {**OWN, "Cache-Control": "public", "X": "y"}
    assert answer.status_code == 201


def test_an_empty_answer_has_no_type() -> None:
    answer = empty_answer().to_dict()
    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"] == {k: v for k, v in OWN.items() if k != "Content-Type"}


def test_a_refusal_has_the_contracts_shape() -> None:
    answer = refusal(InvalidToken(reason="never shown")).to_dict()
    assert answer["statusCode"] == 401
    assert json.loads(answer["body"]) == {"Code": "InvalidToken", "Message": InvalidToken.message}
    own = {"X-Wxgate-Error": "InvalidToken", "WWW-Authenticate": "Bearer"}
    assert answer["headers"] == {**OWN, **own}


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
@example("\r\n\0昵称😀".encode())
@example(b"\xff")
def test_any_bytes_arrive_as_they_are_in_base64_where_they_are_no_utf_8(body: bytes) -> None:
    is_text = body.decode(errors="ignore").encode() == body
    assert encoded(body) is not is_text
