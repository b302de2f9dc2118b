"""The playground page's server: the page, and the gate and WeChat at its own origin, so no CORS."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from werkzeug.http import is_hop_by_hop_header
from werkzeug.wrappers import Request, Response

from simulator.upstream import Log

PAGE = Path(__file__).parent / "page"
WX = Path(__file__).parent / "wx.js"
CLIENT = Path(__file__).parents[1] / "miniprogram" / "miniprogram_dist" / "index.js"

MODULE = b"const module = { exports: {} };%s\nexport default module.exports;\n"
"""Turns a CommonJS file that requires nothing into an ES module; its lines keep their numbers."""

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

PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Facts:
    """What the page must know of the desk.

    `public_path` needs no login, "" if none is known; `events` tells whether the gate takes pushes.
    """

    gate: str
    appids: tuple[str, ...]
    public_path: str = ""
    events: bool = False


def application(facts: Facts, *, wechat: str | None, upstream: Log | None) -> WSGIApplication:
    """Give the WSGI application: the page, its facts, the gate, WeChat, the upstream's log.

    `facts.gate` and `wechat` are http addresses, host and port; None stands for a part of the
    user's own, which tells the page nothing.
    """
    files = {f"/{file.name}": file for file in (*PAGE.iterdir(), WX) if file.suffix in TYPES}
    files["/"] = files.pop("/index.html")
    files["/client.js"] = CLIENT
    known = {**asdict(facts), "wechat": wechat is not None, "upstream": upstream is not None}

    def answer(request: Request, target: str) -> Response:
        path = target.partition("?")[0]
        if path.startswith("/gate/"):
            return _forwarded(facts.gate, target.removeprefix("/gate"), request)
        if path.startswith(("/wx/", "/control/")) and wechat is not None:
            return _forwarded(wechat, target, request)
        if path == "/upstream/log" and upstream is not None:
            return _json(upstream.after(request.args.get("after", 0, type=int)))
        if path == "/facts":
            return _json(known)
        return _file(files.get(path), request.method)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The raw target, from waitress: a decoded path is another path.
        return answer(Request(environ), environ["REQUEST_URI"])(environ, start_response)

    return serve


def _json(value: object) -> Response:
    return Response(json.dumps(value), 200, PAGE_HEADERS, "application/json")


def _file(file: Path | None, method: str) -> Response:
    if file is None:
        return Response("There is no such file.\n", 404, PAGE_HEADERS)
    if method not in ("GET", "HEAD"):
        return Response("", 405, {**PAGE_HEADERS, "Allow": "GET, HEAD"})
    content = file.read_bytes()
    return Response(
        MODULE % content if file == CLIENT else content,
        headers={**PAGE_HEADERS, "Content-Type": TYPES[file.suffix]},
    )


class _Answer(Response):
    default_mimetype = None


def _forwarded(origin: str, target: str, request: Request) -> Response:
    """Send the request on as it came, follow nothing, and give the answer as it is."""
    headers = HTTPHeaderDict(_end_to_end(request.headers.items()))
    headers.discard("Host")
    address = urlsplit(origin)
    peer = HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT)
    body = request.get_data() or None
    try:
        peer.request(request.method, target, body, headers, decode_content=False)
        answer = peer.getresponse()
        return _Answer(answer.data, answer.status, _end_to_end(answer.headers.iteritems()))
    except (OSError, HTTPError):
        words = {"errMsg": "request:fail the peer gave no complete answer"}
        return Response(json.dumps(words), 502, PAGE_HEADERS, "application/json")
    finally:
        peer.close()


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out what concerns one connection alone; WSGI forbids it in answers."""
    return [(name, value) for name, value in headers if not is_hop_by_hop_header(name)]
