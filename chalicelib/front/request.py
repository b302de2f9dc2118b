"""A request as API Gateway hands it over: headers, bearer, body, deadline; nothing is trusted."""

import base64
import ipaddress
import re
import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from chalicelib import strict_json
from chalicelib.deadlines import NO_DEADLINE, Deadline
from chalicelib.errors import InvalidRequest, InvalidToken, RequestTooLarge, UnsupportedMediaType
from chalicelib.sessions.tokens import Token

MAX_JSON_BODY = 1_048_576
"""Bytes of a JSON body; the fields that we take are far smaller."""

MAX_BODY = 4_718_592
"""Bytes of any body: what fits into Lambda's event of 6 MiB as base64 (AWS Lambda quotas)."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
# AWS X-Ray, "Tracing header": Root=1-…;Parent=…;Sampled=…
_TRACE_ID = re.compile(r"[A-Za-z]+=[A-Za-z0-9:-]+(?:;[A-Za-z]+=[A-Za-z0-9:-]+)*")
_UTF_8 = {"", *(f"charset={name}" for name in ("utf-8", "utf8", '"utf-8"', '"utf8"'))}
"""Parameters of application/json that are accepted; "" comes after a trailing semicolon."""

Pairs = list[tuple[str, str]]


def _pairs(multi: object, single: object) -> Pairs:
    """Flatten the two header (or query) maps of an event; the multi-value map wins."""
    pairs: Pairs = []
    if isinstance(multi, Mapping):
        for name, values in multi.items():
            if isinstance(values, list):
                pairs += [(name, value) for value in values if isinstance(value, str)]
    elif isinstance(single, Mapping):
        pairs = [(name, value) for name, value in single.items() if isinstance(value, str)]
    return pairs


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def deadline_of(context: Any) -> Deadline:
    """When Lambda ends this invocation; a context of another kind sets no limit."""
    get_remaining = getattr(context, "get_remaining_time_in_millis", None)
    milliseconds = get_remaining() if callable(get_remaining) else None
    if isinstance(milliseconds, int | float):
        return Deadline.after(milliseconds / 1000)
    return NO_DEADLINE


class Request:
    """One API Gateway REST proxy event (AWS: input format of a Lambda function for proxy).

    `path` is raw and percent-encoded; `headers` and `query` are ordered pairs; `log_fields` are
    what handlers add to the request's log line. An event of any shape is accepted: what is
    malformed is empty, or raises when it is read.
    """

    def __init__(self, event: object, deadline: Deadline = NO_DEADLINE) -> None:
        self.event = _mapping(event)
        self.deadline = deadline
        self.log_fields: dict[str, Any] = {}
        # API Gateway's requestContext: the only part that a client cannot write.
        self.context = _mapping(self.event.get("requestContext"))
        self.resource = _text(self.context.get("resourcePath"))
        self.method = _text(self.context.get("httpMethod"))
        self.path = _text(self.event.get("path"))

    @classmethod
    def from_event(cls, event: object, context: object) -> "Request":
        """Take an event and Lambda's context."""
        return cls(event, deadline_of(context))

    @cached_property
    def id(self) -> str:
        """API Gateway's request id, or our own if it gave none."""
        sent = _text(self.context.get("requestId"))
        return sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())

    @property
    def trace_id(self) -> str | None:
        """The X-Amzn-Trace-Id of the invocation, if it is well-formed (AWS X-Ray)."""
        sent = self.values("x-amzn-trace-id")
        found = len(sent) == 1 and len(sent[0]) <= 256 and _TRACE_ID.fullmatch(sent[0])
        return sent[0] if found else None

    @property
    def path_parameters(self) -> dict[str, str]:
        """What the route's {parameters} matched, as API Gateway decoded it."""
        found = _mapping(self.event.get("pathParameters"))
        return {name: value for name, value in found.items() if isinstance(value, str)}

    @property
    def source_ip(self) -> str | None:
        """The address that API Gateway saw; never from a header."""
        sent = _text(_mapping(self.context.get("identity")).get("sourceIp"))
        try:
            return str(ipaddress.ip_address(sent))
        except ValueError:
            return None

    @property
    def forwarded_for(self) -> tuple[str, ...]:
        """The elements of X-Forwarded-For in order; only the last ones are not the client's."""
        elements = ",".join(self.values("x-forwarded-for")).split(",")
        return tuple(stripped for element in elements if (stripped := element.strip()))

    @cached_property
    def headers(self) -> Pairs:
        """Every header in order, names as sent."""
        return _pairs(self.event.get("multiValueHeaders"), self.event.get("headers"))

    @cached_property
    def query(self) -> Pairs:
        """Every query parameter in order, decoded once by API Gateway."""
        return _pairs(
            self.event.get("multiValueQueryStringParameters"),
            self.event.get("queryStringParameters"),
        )

    def values(self, name: str) -> list[str]:
        """All values of a header, by lower-case name, in order."""
        return [value for key, value in self.headers if key.lower() == name]

    @cached_property
    def body(self) -> bytes:
        """The body bytes.

        Raises:
            InvalidRequest: if the event's body is no text, or not the base64 that it claims to be.
            RequestTooLarge: beyond MAX_BODY bytes.
        """
        body = self.event.get("body")
        if body is None:
            return b""
        if not isinstance(body, str | bytes):
            raise InvalidRequest
        try:
            # API Gateway's body is text; chalice.test.Client gives bytes.
            data = body.encode() if isinstance(body, str) else body
            if self.event.get("isBase64Encoded") is True:
                data = base64.b64decode(data, validate=True)
        except ValueError:
            raise InvalidRequest from None
        if len(data) > MAX_BODY:
            raise RequestTooLarge
        return data

    def json(self) -> dict[str, Any]:
        """The body as a strict JSON object.

        Raises:
            UnsupportedMediaType: unless Content-Type is application/json in UTF-8, uncompressed.
            RequestTooLarge: beyond MAX_JSON_BODY bytes.
            InvalidRequest: without a Content-Type, or if it is not a strict JSON object.
        """
        _check_media_type(self.values("content-type"), self.values("content-encoding"))
        if len(self.body) > MAX_JSON_BODY:
            raise RequestTooLarge
        try:
            return strict_json.load_object(self.body)
        except strict_json.NotStrictJson:
            raise InvalidRequest("The body is not one strict JSON object in UTF-8.") from None

    def bearer(self) -> str | None:
        """The bearer credential, or None without an Authorization header (RFC 6750 2.1).

        Raises:
            InvalidToken: if there are several, or if it is not `Bearer <one word>`.
        """
        sent = self.values("authorization")
        single, multi = self.event.get("headers"), self.event.get("multiValueHeaders")
        if isinstance(single, Mapping) and isinstance(multi, Mapping):
            single = [v for k, v in single.items() if str(k).lower() == "authorization"]
            # The two maps of an event must agree, or two readers see two users.
            if single != sent:
                raise InvalidToken
        if not sent:
            return None
        scheme, _, credential = sent[0].rpartition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer" or not credential:
            raise InvalidToken
        return credential

    def token(self) -> Token:
        """The bearer as a token with the right format and checksum; no I/O.

        Raises:
            InvalidToken: if there is none.
        """
        credential = self.bearer()
        if credential is None:
            raise InvalidToken
        token = Token.parse(credential)
        self.log_fields["user"] = token.alias
        return token


def _check_media_type(types: list[str], encodings: list[str]) -> None:
    if not types:
        raise InvalidRequest("Content-Type is missing. Send application/json.")
    if len(types) != 1 or [e for e in encodings if e.strip().lower() != "identity"]:
        raise UnsupportedMediaType
    media_type, *parameters = (part.strip(" \t").lower() for part in types[0].split(";"))
    wrong = [p for p in parameters if p not in _UTF_8 and ("charset" in p or "=" not in p)]
    # text/plain must not pass: browsers send it across origins without a preflight request.
    if media_type != "application/json" or wrong:
        raise UnsupportedMediaType
