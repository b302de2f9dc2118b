"""The environment: each variable valid, empty and malformed; one sentence names what is wrong."""

from typing import Any

import pytest

from chalicelib.rules import FORBIDDEN
from chalicelib.settings import FUNCTIONS, VARIABLES, BadEnvironment, read

GOOD = {
    "WX_APPIDS": "wx4f4bc4dec97d474b",
    "SESSIONS_TABLE": "wxgate-sessions",
    "SECRET_PREFIX": "wxgate/",
    "UPSTREAM_URL": "https://api.example.com/base",
}
CANARY = "canary0value"


def fault_of(function: str | None = None, **changed: str) -> str:
    with pytest.raises(BadEnvironment) as caught:
        read({**GOOD, **changed}, function)
    return str(caught.value)


def get(name: str, **changed: str) -> Any:
    return getattr(read({**GOOD, **changed}), name)


def test_the_defaults_are_the_contracts() -> None:
    settings = read(GOOD)
    assert (settings.upstream_allow_private, settings.upstream_timeout) == (False, 20)
    assert (settings.token_ttl, settings.decrypt_max_age) == (604800, 300)
    assert settings.wechat_api_url == "https://api.weixin.qq.com"
    lists = (settings.forward_request_headers, settings.forward_answer_headers)
    assert (settings.public_paths, *lists) == ((), (), ())
    assert (settings.trusted_hops, settings.log_level, settings.region) == (0, "INFO", None)


@pytest.mark.parametrize("empty", ["", " \t"])
def test_an_empty_variable_is_an_unset_one(empty: str) -> None:
    optional = [name for name in VARIABLES if name not in GOOD]
    assert read({**GOOD, **dict.fromkeys(optional, empty)}) == read(GOOD)


@pytest.mark.parametrize("function", [None, "", "app", *FUNCTIONS])
def test_each_function_requires_its_own_variables_and_no_others(function: str | None) -> None:
    useless = {"login": ["UPSTREAM_URL"], "events": ["UPSTREAM_URL"]}
    useless["deliver"] = ["WX_APPIDS", "SESSIONS_TABLE"]
    required = {n: v for n, v in GOOD.items() if n not in useless.get(function or "", [])}
    assert read(required, function).secret_prefix == "wxgate/"
    with pytest.raises(BadEnvironment) as caught:
        read({}, function)
    assert str(caught.value) == " ".join(f"{name} is missing." for name in required)


def test_events_need_a_queue() -> None:
    assert fault_of(EVENTS_PATH="/wxgate/events") == "EVENTS_QUEUE_URL is missing."
    queue = "https://sqs.ap-east-1.amazonaws.com/123456789012/wxgate-events"
    settings = read({**GOOD, "EVENTS_PATH": "/wxgate/events", "EVENTS_QUEUE_URL": queue})
    assert (settings.events_path, settings.events_queue_url) == ("/wxgate/events", queue)
    assert read(GOOD).events_path == ""


@pytest.mark.parametrize("path", ["events", "/", "/a/", "//a", "/a/../b", "/a?b", "/a%2fb", "/ä"])
def test_where_events_go_is_a_plain_path(path: str) -> None:
    assert fault_of(EVENTS_PATH=path).startswith("EVENTS_PATH is malformed: ")


def test_a_variable_is_checked_also_where_it_is_not_required() -> None:
    assert fault_of("login", UPSTREAM_URL="nonsense").startswith("UPSTREAM_URL is malformed")


def test_all_faults_are_reported_at_once() -> None:
    fault = fault_of(WX_APPIDS="", TOKEN_TTL="7", LOG_LEVEL="loud", UPSTREAM_URL="x")
    sentences = [sentence.split()[0] for sentence in fault.split(". ")]
    assert sentences == ["WX_APPIDS", "UPSTREAM_URL", "TOKEN_TTL", "LOG_LEVEL"]


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        *(("WX_APPIDS", "wxa, wxb ,,wxa", ("wxa", "wxb")), ("LOG_LEVEL", "debug", "DEBUG")),
        *(("SESSIONS_TABLE", " my.Table_1-x ", "my.Table_1-x"), ("SECRET_PREFIX", "p/w-", "p/w-")),
        *(("UPSTREAM_TIMEOUT", "0.1", 0.1), ("UPSTREAM_TIMEOUT", "29", 29.0)),
        ("PUBLIC_PATHS", "a/*, b,/api/c/?,/d", ("a/*", "b", "c/?", "d")),
        *(("TOKEN_TTL", "300", 300), ("TOKEN_TTL", "2592000", 2592000)),
        *(("DECRYPT_MAX_AGE", "1", 1), ("TRUSTED_HOPS", "5", 5)),
        ("WECHAT_API_URL", "http://127.0.0.1:8001", "http://127.0.0.1:8001"),
        *(("UPSTREAM_ALLOW_PRIVATE", "TRUE", True), ("UPSTREAM_ALLOW_PRIVATE", "false", False)),
        ("FORWARD_REQUEST_HEADERS", "Tenant-Id, X-Client-*", ("tenant-id", "x-client-*")),
        ("FORWARD_ANSWER_HEADERS", "sign,Nonce,SIGN", ("sign", "nonce")),
    ],
)
def test_a_good_value_is_read(variable: str, text: str, value: object) -> None:
    assert get(variable.lower(), **{variable: text}) == value


def test_a_region_is_invented_only_for_an_engine_that_needs_none() -> None:
    named = {"AWS_DEFAULT_REGION": "b", "AWS_ENDPOINT_URL": "http://x"}
    assert get("region", AWS_REGION="a", **named) == "a"
    assert get("region", **named) == "b"
    assert get("region", AWS_ENDPOINT_URL="http://x") == "us-east-1"
    assert get("region", AWS_ENDPOINT_URL_DYNAMODB="http://x") is None


ENCODED = "it has characters that AWS does not accept there"
NAMES = "write header names, separated by commas, with a * only at the end of one"
PLAIN = "it has characters that are not allowed in a URL"
FORM = "write http(s)://host[:port][/path]"
NO_QUERY = "write no query and no fragment, and a plain base path"
MALFORMED = {
    ("WX_APPIDS", "write appids, separated by commas"): [
        *(f"wx {CANARY}", f"{CANARY};x", ",", "é" + CANARY, CANARY * 9, f"{CANARY},a b")
    ],
    ("SESSIONS_TABLE", ENCODED): ["ab", f"{CANARY}/x", f"{CANARY} x", CANARY * 30, f"{CANARY}\nx"],
    ("SECRET_PREFIX", ENCODED): [f"{CANARY} x", f"{CANARY}*", f"{CANARY}é", CANARY * 50],
    ("UPSTREAM_ALLOW_PRIVATE", "write true or false"): [CANARY, "yes", "1", "0", "falſe"],
    ("UPSTREAM_TIMEOUT", "write seconds from 0.1 to 29"): [
        *(CANARY, "0", "0.09", "29.1", "-1", "1e1", "nan", "inf", "٥", "5s", "+5")
    ],
    ("PUBLIC_PATHS", "write globs below /api/, separated by commas"): [
        *(f"{CANARY} x", f"{CANARY}\\x", f"a,{CANARY}#", "/", "/api/", CANARY * 50)
    ],
    ("TOKEN_TTL", "write whole seconds from 300 to 2592000"): [
        *(CANARY, "299", "2592001", "300.0", "-300", "1e3", "٣٠٠", "9" * 20)
    ],
    ("DECRYPT_MAX_AGE", f"write whole seconds from 1 to {2**40}"): [
        *(CANARY, "0", "-1", "1.5", "٣", str(2**41))
    ],
    ("LOG_LEVEL", "write one of DEBUG, INFO, WARNING, ERROR, CRITICAL"): [CANARY, "TRACE", "10"],
    ("TRUSTED_HOPS", "write a number from 0 to 5"): [CANARY, "6", "-1", "1.0", "١"],
    ("FORWARD_REQUEST_HEADERS", NAMES): [
        *(f"{CANARY} x", f"{CANARY}*x", f"{CANARY}**", "é", "a:b", "a;b", "x" * 65)
    ],
    ("FORWARD_ANSWER_HEADERS", NAMES): [f"*{CANARY}", "x-\u212a"],
}
MALFORMED_URLS = {
    PLAIN: [
        *(f"https://a.test/{CANARY} x", f"https://a.test/\x00{CANARY}", f"https://a\n{CANARY}"),
        *(f"https://exämple.com/{CANARY}", "https://h/\x7fa"),
    ],
    FORM: [
        *("https://", f"https:///{CANARY}", f"//{CANARY}.com", f"ftp://{CANARY}.com", "file:///x"),
        *(f"https://a.test:{port}" for port in (CANARY, "0", "70000")),
        f"https://[{CANARY}",
        *(f"https://[{CANARY}]/", f"https://user:{CANARY}/x@a.test", f"https://a.test\\{CANARY}"),
    ],
    # These only a resolver would read as addresses.
    "write an IPv4 address as four decimal numbers": [
        *("https://127.1", "https://2130706433/base", "https://0x7f.1", "https://0X7F000001"),
        *("https://0177.0.0.1", "https://127.0.0.1.", "https://8.8", "https://010.1.1.1"),
    ],
    "a URL must not contain credentials": [f"https://user:{CANARY}@a.test", f"https://{CANARY}@a"],
    NO_QUERY: [
        *(f"https://a.test/#{CANARY}", "https://a.test/#", f"https://a.test/?{CANARY}"),
        *("https://a.test/?", "https://a.test/a//b", f"https://a.test/\\{CANARY}"),
        *(f"https://a.test/{path}" for path in ("%", "a%", "%zz", "%4", "%4g", "a/%%41", "%u0041")),
    ],
    "its base path has dot segments": [
        *("https://a.test/a/../b", "https://a.test/a/%2E%2e/b", "https://a.test/./b")
    ],
}
for advice, texts in MALFORMED_URLS.items():
    MALFORMED |= {(name, advice): texts for name in VARIABLES if "URL" in name}


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [(name, text, advice) for (name, advice), texts in MALFORMED.items() for text in texts],
)
def test_a_malformed_value_is_named_in_one_sentence_and_not_quoted(
    name: str, text: str, advice: str
) -> None:
    assert fault_of(**{name: text}) == f"{name} is malformed: {advice}."


@pytest.mark.parametrize(
    "url",
    [
        *("https://api.example.com", "https://api.example.com/", "https://1.2.3.4.5"),
        *("https://api.example.com:8443/a/b", "HTTPS://API.example.com/a-b_c~d"),
        *("https://8.8.8.8/base/", "https://[2606:4700::1111]/", "https://deadbeef"),
        *("https://api.example.com/a%20b/%E4%BD%A0", "https://localhost.example.com"),
        *("https://mylocalhost", "https://0xg.example.com"),
    ],
)
def test_a_public_https_url_is_accepted(url: str) -> None:
    assert get("upstream_url", UPSTREAM_URL=url) == url


PRIVATE = [
    *("127.0.0.1", "127.255.255.254:8080", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("100.64.0.1", "169.254.169.254", "0.0.0.0", "255.255.255.255", "[::1]", "[::]"),
    *("[fd00::1]", "[fe80::1]", "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "localhost"),
    *("LOCALHOST.", "a.localhost", "a.b.LOCALHOST."),
]
NOT_HTTPS = "write https, or set UPSTREAM_ALLOW_PRIVATE=true"
NOT_PUBLIC = "it is a private address; set UPSTREAM_ALLOW_PRIVATE=true to use it"


@pytest.mark.parametrize(
    ("url", "advice"),
    [("http://a.test", NOT_HTTPS), *((f"https://{host}/a", NOT_PUBLIC) for host in PRIVATE)],
)
def test_plain_http_and_private_addresses_must_be_allowed(url: str, advice: str) -> None:
    assert fault_of(UPSTREAM_URL=url) == f"UPSTREAM_URL is malformed: {advice}."
    assert get("upstream_url", UPSTREAM_URL=url, UPSTREAM_ALLOW_PRIVATE="true") == url


def test_a_malformed_permission_permits_nothing() -> None:
    fault = fault_of(UPSTREAM_ALLOW_PRIVATE="perhaps", UPSTREAM_URL="http://127.0.0.1")
    first, second = "ALLOW_PRIVATE is malformed: write true or false", "URL is malformed: "
    assert fault == f"UPSTREAM_{first}. UPSTREAM_{second}{NOT_HTTPS}."


FOLDED = [
    *("Authorization", "cookie", "Set_Cookie", "HOST", "content_length", "Forwarded", "TE"),
    *("Connection", "Keep-Alive", "Upgrade", "Proxy-Authenticate", "proxy_authorization"),
    *("Proxy-Connection", "Trailer", "Transfer_Encoding", "X-Request_Id", "X-Forwarded-For"),
    *("x_forwarded_host", "X-HTTP-Method-Override", "X-WX-OPENID", "x_wx_any"),
    *("X-Wxgate-Error",),
]
PATTERNS = [
    *("*", "x-*", "X*", "x-w*", "x-wx*", "x_wx_o*", "x-forwarded-f*", "auth*", "host*"),
    *("set-*", "x-r*"),
]


@pytest.mark.parametrize("text", [*FOLDED, *PATTERNS])
@pytest.mark.parametrize("name", ["FORWARD_REQUEST_HEADERS", "FORWARD_ANSWER_HEADERS"])
def test_a_name_that_can_match_a_forbidden_header_is_refused(name: str, text: str) -> None:
    for value in (text, f"tenant-id, {text}", text.swapcase()):
        fault = fault_of(**{name: value})
        assert fault.startswith(f"{name} is malformed: it would let ")
        assert fault.endswith(" through, which is never forwarded.")


def test_every_forbidden_header_has_an_example() -> None:
    examples = [name.lower().replace("_", "-") for name in FOLDED]
    assert [f for f in FORBIDDEN if not any(e.startswith(f.rstrip("*")) for e in examples)] == []


@pytest.mark.parametrize(
    "text", ["x-wxpay-sign", "x-forwarded", "hostname", "x-client-*", "te-x*", "cookie2"]
)
def test_a_name_that_is_only_similar_is_accepted(text: str) -> None:
    assert get("forward_request_headers", FORWARD_REQUEST_HEADERS=text) == (text,)
