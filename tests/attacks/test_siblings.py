"""Siblings of the corpus's entries: the same causes in other clothes, under the same invariants."""

import base64
import json
from typing import Any

import pytest

from tests.attacks.corpus import Entry
from tests.attacks.events import MERCILESS, Mode, modes
from tests.attacks.runner import Runner, upstream_script
from tests.attacks.siblings import BEARER, JSON, SIBLINGS, of_world, sibling
from tests.attacks.world import World

CODE = '{"code":"code-A"}'

CASES = [
    pytest.param(entry, mode, id=f"{entry.id}-{mode.name}")
    for entry in SIBLINGS.values()
    for mode in modes(entry)
]


@pytest.mark.parametrize(("entry", "mode"), CASES)
def test_an_attack_of_our_own_fails(runner: Runner, world: World, entry: Entry, mode: Mode) -> None:
    assert runner.run(of_world(entry, world), mode) == []


# --- login ---------------------------------------------------------------------------------------

BAD_BODIES = {
    "empty": "",
    "blank": "   ",
    "true": "true",
    "text": '"code-A"',
    "NaN": '{"code":"code-A","x":NaN}',
    "Infinity": '{"code":"code-A","x":-Infinity}',
    "a number beyond floats": '{"code":"code-A","x":1e400}',
    "a duplicate": '{"code":"code-A","code":"code-B"}',
    "a duplicate deep down": '{"code":"code-A","x":[{"a":1,"a":2}]}',
    "a duplicate in disguise": '{"code":"code-A","\\u0063ode":"code-B"}',
    "a surrogate in a key": '{"code":"code-A","\\ud800":1}',
    "a surrogate in an unknown member": '{"code":"code-A","x":["\\udfff"]}',
    "a byte order mark": "\ufeff" + CODE,
    "a raw control character": '{"code":"code-A","x":"\n"}',
    "a leading zero": '{"code":"code-A","x":01}',
    "a hexadecimal": '{"code":"code-A","x":0x1}',
    "a vertical tab": "\x0b" + CODE,
    "a no-break space": "\xa0" + CODE,
    "deep arrays": '{"code":"code-A","x":' + "[" * 5000 + "]" * 5000 + "}",
    "33 levels": '{"code":"code-A","x":' + "[" * 33 + "]" * 33 + "}",
    "a long code": json.dumps({"code": "a" * 129}),
    "a newline at the end": '{"code":"code-A\\n"}',
    "a space at the end": '{"code":"code-A "}',
    "a percent": '{"code":"code%2DA"}',
    "a plus": '{"code":"code+A"}',
    "a slash": '{"code":"code/A"}',
    "Arabic digits": '{"code":"code-\u0661"}',
    "an appid with a slash": '{"code":"code-A","appid":"../wx"}',
    "an appid that is a number": '{"code":"code-A","appid":7}',
    "an appid that is empty": '{"code":"code-A","appid":""}',
    "an appid that is a list": '{"code":"code-A","appid":["wx4f4bc4dec97d474b"]}',
}


@pytest.mark.parametrize("fault", BAD_BODIES)
def test_a_body_that_is_not_quite_right_reaches_nobody(runner: Runner, fault: str) -> None:
    request = ("POST", "/login", [JSON], BAD_BODIES[fault])
    found = sibling("login", request, 400, "InvalidRequest", wechat_calls=0, store_reads=0)
    assert runner.run(found) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp500"])
def test_json_in_another_encoding_reaches_nobody(runner: Runner, encoding: str) -> None:
    body = {"$b64": base64.b64encode(CODE.encode(encoding)).decode()}
    request = ("POST", "/login", [JSON], body)
    assert runner.run(sibling("login", request, 400, "InvalidRequest", wechat_calls=0)) == []


def test_an_app_that_is_not_served_is_unknown(runner: Runner) -> None:
    request = ("POST", "/login", [JSON], '{"code":"code-A","appid":"wxffffffffffffffff"}')
    assert runner.run(sibling("login", request, 400, "UnknownApp", wechat_calls=0)) == []


MEDIA_TYPES = [
    "",
    " ",
    "text/json",
    "application/jsonp",
    "application/json, text/plain",
    "application/x-www-form-urlencoded",
    "application/vnd.api+json",
    "application/json; charset=utf-16",
    "application/json; charset=latin-1",
    "application/json;charset=",
    "applicatıon/json",
]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_what_is_not_called_json_is_unsupported(runner: Runner, media_type: str) -> None:
    request = ("POST", "/login", [("Content-Type", media_type)], CODE)
    found = sibling("login", request, 415, "UnsupportedMediaType", wechat_calls=0)
    assert runner.run(found) == []


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "QUERY"])
@pytest.mark.parametrize("path", ["/login", "/logout", "/decrypt", "/phone"])
def test_another_method_is_not_allowed(runner: Runner, path: str, method: str) -> None:
    request = (method, path, [JSON], CODE)
    assert runner.run(sibling("decrypt", request, 405, "MethodNotAllowed", wechat_calls=0)) == []


@pytest.mark.parametrize(
    "path", ["/", "/LOGIN", "/login/", "//login", "/api", "/v1/login", "/%6cogin"]
)
def test_another_path_is_no_route(runner: Runner, path: str) -> None:
    request = ("POST", path, [JSON], CODE)
    assert runner.run(sibling("decrypt", request, 404, "NotFound", wechat_calls=0)) == []


REFUSALS = {
    "code-used": (401, "InvalidCode"),
    "code-blocked": (403, "UserBlocked"),
    "code-rate": (429, "TooManyRequests"),
    "code-busy": (503, "WeChatBusy"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_wechats_refusals_are_passed_on_as_ours(runner: Runner, code: str) -> None:
    status, name = REFUSALS[code]
    request = ("POST", "/login", [JSON], json.dumps({"code": code}))
    assert runner.run(sibling("login", request, status, name, wechat_calls=1)) == []


@pytest.mark.parametrize(
    "replaces",
    [None, 7, "", "x", [], {}, True, "{{TOKEN_B}}", "{{TOKEN_UNKNOWN}}", "{{TOKEN_BAD_CHECKSUM}}"],
)
def test_what_is_not_ones_own_token_replaces_nothing(runner: Runner, replaces: Any) -> None:
    body = json.dumps({"code": "code-A", "replaces": replaces})
    bearer = ("Authorization", "Bearer {{TOKEN_B}}")
    request = ("POST", "/login", [JSON, bearer], body)
    assert runner.run(sibling("login", request, 200, wechat_calls=1)) == []
    assert runner.run(sibling("token", ("GET", "/api/x", [bearer], None), 200)) == []


# --- proxy: the path -----------------------------------------------------------------------------

BAD_PATHS = [
    "%c0%ae%c0%ae/admin",
    "..%c0%af",
    "%e0%80%ae%e0%80%ae/admin",
    "%25%32%65%25%32%65/admin",
    "%25252e%25252e/admin",
    "%2525252525252e/admin",
    "a%00.json",
    "..%00/admin",
    "..;/admin",
    ".;/admin",
    "%2e%2e;a=b/admin",
    "..%3b/admin",
    "a%3bb",
    "a%2523b",
    "%ef%bc%8f",
    "%ef%bc%bc",
    "%e2%80%a5/admin",
    "%e2%80%a4%e2%80%a4/admin",
    "%ef%bc%85%ef%bc%92e%ef%bc%85%ef%bc%92e",
    "..%20/admin",
    "%20../admin",
    "..%09/admin",
    "..%c2%a0/admin",
    "a%23b",
    "a#b",
    "a%5cb",
    "a\\..\\b",
    "a%255cb",
    "a%2fb",
    "a%252fb",
    "a b",
    "a|b",
    "a<b>",
    'a"b',
    "a^b",
    "a`b",
    "a{b}",
    "%",
    "a%2",
    "a%zz",
    "a%%32e",
    "a%c3%28",
    "a%ff",
    "a%ed%a0%80",
    "a%c2%85b",
    "a%e2%80%a8b",
    "a%e2%80%a9b",
    "....//admin",
    "a//b",
    "//",
    "a/../",
    "a/./",
    "./",
    "订单",
    "a\tb",
    "a\nb",
    "a\x7fb",
    "a" * 2049,
]


@pytest.mark.parametrize("below", BAD_PATHS, ids=ascii)
def test_a_path_that_somebody_may_read_otherwise_goes_nowhere(runner: Runner, below: str) -> None:
    request = ("GET", f"/api/{below}", [BEARER], None)
    found = sibling("proxy-path", request, 400, "InvalidPath", upstream_calls=0, store_reads=0)
    assert runner.run(found) == []


GOOD_PATHS = [
    "orders/7/",
    "...",
    "a..b",
    "..a",
    ".well-known/x",
    "a;b=c;d",
    "a,b:c@d",
    "a!$&'()*+=b",
    "~user",
    "a%20b",
    "a%2Bb",
    "100%25",
    "a%C3%A9",
    "%E4%B8%8A%E4%BC%A0",
    "%F0%9F%98%80",
    "a%5Bb%5D",
    "http:80",
    "a" * 2048,
]


@pytest.mark.parametrize("below", GOOD_PATHS, ids=ascii)
def test_a_path_that_reads_one_way_goes_upstream_byte_by_byte(runner: Runner, below: str) -> None:
    request = ("GET", f"/api/{below}", [BEARER], None)
    found = sibling("proxy-path", request, 200, upstream_calls=1, invariant="same bytes upstream")
    assert runner.run(found) == []


# --- proxy: headers ------------------------------------------------------------------------------

FORGED = [
    "x-wx-openid",
    "X-Wx-OpenId",
    "x_wx_openid",
    "X-WX-ASSERTION",
    "X-WX-APPID",
    "X-WX-SOURCE",
    "X-WX-FROM-OPENID",
    "X-WX-CLOUDBASE-ACCESS-TOKEN",
    "X-Wxgate-Error",
    "X-Forwarded-For",
    "Forwarded",
    "Via",
    "X-Original-URL",
    "X-HTTP-Method-Override",
    "X-Amzn-Trace-Id",
    "X-Api-Key",
    "Proxy-Authorization",
    "Cookie2",
    "Remote_User",
    "Keep-Alive",
    "Proxy-Connection",
    "Content-Location",
    "Early-Data",
    "Sec-Fetch-Site",
]


@pytest.mark.parametrize("name", FORGED)
def test_a_header_that_is_not_allowed_does_not_go_upstream(runner: Runner, name: str) -> None:
    headers = [BEARER, (name, "forged-value"), (name.lower(), "forged-value")]
    found = sibling("proxy-headers", ("GET", "/api/echo", headers, None), 200)
    found.expect["invariant"] = (
        "upstream sees the forged value nowhere; address headers, if sent, are built from "
        "requestContext.identity.sourceIp alone"
    )
    assert runner.run(found, MERCILESS) == []


@pytest.mark.parametrize(
    "value", ["a\r\nX-WX-OPENID: b", "a\nb", "a\rb", "a\x00b", "a\x1bb", "测试"]
)
@pytest.mark.parametrize("name", ["Accept", "Referer", "Content-Type", "If-None-Match"])
def test_a_header_value_that_cannot_be_sent_is_refused(
    runner: Runner, name: str, value: str
) -> None:
    request = ("GET", "/api/echo", [BEARER, (name, value)], None)
    found = sibling("proxy-headers", request, 400, "InvalidRequest", upstream_calls=0)
    assert runner.run(found) == []


BEARERS = [
    [("Authorization", "Bearer {{TOKEN_A}}"), ("authorization", "Bearer {{TOKEN_A}}")],
    [("Authorization", "Bearer {{TOKEN_A}}"), ("AUTHORIZATION", "Basic eDp5")],
    [("Authorization", "")],
    [("Authorization", "Bearer ")],
    [("Authorization", "{{TOKEN_A}}")],
    [("Authorization", "Bearer={{TOKEN_A}}")],
    [("Authorization", "Bearer wxg_")],
    [("Authorization", "Bearer {{TOKEN_A}}=")],
    [("Authorization", "Bearer {{TOKEN_A}}A")],
    [("Authorization", "Bearer {{TOKEN_A}}\r\n")],
    [("Authorization", "Bearer\u00a0{{TOKEN_A}}")],
    [("Authorization ", "Bearer {{TOKEN_A}}")],
    [("X-Authorization", "Bearer {{TOKEN_A}}")],
]


@pytest.mark.parametrize("number", range(len(BEARERS)))
def test_what_is_not_one_bearer_is_one_and_the_same_401(runner: Runner, number: int) -> None:
    request = ("GET", "/api/echo", BEARERS[number], None)
    found = sibling("token", request, 401, "InvalidToken", store_reads=0)
    found.expect["uniform_group"] = "token-failure"
    assert runner.run(found, MERCILESS) == []


# --- proxy: answers ------------------------------------------------------------------------------

LOCATIONS = {
    "{upstream}/base/orders/8?x=1#y": "/v1/api/orders/8?x=1#y",
    "/base/orders/8": "/v1/api/orders/8",
    "{upstream}/elsewhere": None,
    "/elsewhere": None,
    "{upstream}": None,
    "//127.0.0.1:{port}/base/x": "/v1/api/x",
    "orders/8": "orders/8",
    "?page=2": "?page=2",
    "https://evil.test/x": "https://evil.test/x",
    "http://127.0.0.1:1/base/x": None,
    "http://[::1": None,
}


@pytest.mark.parametrize("sent", LOCATIONS)
def test_a_location_never_shows_where_the_upstream_is(
    runner: Runner, world: World, sent: str
) -> None:
    here = sent.format(upstream=world.upstream.url, port=world.upstream.port)
    answer = upstream_script({"status": 302, "headers": [["Location", here]]})
    with world.upstream.scripted(answer):
        exchange = world.door.send("GET", "/api/a", token=runner.tokens.user("A"))
    assert exchange.answer.headers.get("Location") == LOCATIONS[sent]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_stays_without_one(
    runner: Runner, world: World, status: int
) -> None:
    with world.upstream.scripted(
        upstream_script({"status": status, "headers": [], "body_b64": ""})
    ):
        exchange = world.door.send("GET", "/api/a", token=runner.tokens.user("A"))
    assert (exchange.answer.status, exchange.answer.body) == (status, b"")


# --- decrypt -------------------------------------------------------------------------------------

FIELDS: dict[str, dict[str, Any]] = {
    "iv of 15 bytes": {"iv": "MDAwMDAwMDAwMDAwMDAw"},
    "iv empty": {"iv": ""},
    "iv null": {"iv": None},
    "iv with a newline": {"iv": "MDAwMDAwMDAwMDAwMDAwMA==\n"},
    "iv with a space": {"iv": " MDAwMDAwMDAwMDAwMDAwMA=="},
    "iv without padding": {"iv": "MDAwMDAwMDAwMDAwMDAwMA"},
    "iv with full-width letters": {"iv": "ＭDAwMDAwMDAwMDAwMDAwMA=="},
    "data empty": {"encryptedData": ""},
    "data a list": {"encryptedData": []},
    "data too long": {"encryptedData": "A" * (16_400 * 4 // 3)},
    "kind null": {"kind": None},
    "kind a list": {"kind": ["phone"]},
    "kind empty": {"kind": ""},
    "kind in capitals": {"kind": "PHONE"},
    "kind with a space": {"kind": "phone "},
    "signature alone": {"kind": "user", "signature": "x"},
    "rawData a number": {"kind": "user", "rawData": 7, "signature": "x"},
}


@pytest.mark.parametrize("fault", FIELDS)
def test_a_malformed_field_is_refused_before_the_store_is_asked(runner: Runner, fault: str) -> None:
    good = {"kind": "phone", "iv": "MDAwMDAwMDAwMDAwMDAwMA==", "encryptedData": "A" * 64}
    body = json.dumps({**good, **FIELDS[fault]})
    request = ("POST", "/decrypt", [JSON, BEARER], body)
    found = sibling("decrypt", request, 400, "InvalidRequest", store_reads=0, store_writes=0)
    assert runner.run(found) == []
