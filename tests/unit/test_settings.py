"""The environment: each variable valid, empty and malformed; one sentence names what is wrong."""

from typing import Any

import pytest

from chalicelib.rules import FORBIDDEN
from chalicelib.settings import FUNCTIONS, VARIABLES, BadEnvironment, check, read

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


# --- defaults and requirements ---


def test_the_defaults_are_the_contracts() -> None:
    settings = read(GOOD)
    assert settings.appids == ("wx4f4bc4dec97d474b",)
    assert settings.sessions_table == "wxgate-sessions"
    assert settings.secret_prefix == "wxgate/"
    assert settings.upstream_url == "https://api.example.com/base"
    assert settings.upstream_allow_private is False
    assert settings.upstream_timeout == 20
    assert settings.public_paths == ()
    assert (settings.token_ttl, settings.decrypt_max_age) == (604800, 300)
    assert settings.wechat_api_url == "https://api.weixin.qq.com"
    assert settings.forward_request_headers == settings.forward_answer_headers == ()
    assert settings.trusted_hops == 0
    assert (settings.log_level, settings.region) == ("INFO", None)


def test_an_empty_variable_is_an_unset_one() -> None:
    optional = [name for name in VARIABLES if name not in GOOD]
    assert read({**GOOD, **dict.fromkeys(optional, "")}) == read(GOOD)
    assert read({**GOOD, **dict.fromkeys(optional, " \t")}) == read(GOOD)


def test_an_empty_environment_lacks_all_that_is_required() -> None:
    with pytest.raises(BadEnvironment) as caught:
        read({})
    assert str(caught.value) == " ".join(f"{name} is missing." for name in GOOD)


@pytest.mark.parametrize("function", [None, "", "app", *FUNCTIONS])
def test_each_function_requires_its_own_variables_and_no_others(function: str | None) -> None:
    useless = {"login": ["UPSTREAM_URL"], "events": ["UPSTREAM_URL"]}
    useless["deliver"] = ["WX_APPIDS", "SESSIONS_TABLE"]
    without = useless.get(function or "", [])
    required = {name: value for name, value in GOOD.items() if name not in without}
    assert read(required, function).secret_prefix == "wxgate/"
    for name in required:
        with pytest.raises(BadEnvironment, match=rf"^{name} is missing\.$"):
            read({**required, name: " "}, function)


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


def test_one_variable_can_be_checked_alone() -> None:
    assert (
        check("TOKEN_TTL", "1")
        == "TOKEN_TTL is malformed: write whole seconds from 300 to 2592000."
    )
    assert check("TOKEN_TTL", "300") is check("TOKEN_TTL", "") is None


# --- good values ---


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("WX_APPIDS", "wxa, wxb ,,wxa", "appids", ("wxa", "wxb")),
        ("SESSIONS_TABLE", " my.Table_1-x ", "sessions_table", "my.Table_1-x"),
        ("SECRET_PREFIX", "prod/wxgate-", "secret_prefix", "prod/wxgate-"),
        ("UPSTREAM_TIMEOUT", "0.1", "upstream_timeout", 0.1),
        ("UPSTREAM_TIMEOUT", "29", "upstream_timeout", 29.0),
        ("PUBLIC_PATHS", "a/*, b,/api/c/?,/d", "public_paths", ("a/*", "b", "c/?", "d")),
        ("TOKEN_TTL", "300", "token_ttl", 300),
        ("TOKEN_TTL", "2592000", "token_ttl", 2592000),
        ("DECRYPT_MAX_AGE", "1", "decrypt_max_age", 1),
        ("WECHAT_API_URL", "http://127.0.0.1:8001", "wechat_api_url", "http://127.0.0.1:8001"),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("UPSTREAM_ALLOW_PRIVATE", "TRUE", "upstream_allow_private", True),
        ("UPSTREAM_ALLOW_PRIVATE", "false", "upstream_allow_private", False),
        (
            "FORWARD_REQUEST_HEADERS",
            "Tenant-Id, X-Client-*",
            "forward_request_headers",
            ("tenant-id", "x-client-*"),
        ),
        ("FORWARD_ANSWER_HEADERS", "sign,nonce", "forward_answer_headers", ("sign", "nonce")),
        ("TRUSTED_HOPS", "5", "trusted_hops", 5),
        ("AWS_REGION", "cn-north-1", "region", "cn-north-1"),
        ("AWS_DEFAULT_REGION", "cn-north-1", "region", "cn-north-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:8002", "region", "us-east-1"),
    ],
)
def test_a_good_value_is_read(variable: str, text: str, name: str, value: object) -> None:
    assert get(name, **{variable: text}) == value


def test_a_named_region_comes_before_an_invented_one() -> None:
    both = {"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b", "AWS_ENDPOINT_URL": "http://x"}
    assert get("region", **both) == "a"


# --- malformed values ---


MALFORMED = {
    "WX_APPIDS": [f"wx {CANARY}", f"{CANARY};x", ",", "é" + CANARY, CANARY * 9, f"{CANARY},a b"],
    "SESSIONS_TABLE": ["ab", f"{CANARY}/x", f"{CANARY} x", CANARY * 30, f"{CANARY}\nx"],
    "SECRET_PREFIX": [f"{CANARY} x", f"{CANARY}*", f"{CANARY}é", CANARY * 50],
    "UPSTREAM_ALLOW_PRIVATE": [CANARY, "yes", "1", "0", "on"],
    "UPSTREAM_TIMEOUT": [CANARY, "0", "0.09", "29.1", "-1", "1e1", "nan", "inf", "٥", "5s", "+5"],
    "PUBLIC_PATHS": [f"{CANARY} x", f"{CANARY}\\x", f"a,{CANARY}#", "/", "/api/", CANARY * 50],
    "TOKEN_TTL": [CANARY, "299", "2592001", "300.0", "-300", "1e3", "٣٠٠", "9" * 20],
    "DECRYPT_MAX_AGE": [CANARY, "0", "-1", "1.5", "٣", str(2**41)],
    "LOG_LEVEL": [CANARY, "TRACE", "10"],
    "FORWARD_REQUEST_HEADERS": [
        *(f"{CANARY} x", f"{CANARY}*x", f"{CANARY}**", "é", "a:b", "a;b", "x" * 65),
    ],
    "FORWARD_ANSWER_HEADERS": [f"*{CANARY}", "x-\u212a"],
    "TRUSTED_HOPS": [CANARY, "6", "-1", "1.0", "١"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in MALFORMED.items() for text in texts]
)
def test_a_malformed_value_is_named_in_one_sentence_and_not_quoted(name: str, text: str) -> None:
    fault = fault_of(**{name: text})
    assert fault.startswith(f"{name} is malformed: ")
    assert fault.endswith(".")
    assert CANARY not in fault
    assert "\n" not in fault


LEVELS = "DEBUG, INFO, WARNING, ERROR, CRITICAL"
SENTENCES = [
    ("WX_APPIDS", ",", "write appids, separated by commas"),
    ("SESSIONS_TABLE", "a/b", "it has characters that AWS does not accept there"),
    ("SECRET_PREFIX", "a b", "it has characters that AWS does not accept there"),
    ("UPSTREAM_ALLOW_PRIVATE", "yes", "write true or false"),
    ("UPSTREAM_TIMEOUT", "30", "write seconds from 0.1 to 29"),
    ("PUBLIC_PATHS", "a b", "write globs below /api/, separated by commas"),
    ("TOKEN_TTL", "1", "write whole seconds from 300 to 2592000"),
    ("DECRYPT_MAX_AGE", "0", f"write whole seconds from 1 to {2**40}"),
    ("LOG_LEVEL", "loud", f"write one of {LEVELS}"),
    ("TRUSTED_HOPS", "6", "write a number from 0 to 5"),
    (
        "FORWARD_ANSWER_HEADERS",
        "a*b",
        "write header names, separated by commas, with a * only at the end of one",
    ),
    (
        "FORWARD_REQUEST_HEADERS",
        "X_WX_Openid",
        "it would let x-wx-* through, which is never forwarded",
    ),
    ("WECHAT_API_URL", "https://h/é", "it has characters that are not allowed in a URL"),
    ("WECHAT_API_URL", "https://h/\x7fa", "it has characters that are not allowed in a URL"),
    ("WECHAT_API_URL", "https://h/a b", "it has characters that are not allowed in a URL"),
    ("WECHAT_API_URL", "https://[h", "write http(s)://host[:port][/path]"),
    ("WECHAT_API_URL", "ftp://h", "write http(s)://host[:port][/path]"),
    ("WECHAT_API_URL", "https://127.1", "write an IPv4 address as four decimal numbers"),
    ("AWS_ENDPOINT_URL", "https://u:p@h", "a URL must not contain credentials"),
    ("AWS_ENDPOINT_URL", "https://h/?", "write no query and no fragment, and a plain base path"),
    ("AWS_ENDPOINT_URL", "https://h/../", "its base path has dot segments"),
    ("UPSTREAM_URL", "http://h", "write https, or set UPSTREAM_ALLOW_PRIVATE=true"),
    (
        "UPSTREAM_URL",
        "https://10.0.0.1",
        "it is a private address; set UPSTREAM_ALLOW_PRIVATE=true to use it",
    ),
]


@pytest.mark.parametrize(("name", "text", "sentence"), SENTENCES)
def test_the_sentence_says_what_to_write(name: str, text: str, sentence: str) -> None:
    assert fault_of(**{name: text}) == f"{name} is malformed: {sentence}."


BAD_URLS = f"""
    https:// https:///{CANARY} //{CANARY}.com ftp://{CANARY}.com file:///{CANARY}
    https://user:{CANARY}@example.com https://{CANARY}@example.com
    https://user:{CANARY}/x@example.com https://example.com:{CANARY} https://example.com:0
    https://example.com:70000 https://[{CANARY}]/ https://[{CANARY}
    https://example.com/#{CANARY} https://example.com/# https://example.com/?{CANARY}
    https://example.com/? https://example.com/a//b https://example.com/a/../b
    https://example.com/a/%2E%2e/b https://example.com/./b https://example.com/\\{CANARY}
    https://example.com\\{CANARY} https://exämple.com/{CANARY}
""".split()
BAD_URLS += [
    f"https://example.com/{CANARY} x",
    f"https://example.com/\x00{CANARY}",
    f"https://example.com\n{CANARY}",
]


@pytest.mark.parametrize("name", ["UPSTREAM_URL", "WECHAT_API_URL", "AWS_ENDPOINT_URL"])
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_malformed_url_is_reported_without_quoting_it(name: str, url: str) -> None:
    for allowed in ("true", "false"):
        fault = fault_of(**{name: url}, UPSTREAM_ALLOW_PRIVATE=allowed)
        assert fault.startswith(f"{name} is malformed: ")
        assert fault.count(". ") == 0
        assert CANARY not in fault


# --- headers that no setting lets through ---

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
        assert fault_of(**{name: value}).startswith(f"{name} is malformed: it would let ")


def test_every_forbidden_header_has_an_example() -> None:
    examples = [name.lower().replace("_", "-") for name in FOLDED]
    assert [f for f in FORBIDDEN if not any(e.startswith(f.rstrip("*")) for e in examples)] == []


@pytest.mark.parametrize(
    "text", ["x-wxpay-sign", "x-forwarded", "hostname", "x-client-*", "te-x*", "cookie2"]
)
def test_a_name_that_is_only_similar_is_accepted(text: str) -> None:
    assert get("forward_request_headers", FORWARD_REQUEST_HEADERS=text) == (text,)


# --- the upstream in production ---

PRIVATE = [
    *("127.0.0.1", "127.255.255.254:8080", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("100.64.0.1", "169.254.169.254", "0.0.0.0", "255.255.255.255", "[::1]", "[::]"),
    *("[fd00::1]", "[fe80::1]", "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "localhost"),
    *(
        "LOCALHOST.",
        "a.localhost",
        "a.b.LOCALHOST.",
    ),
]


@pytest.mark.parametrize("url", ["http://api.example.com", *(f"https://{h}/a" for h in PRIVATE)])
def test_plain_http_and_private_addresses_must_be_allowed(url: str) -> None:
    assert "UPSTREAM_ALLOW_PRIVATE=true" in fault_of(UPSTREAM_URL=url)
    assert get("upstream_url", UPSTREAM_URL=url, UPSTREAM_ALLOW_PRIVATE="true") == url


@pytest.mark.parametrize(
    "url",
    [
        *("https://api.example.com", "https://api.example.com/"),
        *("https://api.example.com:8443/a/b", "HTTPS://API.example.com/a-b_c~d"),
        *("https://8.8.8.8/base/", "https://[2606:4700::1111]/"),
    ],
)
def test_a_public_https_url_is_accepted(url: str) -> None:
    assert get("upstream_url", UPSTREAM_URL=url) == url


def test_a_malformed_permission_permits_nothing() -> None:
    fault = fault_of(UPSTREAM_ALLOW_PRIVATE="perhaps", UPSTREAM_URL="http://127.0.0.1")
    assert "UPSTREAM_ALLOW_PRIVATE is malformed: write true or false." in fault
    assert "UPSTREAM_URL is malformed: " in fault


# --- what only the SDK or the resolver would notice ---


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER"])
def test_an_address_of_one_aws_service_is_checked_at_the_start(name: str) -> None:
    assert fault_of(**{name: "x"}) == f"{name} is malformed: write http(s)://host[:port][/path]."
    assert read({**GOOD, name: "http://127.0.0.1:8002"}) == read({**GOOD, name: ""}) == read(GOOD)


SHORTHANDS = [
    *("127.1", "2130706433", "0x7f.1", "0X7F000001", "0177.0.0.1", "127.0.0.1.", "8.8"),
    *("010.1.1.1",),
]


@pytest.mark.parametrize("name", ["UPSTREAM_URL", "WECHAT_API_URL", "AWS_ENDPOINT_URL"])
@pytest.mark.parametrize("host", SHORTHANDS)
def test_an_address_that_only_the_resolver_would_see_is_refused(name: str, host: str) -> None:
    for allowed in ("true", "false"):
        fault = fault_of(**{name: f"https://{host}/base"}, UPSTREAM_ALLOW_PRIVATE=allowed)
        assert fault == f"{name} is malformed: write an IPv4 address as four decimal numbers."


@pytest.mark.parametrize("path", ["%", "a%", "%zz", "%4", "%4g", "a/%%41", "%u0041"])
def test_a_bad_percent_escape_is_refused(path: str) -> None:
    assert "a plain base path" in fault_of(UPSTREAM_URL=f"https://api.example.com/{path}")


@pytest.mark.parametrize(
    "url",
    [
        *("https://api.example.com/a%20b/%E4%BD%A0", "https://1.2.3.4.5"),
        *("https://localhost.example.com", "https://mylocalhost", "https://0xg.example.com"),
        "https://deadbeef",
    ],
)
def test_a_name_that_only_resembles_an_address_is_accepted(url: str) -> None:
    assert get("upstream_url", UPSTREAM_URL=url) == url
