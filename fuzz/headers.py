"""Any headers of client and upstream: the upstream sees the session's identity and no other.

An input is a header a line, `name: value`; the same lines are then the upstream's answer headers.
"""

from collections.abc import Callable, Iterator

from chalicelib.errors import InvalidRequest, InvalidToken, UpstreamBadResponse, UpstreamTooLarge
from chalicelib.front.request import Pairs, Request
from chalicelib.front.response import Answer
from chalicelib.network.connections import Reply
from chalicelib.upstream.upstream import ANSWER_HEADERS, REQUEST_HEADERS, Identity, Upstream
from fuzz import demand, kept
from tests.attacks import corpus
from tests.support.fakes import Wire

ANN = Identity("o-ann", "wx-app", None, "as.ser.tion")
ADDRESS = "203.0.113.7"
REQUEST_ID = "4df542ab-c24b-473a-b882-6389f2b4aaf6"
OWN = {
    "x-wx-openid": "o-ann",
    "x-wx-appid": "wx-app",
    "x-wx-assertion": "as.ser.tion",
    "x-forwarded-for": ADDRESS,
    "x-request-id": REQUEST_ID,
    "accept-encoding": "identity",
}
"""What the gate sets itself, whatever the client says."""

Forward = Callable[[Upstream, Request, str, Identity | None], Answer]


def check(data: bytes, forward: Forward = Upstream.forward) -> None:
    """Forward a request with these headers, and take them for the upstream's own.

    Raises:
        Breach: if the upstream or the client gets a header that it must not get.
        Any error that is no refusal of the headers.
    """
    pairs = _pairs(data)
    request = _request(pairs)
    _bearer(request)
    wire = Wire(Reply(200, pairs, b"{}"))
    try:
        answer = forward(Upstream(wire, "https://api.test/base", 20.0, ()), request, "x", ANN)
    except InvalidRequest:
        demand(wire.exchanged == [], "a request that is refused is not sent")
        return
    except (UpstreamBadResponse, UpstreamTooLarge):
        _went_out(wire.exchanged[0].headers)
        return
    _went_out(wire.exchanged[0].headers)
    _came_back(answer)


def _pairs(data: bytes) -> Pairs:
    lines = data.decode("utf-8", "replace").split("\n")
    parted = (line.partition(":") for line in lines)
    return [(name, value.removeprefix(" ")) for name, _, value in parted]


def _request(pairs: Pairs) -> Request:
    multi: dict[str, list[str]] = {}
    for name, value in pairs:
        multi.setdefault(name, []).append(value)
    context = {
        "httpMethod": "GET",
        "requestId": REQUEST_ID,
        "identity": {"sourceIp": ADDRESS},
    }
    event = {"requestContext": context, "headers": dict(pairs), "multiValueHeaders": multi}
    return Request(event)


def _bearer(request: Request) -> None:
    """A bearer is one well-formed token, or nothing is read for it."""
    try:
        token = request.token()
    except InvalidToken:
        return
    demand(request.values("authorization")[0].split(" ", 1)[1] == token.text, "one spelling")


def _went_out(headers: Pairs) -> None:
    folded = [(name.lower().replace("_", "-"), value) for name, value in headers]
    for name, value in OWN.items():
        demand([v for n, v in folded if n == name] == [value], f"{name} is ours, and once")
    for name, value in folded:
        demand(name in OWN or name in REQUEST_HEADERS, f"{name!r} is not for the upstream")
        demand(_is_one_line(value), f"{name} is one line")


def _came_back(answer: Answer) -> None:
    allowed = ANSWER_HEADERS | {"x-content-type-options"}
    for name, value in answer.headers.items():
        demand(name.lower() in allowed, f"{name!r} is not for the client")
        demand(_is_one_line(str(value)), f"{name} is one line")
    kept = {word.strip().lower() for word in str(answer.headers["Cache-Control"]).split(",")}
    demand(kept & {"private", "no-store"}, "no shared cache may keep it")
    demand(not kept & {"public"}, "what is private is not public too")


def _is_one_line(value: str) -> bool:
    return not any(ord(c) < 0x20 and c != "\t" for c in value) and "\x7f" not in value


def seeds() -> Iterator[bytes]:
    """Give what is kept, and the headers of the corpus, as they are written there."""
    yield from kept("headers")
    for entry in corpus.entries():
        lines = [f"{name}: {value}" for name, value in entry.request["headers"]]
        if lines:
            yield "\n".join(lines).encode("utf-8", "surrogatepass")
