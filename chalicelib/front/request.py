"""What API Gateway hands over, read once and never trusted: headers, bearer, body, time left."""

import base64
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chalicelib import strict_json
from chalicelib.deadlines import Deadline
from chalicelib.errors import (
    InvalidRequest,
    InvalidToken,
    RequestTooLarge,
    UnsupportedMediaType,
)
from chalicelib.sessions.tokens import Token

MAX_JSON_BODY = 1_048_576
"""Bytes of a JSON body; the fields that we take are far smaller."""

MAX_BODY = 4_718_592
"""Bytes of any body: what is left of Lambda's 6 MiB event once it is base64 (AWS quotas)."""

NO_LIMIT = 900.0
"""Seconds: the longest a Lambda function may run, for callers that tell no time."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
# AWS X-Ray, "Tracing header": Root=1-…;Parent=…;Sampled=…
_TRACE_ID = re.compile(r"[A-Za-z]+=[A-Za-z0-9:-]+(?:;[A-Za-z]+=[A-Za-z0-9:-]+)*")
_UTF_8 = {"", *(f"charset={name}" for name in ("utf-8", "utf8", '"utf-8"', '"utf8"'))}
"""What a media type may say of its charset; nothing, and a semicolon behind it, too."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Pairs = list[tuple[str, str]]


def _pairs(multi: Any, single: Any) -> Pairs:
    """Flatten the two header maps (or query maps) of an event; the multi-value map wins."""
    pairs: Pairs = []
    if isinstance(multi, Mapping):
        for name, values in multi.items():
            if isinstance(values, list):
                pairs += [(name, value) for value in values if isinstance(value, str)]
    elif isinstance(single, Mapping):
        pairs = [(name, value) for name, value in single.items() if isinstance(value, str)]
    return pairs


def _remaining(context: Any) -> Callable[[], float]:
    """Seconds left of this Lambda invocation, as a function."""
    tell = getattr(context, "get_remaining_time_in_millis", None)

    def remaining() -> float:
        milliseconds = tell() if callable(tell) else None
        # A test's stand-in for Lambda's context may tell anything.
        return milliseconds / 1000 if isinstance(milliseconds, int | float) else NO_LIMIT

    return remaining


@dataclass(frozen=True)
class Request:
    """One API Gateway REST proxy event (AWS: input format of a Lambda function for proxy).

    `path` is raw and percent-encoded; `headers` and `query` are ordered pairs;
    `remaining()` gives seconds; `notes` collects what the log line shall say.
    """

    event: Mapping[str, Any]
    remaining: Callable[[], float] = lambda: NO_LIMIT
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_event(cls, event: Any, context: Any) -> "Request":
        """Take any event, also a malformed one; what is wrong shows when it is asked for."""
        return cls(event if isinstance(event, Mapping) else {}, _remaining(context))

    def _text(self, name: str) -> str:
        value = self.event.get(name)
        return value if isinstance(value, str) else ""

    @property
    def context(self) -> Mapping[str, Any]:
        """API Gateway's requestContext: the only part that a client cannot write."""
        value = self.event.get("requestContext")
        return value if isinstance(value, Mapping) else {}

    @property
    def resource(self) -> str:
        """The route pattern that API Gateway matched, empty where there is none."""
        value = self.context.get("resourcePath")
        return value if isinstance(value, str) else ""

    @property
    def method(self) -> str:
        """The method, as sent (methods are case-sensitive)."""
        value = self.context.get("httpMethod")
        return value if isinstance(value, str) else ""

    @property
    def path(self) -> str:
        """The raw path, percent-encoded, without the stage."""
        return self._text("path")

    @cached_property
    def id(self) -> str:
        """API Gateway's request id; our own where it gave none."""
        value = self.context.get("requestId")
        if isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
        return str(uuid.uuid4())

    @cached_property
    def source_ip(self) -> str | None:
        """The address that API Gateway saw, or None; never from a header."""
        identity = self.context.get("identity")
        value = identity.get("sourceIp") if isinstance(identity, Mapping) else None
        try:
            return str(ipaddress.ip_address(value)) if isinstance(value, str) else None
        except ValueError:
            return None

    @cached_property
    def deadline(self) -> Deadline:
        """When Lambda ends this invocation."""
        return Deadline.after(self.remaining())

    @property
    def trace_id(self) -> str | None:
        """The X-Amzn-Trace-Id of the invocation, if it is well-formed (AWS X-Ray)."""
        sent = self.values("x-amzn-trace-id")
        found = len(sent) == 1 and len(sent[0]) <= 256 and _TRACE_ID.fullmatch(sent[0])
        return sent[0] if found else None

    @property
    def proxy_parameter(self) -> str | None:
        """What `{proxy+}` matched, as API Gateway decoded it."""
        parameters = self.event.get("pathParameters")
        value = parameters.get("proxy") if isinstance(parameters, Mapping) else None
        return value if isinstance(value, str) else None

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
            InvalidRequest: if the event's body is no text, or is not strict base64 as announced.
            RequestTooLarge: beyond MAX_BODY bytes.
        """
        body = self.event.get("body")
        if body is None:
            return b""
        if not isinstance(body, str | bytes):
            raise InvalidRequest
        try:
            # API Gateway's body is text; chalice.test.Client hands bytes over.
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
        self._check_media_type()
        if len(self.body) > MAX_JSON_BODY:
            raise RequestTooLarge
        try:
            return strict_json.load_object(self.body)
        except strict_json.NotStrictJson:
            raise InvalidRequest("The body is not one strict JSON object in UTF-8.") from None

    def _check_media_type(self) -> None:
        types = self.values("content-type")
        encodings = self.values("content-encoding")
        if not types:
            raise InvalidRequest("Content-Type is missing. Send application/json.")
        if len(types) != 1 or [e for e in encodings if e.strip().lower() != "identity"]:
            raise UnsupportedMediaType
        media_type, *parameters = (part.strip(" \t").lower() for part in types[0].split(";"))
        wrong = [p for p in parameters if p not in _UTF_8 and ("charset" in p or "=" not in p)]
        # A */* type or a text/plain form post must not pass: browsers send those without asking.
        if media_type != "application/json" or wrong:
            raise UnsupportedMediaType

    def bearer(self) -> str | None:
        """The bearer credential, or None where no Authorization header was sent (RFC 6750 2.1).

        Raises:
            InvalidToken: if there are several, or if it is not `Bearer <one word>`.
        """
        sent = self.values("authorization")
        single = self.event.get("headers")
        if isinstance(single, Mapping) and isinstance(self.event.get("multiValueHeaders"), Mapping):
            # The two maps of an event must tell the same story, or two readers see two users.
            told = [v for k, v in single.items() if str(k).lower() == "authorization"]
            if told != sent:
                raise InvalidToken
        if not sent:
            return None
        scheme, _, credential = sent[0].rpartition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer" or not credential:
            raise InvalidToken
        return credential

    def token(self) -> Token:
        """The bearer as a token whose format and checksum hold; no I/O.

        Raises:
            InvalidToken: if there is none.
        """
        credential = self.bearer()
        if credential is None:
            raise InvalidToken
        token = Token.parse(credential)
        self.note_user(token)
        return token

    def note_user(self, token: Token) -> None:
        """Remember for the log line who it was."""
        self.notes["user"] = token.alias


def has_control_characters(value: str) -> bool:
    """Tell whether a header value holds what RFC 9110 section 5.5 forbids (tab is allowed)."""
    return bool(_CONTROL.search(value))
