"""The playground page's server: the page, and the gate and WeChat at its own origin, so no CORS."""

import http.client
import json
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PAGE = Path(__file__).parent / "page"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}

TIMEOUT = 70.0
"""Seconds: the simulated WeChat holds a connection that it never answers for a minute."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)

PAGE_HEADERS = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
]

HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers that concern one connection alone (RFC 9110 7.6.1); WSGI forbids them in answers."""

Headers = list[tuple[str, str]]
Reply = tuple[int, Headers, bytes]


def application(*, gate: str, wechat: str) -> WSGIApplication:
    """Give the WSGI application: the page's files, /gate/*, and WeChat's /wx/* and /control/*.

    `gate` and `wechat` are http addresses, host and port.
    """
    files = {f"/{file.name}": file for file in PAGE.iterdir() if file.suffix in TYPES}
    files["/"] = files.pop("/index.html")

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        target: str = environ["REQUEST_URI"]  # raw, from waitress: a decoded path is another path
        if target.startswith("/gate/"):
            reply = _forwarded(gate, target.removeprefix("/gate"), environ)
        elif target.startswith(("/wx/", "/control/")):
            reply = _forwarded(wechat, target, environ)
        else:
            reply = _file(files.get(target.partition("?")[0]), environ["REQUEST_METHOD"])
        return _answered(reply, environ, start_response)

    return serve


def _answered(
    reply: Reply, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    status, headers, body = reply
    bodiless = status in (204, 304)
    if not bodiless and not any(name.lower() == "content-length" for name, _ in headers):
        headers = [*headers, ("Content-Length", str(len(body)))]
    start_response(f"{status} {_phrase(status)}", headers)
    return [] if bodiless or environ["REQUEST_METHOD"] == "HEAD" else [body]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def _file(file: Path | None, method: str) -> Reply:
    if file is None:
        return 404, [*PAGE_HEADERS, ("Content-Type", "text/plain")], b"There is no such file.\n"
    if method not in ("GET", "HEAD"):
        return 405, [*PAGE_HEADERS, ("Allow", "GET, HEAD")], b""
    return 200, [*PAGE_HEADERS, ("Content-Type", TYPES[file.suffix])], file.read_bytes()


def _forwarded(origin: str, target: str, environ: WSGIEnvironment) -> Reply:
    """Send the request on as it came, follow nothing, and give the answer as it is."""
    body: bytes = environ["wsgi.input"].read()
    connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=TIMEOUT)
    try:
        connection.putrequest(
            environ["REQUEST_METHOD"], target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in [("Host", urlsplit(origin).netloc), *_headers(environ)]:
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        headers = [(k, v) for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP]
        return response.status, headers, response.read()
    except (OSError, http.client.HTTPException):
        words = json.dumps({"errMsg": "request:fail the peer gave no whole answer"}).encode()
        return 502, [*PAGE_HEADERS, ("Content-Type", "application/json")], words
    finally:
        connection.close()


def _headers(environ: WSGIEnvironment) -> Headers:
    """Read the request's headers back from their CGI names."""
    sent = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")}
    sent |= {key: environ[key] for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(key)}
    named = [(key.replace("_", "-").title(), value) for key, value in sent.items()]
    return [(k, v) for k, v in named if k != "Host" and k.lower() not in HOP_BY_HOP]
