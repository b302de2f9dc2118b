"""The request: no event makes it raise anything but one of the gate's own errors."""

import base64
import hashlib
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import errors
from chalicelib.deadlines import NO_DEADLINE
from chalicelib.front.request import MAX_BODY, MAX_JSON_BODY, Request, deadline_of
from chalicelib.sessions.tokens import Token, user_reference
from simulator.gateway import Context, event_of

# Its text is in the names of tests, which must be the same in every run.
TOKEN = Token(user_reference("wx1", "alice"), b"A" * 32)
OWN = f"Bearer {TOKEN.text}"
OTHER = f"Bearer {Token(TOKEN.user, b'B' * 32).text}"
JSON_TYPE = ("Content-Type", "application/json")
ROUTES = ["/login", "/api/{proxy+}"]


def request(*headers: tuple[str, str], body: bytes | str | None = None, **changed: Any) -> Request:
    event = event_of("POST", "/login", list(headers), body, ROUTES)
    return Request({**event, **changed}, deadline_of(Context()))


def error_of(call: Callable[[], object]) -> type[Exception]:
    with pytest.raises(errors.GateError) as caught:
        call()
    return caught.type


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_is_read_in_any_case(name: str, scheme: str) -> None:
    sent = request((name, f"{scheme} {TOKEN.text}"))
    assert sent.token() == TOKEN
    assert sent.log_fields == {"user": hashlib.sha256(TOKEN.user).hexdigest()[:12]}


@pytest.mark.parametrize(
    "value",
    [
        *("", "Bearer", "Bearer ", "Bearer wxg_", TOKEN.text, f"Basic {TOKEN.text}", f" {OWN}"),
        *(f"Bearer  {TOKEN.text}", f"Bearer\t{TOKEN.text}", f"{OWN} ", f"{OWN}\n", f"{OWN};"),
        *(f"{OWN}, {OWN}", f"Bearer: {TOKEN.text}", f"Bearer token={TOKEN.text}"),
        f'Bearer "{TOKEN.text}"',
    ],
)
def test_any_other_authorization_is_an_invalid_token(value: str) -> None:
    assert error_of(request(("Authorization", value)).token) is errors.InvalidToken


@pytest.mark.parametrize("others", [[], [OWN], ["Basic x"], [""]], ids=range(4))
def test_no_authorization_or_several_are_an_invalid_token(others: list[str]) -> None:
    headers = [("authorization", other) for other in others]
    sent = [*headers, ("Authorization", OWN)] if others else []
    assert error_of(request(*sent).token) is errors.InvalidToken
    assert error_of(request(*sent[::-1]).token) is errors.InvalidToken


AUTHORIZED = {"Authorization": OWN}


@pytest.mark.parametrize(
    ("single", "multi"),
    [
        *(({}, {"Authorization": [OWN]}), ({"Authorization": OTHER}, {"Authorization": [OWN]})),
        *((AUTHORIZED, {}), (AUTHORIZED, AUTHORIZED), (AUTHORIZED, {"Authorization": []})),
        *((AUTHORIZED, {"Authorization": [OWN, OWN]}), (AUTHORIZED, {"Authorization": [OTHER]})),
        (AUTHORIZED | {"authorization": OWN}, {"Authorization": [OWN]}),
        *(({"Authorization": odd}, {"Authorization": [OWN]}) for odd in ([OWN], None)),
    ],
    ids=range(10),
)
def test_header_maps_that_disagree_are_an_invalid_token(single: Any, multi: Any) -> None:
    assert error_of(request(headers=single, multiValueHeaders=multi).token) is errors.InvalidToken


def test_header_maps_that_agree_or_stand_alone_are_read() -> None:
    multi, lower = {"Authorization": [OWN]}, {"authorization": [OWN]}
    for single, lists in ((AUTHORIZED, multi), (AUTHORIZED, lower), (None, lower)):
        assert request(headers=single, multiValueHeaders=lists).token() == TOKEN
    assert request(headers=AUTHORIZED, multiValueHeaders=None).token() == TOKEN


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/json", "Application/JSON", "application/json; charset=utf-8"),
        *('application/json;charset="UTF-8"', 'application/json;charset="utf8"'),
        *("application/json ; charset=utf8", "\tapplication/json ; version=1;"),
        "application/json; odata=verbose",
    ],
)
def test_json_is_read(media_type: str) -> None:
    sent = request(("content-type", media_type), body='{"code":"昵称"}')
    assert sent.json() == {"code": "昵称"}


@pytest.mark.parametrize(
    "media_type",
    [
        *("", "*/*", "text/plain", "text/json", "Xapplication/json", "application/*"),
        *("application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"),
        *("application/ld+json", "application/json, text/plain", "text/plain; application/json"),
        *("application/json; charset=gbk", "application/json; charset=utf-16"),
        *("application/json; charset=", 'application/json; charset="utf-8'),
        *("application/json; charset=utf-8; charset=utf-16", "application/json; charset =utf-16"),
        *("application/json; charset*=utf-16", 'application/json;"charset=utf-16"'),
        *("application/json; charset", "application/json; utf-16", "\u3000application/json"),
        *("application/json\xa0", "application/json\x0b", "application/json\r\n"),
    ],
)
def test_another_media_type_is_unsupported(media_type: str) -> None:
    assert (
        error_of(request(("Content-Type", media_type), body="{}").json)
        is errors.UnsupportedMediaType
    )


def test_a_media_type_is_needed_once() -> None:
    with pytest.raises(
        errors.InvalidRequest, match=r"^Content-Type is missing. Send application/json.$"
    ):
        request(body="{}").json()
    twice = request(JSON_TYPE, ("content-type", "application/json"), body="{}")
    assert error_of(twice.json) is errors.UnsupportedMediaType


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "utf-8", ""])
def test_a_compressed_body_is_unsupported(encoding: str) -> None:
    sent = request(JSON_TYPE, ("Content-Encoding", encoding), body="{}")
    assert error_of(sent.json) is errors.UnsupportedMediaType
    assert request(JSON_TYPE, ("Content-Encoding", " Identity "), body="{}").json() == {}


@pytest.mark.parametrize("body", ["", "[]", "null", '"x"', "1", "{", '{"a":1,"a":1}', '{"a":NaN}'])
def test_a_body_that_is_not_a_strict_json_object_is_malformed(body: str) -> None:
    with pytest.raises(
        errors.InvalidRequest, match=r"^The body is not one strict JSON object in UTF-8.$"
    ):
        request(JSON_TYPE, body=body).json()


def test_a_json_body_is_bounded() -> None:
    fits = b'{"a":"' + b"x" * (MAX_JSON_BODY - 8) + b'"}'
    assert len(request(JSON_TYPE, body=fits).json()["a"]) == MAX_JSON_BODY - 8
    assert error_of(request(JSON_TYPE, body=fits + b" ").json) is errors.RequestTooLarge


EVERYTHING = bytes(range(256))


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ({"body": None}, b""),
        ({"body": "昵称😀"}, "昵称😀".encode()),
        ({"body": base64.b64encode(EVERYTHING).decode(), "isBase64Encoded": True}, EVERYTHING),
        ({"body": "e30=", "isBase64Encoded": "false"}, b"e30="),
        ({"body": EVERYTHING}, EVERYTHING),  # as chalice.test.Client gives it
        ({"body": b"e30=", "isBase64Encoded": True}, b"{}"),
    ],
    ids=range(6),
)
def test_a_body_arrives_as_it_was_sent(event: dict[str, Any], body: bytes) -> None:
    assert Request(event).body == body


@pytest.mark.parametrize(
    "body",
    [1, 1.5, True, [], {}, "\ud800", "x", "e30", "e30=\n", "e3 0=", "e30=e30=", "-_-_", "=e30"],
)
def test_a_body_that_is_no_text_or_not_the_base64_that_is_announced_is_malformed(
    body: object,
) -> None:
    assert (
        error_of(lambda: Request({"body": body, "isBase64Encoded": True}).body)
        is errors.InvalidRequest
    )
    if not isinstance(body, str) or body == "\ud800":
        assert error_of(lambda: Request({"body": body}).body) is errors.InvalidRequest


def test_a_body_is_bounded_by_what_lambda_can_carry() -> None:
    assert len(request(body=b"x" * MAX_BODY).body) == MAX_BODY
    assert error_of(lambda: request(body=b"x" * (MAX_BODY + 1)).body) is errors.RequestTooLarge
    assert len(base64.b64encode(b"x" * MAX_BODY)) == 6 * 1024 * 1024


def test_headers_keep_order_case_and_repetition() -> None:
    headers = [("X-A", "1"), ("x-a", "2"), ("X-A", "3")]
    assert request(*headers).headers == [("X-A", "1"), ("X-A", "3"), ("x-a", "2")]
    assert request(*headers).values("x-a") == ["1", "3", "2"]


def test_a_query_is_decoded_once_and_repeats() -> None:
    event = event_of("GET", "/api/a?b=1&c=%2525&b=2&d", [], None, ROUTES)
    pairs = [("b", "1"), ("b", "2"), ("c", "%25"), ("d", "")]
    assert Request(event).query == pairs
    assert Request({"queryStringParameters": {"a": "1"}}).query == [("a", "1")]


def test_a_path_stays_percent_encoded_and_its_parameter_is_decoded() -> None:
    event = event_of("GET", "/api/a%2Fb/%E6%98%B5", [], None, ROUTES)
    event["pathParameters"] = {"proxy": "a/b/昵"}
    sent = Request(event)
    assert (sent.path, sent.parameter("proxy")) == ("/api/a%2Fb/%E6%98%B5", "a/b/昵")


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_the_source_address_is_what_api_gateway_saw(address: str) -> None:
    forged = [("X-Forwarded-For", "1.2.3.4"), ("X-Real-Ip", "1.2.3.4")]
    event = event_of("GET", "/api/a", forged, None, ROUTES, source_ip=address)
    assert Request(event).source_ip == address


@pytest.mark.parametrize(
    "given_id", [None, "", "x", "a b c d e f", "x" * 65, "id\r\nX: y", 12345678]
)
def test_a_malformed_request_id_is_replaced_once(given_id: object) -> None:
    first = Request({"requestContext": {"requestId": given_id}})
    assert first.id == first.id != given_id
    assert len(first.id) == 36
    assert first.id != Request({}).id


def test_the_method_and_the_route_are_api_gateways() -> None:
    sent = request(("X-HTTP-Method-Override", "DELETE"), httpMethod="PUT", resource="/other")
    assert (sent.method, sent.resource) == ("POST", "/login")


@pytest.mark.parametrize("left", [None, "1500", [], SimpleNamespace()], ids=repr)
def test_a_context_without_a_number_sets_no_deadline(left: object) -> None:
    for value in (left, lambda: left):
        context = SimpleNamespace(get_remaining_time_in_millis=value)
        assert deadline_of(context) == NO_DEADLINE
    assert deadline_of(None) == Request({}).deadline == NO_DEADLINE


TRACE = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.mark.parametrize("trace", [TRACE, TRACE.partition(";")[0], f"{TRACE};Lineage=1:ab:0"])
def test_the_trace_id_is_read(trace: str) -> None:
    assert request(("x-amzn-trace-id", trace)).trace_id == trace


def test_every_element_of_x_forwarded_for_is_read() -> None:
    values = [("X-Forwarded-For", value) for value in (" , ,a, b ,", "")]
    assert request(*values, ("x-forwarded-for", "c")).forwarded_for == ("a", "b", "c")
    assert request().forwarded_for == ()


PARAMETERS: list[object] = [None, {}, [], {"proxy": 7}, {"proxy": None}]
ADDRESSES: list[object] = [None, "", "evil", "1.2.3.4, 5.6.7.8", "1.2.3.4\r\nX: y", 7, []]
TRACES = [
    *([], [""], ["x"], [f"{TRACE}\r\nX: y"], [f"{TRACE};"], [TRACE] * 2),
    [f"{TRACE};a={'b' * 256}"],
]
ODD: list[dict[str, Any]] = [
    *({"requestContext": {"identity": {"sourceIp": it}}} for it in ADDRESSES),
    *({"multiValueHeaders": {"X-Amzn-Trace-Id": it}} for it in TRACES),
    *({"pathParameters": it} for it in PARAMETERS),
]


@pytest.mark.parametrize("event", ODD)
def test_what_is_malformed_is_as_if_it_were_not_there(event: dict[str, Any]) -> None:
    sent = Request(event)
    assert (sent.source_ip, sent.trace_id, sent.parameter("proxy")) == (None, None, "")


LEAF = st.none() | st.booleans() | st.integers() | st.text()
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
HEADER_MAPS = st.dictionaries(
    st.sampled_from(["Authorization", "authorization", "Content-Type", "X"]),
    VALUE | st.just(["application/json"]) | st.just(OWN) | st.just([OWN]),
)
MAPS = ("headers", "multiValueHeaders")
MEMBERS = (
    *("multiValueQueryStringParameters", "queryStringParameters", "requestContext", "body"),
    *("isBase64Encoded", "path", "pathParameters"),
)
EVENTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(MAPS, HEADER_MAPS | VALUE) | dict.fromkeys(MEMBERS, VALUE)
)


@given(VALUE | EVENTS)
def test_any_event_is_accepted(event: Any) -> None:
    """Only errors of the gate may be raised."""
    sent = Request(event)
    assert isinstance(sent.resource + sent.method + sent.path + sent.id, str)
    for read in (
        lambda: (sent.headers, sent.query, sent.trace_id, sent.parameter("proxy"), sent.source_ip),
        lambda: (sent.forwarded_for, sent.body),
        sent.json,
        sent.token,
    ):
        with suppress(errors.GateError):
            read()
