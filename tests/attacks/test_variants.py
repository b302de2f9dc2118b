"""Variants of the corpus's entries: the same causes in other forms, under the same invariants."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.attacks.corpus import Entry
from tests.attacks.events import ALL_HEADERS, modes
from tests.attacks.oracle import BAD_PADDINGS, PHONE, PROFILE, Message, message, sealed, text_of
from tests.attacks.runner import Runner, upstream_script
from tests.attacks.world import World

JSON = ("Content-Type", "application/json")
BEARER = ("Authorization", "Bearer {{TOKEN_A}}")
CODE = '{"code":"code-A"}'

Headers = list[tuple[str, str]]


def words(text: str) -> list[str]:
    return text.split()


def variant(
    group: str,
    request: tuple[str, Any, Headers, Any],
    status: int,
    code: str | None = None,
    **expect: Any,
) -> Entry:
    """Make an entry: `request` is method, target, headers, body."""
    method, path, headers, body = request
    pairs = [list(pair) for pair in headers]
    sent = {"method": method, "path": path, "headers": pairs, "body": body}
    expected = {"status": [status], "code": code, "invariant": "accepted", **expect}
    return Entry("variant", group, str(path), "same cause", sent, expected, {})


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
    **{
        encoding: {"$b64": base64.b64encode(CODE.encode(encoding)).decode()}
        for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp500")
    },
}


@pytest.mark.parametrize("fault", BAD_BODIES)
def test_a_body_that_is_not_quite_right_reaches_nobody(runner: Runner, fault: str) -> None:
    request = ("POST", "/login", [JSON], BAD_BODIES[fault])
    found = variant("login", request, 400, "InvalidRequest", wechat_calls=0, store_reads=0)
    assert runner.run(found) == []


def test_an_app_that_is_not_served_is_unknown(runner: Runner) -> None:
    request = ("POST", "/login", [JSON], '{"code":"code-A","appid":"wxffffffffffffffff"}')
    assert runner.run(variant("login", request, 400, "UnknownApp", wechat_calls=0)) == []


MEDIA_TYPES = words(
    """
text/json application/jsonp application/json,text/plain application/x-www-form-urlencoded
application/vnd.api+json application/json;charset=utf-16 application/json;charset=latin-1
application/json;charset= applicatıon/json
"""
)


@pytest.mark.parametrize("media_type", ["", " ", *MEDIA_TYPES])
def test_what_is_not_called_json_is_unsupported(runner: Runner, media_type: str) -> None:
    request = ("POST", "/login", [("Content-Type", media_type)], CODE)
    found = variant("login", request, 415, "UnsupportedMediaType", wechat_calls=0)
    assert runner.run(found) == []


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "QUERY"])
@pytest.mark.parametrize("path", ["/login", "/logout", "/decrypt", "/phone"])
def test_another_method_is_not_allowed(runner: Runner, path: str, method: str) -> None:
    request = (method, path, [JSON], CODE)
    assert runner.run(variant("decrypt", request, 405, "MethodNotAllowed", wechat_calls=0)) == []


@pytest.mark.parametrize("path", ["/", "/LOGIN", "/login/", "/api", "/v1/login", "/%6cogin"])
def test_another_path_is_no_route(runner: Runner, path: str) -> None:
    request = ("POST", path, [JSON], CODE)
    assert runner.run(variant("decrypt", request, 404, "NotFound", wechat_calls=0)) == []


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
    assert runner.run(variant("login", request, status, name, wechat_calls=1)) == []


@pytest.mark.parametrize(
    "replaces",
    [None, 7, "", "x", [], {}, True, "{{TOKEN_B}}", "{{TOKEN_UNKNOWN}}", "{{TOKEN_BAD_CHECKSUM}}"],
)
def test_what_is_not_ones_own_token_replaces_nothing(runner: Runner, replaces: Any) -> None:
    body = json.dumps({"code": "code-A", "replaces": replaces})
    bearer = ("Authorization", "Bearer {{TOKEN_B}}")
    request = ("POST", "/login", [JSON, bearer], body)
    assert runner.run(variant("login", request, 200, wechat_calls=1)) == []
    assert runner.run(variant("token", ("GET", "/api/x", [bearer], None), 200)) == []


# --- proxy: the path -----------------------------------------------------------------------------

BAD_PATHS = [
    r"%c0%ae%c0%ae/admin",
    r"..%c0%af",
    r"%e0%80%ae%e0%80%ae/admin",
    r"%25%32%65%25%32%65/admin",
    r"%25252e%25252e/admin",
    r"a%00.json",
    r"..%00/admin",
    r"..;/admin",
    r".;/admin",
    r"%2e%2e;a=b/admin",
    r"..%3b/admin",
    r"..%253b/admin",
    r"%e2%80%a5/admin",
    r"%e2%80%a4%e2%80%a4/admin",
    r"a%ef%bc%8f..%ef%bc%8fadmin",
    r"..%09/admin",
    r"a%5cb",
    r"a%255cb",
    r"a%2fb",
    r"a%252fb",
    r"a%252f%CC%87b",
    r"a%c3%28",
    r"a%ff",
    r"a%ed%a0%80",
    r"a%c2%85b",
    r"a%7fb",
    r"a%0d%0ab",
    r"....//admin",
    r"a//b",
    r"//",
    r"a/../",
    r"a/./",
    r"./",
]


@pytest.mark.parametrize("below", [*BAD_PATHS, "a\tb", "a\nb", "a\x7fb", "a" * 2049], ids=ascii)
def test_a_path_that_somebody_may_read_otherwise_goes_nowhere(runner: Runner, below: str) -> None:
    request = ("GET", f"/api/{below}", [BEARER], None)
    found = variant("proxy-path", request, 400, "InvalidPath", upstream_calls=0, store_reads=0)
    assert runner.run(found) == []


GOOD_PATHS = [
    r"orders/7/",
    r"...",
    r"a..b",
    r"..a",
    r".well-known/x",
    r"a;b=c;d",
    r"a,b:c@d",
    r"a!$&'()*+=b",
    r"~user",
    r"a%20b",
    r"a%2Bb",
    r"100%25",
    r"a%C3%A9",
    r"%E4%B8%8A%E4%BC%A0",
    r"%F0%9F%98%80",
    r"a%5Bb%5D",
    r"http:80",
    r"what%3F",
    r"C%23",
    r"a%3Bb",
    r"a%253fb",
    r"a%2523b",
    r"%E4%BB%80%E4%B9%88%EF%BC%9F",
    r"%EF%BC%88a%EF%BC%89",
    r"a%EF%BC%9Ab",
    r"%EF%BC%85",
    r"a%EF%BC%8Fb",
]


@pytest.mark.parametrize("below", [*GOOD_PATHS, "a" * 2048], ids=ascii)
def test_what_users_write_goes_upstream_byte_by_byte(runner: Runner, below: str) -> None:
    request = ("GET", f"/api/{below}", [BEARER], None)
    found = variant("proxy-path", request, 200, upstream_calls=1, invariant="same bytes upstream")
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

FORGED_NOWHERE = (
    "upstream sees the forged value nowhere; address headers, if sent, are built from "
    "requestContext.identity.sourceIp alone"
)


@pytest.mark.parametrize("name", FORGED)
def test_a_header_that_is_not_allowed_does_not_go_upstream(runner: Runner, name: str) -> None:
    headers = [BEARER, (name, "forged-value"), (name.lower(), "forged-value")]
    request = ("GET", "/api/echo", headers, None)
    found = variant("proxy-headers", request, 200, invariant=FORGED_NOWHERE)
    assert runner.run(found, ALL_HEADERS) == []


@pytest.mark.parametrize(
    "value", ["a\r\nX-WX-OPENID: b", "a\nb", "a\rb", "a\x00b", "a\x1bb", "测试"]
)
@pytest.mark.parametrize("name", ["Accept", "Referer", "Content-Type", "If-None-Match"])
def test_a_header_value_that_cannot_be_sent_is_refused(
    runner: Runner, name: str, value: str
) -> None:
    request = ("GET", "/api/echo", [BEARER, (name, value)], None)
    found = variant("proxy-headers", request, 400, "InvalidRequest", upstream_calls=0)
    assert runner.run(found) == []


def test_a_media_type_sent_twice_is_refused(runner: Runner) -> None:
    headers = [BEARER, ("Content-Type", "a/b"), ("content-type", "c/d")]
    request = ("GET", "/api/echo", headers, None)
    assert runner.run(variant("proxy-headers", request, 400, "InvalidRequest")) == []


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
    uniform: dict[str, Any] = {"uniform_group": "token-failure", "store_reads": 0}
    assert runner.run(variant("token", request, 401, "InvalidToken", **uniform), ALL_HEADERS) == []


# --- proxy: answers ------------------------------------------------------------------------------

LOCATIONS = {
    "{upstream}/base/orders/8?x=1#y": "/v1/api/orders/8?x=1#y",
    "/base/orders/8": "/v1/api/orders/8",
    "{upstream}/elsewhere": None,
    "/elsewhere": None,
    "{upstream}": None,
    "\\\\127.0.0.1:{port}/admin": None,
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
    with world.upstream.scripted(upstream_script({"status": status})):
        exchange = world.door.send("GET", "/api/a", token=runner.tokens.user("A"))
    assert (exchange.answer.status, exchange.answer.body) == (status, b"")


def test_an_escape_in_an_answers_header_is_a_bad_answer(runner: Runner) -> None:
    request = ("GET", "/api/echo", [BEARER], None)
    found = variant("proxy-body", request, 502, "UpstreamBadResponse")
    script = {"fake_upstream": {"headers": [["ETag", '"\x1b[2J"']]}}
    assert runner.run(replace(found, extra=script)) == []


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
def test_a_malformed_field_is_refused_before_the_store_is_read(runner: Runner, fault: str) -> None:
    good = {"kind": "phone", "iv": "MDAwMDAwMDAwMDAwMDAwMA==", "encryptedData": "A" * 64}
    body = json.dumps({**good, **FIELDS[fault]})
    request = ("POST", "/decrypt", [JSON, BEARER], body)
    found = variant("decrypt", request, 400, "InvalidRequest", store_reads=0, store_writes=0)
    assert runner.run(found) == []


NOT_UTF8 = message(PROFILE, bytes(16)).text.replace(b"Guangzhou", b"Guang\xffhou")

FORGERIES: dict[str, tuple[str, Message]] = {
    **{
        f"padding: {flaw}": ("phone", sealed(pad(text_of(PHONE)), bytes(16)))
        for flaw, pad in BAD_PADDINGS.items()
    },
    "a byte that is not UTF-8": ("user", sealed(NOT_UTF8, bytes(16))),
    "members of two kinds": (
        "share",
        message({"openGId": "tGDZGV0qFFjBSwJKVAjhaTa_L0Ic", **PROFILE}, bytes(16)),
    ),
}


@pytest.mark.parametrize("flaw", FORGERIES)
def test_what_wechat_never_wrote_does_not_open(runner: Runner, flaw: str) -> None:
    kind, forged = FORGERIES[flaw]
    request = ("POST", "/decrypt", [JSON, BEARER], json.dumps(forged.query("forged", kind).body))
    expect: dict[str, Any] = {"uniform_group": "decrypt-failure"}
    found = variant("decrypt", request, 422, "DecryptFailed", **expect)
    assert [breach for mode in modes(found) for breach in runner.run(found, mode)] == []
