"""Variants of the corpus's entries: the same causes in other forms, under the same invariants."""

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.attacks.corpus import Entry
from tests.attacks.events import ALL_HEADERS, GATEWAY, Mode, modes
from tests.attacks.oracle import BAD_PADDINGS, PHONE, PROFILE, message, sealed, text_of
from tests.attacks.runner import Runner, upstream_script
from tests.attacks.world import World

JSON = ("Content-Type", "application/json")
BEARER = ("Authorization", "Bearer {{TOKEN_A}}")
CODE = '{"code":"code-A"}'

Request = tuple[str, Any, list[tuple[str, str]], Any]
"""Method, target, headers, body."""


def words(text: str) -> list[str]:
    return text.split()


def variant(
    group: str, request: Request, status: int, code: str | None = None, **expect: Any
) -> Entry:
    """Make an entry."""
    method, path, headers, body = request
    pairs = [list(pair) for pair in headers]
    sent = {"method": method, "path": path, "headers": pairs, "body": body}
    expected = {"status": [status], "code": code, "invariant": "accepted", **expect}
    return Entry("variant", group, str(path), "same cause", sent, expected, {})


def breaches(runner: Runner, found: Iterable[Entry], mode: Mode = GATEWAY) -> list[str]:
    """Run entries, and name those that break something."""
    return [f"{entry.request}: {breach}" for entry in found for breach in runner.run(entry, mode)]


# --- login ---------------------------------------------------------------------------------------

NOT_STRICT = [
    *words(
        r"""
{"code":"code-A","x":NaN} {"code":"code-A","x":-Infinity} {"code":"code-A","code":"code-B"}
{"code":"code-A","x":[{"a":1,"a":2}]} {"code":"code-A","\u0063ode":"code-B"} true
{"code":"code-A","\ud800":1} {"code":"code-A","x":["\udfff"]} {"code":"code-A","x":01}
{"code":"code-A","x":0x1} {"code":"code%2DA"} {"code":"code+A"} {"code":"code/A"}
{"code":"code-A","appid":"../wx"} {"code":"code-A","appid":7} {"code":"code-A","appid":""}
{"code":"code-A","appid":["wx4f4bc4dec97d474b"]} {"code":"code-\u0661"}
"""
    ),
    *("   ", "\ufeff" + CODE, "\x0b" + CODE, "\xa0" + CODE, '{"code":"code-A","x":"\n"}'),
    '{"code":"code-A","x":' + "[" * 33 + "]" * 33 + "}",
    '{"code":"code-A "}',
]
ENCODINGS = ("utf-16-le", "utf-32", "utf-8-sig", "cp500")


def test_a_body_that_is_not_quite_right_reaches_nobody(runner: Runner) -> None:
    encoded = [{"$b64": base64.b64encode(CODE.encode(each)).decode()} for each in ENCODINGS]
    nobody: dict[str, Any] = {"wechat_calls": 0, "store_reads": 0}
    found = [
        variant("login", ("POST", "/login", [JSON], body), 400, "InvalidRequest", **nobody)
        for body in [*NOT_STRICT, *encoded]
    ]
    assert breaches(runner, found) == []


MEDIA_TYPES = words(
    """
text/json application/jsonp application/json,text/plain application/x-www-form-urlencoded
application/vnd.api+json application/json;charset=utf-16 application/json;charset=latin-1
application/json;charset= applicatıon/json
"""
)


def test_what_is_not_called_json_is_unsupported(runner: Runner) -> None:
    found = [
        variant("login", ("POST", "/login", [("Content-Type", media_type)], CODE), 415, name)
        for media_type in ["", " ", *MEDIA_TYPES]
        for name in ["UnsupportedMediaType"]
    ]
    assert breaches(runner, found) == []


def test_another_app_method_or_path_is_refused_as_such(runner: Runner) -> None:
    other_app = '{"code":"code-A","appid":"wxffffffffffffffff"}'
    found = [variant("login", ("POST", "/login", [JSON], other_app), 400, "UnknownApp")]
    for path in words("/login /logout /decrypt /phone /sign /session /health"):
        for method in words("HEAD PUT PATCH DELETE OPTIONS post QUERY"):
            request = (method, path, [JSON], CODE)
            found.append(variant("decrypt", request, 405, "MethodNotAllowed"))
    found += [
        variant("decrypt", ("POST", path, [JSON], CODE), 404, "NotFound")
        for path in words("/ /LOGIN /login/ /api /v1/login /%6cogin")
    ]
    nobody = {"wechat_calls": 0}
    assert breaches(runner, [replace(each, expect=each.expect | nobody) for each in found]) == []


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("code-used", 401, "InvalidCode"),
        ("code-blocked", 403, "UserBlocked"),
        ("code-rate", 429, "TooManyRequests"),
        ("code-busy", 503, "WeChatBusy"),
    ],
)
def test_wechats_refusals_are_passed_on_as_ours(
    runner: Runner, code: str, status: int, name: str
) -> None:
    request = ("POST", "/login", [JSON], json.dumps({"code": code}))
    assert breaches(runner, [variant("login", request, status, name, wechat_calls=1)]) == []


def test_what_is_not_ones_own_token_replaces_nothing(runner: Runner) -> None:
    tokens = words("{{TOKEN_B}} {{TOKEN_UNKNOWN}} {{TOKEN_BAD_CHECKSUM}}")
    bearer = ("Authorization", "Bearer {{TOKEN_B}}")
    still_live = variant("token", ("GET", "/api/x", [bearer], None), 200)
    others: list[Any] = [None, 7, "", "x", [], {}, True, *tokens]
    for replaces in others:
        body = json.dumps({"code": "code-A", "replaces": replaces})
        login = variant("login", ("POST", "/login", [JSON, bearer], body), 200, wechat_calls=1)
        assert breaches(runner, [login, still_live]) == []


# --- proxy: the path -----------------------------------------------------------------------------

BAD_PATHS = words(
    r"""
%c0%ae%c0%ae/admin ..%c0%af %e0%80%ae%e0%80%ae/admin %25%32%65%25%32%65/admin
%25252e%25252e/admin a%00.json ..%00/admin ..;/admin .;/admin %2e%2e;a=b/admin ..%3b/admin
..%253b/admin %e2%80%a5/admin %e2%80%a4%e2%80%a4/admin a%ef%bc%8f..%ef%bc%8fadmin ..%09/admin
a%5cb a%255cb a%2fb a%252fb a%252f%CC%87b a%c3%28 a%ff a%ed%a0%80 a%c2%85b a%7fb a%0d%0ab
....//admin a//b // a/../ a/./ ./
"""
)


def test_a_path_that_somebody_may_read_otherwise_goes_nowhere(runner: Runner) -> None:
    nobody: dict[str, Any] = {"upstream_calls": 0, "store_reads": 0}
    found = [
        variant("proxy-path", ("GET", f"/api/{path}", [BEARER], None), 400, "InvalidPath", **nobody)
        for path in [*BAD_PATHS, "a\tb", "a\nb", "a\x7fb", "a" * 2049]
    ]
    assert breaches(runner, found) == []


GOOD_PATHS = words(
    r"""
orders/7/ ... a..b ..a .well-known/x a;b=c;d a,b:c@d a!$&'()*+=b ~user a%20b a%2Bb 100%25 a%C3%A9
%E4%B8%8A%E4%BC%A0 %F0%9F%98%80 a%5Bb%5D http:80 what%3F C%23 a%3Bb a%253fb a%2523b
%E4%BB%80%E4%B9%88%EF%BC%9F %EF%BC%88a%EF%BC%89 a%EF%BC%9Ab %EF%BC%85 a%EF%BC%8Fb
"""
)


def test_what_users_write_goes_upstream_byte_by_byte(runner: Runner) -> None:
    same: dict[str, Any] = {"upstream_calls": 1, "invariant": "same bytes upstream"}
    found = [
        variant("proxy-path", ("GET", f"/api/{path}", [BEARER], None), 200, **same)
        for path in [*GOOD_PATHS, "a" * 2048]
    ]
    assert breaches(runner, found) == []


# --- proxy: headers ------------------------------------------------------------------------------

FORGED = words(
    """
x-wx-openid X-Wx-OpenId x_wx_openid X-WX-ASSERTION X-WX-APPID X-WX-SOURCE X-WX-FROM-OPENID
X-WX-CLOUDBASE-ACCESS-TOKEN X-Wxgate-Error X-Forwarded-For Forwarded Via X-Original-URL
X-HTTP-Method-Override X-Amzn-Trace-Id X-Api-Key Proxy-Authorization Cookie2 Remote_User Keep-Alive
Proxy-Connection Content-Location Early-Data Sec-Fetch-Site
"""
)


def test_a_header_that_is_not_allowed_does_not_go_upstream(runner: Runner) -> None:
    nowhere = "upstream sees the forged value nowhere"
    found = [
        variant("proxy-headers", ("GET", "/api/echo", headers, None), 200, invariant=nowhere)
        for name in FORGED
        for headers in [[BEARER, (name, "forged-value"), (name.lower(), "forged-value")]]
    ]
    assert breaches(runner, found, ALL_HEADERS) == []


def test_a_header_that_cannot_be_sent_or_read_one_way_is_refused(runner: Runner) -> None:
    values = ["a\r\nX-WX-OPENID: b", "a\nb", "a\rb", "a\x00b", "a\x1bb", "测试"]
    names = words("Accept Referer Content-Type If-None-Match")
    sent = [[(name, value)] for name in names for value in values]
    sent.append([("Content-Type", "a/b"), ("content-type", "c/d")])
    found = [
        variant("proxy-headers", ("GET", "/api/echo", headers, None), 400, "InvalidRequest")
        for headers in ([BEARER, *pairs] for pairs in sent)
    ]
    assert breaches(runner, found) == []


BEARERS = [
    [BEARER, ("authorization", "Bearer {{TOKEN_A}}")],
    [BEARER, ("AUTHORIZATION", "Basic eDp5")],
    [("Authorization", "Bearer={{TOKEN_A}}")],
    [("Authorization", "Bearer {{TOKEN_A}}A")],
    [("Authorization", "Bearer\u00a0{{TOKEN_A}}")],
    [("Authorization ", "Bearer {{TOKEN_A}}")],
    [("X-Authorization", "Bearer {{TOKEN_A}}")],
]


def test_what_is_not_one_bearer_is_one_and_the_same_401(runner: Runner) -> None:
    uniform: dict[str, Any] = {"uniform_group": "token-failure", "store_reads": 0}
    found = [
        variant("token", ("GET", "/api/echo", headers, None), 401, "InvalidToken", **uniform)
        for headers in BEARERS
    ]
    assert breaches(runner, found, ALL_HEADERS) == []


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


def test_a_location_never_shows_where_the_upstream_is(runner: Runner, world: World) -> None:
    for sent, shown in LOCATIONS.items():
        here = sent.format(upstream=world.upstream.url, port=world.upstream.port)
        answer = upstream_script({"status": 302, "headers": [["Location", here]]})
        with world.upstream.scripted(answer):
            exchange = world.door.send("GET", "/api/a", token=runner.tokens.user("A"))
        assert exchange.answer.headers.get("Location") == shown, sent


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_stays_without_one(
    runner: Runner, world: World, status: int
) -> None:
    with world.upstream.scripted(upstream_script({"status": status})):
        exchange = world.door.send("GET", "/api/a", token=runner.tokens.user("A"))
    assert (exchange.answer.status, exchange.answer.body) == (status, b"")


def test_an_escape_in_an_answers_header_is_a_bad_answer(runner: Runner) -> None:
    request: Request = ("GET", "/api/echo", [BEARER], None)
    found = variant("proxy-body", request, 502, "UpstreamBadResponse")
    script = {"fake_upstream": {"headers": [["ETag", '"\x1b[2J"']]}}
    assert breaches(runner, [replace(found, extra=script)]) == []


# --- decrypt -------------------------------------------------------------------------------------

IV = "MDAwMDAwMDAwMDAwMDAwMA=="
IVS = ["", None, IV[:-4], IV + "\n", " " + IV, IV.rstrip("="), "Ｍ" + IV[1:]]
FIELDS: list[dict[str, Any]] = [
    *({"iv": iv} for iv in IVS),
    {"encryptedData": ""},
    {"encryptedData": []},
    {"encryptedData": "A" * (16_400 * 4 // 3)},
    *({"kind": kind} for kind in (None, ["phone"], "", "PHONE", "phone ")),
    {"kind": "user", "signature": "x"},
    {"kind": "user", "rawData": 7, "signature": "x"},
]


def test_a_malformed_field_is_refused_before_the_store_is_read(runner: Runner) -> None:
    good = {"kind": "phone", "iv": IV, "encryptedData": "A" * 64}
    nobody: dict[str, Any] = {"store_reads": 0, "store_writes": 0}
    requests: list[Request] = [
        ("POST", "/decrypt", [JSON, BEARER], json.dumps({**good, **fields})) for fields in FIELDS
    ]
    found = [variant("decrypt", each, 400, "InvalidRequest", **nobody) for each in requests]
    assert breaches(runner, found) == []


NOT_UTF8 = message(PROFILE, bytes(16)).text.replace(b"Guangzhou", b"Guang\xffhou")
TWO_KINDS = message({"openGId": "tGDZGV0qFFjBSwJKVAjhaTa_L0Ic", **PROFILE}, bytes(16))


def test_what_wechat_never_wrote_does_not_open(runner: Runner) -> None:
    forged = [sealed(pad(text_of(PHONE)), bytes(16)) for pad in BAD_PADDINGS]
    queries = [each.query("forged", "phone") for each in forged]
    queries.append(sealed(NOT_UTF8, bytes(16)).query("forged", "user"))
    queries.append(TWO_KINDS.query("forged", "share"))
    for query in queries:
        request: Request = ("POST", "/decrypt", [JSON, BEARER], json.dumps(query.body))
        found = variant("decrypt", request, 422, "DecryptFailed", uniform_group="decrypt-failure")
        for mode in modes(found):
            assert breaches(runner, [found], mode) == []
