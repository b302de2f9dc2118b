"""API Gateway on the desk: the event's shape, the answer's way back, and real sockets."""

import base64
import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from simulator.gateway import (
    DROPPED,
    LAMBDA_SECONDS,
    MAX_ANSWER,
    MAX_REQUEST,
    Context,
    Gateway,
    answer_of,
    event_of,
    refuse,
    resource_of,
    through_api_gateway,
)
from simulator.serving import serve_wsgi

ROUTES = ["/login", "/health", "/api/{proxy+}"]


def event(target: str = "/login", **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"method": "POST", "headers": [], "body": b"", **more}
    return event_of(fields.pop("method"), target, fields.pop("headers"), fields.pop("body"), ROUTES)


# --- the event -----------------------------------------------------------------------------------


def test_an_event_has_the_members_of_a_rest_proxy_event() -> None:
    assert set(event()) == {
        *("resource", "path", "httpMethod", "headers", "multiValueHeaders"),
        *("queryStringParameters", "multiValueQueryStringParameters", "pathParameters"),
        *("stageVariables", "requestContext", "body", "isBase64Encoded"),
    }


def test_what_is_empty_is_null() -> None:
    made = event()
    empty = ("headers", "multiValueHeaders", "queryStringParameters", "pathParameters", "body")
    assert [made[name] for name in empty] == [None] * 5


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/login", "/login"),
        ("/api/a", "/api/{proxy+}"),
        ("/api/a/b", "/api/{proxy+}"),
        ("/api", None),
        ("/login/", None),
        ("/apix/a", None),
        ("/%6cogin", None),
    ],
)
def test_a_path_finds_its_resource(path: str, resource: str | None) -> None:
    assert resource_of(path, ROUTES) == resource


def test_a_literal_route_goes_before_a_parameter_and_that_before_a_greedy_one() -> None:
    routes = ["/api/{proxy+}", "/api/{one}", "/api/own"]
    found = [resource_of(path, routes) for path in ("/api/own", "/api/a", "/api/a/b", "/api/")]
    assert found == ["/api/own", "/api/{one}", "/api/{proxy+}", "/api/{proxy+}"]


def test_a_parameter_is_one_segment_and_decoded_once() -> None:
    made = event_of("GET", "/events/wx%2531", [], None, ["/events/{appid}"])
    assert made["pathParameters"] == {"appid": "wx%31"}
    assert made["requestContext"]["resourcePath"] == "/events/{appid}"


@pytest.mark.parametrize("path", ["/api/a%2fb", "/api/%E4%B8%AD", "/api/a//b", "/api/a/../b"])
def test_the_path_stays_as_it_was_sent(path: str) -> None:
    made = event(path)
    assert made["path"] == path
    assert made["requestContext"]["path"] == f"/v1{path}"
    assert made["pathParameters"] == {"proxy": unquote(path.removeprefix("/api/"))}


@pytest.mark.parametrize("slashes", ["//", "////"])
def test_slashes_after_the_stage_route_nothing(slashes: str) -> None:
    made = event(f"{slashes}api/a//b")
    assert (made["path"], made["resource"]) == ("/api/a//b", "/api/{proxy+}")
    assert made["requestContext"]["path"] == f"/v1{slashes}api/a//b"


def test_query_values_are_decoded_once_and_all_kept() -> None:
    made = event("/api/x?a=1&a=2&b=%2525&c=+&d")
    assert made["queryStringParameters"] == {"a": "2", "b": "%25", "c": " ", "d": ""}
    assert made["multiValueQueryStringParameters"] == {
        "a": ["1", "2"],
        "b": ["%25"],
        "c": [" "],
        "d": [""],
    }


def test_a_query_is_sorted_and_split_at_semicolons_and_its_broken_bytes_replaced() -> None:
    made = event("/api/x?b=1&a=3;a=2&flag&x=%FF")["multiValueQueryStringParameters"]
    assert list(made.items()) == [("a", ["3", "2"]), ("b", ["1"]), ("flag", [""]), ("x", ["�"])]


def test_the_address_that_was_seen_is_the_last_of_those_that_were_sent() -> None:
    sent = [("x-forwarded-for", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2"), ("A", "b")]
    made = through_api_gateway(sent, "203.0.113.9")
    assert ("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 203.0.113.9") in made
    assert [name.lower() for name, _ in made].count("x-forwarded-for") == 1
    assert ("A", "b") in made


def test_a_trace_id_is_made_if_there_is_none() -> None:
    traces = [dict(through_api_gateway([], "::1"))["X-Amzn-Trace-Id"] for _ in range(2)]
    assert all(re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24}", trace) for trace in traces)
    assert traces[0] != traces[1]
    sent = [("x-amzn-trace-id", "Root=1-2-3")]
    assert "X-Amzn-Trace-Id" not in dict(through_api_gateway(sent, "::1"))


def test_headers_keep_their_case_and_all_their_values() -> None:
    made = event(headers=[("X-A", "1"), ("X-A", "2"), ("x-b", "3")])
    assert made["headers"] == {"X-A": "2", "x-b": "3"}
    assert made["multiValueHeaders"] == {"X-A": ["1", "2"], "x-b": ["3"]}


@pytest.mark.parametrize("name", sorted(DROPPED))
def test_hop_by_hop_headers_are_dropped_unless_mercy_is_off(name: str) -> None:
    sent = [(name.title(), "x"), ("Keep", "y")]
    assert event(headers=sent)["headers"] == {"Keep": "y"}
    unmerciful = event_of("GET", "/login", sent, b"", ROUTES, merciful=False)
    assert unmerciful["headers"] == {name.title(): "x", "Keep": "y"}


def test_bytes_travel_as_base64_and_text_as_text() -> None:
    assert event(body=b"\xff\x00")["body"] == base64.b64encode(b"\xff\x00").decode()
    assert event(body=b"x")["isBase64Encoded"] is True
    assert (event(body="{}")["body"], event(body="{}")["isBase64Encoded"]) == ("{}", False)


def test_the_context_says_who_called_and_what_was_matched() -> None:
    made = event_of("GET", "/api/a", [], b"", ROUTES, source_ip="203.0.113.9")["requestContext"]
    assert (made["resourcePath"], made["httpMethod"]) == ("/api/{proxy+}", "GET")
    assert made["identity"]["sourceIp"] == "203.0.113.9"
    assert made["requestId"] != event()["requestContext"]["requestId"]


def test_lambdas_time_runs_out() -> None:
    assert Context().get_remaining_time_in_millis() <= LAMBDA_SECONDS * 1000
    assert Context(seconds=0).get_remaining_time_in_millis() <= 0


# --- the answer ----------------------------------------------------------------------------------


def result(body: object = "", **more: object) -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"A": "1"}, "body": body, **more}


def test_a_text_answer_is_utf8() -> None:
    assert answer_of(result("中")) == (200, [("A", "1")], "中".encode())


def test_a_base64_answer_is_bytes() -> None:
    body = base64.b64encode(b"\xff\x00").decode()
    assert answer_of(result(body, isBase64Encoded=True))[2] == b"\xff\x00"


def test_multi_value_headers_are_added() -> None:
    assert answer_of(result(multiValueHeaders={"B": ["2", "3"]}))[1] == [
        ("A", "1"),
        ("B", "2"),
        ("B", "3"),
    ]


BAD_GATEWAY = (502, [("Content-Type", "application/json")], b'{"message": "Internal server error"}')


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "text",
        {},
        {"headers": {}},
        {"statusCode": "x"},
        result(5),
        result({"a": 1}),
        result("%", isBase64Encoded=True),
        result(multiValueHeaders=[1]),
        result("\ud800"),
    ],
)
def test_a_malformed_result_is_a_bad_gateway(malformed: object) -> None:
    assert answer_of(malformed) == BAD_GATEWAY


@pytest.mark.parametrize(
    ("character", "each"), [("a", 1), ("\x00", 6), ("中", 6), ("😀", 12), ("\n", 2)]
)
def test_an_answer_is_measured_as_lambda_writes_it(character: str, each: int) -> None:
    frame = len(json.dumps(result("")))
    fits = (MAX_ANSWER - frame) // each
    assert answer_of(result(character * fits))[0] == 200
    assert answer_of(result(character * (fits + 1))) == BAD_GATEWAY


# --- over a socket -------------------------------------------------------------------------------


class Lambda:
    """Answers what it got, or what it was told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | None = None

    def __call__(self, event: dict[str, Any], _context: object) -> dict[str, Any]:
        self.events.append(event)
        return self.answer or result("hello")


@pytest.fixture
def function() -> Lambda:
    return Lambda()


@pytest.fixture
def address(function: Lambda) -> Iterator[tuple[str, int]]:
    server = serve_wsgi(Gateway(function, ROUTES), "127.0.0.1", 0, refuse)
    yield "127.0.0.1", urlsplit(server.url).port or 0
    server.close()


@pytest.fixture
def connection(address: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(*address, timeout=10)) as opened:
        yield opened


def asked(connection: http.client.HTTPConnection, *request: Any, **more: Any) -> Any:
    connection.request(*request, **more)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()


def raw(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send bytes, and read until the other side closes."""
    with socket.create_connection(address, timeout=10) as sock:
        for piece in pieces:
            sock.sendall(piece)
        received = b""
        while data := sock.recv(65_536):
            received += data
    return received


def answered(address: tuple[str, int], sent: bytes) -> bytes:
    """Send bytes, of which the other side may not take all; read its answer."""
    with socket.create_connection(address, timeout=10) as sock, suppress(ConnectionError):
        sock.sendall(sent)
        received = sock.recv(65_536)
        while data := sock.recv(65_536):
            received += data
    return received


def test_the_target_arrives_raw(connection: http.client.HTTPConnection, function: Lambda) -> None:
    asked(connection, "GET", "/api/a%2fb//c?x=%2525&x=2")
    assert function.events[0]["path"] == "/api/a%2fb//c"
    assert function.events[0]["multiValueQueryStringParameters"] == {"x": ["%25", "2"]}


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://evil.test/api/a?b=1", "/api/a"),
        (b"http://evil.test:99/login", "/login"),
        (b"/x://evil.test/login", "/x://evil.test/login"),
        (b"/api/http://evil.test/", "/api/http://evil.test/"),
        (b"http://evil.test", "/"),
    ],
)
def test_the_authority_of_a_target_routes_nothing(
    address: tuple[str, int], function: Lambda, target: bytes, path: str
) -> None:
    raw(address, b"GET " + target + b" HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
    assert function.events[0]["path"] == path


BAD_HTTP = {
    "a method in small letters": (b"get /login HTTP/1.1\r\n\r\n", "InvalidRequest"),
    "a blank in the target": (b"GET /api/canary b HTTP/1.1\r\n\r\n", "InvalidRequest"),
    "a header without a colon": (b"GET /login HTTP/1.1\r\ncanary\r\n\r\n", "InvalidRequest"),
    "two lengths": (
        b"POST /login HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "InvalidRequest",
    ),
    "an unknown coding": (
        b"POST /login HTTP/1.1\r\nTransfer-Encoding: canary\r\n\r\n",
        "InvalidRequest",
    ),
    "half a bracket": (b"GET http://[::canary/login HTTP/1.1\r\n\r\n", "InvalidPath"),
    "no address in brackets": (b"GET http://[canary]/login HTTP/1.1\r\n\r\n", "InvalidPath"),
    "a target beyond ASCII": ("GET /api/canary/上 HTTP/1.1\r\n\r\n".encode(), "InvalidPath"),
    "a head too large": (
        b"GET /login HTTP/1.1\r\nX-A: " + b"canary" * 50_000 + b"\r\n\r\n",
        "RequestTooLarge",
    ),
}


@pytest.mark.parametrize("flaw", BAD_HTTP)
def test_what_is_no_http_is_refused_in_the_contracts_shape(
    address: tuple[str, int], function: Lambda, flaw: str
) -> None:
    sent, code = BAD_HTTP[flaw]
    head, _, body = answered(address, sent).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    status = 413 if code == "RequestTooLarge" else 400
    assert lines[0].split(" ")[1] == str(status)
    assert headers["X-Wxgate-Error"] == json.loads(body)["Code"] == code
    assert headers["X-Request-Id"]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert b"canary" not in head + body
    assert function.events == []


def test_a_front_door_that_breaks_is_an_error_of_ours() -> None:
    def broken(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise ZeroDivisionError("canary")

    server = serve_wsgi(Gateway(broken, ROUTES), "127.0.0.1", 0, refuse)
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)) as opened:
        status, headers, body = asked(opened, "GET", "/login")
    server.close()
    assert (status, headers["X-Wxgate-Error"]) == (500, "InternalError")
    assert b"canary" not in body


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/login", "/login"),
        ("/v1/api/a?b=1", "/api/a"),
        ("/v1/v1/login", "/v1/login"),
        ("/v1", "/v1"),
        ("/v10/login", "/v10/login"),
    ],
)
def test_the_stage_may_stand_before_the_path(
    connection: http.client.HTTPConnection, function: Lambda, target: str, path: str
) -> None:
    asked(connection, "GET", target)
    assert function.events[0]["path"] == path
    assert function.events[0]["requestContext"]["path"] == f"/v1{path}"


def test_headers_arrive(connection: http.client.HTTPConnection, function: Lambda) -> None:
    asked(connection, "GET", "/login", headers={"Authorization": "Bearer x", "X-WX-OPENID": "evil"})
    headers = function.events[0]["headers"]
    assert (headers["Authorization"], headers["X-Wx-Openid"]) == ("Bearer x", "evil")
    assert "Connection" not in headers


def test_a_header_that_came_twice_is_seen_as_one_with_both(
    address: tuple[str, int], function: Lambda
) -> None:
    twice = b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"
    raw(address, b"GET /login HTTP/1.1\r\nHost: g\r\n" + twice + b"Connection: close\r\n\r\n")
    assert function.events[0]["headers"]["Authorization"] == "Bearer a, Bearer b"


def test_a_forwarded_address_of_the_clients_own_is_not_believed(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    asked(connection, "GET", "/login", headers={"X-Forwarded-For": "203.0.113.9"})
    assert function.events[0]["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"


def test_a_body_arrives_as_it_was_sent(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    asked(connection, "POST", "/login", body=bytes(range(256)))
    assert base64.b64decode(function.events[0]["body"]) == bytes(range(256))


def test_a_chunked_body_arrives_whole(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    pieces = [b"one", b"two" * 10_000, b"\xff"]
    asked(connection, "POST", "/login", body=iter(pieces), encode_chunked=True)
    assert base64.b64decode(function.events[0]["body"]) == b"".join(pieces)
    assert "Transfer-Encoding" not in function.events[0]["headers"]


def test_idle_connections_do_not_keep_others_out(address: tuple[str, int]) -> None:
    with ExitStack() as idle:
        for _ in range(200):
            idle.enter_context(closing(socket.create_connection(address, timeout=10)))
        with closing(http.client.HTTPConnection(*address, timeout=10)) as late:
            assert asked(late, "GET", "/health")[0] == 200


def test_head_has_no_body_and_a_length_of_zero(connection: http.client.HTTPConnection) -> None:
    status, headers, body = asked(connection, "HEAD", "/health")
    assert (status, headers["Content-Length"], body) == (200, "0", b"")
    assert asked(connection, "GET", "/health")[2] == b"hello"


def test_headers_that_api_gateway_has_of_its_own_are_renamed_or_dropped(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    names = ["WWW-Authenticate", "Date", "Server", "Connection", "Content-Length"]
    sent = {**dict.fromkeys(names, "1"), "TE": "x", "Upgrade": "x", "X-A": "y"}
    function.answer = {**result(), "headers": sent}
    answered = asked(connection, "GET", "/login")[1]
    headers = {name.lower(): value for name, value in answered.items()}
    assert {f"x-amzn-remapped-{name.lower()}": "1" for name in names}.items() <= headers.items()
    assert (headers["x-a"], headers["content-length"]) == ("y", "0")
    assert not {"www-authenticate", "te", "upgrade"} & headers.keys()


@pytest.mark.parametrize("status", [204, 304])
def test_a_bodiless_answer_has_neither_body_nor_length(
    connection: http.client.HTTPConnection, function: Lambda, status: int
) -> None:
    function.answer = {"statusCode": status, "headers": {}, "body": "ignored"}
    answered, headers, body = asked(connection, "GET", "/health")
    assert (answered, body) == (status, b"")
    assert "Content-Length" not in headers
    function.answer = None
    assert asked(connection, "GET", "/health")[2] == b"hello"


@pytest.mark.parametrize("status", [200, 201, 404, 418, 499, 503, 599])
def test_every_status_passes(
    connection: http.client.HTTPConnection, function: Lambda, status: int
) -> None:
    function.answer = result("x", statusCode=status)
    assert asked(connection, "GET", "/health")[0] == status


def test_a_connection_is_kept_for_the_next_request(
    connection: http.client.HTTPConnection,
) -> None:
    asked(connection, "GET", "/health")
    kept = connection.sock
    for method in ("POST", "HEAD", "GET"):
        asked(connection, method, "/health")
    assert connection.sock is kept


def test_headers_of_the_connection_itself_are_the_gateways(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    function.answer = result("hello", headers={"Connection": "close", "Content-Length": "999"})
    _, headers, body = asked(connection, "GET", "/health")
    assert (headers["Content-Length"], body) == ("5", b"hello")


def test_a_header_goes_out_in_utf_8(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    function.answer = result("", headers={"Content-Disposition": 'filename="订单.pdf"'})
    _, headers, _ = asked(connection, "GET", "/health")
    sent = headers["Content-Disposition"].encode("latin-1")
    assert sent.decode() == 'filename="订单.pdf"'


def test_a_body_over_ten_megabytes_never_reaches_the_function(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    status, _, body = asked(connection, "POST", "/login", body=b"x" * (MAX_REQUEST + 1))
    assert (status, json.loads(body)["Code"]) == (413, "RequestTooLarge")
    assert function.events == []


def test_a_chunked_body_over_ten_megabytes_never_reaches_it_either(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    pieces = (b"x" * 1_048_576 for _ in range(11))
    assert asked(connection, "POST", "/login", body=pieces, encode_chunked=True)[0] == 413
    assert function.events == []


def test_an_answer_that_lambda_cannot_carry_is_a_bad_gateway(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    function.answer = result("x" * MAX_ANSWER)
    status, _, body = asked(connection, "GET", "/health")
    assert (status, json.loads(body)) == (502, {"message": "Internal server error"})


def test_a_large_answer_that_it_can_carry_arrives_whole(
    connection: http.client.HTTPConnection, function: Lambda
) -> None:
    function.answer = result("x" * 5_000_000)
    assert len(asked(connection, "GET", "/health")[2]) == 5_000_000
