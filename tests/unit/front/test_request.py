"""The request: no event makes it raise anything but one of the gate's own errors."""

import base64
import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.deadlines import NO_DEADLINE
from chalicelib.errors import (
    GateError,
    InvalidRequest,
    InvalidToken,
    RequestTooLarge,
    UnsupportedMediaType,
)
from chalicelib.front.request import (
    MAX_BODY,
    MAX_JSON_BODY,
    Request,
)
from chalicelib.sessions.tokens import Token, user_reference
from simulator.gateway import Context, event_of

# Its text is in the names of tests, which must be the same in every run.
TOKEN = Token(user_reference("wx1", "alice"), b"A" * 32)
JSON_TYPE = ("Content-Type", "application/json")
ROUTES = ["/login", "/api/{proxy+}"]


def request(*headers: tuple[str, str], body: bytes | str | None = None, **changed: Any) -> Request:
    event = event_of("POST", "/login", list(headers), body, ROUTES)
    return Request.from_event({**event, **changed}, Context())


def error_of(call: Callable[[], object]) -> type[Exception]:
    with pytest.raises(GateError) as caught:
        call()
    return caught.type


def message_of(call: Callable[[], object]) -> str:
    """The message for a malformed request."""
    with pytest.raises(InvalidRequest) as caught:
        call()
    return caught.value.message


# --- the bearer ---


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_is_read_in_any_case(name: str, scheme: str) -> None:
    assert request((name, f"{scheme} {TOKEN.text}")).token() == TOKEN


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN.text,
        f"Basic {TOKEN.text}",
        f"Bearer  {TOKEN.text}",
        f"Bearer\t{TOKEN.text}",
        f"Bearer {TOKEN.text} ",
        f"Bearer {TOKEN.text}\n",
        f"Bearer {TOKEN.text}, Bearer {TOKEN.text}",
        f"Bearer {TOKEN.text};",
        f"Bearer: {TOKEN.text}",
        f"Bearer token={TOKEN.text}",
        f" Bearer {TOKEN.text}",
        f'Bearer "{TOKEN.text}"',
        "Bearer wxg_",
    ],
)
def test_any_other_authorization_is_an_invalid_token(value: str) -> None:
    assert error_of(request(("Authorization", value)).token) is InvalidToken


def test_no_authorization_is_no_bearer_and_no_token() -> None:
    assert request().bearer() is None
    assert error_of(request().token) is InvalidToken


@pytest.mark.parametrize("second", [f"Bearer {TOKEN.text}", "Basic x", ""])
@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_a_repeated_authorization_is_an_invalid_token(name: str, second: str) -> None:
    headers = [("Authorization", f"Bearer {TOKEN.text}"), (name, second)]
    assert error_of(request(*headers).token) is InvalidToken
    assert error_of(request(*headers[::-1]).token) is InvalidToken


OTHER = f"Bearer {Token(TOKEN.user, b'B' * 32).text}"
OWN = f"Bearer {TOKEN.text}"


@pytest.mark.parametrize(
    ("single", "multi"),
    [
        ({"Authorization": OTHER}, {"Authorization": [OWN]}),
        ({}, {"Authorization": [OWN]}),
        ({"Authorization": OWN}, {}),
        ({"Authorization": OWN}, {"Authorization": []}),
        ({"Authorization": OWN}, {"Authorization": OWN}),
        ({"Authorization": OWN}, {"Authorization": [OWN, OWN]}),
        ({"Authorization": OWN}, {"Authorization": [OTHER, OWN]}),
        ({"Authorization": OWN, "authorization": OWN}, {"Authorization": [OWN]}),
        ({"Authorization": OWN, "authorization": OTHER}, {"Authorization": [OWN]}),
        ({"Authorization": [OWN]}, {"Authorization": [OWN]}),
        ({"Authorization": None}, {"Authorization": [OWN]}),
    ],
    ids=range(11),
)
def test_header_maps_that_disagree_are_an_invalid_token(single: Any, multi: Any) -> None:
    sent = request(headers=single, multiValueHeaders=multi)
    assert error_of(sent.token) is InvalidToken


@pytest.mark.parametrize(
    ("single", "multi"),
    [
        ({"Authorization": OWN}, {"Authorization": [OWN]}),
        ({"Authorization": OWN}, {"authorization": [OWN]}),
        (None, {"Authorization": [OWN]}),
        ({"Authorization": OWN}, None),
    ],
)
def test_header_maps_that_agree_or_stand_alone_are_read(single: Any, multi: Any) -> None:
    assert request(headers=single, multiValueHeaders=multi).token() == TOKEN


def test_the_log_knows_a_user_by_a_hash() -> None:
    sent = request(("Authorization", OWN))
    sent.token()
    assert sent.log_fields == {"user": hashlib.sha256(TOKEN.user).hexdigest()[:12]}


# --- JSON bodies ---


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
    assert error_of(request(("Content-Type", media_type), body="{}").json) is UnsupportedMediaType


def test_a_media_type_is_needed_once() -> None:
    missing = "Content-Type is missing. Send application/json."
    assert message_of(request(body="{}").json) == missing
    twice = request(JSON_TYPE, ("content-type", "application/json"), body="{}")
    assert error_of(twice.json) is UnsupportedMediaType


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "utf-8", ""])
def test_a_compressed_body_is_unsupported(encoding: str) -> None:
    sent = request(JSON_TYPE, ("Content-Encoding", encoding), body="{}")
    assert error_of(sent.json) is UnsupportedMediaType


def test_identity_is_not_compression() -> None:
    assert request(JSON_TYPE, ("Content-Encoding", " Identity "), body="{}").json() == {}


@pytest.mark.parametrize("body", ["", "[]", "null", '"x"', "1", "{", '{"a":1,"a":1}', '{"a":NaN}'])
def test_a_body_that_is_not_a_strict_json_object_is_malformed(body: str) -> None:
    malformed = "The body is not one strict JSON object in UTF-8."
    assert message_of(request(JSON_TYPE, body=body).json) == malformed


def test_a_json_body_is_bounded() -> None:
    fits = b'{"a":"' + b"x" * (MAX_JSON_BODY - 8) + b'"}'
    assert len(request(JSON_TYPE, body=fits).json()["a"]) == MAX_JSON_BODY - 8
    assert error_of(request(JSON_TYPE, body=fits + b" ").json) is RequestTooLarge


# --- bodies ---


def test_bytes_arrive_as_they_are() -> None:
    everything = bytes(range(256))
    assert request(body=everything).body == everything


def test_text_arrives_as_utf_8() -> None:
    assert request(body="昵称😀").body == "昵称😀".encode()


def test_bytes_of_chalices_test_client_arrive_as_they_are() -> None:
    everything = bytes(range(256))
    assert Request({"body": everything}).body == everything
    assert Request({"body": b""}).body == b""
    assert Request({"body": b"e30=", "isBase64Encoded": True}).body == b"{}"
    assert Request({"body": "e30=", "isBase64Encoded": "false"}).body == b"e30="


def test_no_body_is_empty() -> None:
    assert request().body == b""


@pytest.mark.parametrize("body", [1, 1.5, True, [], {}, ["x"]], ids=repr)
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_not_text_is_malformed(body: object, announced: bool) -> None:
    sent = request(body=None, isBase64Encoded=announced)
    changed = Request({**sent.event, "body": body})
    assert error_of(lambda: changed.body) is InvalidRequest


@pytest.mark.parametrize(
    "body", ["x", "e30", "e30=\n", "e3 0=", "e30=e30=", "-_-_", "e30é", "=e30"]
)
def test_a_body_that_is_not_base64_as_announced_is_malformed(body: str) -> None:
    sent = Request({"body": body, "isBase64Encoded": True})
    assert error_of(lambda: sent.body) is InvalidRequest


def test_a_text_that_has_no_utf_8_is_malformed() -> None:
    sent = Request({"body": "\ud800", "isBase64Encoded": False})
    assert error_of(lambda: sent.body) is InvalidRequest


def test_a_body_is_bounded_by_what_lambda_can_carry() -> None:
    assert len(request(body=b"x" * MAX_BODY).body) == MAX_BODY
    assert error_of(lambda: request(body=b"x" * (MAX_BODY + 1)).body) is RequestTooLarge
    assert len(base64.b64encode(b"x" * MAX_BODY)) == 6 * 1024 * 1024


# --- what API Gateway says ---


def test_headers_keep_order_case_and_repetition() -> None:
    headers = [("X-A", "1"), ("x-a", "2"), ("X-A", "3")]
    assert request(*headers).headers == [("X-A", "1"), ("X-A", "3"), ("x-a", "2")]
    assert request(*headers).values("x-a") == ["1", "3", "2"]


def test_a_query_is_decoded_once_and_repeats() -> None:
    event = event_of("GET", "/api/a?b=1&c=%2525&b=2&d", [], None, ROUTES)
    pairs = [("b", "1"), ("b", "2"), ("c", "%25"), ("d", "")]
    assert Request.from_event(event, None).query == pairs


def test_a_query_may_come_in_the_single_map_alone() -> None:
    assert Request({"queryStringParameters": {"a": "1"}}).query == [("a", "1")]


def test_a_path_stays_percent_encoded() -> None:
    event = event_of("GET", "/api/a%2Fb/%E6%98%B5", [], None, ROUTES)
    assert Request.from_event(event, None).path == "/api/a%2Fb/%E6%98%B5"


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_the_source_address_is_what_api_gateway_saw(address: str) -> None:
    forged = [
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Real-Ip", "1.2.3.4"),
        ("Forwarded", "for=1.2.3.4"),
    ]
    event = event_of("GET", "/api/a", forged, None, ROUTES, source_ip=address)
    assert Request.from_event(event, None).source_ip == address


@pytest.mark.parametrize(
    "address", [None, "", "evil", "1.2.3.4, 5.6.7.8", "1.2.3.4\r\nX: y", 7, []]
)
def test_a_malformed_source_address_is_none(address: object) -> None:
    context = {"identity": {"sourceIp": address}}
    assert Request({"requestContext": context}).source_ip is None


def test_the_request_id_is_api_gateways() -> None:
    sent = request()
    assert sent.id == sent.event["requestContext"]["requestId"] == sent.id


@pytest.mark.parametrize(
    "given_id", [None, "", "x", "a b c d e f", "x" * 65, "id\r\nX: y", 12345678]
)
def test_a_malformed_request_id_is_replaced_once(given_id: object) -> None:
    first = Request({"requestContext": {"requestId": given_id}})
    assert first.id == first.id != given_id
    assert len(first.id) == 36
    assert first.id != Request({}).id


def test_a_clients_own_request_id_is_ignored() -> None:
    forged = "00000000-0000-4000-8000-000000000000"
    assert request(("X-Request-Id", forged)).id != forged


def test_the_method_and_the_route_are_api_gateways() -> None:
    sent = request(("X-HTTP-Method-Override", "DELETE"), httpMethod="PUT", resource="/other")
    assert (sent.method, sent.resource) == ("POST", "/login")


class StandIn:
    """As most mocks do, it gives itself when called, and is 1.0 to float()."""

    def __call__(self) -> "StandIn":
        return self

    def __float__(self) -> float:
        return 1.0


def test_the_deadline_is_the_end_of_the_invocation() -> None:
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 1500)
    assert 1.4 < Request.from_event({}, context).deadline.remaining() <= 1.5


@pytest.mark.parametrize("left", [None, "1500", [], StandIn()], ids=lambda x: type(x).__name__)
def test_a_context_without_a_number_sets_no_deadline(left: object) -> None:
    for value in (left, lambda: left):
        context = SimpleNamespace(get_remaining_time_in_millis=value)
        assert Request.from_event({}, context).deadline == NO_DEADLINE
    assert Request.from_event({}, None).deadline == Request({}).deadline == NO_DEADLINE


TRACE = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.mark.parametrize("trace", [TRACE, TRACE.partition(";")[0], f"{TRACE};Lineage=1:ab:0"])
def test_the_trace_id_is_read(trace: str) -> None:
    assert request(("x-amzn-trace-id", trace)).trace_id == trace


@pytest.mark.parametrize(
    "sent",
    [
        *([], [""], ["x"], [f"{TRACE}\r\nX: y"], [f"{TRACE};"], [f"{TRACE};a=" + "b" * 256]),
        [TRACE] * 2,
    ],
)
def test_a_malformed_trace_id_is_none(sent: list[str]) -> None:
    assert request(*(("X-Amzn-Trace-Id", value) for value in sent)).trace_id is None


def test_path_parameters_are_what_api_gateway_decoded() -> None:
    event = event_of("GET", "/api/a%2Fb", [], None, ROUTES)
    changed = {**event, "pathParameters": {"proxy": "a/b"}}
    assert Request(changed).path_parameters == {"proxy": "a/b"}
    parameters: list[object] = [None, {}, {"proxy": 7}, {"proxy": None}, []]
    for odd in parameters:
        assert Request({**event, "pathParameters": odd}).path_parameters == {}


@pytest.mark.parametrize(
    ("sent", "elements"),
    [
        ([], ()),
        (["203.0.113.7"], ("203.0.113.7",)),
        (["a, b ,c"], ("a", "b", "c")),
        (["a", "b,c"], ("a", "b", "c")),
        ([" , ,a,", ""], ("a",)),
    ],
)
def test_every_element_of_x_forwarded_for_is_read(
    sent: list[str], elements: tuple[str, ...]
) -> None:
    assert request(*(("X-Forwarded-For", value) for value in sent)).forwarded_for == elements


# --- any event ---


def read_everything(event: Any) -> None:
    """Read everything; only errors of the gate may be raised."""
    sent = Request.from_event(event, None)
    for read in (
        lambda: (sent.context, sent.resource, sent.method, sent.path, sent.id, sent.source_ip),
        lambda: (sent.headers, sent.query, sent.trace_id, sent.path_parameters),
        lambda: (sent.forwarded_for, sent.deadline),
        lambda: sent.body,
        sent.json,
        sent.bearer,
        sent.token,
    ):
        try:
            read()
        except GateError:
            continue


@pytest.mark.parametrize("event", [None, [], "x", 1, {}, {"requestContext": None}], ids=repr)
def test_an_event_of_another_type_reads_as_an_empty_request(event: Any) -> None:
    read_everything(event)
    sent = Request.from_event(event, None)
    assert (sent.resource, sent.method, sent.path, sent.headers, sent.query) == ("", "", "", [], [])
    assert (sent.body, sent.source_ip, sent.bearer()) == (b"", None, None)


LEAF = st.none() | st.booleans() | st.integers() | st.text()
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
HEADER_MAPS = st.dictionaries(
    st.sampled_from(["Authorization", "authorization", "Content-Type", "X"]),
    VALUE | st.just(["application/json"]) | st.just(OWN) | st.just([OWN]),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "headers": HEADER_MAPS | VALUE,
            "multiValueHeaders": HEADER_MAPS | VALUE,
            "multiValueQueryStringParameters": VALUE,
            "queryStringParameters": VALUE,
            "requestContext": VALUE,
            "body": VALUE,
            "isBase64Encoded": VALUE,
            "path": VALUE,
            "pathParameters": VALUE,
        },
    )
)
def test_any_event_is_accepted(event: Any) -> None:
    read_everything(event)
