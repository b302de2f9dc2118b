"""Answers in API Gateway's shape: JSON, errors, and bytes that must arrive unchanged."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from chalice.app import Response

from chalicelib.errors import GateError

MAX_ANSWER = 6_291_456
"""Bytes of a serialised Lambda answer (AWS Lambda quotas: 6 MB)."""

OWN_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

_HEADROOM = 16_384
"""Bytes left for the headers and the envelope of an answer."""


class AnswerTooLarge(ValueError):
    """The serialised answer is over MAX_ANSWER bytes."""


class Answer(Response):
    """A Chalice response that serialises itself, so that no Accept header can change it.

    Bytes go out as text if they are UTF-8 that fits, else as base64.

    Raises:
        AnswerTooLarge: if Lambda cannot carry the body.
    """

    def __init__(self, body: str | bytes, headers: Mapping[str, str], status: int) -> None:
        text, self.is_base64 = (body, False) if isinstance(body, str) else _encoded(body)
        super().__init__(text, dict(headers), status)

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:  # noqa: ARG002 - Chalice's
        """Give the Lambda proxy answer; Chalice's binary_types have no effect."""
        return {
            "statusCode": self.status_code,
            "headers": self.headers,
            "multiValueHeaders": {},
            "body": self.body,
            "isBase64Encoded": self.is_base64,
        }


def _encoded(body: bytes) -> tuple[str, bool]:
    room = MAX_ANSWER - _HEADROOM
    try:
        text = body.decode()
        # Lambda's runtime escapes to ASCII: one control byte becomes six characters.
        if len(body) * 6 < room or len(json.dumps(text)) <= room:
            return text, False
    except UnicodeDecodeError:
        pass  # base64 carries any bytes
    encoded = base64.b64encode(body).decode()
    if len(encoded) > room:
        raise AnswerTooLarge
    return encoded, True


def json_answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Answer a JSON value, with the headers of every answer that the gate makes itself."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Answer(text, {**OWN_HEADERS, **(headers or {})}, status)


def text_answer(text: str) -> Answer:
    """Answer a plain text as it is."""
    return Answer(text, {**OWN_HEADERS, "Content-Type": "text/plain; charset=utf-8"}, 200)


def empty_answer(status: int = 204) -> Answer:
    """Answer without a body."""
    headers = {k: v for k, v in OWN_HEADERS.items() if k != "Content-Type"}
    return Answer("", headers, status)


def refusal(error: GateError) -> Answer:
    """Answer an error as `{"Code", "Message"}` with X-Wxgate-Error."""
    return json_answer(
        {"Code": error.code, "Message": error.message},
        status=error.status,
        headers={**error.headers, "X-Wxgate-Error": error.code},
    )
