"""A request as API Gateway hands it over: headers, bearer, body, deadline; nothing is trusted."""

import base64
import ipaddress
import re
import uuid
from functools import cached_property
from typing import Any, TypeVar

from chalicelib import strict_json
from chalicelib.deadlines import NO_DEADLINE, Deadline
from chalicelib.errors import InvalidRequest, InvalidToken, RequestTooLarge, UnsupportedMediaType
from chalicelib.sessions.tokens import Token

MAX_JSON_BODY = 1_048_576  # bytes of a JSON body; the fields that we take are far smaller
# Bytes of any body: what fits into Lambda's event of 6 MiB as base64 (AWS Lambda quotas).
MAX_BODY = 4_718_592
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
# AWS X-Ray, "Tracing header": Root=1-…;Parent=…;Sampled=…
_TRACE_ID = re.compile(r"[A-Za-z]+=[A-Za-z0-9:-]+(?:;[A-Za-z]+=[A-Za-z0-9:-]+)*")
# Parameters of application/json that are accepted; "" comes after a trailing semicolon.
_UTF_8 = {"", *(f"charset={name}" for name in ("utf-8", "utf8", '"utf-8"', '"utf8"'))}

Pairs = list[tuple[str, str]]
_T = TypeVar("_T")


def _member(event: dict[str, Any], name: str, kind: type[_T]) -> _T:
    """Give a member of an event; an empty one if it is of another type, or missing."""
    value = event.get(name)
    return value if isinstance(value, kind) else kind()


def _pairs(event: dict[str, Any], multi: str, single: str) -> Pairs:
    """Flatten the two maps of an event's headers, or query; the multi-value map wins."""
    lists = event.get(multi)
    if not isinstance(lists, dict):
        lists = {name: [value] for name, value in _member(event, single, dict).items()}
    found = [(n, v) for n, v in lists.items() if isinstance(n, str) and isinstance(v, list)]
    return [(name, value) for name, values in found for value in values if isinstance(value, str)]


def deadline_of(context: object) -> Deadline:
    """When Lambda ends this invocation; a context of another kind sets no limit."""
    get_remaining = getattr(context, "get_remaining_time_in_millis", None)
    left = get_remaining() if callable(get_remaining) else None
    return Deadline.after(left / 1000) if isinstance(left, int | float) else NO_DEADLINE


class Request:
    """One API Gateway REST proxy event (AWS: input format of a Lambda function for proxy).

    `path` is raw and percent-encoded; `headers` and `query` are ordered pairs. Handlers add to
    `log_fields`, for the request's log line, and to `answer_headers`, for whatever it is answered.
    An event of any shape is accepted: what is malformed is empty, or raises when it is read.
    """

    def __init__(self, event: object, deadline: Deadline = NO_DEADLINE) -> None:
        self.event: dict[str, Any] = event if isinstance(event, dict) else {}
        self.deadline = deadline
        self.log_fields: dict[str, Any] = {}
        self.answer_headers: dict[str, str] = {}
        # API Gateway's requestContext: the only part that a client cannot write.
        self.context: dict[str, Any] = _member(self.event, "requestContext", dict)
        self.resource = _member(self.context, "resourcePath", str)
        self.method = _member(self.context, "httpMethod", str)
        self.path = _member(self.event, "path", str)
        self.headers: Pairs = _pairs(self.event, "multiValueHeaders", "headers")
        self._named = [(name.lower(), value) for name, value in self.headers]

    @cached_property
    def id(self) -> str:
        """API Gateway's request id, or our own if it gave none."""
        sent = _member(self.context, "requestId", str)
        return sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())

    @property
    def trace_id(self) -> str | None:
        """The X-Amzn-Trace-Id of the invocation, if it is well-formed (AWS X-Ray)."""
        sent = self.values("x-amzn-trace-id")
        found = len(sent) == 1 and len(sent[0]) <= 256 and _TRACE_ID.fullmatch(sent[0])
        return sent[0] if found else None

    def parameter(self, name: str) -> str:
        """What a route's `{name}` or `{name+}` matched, as API Gateway decoded it; or ""."""
        return _member(_member(self.event, "pathParameters", dict), name, str)

    @property
    def source_ip(self) -> str | None:
        """The address that API Gateway saw; never from a header."""
        identity = _member(self.context, "identity", dict)
        try:
            return str(ipaddress.ip_address(_member(identity, "sourceIp", str)))
        except ValueError:
            return None

    @property
    def forwarded_for(self) -> tuple[str, ...]:
        """The elements of X-Forwarded-For in order; only the last ones are not the client's."""
        elements = ",".join(self.values("x-forwarded-for")).split(",")
        return tuple(stripped for element in elements if (stripped := element.strip()))

    @cached_property
    def query(self) -> Pairs:
        """Every query parameter in order, decoded once by API Gateway."""
        return _pairs(self.event, "multiValueQueryStringParameters", "queryStringParameters")

    def values(self, name: str) -> list[str]:
        """All values of a header, by lower-case name, in order."""
        return [value for key, value in self._named if key == name]

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

    def token(self) -> Token:
        """The one bearer (RFC 6750 2.1), with the right checksum, or InvalidToken; no I/O."""
        sent, single = self.values("authorization"), self.event.get("headers")
        if isinstance(single, dict) and isinstance(self.event.get("multiValueHeaders"), dict):
            # The two maps of an event must agree, or two readers see two users.
            single = [v for k, v in single.items() if k.lower() == "authorization"]
            if single != sent:
                raise InvalidToken
        if len(sent) != 1 or not sent[0].lower().startswith("bearer "):
            raise InvalidToken
        token = Token.parse(sent[0][len("bearer ") :])
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
