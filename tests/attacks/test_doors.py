"""Attacks on the doors that an operator may open: settings that widen what passes, and /sign.

Each table says what is sent and what must come of it; contract: README.md and docs/.
"""

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.attacks import watch
from tests.attacks.events import ALL_HEADERS, SOURCE_IP, event
from tests.attacks.runner import Runner
from tests.attacks.test_variants import BEARER, JSON, variant, words
from tests.attacks.world import Door, Exchange, World
from tests.support.loopback import answers
from tests.support.wechat import USERS, said, session_of

A = USERS["A"]


def sent_through(
    runner: Runner, door: Door, headers: list[tuple[str, str]], method: str = "GET"
) -> Exchange:
    """Send a request of user A with these headers, which keeps every invariant."""
    body = None if method in ("GET", "HEAD") else "{}"
    statuses = {"status": [200, 400], "code": None, "upstream_calls": [0, 1]}
    request = (method, "/api/orders", [BEARER, *headers], body)
    entry = variant("proxy-headers", request, 200)
    assert runner.run(replace(entry, expect=entry.expect | statuses), ALL_HEADERS, door) == []
    return runner.last


# --- FORWARD_REQUEST_HEADERS and FORWARD_ANSWER_HEADERS ------------------------------------------

FORBIDDEN = words(
    """
Authorization authorization AUTHORIZATION Cookie Set-Cookie Host Connection Keep-Alive
Proxy-Connection Proxy-Authorization TE Trailer Transfer-Encoding Upgrade Content-Length
content_length Forwarded X-Forwarded-For x_forwarded_for X-Forwarded-* X-HTTP-Method-Override
X_HTTP_Method_Override X-WX-OPENID x_wx_openid X.WX.OPENID X-WX-* x_wx_* X-Wxgate-Error
X-Wxgate-Token x-wxgate-* X-Request-Id x_request_id
"""
)
MALFORMED = ["a b", "a:b", "a*b", "*a", "é"]


@pytest.mark.parametrize("variable", ["FORWARD_REQUEST_HEADERS", "FORWARD_ANSWER_HEADERS"])
def test_a_header_that_is_ours_or_the_protocols_cannot_be_let_through(
    world: World, variable: str
) -> None:
    for name in [*FORBIDDEN, *MALFORMED]:
        door = world.open_door(**{variable: name})
        assert door.send("GET", "/api/orders").answer.code == "Misconfigured", name
        assert variable in door.start.said, name


WIDENED = {"FORWARD_REQUEST_HEADERS": "Tenant-Id,x-client-*"}

PASSED: list[tuple[list[tuple[str, str]], list[str]]] = [
    ([("Tenant-Id", "t1")], ["t1"]),
    ([("TENANT-ID", "t1"), ("x-client-version", "2")], ["t1", "2"]),
    ([("X-Client-", "3")], ["3"]),
    ([("tenant_id", "forged")], []),
    ([("Tenant.Id", "forged"), ("x_client_version", "forged")], []),
    ([("Tenant-Id", "t1"), ("tenant_id", "forged")], ["t1"]),
    ([("Tenant-Id ", "forged"), ("X-Client", "forged")], []),
    ([("Xx-Client-Id", "forged"), ("X-Client:", "forged")], []),
    ([("Connection", "tenant-id"), ("Tenant-Id", "hop")], []),
]
REFUSED: list[list[tuple[str, str]]] = [
    [("Tenant-Id", "t1"), ("tenant-id", "t2")],
    [("Tenant-Id", "t1\r\nX-WX-OPENID: forged")],
    [("X-Client-Name", "测试")],
]


def test_what_was_let_through_brings_nothing_else_with_it(runner: Runner, world: World) -> None:
    door = world.open_door(**WIDENED)
    for headers, values in PASSED:
        [sent] = sent_through(runner, door, headers).upstream
        ours = {value for name, value in sent.headers if name.lower() not in KNOWN}
        assert ours == set(values), headers
    for headers in REFUSED:
        exchange = sent_through(runner, door, headers)
        assert (exchange.answer.code, exchange.upstream) == ("InvalidRequest", []), headers


KNOWN = {name.lower() for name in ("Host", "Content-Length", "Connection", "Accept-Encoding")} | {
    *("x-wx-openid", "x-wx-appid", "x-wx-unionid", "x-wx-assertion", "x-request-id"),
    *("x-forwarded-for", "x-amzn-trace-id", "user-agent"),
}
"""The headers that the gate itself sends upstream."""


def test_an_answer_header_that_was_let_through_brings_nothing_else(
    runner: Runner, world: World
) -> None:
    door = world.open_door(FORWARD_ANSWER_HEADERS="x-upstream-*,tenant-id")
    headers = [
        *(("X-Upstream-Region", "r1"), ("Tenant-Id", "t1"), ("X_Upstream_Key", "forged")),
        *(("Set-Cookie", "a=b"), ("X-Wxgate-Token", "dead"), ("X-Wxgate-Error", "InvalidToken")),
        *(("X-WX-OPENID", "o"), ("X-Request-Id", "forged"), ("Server", "x"), ("Upgrade", "h2c")),
    ]
    with world.upstream.scripted(answers(b"{}", headers=headers)):
        answer = door.send("GET", "/api/orders", token=runner.tokens.user("A")).answer
    assert answer.status == 200
    assert (answer.headers["X-Upstream-Region"], answer.headers["Tenant-Id"]) == ("r1", "t1")
    assert "forged" not in str(answer.headers)
    lost = {"set-cookie", "x-wxgate-token", "x-wxgate-error", "x-wx-openid", "server", "upgrade"}
    assert not lost & {name.lower() for name in answer.headers}


# --- X-HTTP-Method-Override ----------------------------------------------------------------------

OVERRIDE = "X-HTTP-Method-Override"
OVERRIDES: list[tuple[str, list[tuple[str, str]], str]] = [
    ("POST", [(OVERRIDE, "PATCH")], "PATCH"),
    ("POST", [(OVERRIDE.lower(), "PATCH")], "PATCH"),
    *((method, [(OVERRIDE, "PATCH")], method) for method in ("GET", "HEAD", "PUT", "DELETE")),
    *(
        ("POST", [(OVERRIDE, value)], "POST")
        for value in ("GET", "DELETE", "PUT", "patch", "PATCH, GET", "PATCHx", "", "CONNECT")
    ),
    ("POST", [(OVERRIDE, "PATCH"), (OVERRIDE, "DELETE")], "POST"),
    ("POST", [("X_HTTP_Method_Override", "PATCH")], "POST"),
    ("POST", [("X-HTTP-Method", "PATCH"), ("X-Method-Override", "PATCH")], "POST"),
    ("DELETE", [(OVERRIDE, "GET")], "DELETE"),
]


def test_an_override_makes_a_patch_of_a_post_and_nothing_of_anything_else(
    runner: Runner, world: World
) -> None:
    for method, headers, wanted in OVERRIDES:  # G6: the assertion's htm is the method sent
        [sent] = sent_through(runner, world.door, headers, method).upstream
        assert sent.method == wanted, (method, headers)
        assert not any("override" in name.lower() for name, _ in sent.headers)


# --- TRUSTED_HOPS --------------------------------------------------------------------------------

HOPS: list[tuple[int, list[str], str]] = [
    (0, [f"6.6.6.6, {SOURCE_IP}"], SOURCE_IP),
    (1, [f"9.9.9.9, {SOURCE_IP}"], "9.9.9.9"),
    (1, [f"6.6.6.6, 9.9.9.9, {SOURCE_IP}"], "9.9.9.9"),
    (1, ["6.6.6.6", f"9.9.9.9, {SOURCE_IP}"], "9.9.9.9"),
    (1, [f"2001:db8::9, {SOURCE_IP}"], "2001:db8::9"),
    (2, [f"6.6.6.6, 9.9.9.9, {SOURCE_IP}"], "6.6.6.6"),
    # Too few places, or what is no address: API Gateway's word counts.
    (1, [SOURCE_IP], SOURCE_IP),
    (1, [], SOURCE_IP),
    (5, [f"6.6.6.6, 9.9.9.9, {SOURCE_IP}"], SOURCE_IP),
    (1, [f"evil.test, {SOURCE_IP}"], SOURCE_IP),
    (1, [f"9.9.9.9\r\nX-WX-OPENID: b, {SOURCE_IP}"], SOURCE_IP),
    (1, [f", {SOURCE_IP}"], SOURCE_IP),
]


def test_a_phone_cannot_choose_its_address_whatever_stands_before_the_gateway(
    runner: Runner, world: World
) -> None:
    doors = {hops: world.open_door(TRUSTED_HOPS=str(hops)) for hops in (0, 1, 2, 5)}
    for hops, values, wanted in HOPS:
        headers = [BEARER, *(("X-Forwarded-For", value) for value in values)]
        entry = variant("proxy-headers", ("GET", "/api/orders", headers, None), 200)
        built = event(entry, runner.tokens, ALL_HEADERS, world.door.app.routes)
        [sent] = doors[hops].serve(built).upstream
        assert sent.values("x-forwarded-for") == [wanted], (hops, values)
        assert sent.values("x-wx-openid") == [A["openid"]]


@pytest.mark.parametrize("hops", ["-1", "6", "1.5", "x", "１", " 1 1"])
def test_hops_that_are_no_count_are_refused_at_the_start(world: World, hops: str) -> None:
    door = world.open_door(TRUSTED_HOPS=hops)
    assert door.send("GET", "/api/orders").answer.code == "Misconfigured"
    assert "TRUSTED_HOPS" in door.start.said


# --- PUBLIC_PATHS, and a token that is dead ------------------------------------------------------

PUBLIC = "products/*,news,hot%20deals"
READINGS = {
    200: words("products/1 news products/a/b products/%3F products/a%3Bb hot%20deals"),
    401: words(
        """
orders Products/1 NEWS news%3Fx news%23x new%73 %6Eews news%253Fx products%3F/1 products%23/1
products%EF%BC%8F1 %EF%BD%8Eews news%EF%BC%9Fx admin%3Fproducts/1 admin%23/products/1 xnews newsx
hot+deals admin;products/1 orders%3F%2526products/1
"""
    ),
    400: words(
        """
products%2F1 products%252F1 products/%2e%2e/admin products/..%3Bx/admin products//1 news%00
products/x%3F/../../admin products/%252e%252e/admin products/%E2%80%A5/admin
"""
    ),
}


def test_a_path_is_public_only_if_it_is_in_every_reading(world: World) -> None:
    door = world.open_door(PUBLIC_PATHS=PUBLIC)
    for status, paths in READINGS.items():
        for path in paths:
            exchange = door.send("GET", f"/api/{path}")
            assert exchange.answer.status == status, path
            targets = [sent.target for sent in exchange.upstream]
            assert targets == ([f"/base/{path}"] if status == 200 else []), path


def test_a_dead_token_makes_a_visitor_and_says_so(runner: Runner, world: World) -> None:
    door = world.open_door(PUBLIC_PATHS=PUBLIC)
    forged = [("X-Wxgate-Token", "live"), ("X-WX-OPENID", A["openid"])]
    bearers: list[tuple[str | None, str | None, list[str]]] = [
        (None, None, []),
        (f"Bearer {runner.tokens.user('A')}", None, [A["openid"]]),
        *((f"Bearer {runner.tokens.fill(name)}", "dead", []) for name in DEAD),
        *((text, "dead", []) for text in ("", "Bearer", "Bearer x y", "Basic eDp5", "wxg_")),
    ]
    for bearer, mark, openids in bearers:
        headers = forged if bearer is None else [*forged, ("Authorization", bearer)]
        with world.upstream.scripted(answers(b"{}", headers=[("X-Wxgate-Token", "upstreams")])):
            exchange = door.send("GET", "/api/news", headers=headers)
        [sent] = exchange.upstream
        assert exchange.answer.headers.get("X-Wxgate-Token") == mark, bearer
        assert sent.values("x-wx-openid") == openids, bearer
        assert bool(sent.values("x-wx-assertion")) == bool(openids), bearer
        assert "authorization" not in sent.raw.decode("latin-1").lower()
        assert sent.values("x-wxgate-token") == []


DEAD = ("TOKEN_UNKNOWN", "TOKEN_EXPIRED", "TOKEN_REVOKED", "TOKEN_BAD_CHECKSUM", "TOKEN_APP2")


def test_a_dead_token_is_no_visitor_where_a_login_is_needed(runner: Runner, world: World) -> None:
    door = world.open_door(PUBLIC_PATHS=PUBLIC)
    for name in DEAD:
        exchange = door.send("GET", "/api/orders", token=runner.tokens.fill(name))
        assert exchange.answer.code == "InvalidToken"
        assert "X-Wxgate-Token" not in exchange.answer.headers
        assert exchange.upstream == []


# --- /sign ---------------------------------------------------------------------------------------


def signature(session_key: str, data: str) -> str:
    """What wx.requestVirtualPayment wants: the key is the base64 text, not the bytes in it."""
    return hmac.new(session_key.encode(), data.encode(), hashlib.sha256).hexdigest()


GOOD = ['{"offerId":"1"}', "x", " ", "测试", "é" * 2048, "a" * 4096, '"\\\r\n\0']
BAD: list[Any] = ["", "a" * 4097, "é" * 2049, 7, None, ["x"], {}, True]


def test_signatures_are_by_the_current_key_alone_and_are_no_oracle(
    runner: Runner, world: World
) -> None:
    old = world.door.login()
    with world.wechat.scripted(said(session_of("A", A["session_key_replaced"]))):
        token = world.door.login(replaces=old)
    for data in GOOD:
        exchange = world.door.send("POST", "/sign", token=token, json_body={"data": data})
        assert exchange.answer.json == {"signature": signature(A["session_key_replaced"], data)}
        assert exchange.answer.headers["Cache-Control"] == "no-store"
        assert (len(exchange.reads), exchange.writes, exchange.wechat) == (1, [], [])
        assert watch.leaks(exchange.seen.said, world.secrets) == []
        assert exchange.answer.json["signature"] not in exchange.seen.said
    assert world.door.send("POST", "/sign", token=old, json_body={"data": "x"}).answer.status == 401


def test_what_is_no_text_to_sign_is_refused_before_the_key_is_read(runner: Runner) -> None:
    bodies = [json.dumps({"data": data}) for data in BAD]
    bodies += ["{}", "[]", '{"data":"x","data":"y"}', '{"data":"\\ud800"}', '{"Data":"x"}']
    for body in bodies:
        request = ("POST", "/sign", [JSON, BEARER], body)
        found = variant("decrypt", request, 400, "InvalidRequest", store_reads=0, store_writes=0)
        assert runner.run(found) == [], body[:40]
    text = [("Content-Type", "text/plain"), BEARER]
    others = [
        variant("decrypt", ("GET", "/sign", [BEARER], None), 405, "MethodNotAllowed"),
        variant("decrypt", ("POST", "/sign", text, '{"data":"x"}'), 415, "UnsupportedMediaType"),
        variant("token", ("POST", "/sign", [JSON], '{"data":"x"}'), 401, "InvalidToken"),
    ]
    for found in others:
        assert runner.run(replace(found, expect=found.expect | {"store_reads": 0})) == []
