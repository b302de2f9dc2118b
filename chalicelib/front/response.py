"""Answers in API Gateway's shape: JSON, errors, and bytes that must arrive unchanged."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from chalicelib.errors import GateError

MAX_ANSWER = 6_291_456  # bytes of a serialised Lambda answer (AWS Lambda quotas: 6 MB)
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ROOM = MAX_ANSWER - 16_384  # bytes of it for the body; the rest is for headers and envelope
OWN_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class AnswerTooLarge(ValueError):
    """The serialised answer is over MAX_ANSWER bytes."""


class Answer:
    """A Lambda proxy answer; bytes go out as text if they are UTF-8 that fits, else as base64.

    AnswerTooLarge is raised if Lambda cannot carry the body.
    """

    def __init__(self, body: str | bytes, headers: Mapping[str, str], status: int) -> None:
        self.status_code = status
        self.headers = dict(headers)
        self.body, self.is_base64 = (body, False) if isinstance(body, str) else _encoded(body)

    def to_dict(self) -> dict[str, Any]:
        """Give what a Lambda function returns to API Gateway."""
        return {
            "statusCode": self.status_code,
            "headers": self.headers,
            "multiValueHeaders": {},
            "body": self.body,
            "isBase64Encoded": self.is_base64,
        }


def _encoded(body: bytes) -> tuple[str, bool]:
    try:
        text = body.decode()
        # Lambda's runtime escapes to ASCII: one control byte becomes six characters.
        if len(body) * 6 < _ROOM or len(json.dumps(text)) <= _ROOM:
            return text, False
    except UnicodeDecodeError:
        pass  # base64 carries any bytes
    encoded = base64.b64encode(body).decode()
    if len(encoded) > _ROOM:
        raise AnswerTooLarge
    return encoded, True


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] = {}) -> Answer:
    """Answer a JSON value, with the headers of every answer that the gate makes itself."""
    return Answer(_compact(value), {**OWN_HEADERS, **headers}, status)


def text_answer(text: str) -> Answer:
    """Answer plain text."""
    return Answer(text, {**OWN_HEADERS, "Content-Type": "text/plain; charset=utf-8"}, 200)


def empty_answer() -> Answer:
    """Answer 204, without a body."""
    return Answer("", {k: v for k, v in OWN_HEADERS.items() if k != "Content-Type"}, 204)


def refusal(error: GateError) -> Answer:
    """Answer an error as `{"Code", "Message"}` with X-Wxgate-Error."""
    body = {"Code": error.code, "Message": error.message}
    headers = {**error.headers, "X-Wxgate-Error": error.code}
    return json_answer(body, status=error.status, headers=headers)
