"""The business API's side of the gate: what goes there, what comes back, how it fails."""

import base64
import gzip
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import (
    DeadlineExceeded,
    GateError,
    InvalidPath,
    InvalidRequest,
    UpstreamBadResponse,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from chalicelib.front.request import Pairs, Request
from chalicelib.front.response import MAX_ANSWER, Answer
from chalicelib.network.connections import (
    AddressForbidden,
    Broken,
    ConnectTimeout,
    NoAnswer,
    NotTrusted,
    Origin,
    Refused,
    Reply,
    TimedOut,
    TooLarge,
    Transport,
    TransportError,
    Unresolved,
)
from chalicelib.upstream.paths import checked_path
from chalicelib.upstream.upstream import (
    ANSWER_HEADERS,
    MAX_HEADERS,
    REQUEST_HEADERS,
    Identity,
    Upstream,
    encoded_query,
    forwarded_headers,
)
from simulator.gateway import event_of
from tests.support.fakes import Wire
from tests.support.loopback import (
    HOST,
    Act,
    Loopback,
    answers,
    chunked,
    closed_port,
    drips,
    full_backlog,
    is_silent,
    repeats,
    resets,
    says,
    self_signed,
    whole,
)

CORPUS = Path(__file__).parents[2] / "corpus"
FAULTS = {
    fault["id"]: fault for fault in json.loads((CORPUS / "faults.json").read_text())["faults"]
}

ANN = Identity("o-ann", "wx-app", "u-ann", "as.ser.tion")
BOB = Identity("o-bob", "wx-app", None, "as.ser.tion")


def request(
    method: str = "GET",
    target: str = "/api/orders",
    headers: Pairs | None = None,
    body: bytes | str | None = None,
    *,
    remaining: Callable[[], float] = lambda: 25.0,
) -> Request:
    """A request as API Gateway hands it over, hop-by-hop headers and all."""
    event = event_of(
        method,
        target,
        headers or [],
        body,
        ["/api/{proxy+}"],
        source_ip="203.0.113.7",
        merciful=False,
    )
    return Request(event, remaining)


def upstream(
    transport: Transport, url: str = "https://api.test/base", timeout: float = 20.0, *public: str
) -> Upstream:
    return Upstream(transport, url, timeout, public)


def forwarded(
    reply: Reply | TransportError | None = None,
    identity: Identity | None = ANN,
    **sent: Any,
) -> tuple[Wire, Answer]:
    """Forward a request over a wire that replies as told."""
    wire = Wire(reply) if reply else Wire()
    asked = request(**sent)
    return wire, upstream(wire).forward(asked, checked_path(asked.path), identity)


def passed_on(
    headers: Pairs | None = None,
    body: bytes = b"",
    status: int = 200,
    identity: Identity | None = ANN,
) -> Answer:
    """What becomes of an upstream's answer."""
    return forwarded(Reply(status, headers or [], body), identity)[1]


def body_of(answer: Answer) -> bytes:
    """The bytes that API Gateway would send."""
    result = answer.to_dict()
    text: str = result["body"]
    return base64.b64decode(text) if result["isBase64Encoded"] else text.encode()


# --- the address --------------------------------------------------------------------------------


ATOMS = st.sampled_from([*"aZ09-._~!$&'()*+,;=:@", "%20", "%E8%AE%A2", "%2B", "%41", "%25"])
SEGMENTS = st.lists(ATOMS, min_size=1, max_size=6).map("".join)


@given(st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join))
def test_the_path_on_the_wire_is_the_path_that_was_checked(below: str) -> None:
    try:
        asked = request(target=f"/api/{below}")
        passed = checked_path(asked.path)
    except InvalidPath:
        return
    with Loopback(answers()) as server:
        upstream(Transport(allow_private=True), f"{server.url}/base").forward(asked, passed, None)
    assert server.received[0].startswith(f"GET /base/{below} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://api.test", "/orders/7"),
        ("https://api.test/", "/orders/7"),
        ("https://api.test/base", "/base/orders/7"),
        ("https://api.test/base/", "/base/orders/7"),
        ("https://api.test:8443/a/b", "/a/b/orders/7"),
        ("https://api.test/X/", "/X/orders/7"),
    ],
)
def test_the_base_path_stands_before_the_path(url: str, target: str) -> None:
    wire = Wire()
    upstream(wire, url).forward(request(), "orders/7", None)
    assert wire.exchanged[0].target == target


@pytest.mark.parametrize(
    ("url", "origin", "htu"),
    [
        ("https://api.test/base", Origin("https", "api.test", 443), "https://api.test/base/a"),
        ("https://API.test:443", Origin("https", "api.test", 443), "https://api.test/a"),
        ("http://[::1]:8080/", Origin("http", "::1", 8080), "http://[::1]:8080/a"),
        ("http://api.test", Origin("http", "api.test", 80), "http://api.test/a"),
    ],
)
def test_the_origin_and_the_url_are_the_operators(url: str, origin: Origin, htu: str) -> None:
    service = upstream(Wire(), url)
    assert service.origin == origin
    assert service.url("a") == htu


def test_a_path_that_looks_like_a_host_stays_a_path() -> None:
    for below in ("@evil.test/x", ".evil.test/x", "evil.test:80", "http:evil.test"):
        wire = Wire()
        upstream(wire, "https://api.test").forward(request(), checked_path(f"/api/{below}"), ANN)
        assert wire.exchanged[0].origin == Origin("https", "api.test", 443)
        assert wire.exchanged[0].target == f"/{below}"


@pytest.mark.parametrize("below", ["news", "products/7", "products/7/pictures"])
def test_a_public_path_is_public(below: str) -> None:
    assert upstream(Wire(), "https://api.test", 1, "products/*", "news").is_public(below)


@pytest.mark.parametrize(
    "below", ["news/7", "News", "news/", "products", "my/products/7", "%6eews", "orders", ""]
)
def test_any_other_path_is_not_public(below: str) -> None:
    assert not upstream(Wire(), "https://api.test", 1, "products/*", "news").is_public(below)


# --- the query -----------------------------------------------------------------------------------


def test_a_query_is_encoded_again_as_it_was_meant() -> None:
    wire, _ = forwarded(target="/api/o?a=1%26admin%3Dtrue&b/=x%23/&c=a+b&d=%2B&e&a=2&f=%E4%B8%8A~")
    assert wire.exchanged[0].target == (
        "/base/o?a=1%26admin%3Dtrue&a=2&b%2F=x%23%2F&c=a%20b&d=%2B&e=&f=%E4%B8%8A~"
    )


def test_without_a_query_there_is_no_question_mark() -> None:
    assert forwarded()[0].exchanged[0].target == "/base/orders"


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), max_size=12),
            st.text(st.characters(codec="utf-8"), max_size=40),
        ),
        max_size=8,
    )
)
def test_a_server_reads_the_query_that_was_sent(query: Pairs) -> None:
    text = encoded_query(query)
    assert parse_qsl(text, keep_blank_values=True, strict_parsing=bool(query)) == query
    assert re.fullmatch(r"[A-Za-z0-9._~%=&-]*", text)


def test_a_query_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        encoded_query([("a", "\ud800")])


def test_a_query_is_bounded() -> None:
    assert len(encoded_query([("a", "b" * 8190)])) == 8192
    with pytest.raises(InvalidRequest, match=r"^The query is too long\.$"):
        encoded_query([("a", "b" * 8191)])


# --- headers to the upstream ---------------------------------------------------------------------


def test_the_upstream_gets_what_is_allowed_and_what_is_ours() -> None:
    sent = [
        ("Accept", "application/json"),
        ("authorization", "Bearer wxg_x"),
        ("Cookie", "a=b"),
        ("content-type", "text/plain"),
        ("X-Other", "1"),
    ]
    asked = request(headers=sent)
    wire = Wire()
    upstream(wire).forward(asked, "orders", ANN)
    assert wire.exchanged[0].headers == [
        ("Accept", "application/json"),
        ("content-type", "text/plain"),
        ("Accept-Encoding", "identity"),
        ("X-Request-Id", asked.id),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-WX-OPENID", "o-ann"),
        ("X-WX-APPID", "wx-app"),
        ("X-WX-UNIONID", "u-ann"),
        ("X-WX-ASSERTION", "as.ser.tion"),
    ]


def names_sent(wire: Wire) -> list[str]:
    return [name.lower() for name, _ in wire.exchanged[0].headers]


def test_an_anonymous_request_has_no_identity_whatever_it_says() -> None:
    sent = [("X-WX-OPENID", "o-ann"), ("X-WX-UNIONID", "u-ann"), ("x-wx-assertion", "x")]
    wire, _ = forwarded(identity=None, headers=sent)
    assert not [name for name in names_sent(wire) if "wx" in name]


def test_a_user_without_unionid_has_none_whatever_he_says() -> None:
    wire, _ = forwarded(identity=BOB, headers=[("X-WX-UNIONID", "u-ann")])
    assert "x-wx-unionid" not in names_sent(wire)


def test_a_request_without_source_address_says_none() -> None:
    event = {**request(headers=[("X-Forwarded-For", "10.0.0.1")]).event, "requestContext": {}}
    wire = Wire()
    upstream(wire).forward(Request(event), "orders", None)
    assert "x-forwarded-for" not in names_sent(wire)


@pytest.mark.parametrize("name", sorted(REQUEST_HEADERS))
def test_an_allowed_header_goes_as_it_was_sent(name: str) -> None:
    for sent in ([(name.title(), "a")], [(name, "b\té")]):
        assert forwarded_headers(sent) == sent


@pytest.mark.parametrize("name", sorted(REQUEST_HEADERS))
def test_a_header_that_is_no_list_comes_once(name: str) -> None:
    twice = [(name.title(), "a"), (name, "b")]
    lists = {"accept", "accept-language", "prefer", "tracestate", "if-match", "if-none-match"}
    if name in lists | {"content-encoding", "content-language"}:
        assert forwarded_headers(twice) == twice
    else:
        with pytest.raises(InvalidRequest, match=r"^A header that may come once comes twice\.$"):
            forwarded_headers(twice)


@pytest.mark.parametrize("connection", ["Referer, user-agent", "close,\tREFERER ,,User-Agent"])
def test_what_connection_names_goes_no_further(connection: str) -> None:
    told = [("Referer", "r"), ("cONNECTION", connection), ("User-Agent", "u"), ("Accept", "a")]
    assert forwarded_headers(told) == [("Accept", "a")]
    headers = [("ETag", "e"), ("connection", "ETag"), ("X-Total-Count", "7"), ("Connection", "x")]
    assert "Etag" not in passed_on(headers).headers
    assert passed_on(headers).headers["X-Total-Count"] == "7"


def test_a_header_may_hold_all_of_latin_1_but_controls() -> None:
    everything = bytes({*range(32, 256), 9} - {127}).decode("latin-1")
    assert forwarded_headers([("Referer", everything)]) == [("Referer", everything)]


def test_no_header_of_identity_framing_or_credentials_is_allowed() -> None:
    never = {
        *("authorization", "cookie", "host", "connection", "content-length", "transfer-encoding"),
        *("te", "trailer", "upgrade", "expect", "keep-alive", "proxy-connection", "forwarded"),
        *("accept-encoding", "x-request-id", "x-forwarded-for", "x-real-ip", "origin"),
    }
    assert not never & REQUEST_HEADERS
    assert not [name for name in REQUEST_HEADERS if name.startswith(("x-wx", "x-forwarded"))]


@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a\n", "\x00", "\x7f", "\x1b[31m", "\u0100", "上海", "\u2028"]
)
def test_an_allowed_header_with_odd_characters_is_refused(value: str) -> None:
    message = r"^A header holds characters that are not allowed\.$"
    with pytest.raises(InvalidRequest, match=message):
        forwarded_headers([("User-Agent", value)])


def test_a_header_that_is_dropped_may_hold_anything() -> None:
    assert forwarded_headers([("X-Other", "\r\n"), ("Idempotency-\u212aey", "1"), ("", "1")]) == []


SPOOFS = [
    *("X-WX-OPENID", "x-wx-openid", "X_WX_OPENID", "X-WX_OPENID", "X.WX.OPENID", "X-WX-OPENID "),
    *("X--WX-OPENID", "X-WX-APPID", "X-WX-UNIONID", "X-WX-ASSERTION", "X-WX-ROLE", "X-WX-OPENİD"),
    *("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding"),
    *("Content-Length", "Host", "Cookie", "Authorization", "X-Forwarded-For", "X-Real-IP"),
    *("Upgrade", "Expect", "X-Request-Id", "X-HTTP-Method-Override", "", "Accept", "User-Agent"),
]
NAMES = st.sampled_from(SPOOFS) | st.text(max_size=12)
VALUES = st.sampled_from(
    ["o-victim", "close, X-WX-OPENID, X-WX-ASSERTION", "chunked", "x-wx-unionid", "5", "evil.test"]
) | st.text(max_size=12)


def folded(name: str) -> str:
    return re.sub(r"[_.\s-]+", "-", name.lower())


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.sampled_from([ANN, BOB, None]))
def test_the_identity_upstream_is_the_sessions_for_any_headers(
    headers: Pairs, identity: Identity | None
) -> None:
    asked = request(headers=headers)
    wire = Wire()
    try:
        upstream(wire).forward(asked, "orders", identity)
    except InvalidRequest:
        assert wire.exchanged == []
        return
    sent = wire.exchanged[0].headers
    ours = identity.headers if identity else []
    assert [(k, v) for k, v in sent if folded(k).startswith("x-wx")] == ours
    own = {"accept-encoding", "x-request-id", "x-forwarded-for"}
    others = [k.lower() for k, _ in sent if not folded(k).startswith("x-wx")]
    assert set(others) <= REQUEST_HEADERS | own
    assert all(others.count(name) == 1 for name in own)
    assert dict(sent)["X-Forwarded-For"] == "203.0.113.7"
    assert dict(sent)["X-Request-Id"] == asked.id


def test_the_wire_shows_the_identity_once_though_connection_names_it() -> None:
    headers = [
        ("Connection", "close, X-WX-OPENID, X-WX-UNIONID, X-Forwarded-For"),
        ("X-WX-OPENID", "o-victim"),
        ("x_wx_openid", "o-victim"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "3"),
        ("Host", "evil.test"),
        ("Expect", "100-continue"),
        ("Upgrade", "h2c"),
    ]
    with Loopback(answers()) as server:
        service = upstream(Transport(allow_private=True), server.url)
        service.forward(request("POST", "/api/o", headers, b"hello"), "o", ANN)
    head, _, body = server.received[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    assert sorted(line.partition(":")[0].lower() for line in lines) == [
        *("accept-encoding", "connection", "content-length", "host", "x-forwarded-for"),
        *("x-request-id", "x-wx-appid", "x-wx-assertion", "x-wx-openid", "x-wx-unionid"),
    ]
    assert {"X-WX-OPENID: o-ann", "Connection: close", "Content-Length: 5"} <= set(lines)
    assert f"Host: {HOST}:{server.port}" in lines
    assert (body, server.connections) == (b"hello", 1)


# --- the body ------------------------------------------------------------------------------------

BYTES = bytes(range(256))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_body_goes_upstream_byte_for_byte(method: str) -> None:
    wire, _ = forwarded(method=method, body=BYTES)
    assert (wire.exchanged[0].method, wire.exchanged[0].body) == (method, BYTES)


@pytest.mark.parametrize("body", [BYTES, b"", b"\xef\xbb\xbfx", "上海".encode(), b"\x00", b"\xff"])
def test_a_body_comes_back_byte_for_byte(body: bytes) -> None:
    assert body_of(passed_on([("Content-Type", "text/html; charset=utf-8")], body)) == body


def test_a_packed_answer_is_passed_on_packed() -> None:
    packed = gzip.compress(bytes(1_000_000))
    answer = passed_on([("Content-Encoding", "gzip")], packed)
    assert body_of(answer) == packed
    assert answer.headers["Content-Encoding"] == "gzip"


def test_an_upstream_is_asked_for_what_fits() -> None:
    assert forwarded()[0].exchanged[0].cap == MAX_ANSWER


def serialised(answer: Answer) -> int:
    return len(json.dumps(answer.to_dict()))


@pytest.mark.parametrize(
    "body",
    [b"a" * 6_200_000, b"\x01" * 1_100_000, b"\xff" * 4_700_000, "上".encode() * 1_000_000],
    ids=["ASCII", "controls", "binary", "CJK"],
)
def test_an_answer_that_fits_once_encoded_is_passed_on(body: bytes) -> None:
    answer = passed_on(body=body)
    assert serialised(answer) <= MAX_ANSWER
    assert body_of(answer) == body


@pytest.mark.parametrize(
    "body",
    [b"a" * 6_290_000, b"\x01" * 4_800_000, b"\xff" * 4_800_000],
    ids=["ASCII", "controls", "binary"],
)
def test_an_answer_that_does_not_fit_once_encoded_is_too_large(body: bytes) -> None:
    with pytest.raises(UpstreamTooLarge) as caught:
        passed_on(body=body)
    assert caught.value.evidence == {"reason": "encoded"}


def test_headers_that_do_not_fit_are_too_large() -> None:
    # Names count as well: Etag, Link, Vary.
    fits = [("ETag", "a" * 5000), ("Link", "b" * 5000), ("Vary", "c" * (MAX_HEADERS - 10_012))]
    assert set(passed_on(fits).headers) >= {"Etag", "Link", "Vary"}
    with pytest.raises(UpstreamTooLarge) as caught:
        passed_on([*fits, ("Vary", "")])
    assert caught.value.evidence == {"reason": "headers"}


# --- the answer's headers ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ANSWER_HEADERS - {"location", "cache-control"}))
def test_an_allowed_answer_header_is_passed_on(name: str) -> None:
    answer = passed_on([(name.upper(), "x y")])
    assert {k.lower(): v for k, v in answer.headers.items()}[name] == "x y"


@pytest.mark.parametrize(
    "name",
    [
        *("Set-Cookie", "set-cookie2", "Server", "X-Powered-By", "Via", "Date_", "Content-Length"),
        *("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Connection"),
        *("Transfer-Encoding", "Keep-Alive", "Proxy-Authenticate", "TE", "Trailer", "Upgrade"),
        *("X-WX-OPENID", "X-WX-ASSERTION", "x_wx_openid", "X-Wxgate-Error", "x-wxgate-error"),
        *("WWW-Authenticate", "X-Request-Id", "Refresh", "Content-Location", "X-A", "Alt-Svc"),
    ],
)
def test_any_other_answer_header_is_dropped(name: str) -> None:
    answer = passed_on([(name, "x"), ("ETag", '"1"')])
    assert set(answer.headers) == {"Etag", "Cache-Control", "X-Content-Type-Options"}


def test_a_header_that_may_repeat_is_joined_and_of_any_other_the_first_counts() -> None:
    headers = [("Link", "<a>"), ("link", "<b>"), ("Content-Type", "a/b"), ("content-type", "c/d")]
    answer = passed_on([*headers, ("Vary", "A"), ("VARY", "B")], b"x")
    assert answer.headers["Link"] == "<a>, <b>"
    assert answer.headers["Content-Type"] == "a/b"
    assert answer.headers["Vary"] == "A, B"


@pytest.mark.parametrize("value", ["a\r\n b", "a\x00", "a\rX: y", "\x1b[31m", "\x7f"])
def test_an_answer_header_with_controls_is_no_answer(value: str) -> None:
    with pytest.raises(UpstreamBadResponse) as caught:
        passed_on([("Content-Disposition", value)])
    assert caught.value.evidence == {"reason": "header"}
    assert "X-A" not in passed_on([("X-A", value)]).headers


def test_a_body_has_a_type_and_nobody_may_guess_another() -> None:
    answer = passed_on(body=b"<script>")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Type" not in passed_on(status=204).headers
    assert passed_on([("content-type", "a/b")], b"x").headers["Content-Type"] == "a/b"
    assert (
        passed_on([("Content-Type", "")], b"x").headers["Content-Type"]
        == "application/octet-stream"
    )


@pytest.mark.parametrize("text", ['attachment; filename="订单.pdf"', "caf\xe9", "plain"])
def test_a_header_in_utf_8_is_read_as_utf_8(text: str) -> None:
    on_the_wire = text.encode("latin-1" if text == "caf\xe9" else "utf-8").decode("latin-1")
    answer = passed_on([("Content-Disposition", on_the_wire)])
    assert answer.headers["Content-Disposition"] == text


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        (None, "private, no-store"),
        ("public, max-age=3600", "private, no-store"),
        ("Public", "private, no-store"),
        ("s-maxage=60", "private, no-store"),
        ("private, S-MaxAge=60", "private, no-store"),
        ("max-age=60", "private, max-age=60"),
        ("must-revalidate", "private, must-revalidate"),
        ("no-cache", "private, no-cache"),
        ('private="etag", max-age=60', 'private, private="etag", max-age=60'),
        ("private, max-age=60", "private, max-age=60"),
        ("max-age=60 , PRIVATE", "max-age=60 , PRIVATE"),
        ("no-store", "no-store"),
        (",", "private, no-store"),
        (" , ,", "private, no-store"),
        ('x="a,private,b", max-age=60', 'private, x="a,private,b", max-age=60'),
        ('"private"', "private, no-store"),
        ('x="public", max-age=60', 'private, x="public", max-age=60'),
    ],
)
def test_no_shared_cache_may_keep_what_is_one_users(said: str | None, passed: str) -> None:
    headers = [("Cache-Control", said)] if said else []
    assert passed_on(headers).headers["Cache-Control"] == passed


def test_the_upstream_rules_the_caches_of_what_is_everybodys() -> None:
    said = "public, max-age=3600"
    assert passed_on([("Cache-Control", said)], identity=None).headers["Cache-Control"] == said
    assert "Cache-Control" not in passed_on(identity=None).headers


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 404, 418, 429, 500, 502, 503])
def test_a_status_is_passed_on(status: int) -> None:
    assert passed_on(status=status).status_code == status


def test_retry_after_is_passed_on() -> None:
    assert passed_on([("Retry-After", "7")], status=429).headers["Retry-After"] == "7"


# --- Location ------------------------------------------------------------------------------------


def location(sent: str, *, url: str = "https://api.test/base", path: str = "/v1/api/o") -> Any:
    wire = Wire(Reply(302, [("Location", sent)], b""))
    asked = request(target="/api/o")
    event = {**asked.event, "requestContext": {**asked.context, "path": path}}
    return upstream(wire, url).forward(Request(event), "o", ANN).headers.get("Location")


@pytest.mark.parametrize(
    "sent",
    [
        "/base/orders/8?x=1#y",
        "https://api.test/base/orders/8?x=1#y",
        "https://API.TEST/base/orders/8?x=1#y",
        "https://api.test:443/base/orders/8?x=1#y",
        "https://ann:secret@api.test/base/orders/8?x=1#y",
        "//api.test/base/orders/8?x=1#y",
        "//api.test:443/base/orders/8?x=1#y",
        "http://api.test:80/base/orders/8?x=1#y",
        "http://api.test/base/orders/8?x=1#y",
        "https://api.test./base/orders/8?x=1#y",
    ],
)
def test_a_redirect_within_the_upstream_leads_to_us(sent: str) -> None:
    assert location(sent) == "/v1/api/orders/8?x=1#y"


def test_a_redirect_is_ascii() -> None:
    assert location("/base/订单?q= é%20".encode().decode("latin-1")) == (
        "/v1/api/%E8%AE%A2%E5%8D%95?q=%20%C3%A9%20"
    )


def test_a_redirect_leads_to_the_door_that_the_client_came_in_by() -> None:
    assert location("/base/orders/8", path="/shop/api/o") == "/shop/api/orders/8"
    assert location("/base/orders/8", path="/shop/api/o/api/7") == "/shop/api/orders/8"
    assert location("/base/orders/8", path="/api/o") == "/api/orders/8"
    assert location("/orders/8", url="https://api.test") == "/v1/api/orders/8"
    assert location("http://[::1]:8/a", url="http://[::1]:8") == "/v1/api/a"
    assert location("https://api.test/8", url="https://api.test.") == "/v1/api/8"


def test_a_redirect_leads_to_our_route_where_api_gateway_names_no_path() -> None:
    event = {**request().event, "requestContext": {}}
    wire = Wire(Reply(302, [("Location", "/base/orders/8")], b""))
    answer = upstream(wire).forward(Request(event), "o", ANN)
    assert answer.headers["Location"] == "/api/orders/8"


@pytest.mark.parametrize("sent", ["orders/8", "../8", "./8", "?page=2", "#top", "8:30"])
def test_a_relative_redirect_stays_as_it_is(sent: str) -> None:
    assert location(sent) == sent


@pytest.mark.parametrize(
    "sent",
    [
        "https://api.test",
        "https://api.test/",
        "https://api.test/base",
        "https://api.test/baseball/8",
        "https://api.test/admin",
        "https://api.test:8443/base/8",
        "http://api.test:8080/base/8",
        "//api.test:8443/base/8",
        "//api.test/admin",
        "/admin",
        "/base",
        "/baseball",
        "",
        "https:/base/8",
        "https:8",
        "javascript:alert(1)",
        "https://[api.test/base/8",
        "https://api.test:port/base/8",
        "https://api.test:99999/base/8",
        "https://api.test./admin",
        "https://api.test./",
        "\\\\api.test\\admin",
        "/\\api.test/admin",
        "https:\\\\api.test/base/8",
    ],
)
def test_a_redirect_elsewhere_on_the_upstreams_host_is_not_shown(sent: str) -> None:
    assert location(sent) is None


@pytest.mark.parametrize(
    "sent", ["https://evil.test/steal", "//evil.test/", "weixin://dl/x", "https://:443/base/8"]
)
def test_a_redirect_to_another_host_is_passed_on_not_followed(sent: str) -> None:
    assert location(sent) == sent


# --- how it fails --------------------------------------------------------------------------------

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Unresolved(), UpstreamUnreachable),
        (NotTrusted(), UpstreamUnreachable),
        (AddressForbidden(), UpstreamUnreachable),
        (ConnectTimeout(), UpstreamTimeout),
        (TimedOut(), UpstreamTimeout),
        (NoAnswer(), UpstreamBadResponse),
        (Broken(), UpstreamBadResponse),
        (TooLarge(), UpstreamTooLarge),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_failure_has_its_code_and_no_second_try(
    failure: TransportError, error: type[GateError], method: str
) -> None:
    wire = Wire(failure)
    with pytest.raises(error) as caught:
        upstream(wire).forward(request(method), "orders", ANN)
    assert len(wire.exchanged) == 1
    assert caught.value.evidence == {"reason": type(failure).__name__}


@pytest.mark.parametrize("method", METHODS)
def test_only_what_is_safe_is_tried_again_and_only_where_it_was_refused(method: str) -> None:
    wire = Wire(Refused())
    with pytest.raises(UpstreamUnreachable):
        upstream(wire).forward(request(method), "orders", ANN)
    assert len(wire.exchanged) == (2 if method in ("GET", "HEAD") else 1)


def test_a_second_try_that_is_answered_is_the_answer() -> None:
    wire = Wire(Refused(), Reply(200, [], b"ok"))
    assert body_of(upstream(wire).forward(request(), "orders", ANN)) == b"ok"
    first, second = wire.exchanged
    assert (first.target, first.headers) == (second.target, second.headers)


def test_a_second_try_that_fails_otherwise_has_its_own_code() -> None:
    with pytest.raises(UpstreamTimeout):
        upstream(Wire(Refused(), TimedOut())).forward(request(), "orders", ANN)


@pytest.mark.parametrize(
    ("timeout", "remaining", "seconds"),
    [(20.0, 25.0, 20.0), (5.0, 25.0, 5.0), (60.0, 900.0, 20.0), (20.0, 10.0, 8.5)],
)
def test_the_deadline_is_the_timeout_or_what_the_invocation_has_left(
    timeout: float, remaining: float, seconds: float
) -> None:
    wire = Wire()
    service = upstream(wire, timeout=timeout)
    service.forward(request(remaining=lambda: remaining), "orders", None)
    assert wire.exchanged[0].seconds == pytest.approx(seconds)


@pytest.mark.parametrize(("timeout", "second"), [(5.0, 2.0), (60.0, 17.0)])
def test_two_tries_share_one_deadline(timeout: float, second: float) -> None:
    left = iter([25.0, 25.0, 22.0])
    wire = Wire(Refused(), Reply(200, [], b""))
    asked = request(remaining=lambda: next(left))
    upstream(wire, timeout=timeout).forward(asked, "orders", None)
    assert wire.exchanged[1].seconds == pytest.approx(second)


@pytest.mark.parametrize("remaining", [1.5, 1.0, 0.0, -1.0])
def test_nothing_is_begun_that_cannot_be_finished(remaining: float) -> None:
    wire = Wire()
    with pytest.raises(DeadlineExceeded):
        upstream(wire).forward(request(remaining=lambda: remaining), "orders", ANN)
    assert wire.exchanged == []


def test_without_time_there_is_no_second_try() -> None:
    left = iter([25.0, 25.0, 1.0])
    wire = Wire(Refused())
    with pytest.raises(DeadlineExceeded):
        upstream(wire).forward(request(remaining=lambda: next(left)), "orders", ANN)
    assert len(wire.exchanged) == 1


@pytest.mark.parametrize(
    "sent",
    [
        {"target": f"/api/o?a={'b' * 9000}"},
        {"headers": [("User-Agent", "a\nb")]},
        {"method": "POST", "body": "\ud800"},
    ],
)
def test_what_cannot_be_sent_is_the_clients_fault(sent: dict[str, Any]) -> None:
    wire, asked = Wire(), request(**sent)
    with pytest.raises(InvalidRequest):
        upstream(wire).forward(asked, "o", ANN)
    assert wire.exchanged == []


# --- the corpus of faults, on the wire -----------------------------------------------------------

BOMB = gzip.compress(gzip.compress(bytes(64 << 20)))
JSON = "Content-Type: application/json\r\n"
BAD_HEADERS = [
    "no colon\r\n",
    "Content-Type: a/b\r\n folded\r\n",
    "Content-Type: a\x00b\r\n",
    "ETag: a\rX-A: b\r\n",
    "X-Other: a\r\n folded\r\n",
]
INJECTED: list[tuple[str, Act]] = [
    ("UP-07", is_silent),
    ("UP-09", drips(whole(b"a" * 60), 0.1)),
    ("UP-11", resets(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"a" * 400)),
    ("UP-14", answers(b'{"error":"x"}', status="502 Bad Gateway", headers=JSON)),
    ("UP-15", answers(b'{"error":"x"}', status="503 Unavailable", headers=JSON)),
    ("UP-16", answers(b'{"error":"x"}', status="401 Unauthorized", headers=JSON)),
    ("UP-17", answers(status="429 Slow Down", headers="Retry-After: 5\r\n")),
    *[("UP-18", answers(status=status)) for status in ("999 Odd", "099 Odd", "text Odd")],
    ("UP-19", says(b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n")),
    *[("UP-24", answers(b"ok", headers=headers)) for headers in BAD_HEADERS],
    ("UP-25", answers(headers="X-A: 1\r\n" * 10_000)),
    ("UP-26", answers(b"a" * 7_000_000)),
    ("UP-27", repeats(chunked(), b"10000\r\n" + b"a" * 65_536 + b"\r\n")),
    ("UP-28", answers(BOMB, headers="Content-Encoding: gzip, gzip\r\n")),
    ("UP-29", answers(b"plain", headers="Content-Encoding: gzip\r\n")),
    ("UP-31", answers(status="302 Found", headers="Location: /base/orders\r\n")),
]
ELSEWHERE = {"UP-01", "UP-04", "UP-05", "UP-06", "UP-12"}
SETTINGS = {"UP-32"}  # refused at the start: tests/test_settings.py


def outcome(transport: Transport, url: str, method: str, timeout: float) -> tuple[int, str | None]:
    """The status and the gate's own Code, if it is the gate's."""
    try:
        answer = upstream(transport, url, timeout).forward(request(method), "orders", ANN)
    except GateError as error:
        return error.status, error.code
    return answer.status_code, None


def check(fault: str, status: int, code: str | None) -> None:
    expected = FAULTS[fault]["outcome"]
    assert status in expected["status"]
    assert code in (expected["code"], None if 200 in expected["status"] else expected["code"])


@pytest.mark.parametrize(
    ("fault", "act"), INJECTED, ids=[f"{n}-{fault}" for n, (fault, _) in enumerate(INJECTED)]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fault_of_the_upstream_has_the_outcome_of_the_corpus(
    fault: str, act: Act, method: str
) -> None:
    # Time enough for what is large, little for what never comes.
    timeout = 0.3 if fault in ("UP-07", "UP-09") else 10.0
    with Loopback(act) as server:
        url = f"{server.url}/base"
        check(fault, *outcome(Transport(allow_private=True), url, method, timeout))
        assert server.connections == 1


def no_such_name(_host: str, _port: int) -> list[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_an_upstream_without_address_cannot_be_reached() -> None:
    transport = Transport(allow_private=True, look_up=no_such_name)
    check("UP-01", *outcome(transport, "https://gone.test", "GET", 1))


def test_an_upstream_that_refuses_cannot_be_reached() -> None:
    url = f"http://{HOST}:{closed_port()}"
    check("UP-04", *outcome(Transport(allow_private=True), url, "GET", 1))


def test_an_upstream_that_does_not_accept_is_too_slow() -> None:
    with full_backlog() as port:
        check(
            "UP-05", *outcome(Transport(allow_private=True), f"http://{HOST}:{port}", "POST", 0.3)
        )


def test_an_upstream_that_is_not_trusted_sees_no_identity(tmp_path: Path) -> None:
    with Loopback(answers(), tls=self_signed(tmp_path)[0]) as server:
        check("UP-06", *outcome(Transport(allow_private=True), server.url, "POST", 5))
    assert server.received == []


def test_an_upstream_that_ends_each_connection_sees_each_post_once() -> None:
    with Loopback(answers()) as server:
        for _ in range(3):
            check("UP-12", *outcome(Transport(allow_private=True), server.url, "POST", 5))
    assert server.connections == 3


def test_an_upstream_at_a_private_address_is_not_contacted_where_that_is_forbidden() -> None:
    with Loopback(answers()) as server:
        transport = Transport(allow_private=False)
        assert outcome(transport, server.url, "GET", 5) == (502, "UpstreamUnreachable")
    assert server.connections == 0


def test_a_bomb_arrives_unopened() -> None:
    with Loopback(answers(BOMB, headers="Content-Encoding: gzip, gzip\r\n")) as server:
        answer = upstream(Transport(allow_private=True), server.url).forward(request(), "o", ANN)
    assert body_of(answer) == BOMB


def test_every_fault_of_the_upstream_in_the_corpus_is_injected() -> None:
    here = {fault for fault, _ in INJECTED} | ELSEWHERE | SETTINGS
    assert here == {fault for fault in FAULTS if fault.startswith("UP-")}
