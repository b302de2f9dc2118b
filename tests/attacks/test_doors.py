"""Attacks of our own on the doors that an operator may open, and on /sign."""

import hashlib
import hmac
from typing import Any

import pytest

from tests.attacks import watch
from tests.attacks.world import Exchange, World
from tests.support.wechat import USERS, said, session_of

A = USERS["A"]
SOURCE_IP = "127.0.0.1"  # as the simulated API Gateway sees a phone
OVERRIDE = "X-HTTP-Method-Override"
TENANT, FORWARDED = "Tenant-Id", "X-Forwarded-For"
Headers = list[tuple[str, str]]
Cases = list[tuple[dict[str, str], str, Headers, str, list[str]]]

# Settings, method, headers; and of what went upstream one thing, and its values.
SENT: Cases = [
    *(
        ({"FORWARD_REQUEST_HEADERS": "Tenant-Id,x-client-*"}, "GET", headers, name, values)
        for headers, name, values in [
            ([("TENANT-ID", "t"), ("x-client-version", "2")], "x-client-version", ["2"]),
            ([(TENANT, "t"), ("tenant_id", "forged"), ("Tenant.Id", "x")], "*tenant-id", ["t"]),
            ([("X-Client", "forged"), ("Xx-Client-Id", "forged")], "*client*", []),
            ([("X-Client-Cookie", "own"), ("Cookie", "a=b")], "*cookie", ["own"]),
            ([("X-WX-OPENID", "forged"), ("x_wx_openid", "forged")], "*openid", [A["openid"]]),
        ]
    ),
    *(
        ({}, method, [(OVERRIDE, value)], "method", [wanted])
        for method, value, wanted in [
            *(("POST", "PATCH", "PATCH"), ("POST", "patch", "POST"), ("POST", "DELETE", "POST")),
            *((method, "PATCH", method) for method in ("GET", "HEAD", "PUT", "DELETE")),
        ]
    ),
    ({}, "POST", [(OVERRIDE, "PATCH"), (OVERRIDE, "DELETE")], "method", ["POST"]),
    ({}, "POST", [("X_HTTP_Method_Override", "PATCH")], "method", ["POST"]),
    *(
        ({"TRUSTED_HOPS": hops}, "GET", [(FORWARDED, value)] if value else [], FORWARDED, [wanted])
        for hops, value, wanted in [
            ("0", f"6.6.6.6, {SOURCE_IP}", SOURCE_IP),
            ("1", f"6.6.6.6, 9.9.9.9, {SOURCE_IP}", "9.9.9.9"),
            ("2", f"6.6.6.6, 9.9.9.9, {SOURCE_IP}", "6.6.6.6"),
            *(("1", value, SOURCE_IP) for value in ("", SOURCE_IP, f"evil.test, {SOURCE_IP}")),
            ("5", f"6.6.6.6, {SOURCE_IP}", SOURCE_IP),
            ("1", f"9.9.9.9\r\nX-WX-OPENID: b, {SOURCE_IP}", SOURCE_IP),
        ]
    ),
]


def named(exchange: Exchange, name: str) -> list[str]:
    """Give the values of the header of this name or ending, or the method, of the one request."""
    [sent] = exchange.upstream
    found = [("method", sent.method), *sent.headers]
    wanted = name.lower().strip("*").replace("_", "-")
    if not name.startswith("*"):
        return [value for key, value in found if key.lower() == wanted]
    return [v for k, v in found if wanted in k.lower().replace("_", "-").replace(".", "-")]


def test_no_door_lets_in_more_than_its_operator_opened(world: World) -> None:
    token = world.door.login()
    doors: dict[str, Any] = {}
    for settings, method, headers, name, values in SENT:
        if str(settings) not in doors:
            doors[str(settings)] = world.open_door(**settings)
        door = doors[str(settings)]
        exchange = door.send(method, "/api/orders", token=token, headers=headers)
        assert named(exchange, name) == values, (settings, method, headers)
        assert watch.leaks(exchange.seen.said, world.secrets) == []


PUBLIC = {"PUBLIC_PATHS": "products/*,news,hot%20deals"}
READINGS = {
    200: "products/1 news products/a/b products/%3F products/a%3Bb hot%20deals",
    401: "orders Products/1 NEWS news%3Fx new%73 news%253Fx products%3F/1 products%EF%BC%8F1"
    " %EF%BD%8Eews admin%3Fproducts/1 xnews newsx hot+deals admin;products/1",
    400: "products%2F1 products/%2e%2e/admin products/..%3Bx/admin products//1 news%00"
    " products/x%3F/../../admin products/%252e%252e/admin products/%E2%80%A5/admin",
}


def test_a_path_is_public_only_if_it_is_in_every_reading(world: World) -> None:
    door = world.open_door(**PUBLIC)
    for status, paths in READINGS.items():
        for path in paths.split():
            exchange = door.send("GET", f"/api/{path}")
            targets = [sent.target for sent in exchange.upstream]
            wanted = [f"/base/{path}"] if status == 200 else []
            assert (exchange.answer.status, targets) == (status, wanted), path


@pytest.mark.parametrize("bearer", ["", "Bearer", "Basic eDp5", "wxg_", "Bearer wxg_" + "A" * 72])
def test_a_dead_token_makes_a_visitor_marked_by_the_gate_alone(world: World, bearer: str) -> None:
    forged = [("Authorization", bearer), ("X-Wxgate-Token", "live"), ("X-WX-OPENID", A["openid"])]
    exchange = world.open_door(**PUBLIC).send("GET", "/api/news", headers=forged)
    assert exchange.answer.headers["X-Wxgate-Token"] == "dead"
    assert named(exchange, "*x-wx") == named(exchange, "authorization") == []


def test_sign_is_no_oracle_for_another_key_or_another_use(world: World) -> None:
    """An empty text is what WeChat's checksession takes for a login."""
    old, key = world.door.login(), A["session_key_replaced"]
    with world.wechat.scripted(said(session_of("A", key))):
        token = world.door.login(replaces=old)
    for data in ("x", " ", "é" * 2048, '"\\\r\n\0'):
        exchange = world.door.send("POST", "/sign", token=token, json_body={"data": data})
        signature = hmac.new(key.encode(), data.encode(), hashlib.sha256).hexdigest()
        assert exchange.answer.json == {"signature": signature}
        assert watch.leaks(exchange.seen.said, world.secrets) == []
        assert signature not in exchange.seen.said
    for bad in ("", "a" * 4097, "é" * 2049, 7, None, ["x"], True):
        exchange = world.door.send("POST", "/sign", token=token, json_body={"data": bad})
        assert (exchange.answer.code, exchange.store) == ("InvalidRequest", []), bad
    assert world.door.send("POST", "/sign", token=old, json_body={"data": "x"}).answer.status == 401
