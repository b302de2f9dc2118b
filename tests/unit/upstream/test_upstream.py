"""The exchange with the business API: where it goes, what is added, how it fails."""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import errors
from chalicelib.deadlines import Deadline
from chalicelib.network import exchange_errors as network
from chalicelib.network.connections import Origin, Pairs, Reply
from chalicelib.settings import read
from chalicelib.upstream.upstream import Outgoing, Upstream, encoded_query
from tests.support.fakes import Clock, Exchanged, Wire

ANN = [("X-WX-OPENID", "o-ann"), ("X-WX-ASSERTION", "as.ser.tion")]
ASKED = Outgoing(
    method="GET",
    subpath="orders",
    query=[],
    headers=[],
    body=b"",
    request_id="request-7",
    trace_id=None,
    forwarded_for=("198.51.100.7", "203.0.113.9"),
    source_ip="203.0.113.9",
    identity=ANN,
    prefix="/v1",
)
OK = Reply(200, [], b"")


def upstream(wire: Wire, url: str = "https://api.test/base", **variables: str) -> Upstream:
    names = {"WX_APPIDS": "wx-app", "SESSIONS_TABLE": "table", "SECRET_PREFIX": "wxgate/"}
    return Upstream(wire, read({**names, "UPSTREAM_URL": url, **variables}))


def forward(
    outgoing: Outgoing, outcome: Reply | network.TransportError = OK, left: float = 25, **names: str
) -> tuple[Exchanged, Reply]:
    wire = Wire(outcome)
    deadline = Deadline.after(left, Clock())
    reply = upstream(wire, **names).forward(outgoing, deadline, max_bytes=1000)
    return wire.exchanged[0], reply


def sent(outgoing: Outgoing, **variables: str) -> Pairs:
    return forward(outgoing, OK, 25, **variables)[0].headers


def passed_on(headers: Pairs, body: bytes = b"", identity: Pairs = ANN) -> dict[str, str]:
    """The headers that come back."""
    _, reply = forward(replace(ASKED, identity=identity), Reply(418, headers, body))
    assert (reply.status, reply.body) == (418, body)
    return dict(reply.headers)


@pytest.mark.parametrize(
    ("url", "origin", "base"),
    [
        ("https://api.test", "https://api.test", ""),
        ("https://API.test:443/base/", "https://api.test", "/base"),
        ("https://api.test:8443/a/X", "https://api.test:8443", "/a/X"),
        ("https://[2606:2800::1]/", "https://[2606:2800::1]", ""),
    ],
)
def test_the_origin_and_the_base_path_are_the_operators(url: str, origin: str, base: str) -> None:
    exchanged, _ = forward(ASKED, url=url)
    assert (exchanged.origin, exchanged.target) == (Origin.of(origin), f"{base}/orders")
    assert upstream(Wire(), url).url("orders") == f"{origin}{base}/orders"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_a_request_is_passed_to_the_exchange_and_sent_again_only_if_it_is_safe(method: str) -> None:
    query = [("a b", "1&b=/#+"), ("e", "")]
    exchanged, _ = forward(replace(ASKED, method=method, body=b"\x00\xff", query=query))
    assert exchanged.target == "/base/orders?a%20b=1%26b%3D%2F%23%2B&e="
    assert (exchanged.method, exchanged.body, exchanged.max_bytes) == (method, b"\x00\xff", 1000)
    safe = (network.Refused, network.Stale)
    assert exchanged.retry_on == (safe if method in ("GET", "HEAD") else ())


def test_a_connection_is_opened_ahead() -> None:
    with pytest.raises(network.AddressForbidden):  # all that a wire without a network can say
        upstream(Wire(), "https://127.0.0.1", UPSTREAM_ALLOW_PRIVATE="true").warm(Deadline.after(5))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_a_server_reads_the_query_that_was_sent(query: Pairs) -> None:
    text = encoded_query(query)
    assert parse_qsl(text, keep_blank_values=True, strict_parsing=bool(query)) == query
    assert re.fullmatch(r"[A-Za-z0-9._~%=&-]*", text)


def test_a_query_is_bounded() -> None:
    assert len(encoded_query([("a", "b" * 8190)])) == 8192
    with pytest.raises(errors.InvalidRequest, match=r"^The query is too long\.$"):
        encoded_query([("a", "b" * 8191)])


@pytest.mark.parametrize(
    ("left", "given", "error"),
    [
        *((left, {}, errors.DeadlineExceeded) for left in (1.5, 0.0, -1.0)),
        (25, {"query": [("a", "\ud800")]}, errors.InvalidRequest),
        (25, {"headers": [("User-Agent", "a\nb")]}, errors.InvalidRequest),
    ],
)
def test_nothing_is_begun_that_cannot_be_sent_or_finished(
    left: float, given: dict[str, Any], error: type[errors.GateError]
) -> None:
    wire = Wire()
    with pytest.raises(error):
        upstream(wire).forward(
            replace(ASKED, **given), Deadline.after(left, Clock()), max_bytes=1000
        )
    assert wire.exchanged == []


def test_the_upstream_gets_what_is_allowed_and_what_is_the_gates() -> None:
    trace = "Root=1-67891233-abcdef012345678912345678"
    allowed = [("Accept", "application/json"), ("content-type", "text/plain")]
    others = [("authorization", "Bearer wxg_x"), ("Accept-Encoding", "gzip, zstd")]
    headers = [*others, ("X-WX-OPENID", "o-victim"), *allowed]
    assert sent(replace(ASKED, headers=headers, trace_id=trace)) == [
        *allowed,
        ("Accept-Encoding", "gzip"),
        ("X-Request-Id", "request-7"),
        ("X-Amzn-Trace-Id", trace),
        ("X-Forwarded-For", "203.0.113.9"),
        *ANN,
    ]


def test_a_visitor_whose_address_is_unknown_brings_neither_identity_nor_address() -> None:
    headers = [("X-WX-OPENID", "o-ann"), ("x_wx_unionid", "u-ann"), ("X-Forwarded-For", "10.0.0.1")]
    outgoing = replace(ASKED, headers=headers, identity=[], source_ip=None, forwarded_for=())
    assert sent(outgoing) == [("Accept-Encoding", "identity"), ("X-Request-Id", "request-7")]


def test_the_operator_widens_the_headers_and_counts_the_proxies() -> None:
    headers = [("tenant-id", "7"), ("X-Client-Version", "2"), ("X-Other", "3")]
    widened = {"FORWARD_REQUEST_HEADERS": "Tenant-Id,x-client-*", "TRUSTED_HOPS": "1"}
    outgoing = replace(ASKED, headers=headers)
    assert sent(outgoing, **widened)[:2] == headers[:2]
    assert dict(sent(outgoing, **widened))["X-Forwarded-For"] == "198.51.100.7"
    _, reply = forward(outgoing, Reply(200, headers, b""), FORWARD_ANSWER_HEADERS="x-client-*")
    assert "X-Client-Version" in dict(reply.headers)
    assert "Tenant-Id" not in dict(reply.headers)


def test_a_body_has_a_type_and_nobody_may_guess_another() -> None:
    assert passed_on([], b"<script>")["Content-Type"] == "application/octet-stream"
    assert passed_on([("Content-Type", "")], b"x")["Content-Type"] == "application/octet-stream"
    assert passed_on([("content-type", "a/b")], b"x")["Content-Type"] == "a/b"
    assert "Content-Type" not in passed_on([])
    assert passed_on([])["X-Content-Type-Options"] == "nosniff"


def test_caches_keep_what_is_everybodys_alone() -> None:
    public = ("Cache-Control", "public, max-age=3600")
    assert passed_on([public])["Cache-Control"] == "private, no-store"
    assert passed_on([])["Cache-Control"] == "private, no-store"
    assert passed_on([("Cache-Control", "private")])["Cache-Control"] == "private"
    assert passed_on([public], identity=[])["Cache-Control"] == public[1]
    assert "Cache-Control" not in passed_on([], identity=[])


def test_a_redirect_leads_to_the_gate_or_is_not_shown() -> None:
    ours = passed_on([("Location", "/base/orders/8"), ("ETag", "e")])
    assert (ours["Location"], ours["Etag"]) == ("/v1/api/orders/8", "e")
    assert "Location" not in passed_on([("Location", "/admin")])


FAILURES: dict[type[errors.GateError], list[type[network.TransportError]]] = {
    errors.UpstreamUnreachable: [network.AddressForbidden, network.Refused, network.NotTrusted],
    errors.UpstreamTimeout: [network.ConnectTimeout, network.TimedOut],
    errors.UpstreamBadResponse: [network.NoAnswer, network.Stale, network.Broken],
    errors.UpstreamTooLarge: [network.TooLarge],
}


@pytest.mark.parametrize("error", FAILURES)
def test_a_failure_has_its_code(error: type[errors.GateError]) -> None:
    for failure in FAILURES[error]:
        with pytest.raises(error) as caught:
            forward(ASKED, failure())
        assert caught.value.evidence == {"reason": failure.__name__}


@pytest.mark.parametrize(
    ("timeout", "left", "seconds"),
    [("20", 25.0, 20.0), ("5", 25.0, 5.0), ("29", 900.0, 20.0), ("20", 2.0, 0.5)],
)
def test_the_deadline_is_the_timeout_or_what_the_invocation_has_left(
    timeout: str, left: float, seconds: float
) -> None:
    exchanged, _ = forward(ASKED, left=left, UPSTREAM_TIMEOUT=timeout)
    assert exchanged.seconds == pytest.approx(seconds)
