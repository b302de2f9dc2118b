"""API Gateway on the desk: HTTP becomes a REST proxy event, the Lambda answer becomes HTTP.

Sources: AWS, «Input format of a Lambda function for proxy integration» and «Amazon API Gateway
important notes», and recorded events. The path stays percent-encoded; query values and path
parameters are decoded once. Chalice's own development server fails on greedy paths, HEAD, chunked
bodies and keep-alive.
"""

import base64
import json
import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, unquote_plus

from chalicelib.errors import InternalError, InvalidPath, InvalidRequest, RequestTooLarge
from chalicelib.front.response import refusal
from simulator.serving import BAD_TARGET

STAGE = "v1"
GREEDY = "/{proxy+}"

LAMBDA_SECONDS = 25.0
MAX_REQUEST = 10 * 1024 * 1024
"""Bytes of a request body that API Gateway takes (AWS, API Gateway quotas)."""
MAX_ANSWER = 6_291_556
"""Bytes of a Lambda answer (AWS, Lambda quotas)."""

DROPPED = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "max-forwards",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Request headers that API Gateway does not hand to a Lambda function."""

RENAMED = frozenset(("connection", "content-length", "date", "server", "www-authenticate"))
"""Answer headers that reach the client as x-amzn-Remapped-…; API Gateway has its own of these."""

UNSENT = frozenset(("proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"))
"""Answer headers that never reach the client."""

Headers = list[tuple[str, str]]
Application = Callable[[dict[str, Any], Any], dict[str, Any]]


@dataclass(frozen=True)
class Context:
    """What Lambda passes beside the event: a request id and the time that is left."""

    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.monotonic)
    seconds: float = LAMBDA_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds until Lambda would end the invocation."""
        return int((self.started + self.seconds - time.monotonic()) * 1000)


def resource_of(path: str, routes: Iterable[str]) -> str | None:
    """Match a raw path: a literal route first, then one with a parameter, then a greedy one."""
    routes = list(routes)
    if path in routes:
        return path
    for route in sorted(routes, key=lambda route: route.endswith(GREEDY)):
        if parameters_of(path, route) is not None:
            return route
    return None


def parameters_of(path: str, route: str) -> dict[str, str] | None:
    """Give the decoded path parameters if a raw path matches a route: {x} is one segment."""
    if route.endswith(GREEDY):
        start = route.removesuffix(GREEDY) + "/"
        below = path.removeprefix(start)
        return {"proxy": unquote(below.strip("/"))} if path.startswith(start) else None
    found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route), path)
    return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


def event_of(
    method: str,
    target: str,
    headers: Headers,
    body: bytes | str | None,
    routes: Iterable[str],
    *,
    source_ip: str = "127.0.0.1",
    lenient: bool = True,
) -> dict[str, Any]:
    """Build a REST proxy event (payload 1.0) from a request as it stood on the wire.

    A text body goes in as text, bytes as base64. `lenient` drops the hop-by-hop headers as API
    Gateway does; a function URL or a load balancer would not.
    """
    raw_path, _, query = target.partition("?")
    # Extra slashes after the stage route nothing; only the context still shows them.
    path = "/" + raw_path.lstrip("/")
    resource = resource_of(path, routes)
    sent = [(k, v) for k, v in headers if not (lenient and k.lower() in DROPPED)]
    parameters = _query(query)
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": dict(sent) or None,
        "multiValueHeaders": _multi(sent) or None,
        "queryStringParameters": dict(parameters) or None,
        "multiValueQueryStringParameters": _multi(parameters) or None,
        "pathParameters": parameters_of(path, resource or "") or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": resource or path,
            "httpMethod": method,
            "path": f"/{STAGE}{raw_path}",
            "stage": STAGE,
            "requestId": str(uuid.uuid4()),
            "protocol": "HTTP/1.1",
            "identity": {"sourceIp": source_ip, "userAgent": dict(sent).get("User-Agent")},
            "accountId": "123456789012",
            "apiId": "desk",
        },
        "body": body if isinstance(body, str) else _base64(body),
        "isBase64Encoded": bool(body) and not isinstance(body, str),
    }


def _base64(body: bytes | None) -> str | None:
    return base64.b64encode(body).decode("ascii") if body else None


def _query(query: str) -> Headers:
    """Decode, split at semicolons too, and sort by name: API Gateway keeps no order of names."""
    pairs = (part.partition("=") for part in re.split("[&;]", query) if part)
    decoded = [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]
    return sorted(decoded, key=lambda pair: pair[0])


def through_api_gateway(headers: Headers, source_ip: str) -> Headers:
    """Add what API Gateway adds: the address that it saw, and a trace id if there is none."""
    client = ", ".join(value for name, value in headers if name.lower() == "x-forwarded-for")
    added = {
        "X-Forwarded-For": f"{client}, {source_ip}" if client else source_ip,
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "X-Amzn-Trace-Id": f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}",
    }
    if any(name.lower() == "x-amzn-trace-id" for name, _ in headers):
        del added["X-Amzn-Trace-Id"]
    replaced = {name.lower() for name in added}
    return [pair for pair in headers if pair[0].lower() not in replaced] + list(added.items())


def renamed(headers: Headers) -> Headers:
    """Give the headers of an answer as API Gateway sends them on."""
    return [
        (f"x-amzn-Remapped-{name}" if name.lower() in RENAMED else name, value)
        for name, value in headers
        if name.lower() not in UNSENT
    ]


def _multi(pairs: Headers) -> dict[str, list[str]]:
    multi: dict[str, list[str]] = {}
    for name, value in pairs:
        multi.setdefault(name, []).append(value)
    return multi


def answer_of(result: Any) -> tuple[int, Headers, bytes]:
    """Read a Lambda proxy answer into status, headers and body bytes.

    A result that API Gateway could not read, or Lambda not carry, becomes its own 502.
    """
    try:
        # A character is at most twelve in JSON, so most answers need not be measured.
        if (
            len(result.get("body") or "") <= MAX_ANSWER // 16
            or len(json.dumps(result)) <= MAX_ANSWER
        ):
            return _read(result)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # a malformed proxy answer
    return 502, [("Content-Type", "application/json")], b'{"message": "Internal server error"}'


def refuse(status: int, words: str) -> tuple[int, Headers, bytes]:
    """API Gateway's own refusal, in the shape that the template's gateway responses give it.

    `status` is the server's, 431 for a head that is too large, 501 for an unknown transfer coding.
    """
    errors = {413: RequestTooLarge, 431: RequestTooLarge, 500: InternalError}
    error = InvalidPath if words == BAD_TARGET else errors.get(status, InvalidRequest)
    answer = refusal(error()).to_dict()
    answer["headers"]["X-Request-Id"] = str(uuid.uuid4())
    return _read(answer)


def _read(result: Mapping[str, Any]) -> tuple[int, Headers, bytes]:
    body = result.get("body") or ""
    headers = list((result.get("headers") or {}).items())
    for name, values in (result.get("multiValueHeaders") or {}).items():
        headers += [(name, value) for value in values]
    data = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
    return int(result["statusCode"]), headers, data


class Gateway:
    """The WSGI application: one Lambda function behind API Gateway's door."""

    def __init__(
        self, application: Application, routes: Iterable[str], *, lenient: bool = True
    ) -> None:
        self._application = application
        self._routes = tuple(routes)
        self._lenient = lenient

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Serve one request; waitress gives REQUEST_URI raw and de-chunks bodies."""
        method = environ["REQUEST_METHOD"]
        status, headers, body = self._serve(method, environ)
        sent = renamed(headers)
        if status not in (204, 304):
            # API Gateway answers HEAD with a length of 0, whatever GET would have.
            sent.append(("Content-Length", "0" if method == "HEAD" else str(len(body))))
        phrase = HTTPStatus(status).phrase if status in _STATUSES else "Status"
        # WSGI's headers are bytes in the shape of Latin-1 (PEP 3333).
        wire = [(k, v.encode().decode("latin-1")) for k, v in sent]
        start_response(f"{status} {phrase}", wire)
        return [] if method == "HEAD" or status in (204, 304) else [body]

    def _serve(self, method: str, environ: dict[str, Any]) -> tuple[int, Headers, bytes]:
        if int(environ.get("CONTENT_LENGTH") or 0) > MAX_REQUEST:
            return refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "")
        source_ip = environ.get("REMOTE_ADDR", "127.0.0.1")
        event = event_of(
            method,
            _target(environ),
            through_api_gateway(_headers(environ), source_ip),
            environ["wsgi.input"].read(),
            self._routes,
            source_ip=source_ip,
            lenient=self._lenient,
        )
        return answer_of(self._application(event, Context()))


_STATUSES = {status.value for status in HTTPStatus}


def _target(environ: Mapping[str, Any]) -> str:
    """The origin-form of the target; the authority of an absolute one routes nothing.

    The stage may stand before the path, as in the address that API Gateway gives out, or may not,
    as below a domain of one's own.
    """
    target: str = environ["REQUEST_URI"]
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.removeprefix(f"/{STAGE}") if target.startswith(f"/{STAGE}/") else target


def _headers(environ: Mapping[str, Any]) -> Headers:
    headers = [
        (key[5:].replace("_", "-").title(), value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    plain = [key for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(key)]
    return headers + [(key.replace("_", "-").title(), environ[key]) for key in plain]
