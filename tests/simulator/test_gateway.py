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

from simulator import gateway
from simulator.gateway import Context, answer_of, event_of, through_api_gateway
from simulator.serving import serve_wsgi

ROUTES = ["/login", "/health", "/api/{proxy+}", "/api/own"]


def event(target: str = "/login", **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"method": "POST", "headers": [], "body": b"", **more}
    return event_of(fields.pop("method"), target, fields.pop("headers"), fields.pop("body"), ROUTES)


def test_an_event_has_the_members_of_a_rest_proxy_event_and_null_for_what_is_empty() -> None:
    made = event()
    assert set(made) == {
        *("resource", "path", "httpMethod", "headers", "multiValueHeaders"),
        *("queryStringParameters", "multiValueQueryStringParameters", "pathParameters"),
        *("stageVariables", "requestContext", "body", "isBase64Encoded"),
    }
    empty = ("headers", "multiValueHeaders", "queryStringParameters", "pathParameters", "body")
    assert [made[name] for name in empty] == [None] * 5


def test_a_path_finds_its_resource_the_most_literal_one_first() -> None:
    routes = [*ROUTES, "/one/{proxy+}", "/one/{id}", "/one/own"]
    found = {"/login": "/login", "/api/a": "/api/{proxy+}", "/api/a/b": "/api/{proxy+}"}
    found |= {"/api/own": "/api/own", "/one/own": "/one/own", "/one/a": "/one/{id}"}
    found |= {"/one/a/b": "/one/{proxy+}", "/one/": "/one/{proxy+}"}
    nothing = dict.fromkeys(["/api", "/login/", "/apix/a", "/%6cogin"])
    both = {**found, **nothing}
    assert {path: gateway.resource_of(path, routes) for path in both} == both


def test_a_parameter_is_one_segment_and_decoded_once() -> None:
    made = event_of("GET", "/events/wx%2531", [], None, ["/events/{appid}"])
    assert made["pathParameters"] == {"appid": "wx%31"}
    assert made["requestContext"]["resourcePath"] == "/events/{appid}"


@pytest.mark.parametrize("slashes", ["/", "//", "////"])
@pytest.mark.parametrize("path", ["/api/a%2fb", "/api/%E4%B8%AD", "/api/a//b", "/api/a/../b"])
def test_the_path_stays_as_it_was_sent_and_slashes_before_it_route_nothing(
    path: str, slashes: str
) -> None:
    made = event(slashes + path[1:])
    assert (made["path"], made["resource"]) == (path, "/api/{proxy+}")
    assert made["requestContext"]["path"] == f"/v1{slashes}{path[1:]}"
    assert made["pathParameters"] == {"proxy": unquote(path.removeprefix("/api/"))}


def test_query_values_are_decoded_once_and_sorted_by_name_and_all_kept() -> None:
    made = event("/api/x?b=%2525&a=3;a=2&flag&x=%FF+")
    assert made["queryStringParameters"] == {"a": "2", "b": "%25", "flag": "", "x": "� "}
    values = list(made["multiValueQueryStringParameters"].items())
    assert values == [("a", ["3", "2"]), ("b", ["%25"]), ("flag", [""]), ("x", ["� "])]


def test_the_address_that_was_seen_comes_last_and_a_trace_id_is_made_if_there_is_none() -> None:
    sent = [("x-forwarded-for", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2"), ("A", "b")]
    made = through_api_gateway(sent, "203.0.113.9")
    assert ("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 203.0.113.9") in made
    assert [name.lower() for name, _ in made].count("x-forwarded-for") == 1
    assert ("A", "b") in made
    assert re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24}", dict(made)["X-Amzn-Trace-Id"])
    assert made != through_api_gateway(sent, "203.0.113.9")
    assert "X-Amzn-Trace-Id" not in dict(through_api_gateway([("x-amzn-trace-id", "1")], "::1"))


def test_headers_keep_their_case_and_values_and_hop_by_hop_ones_are_dropped_unless_strict() -> None:
    dropped = [(name.title(), "x") for name in gateway.DROPPED]
    sent = [*dropped, ("X-A", "1"), ("X-A", "2"), ("x-b", "3")]
    assert event(headers=sent)["headers"] == {"X-A": "2", "x-b": "3"}
    assert event(headers=sent)["multiValueHeaders"] == {"X-A": ["1", "2"], "x-b": ["3"]}
    strict = event_of("GET", "/login", sent, b"", ROUTES, lenient=False)
    assert strict["headers"] == {**dict(dropped), "X-A": "2", "x-b": "3"}


def test_bytes_travel_as_base64_and_text_as_text() -> None:
    assert event(body=b"\xff\x00")["body"] == base64.b64encode(b"\xff\x00").decode()
    assert event(body=b"x")["isBase64Encoded"] is True
    assert (event(body="{}")["body"], event(body="{}")["isBase64Encoded"]) == ("{}", False)


def test_the_context_says_who_called_and_what_was_matched_and_how_much_time_is_left() -> None:
    made = event_of("GET", "/api/a", [], b"", ROUTES, source_ip="203.0.113.9")["requestContext"]
    assert (made["resourcePath"], made["httpMethod"]) == ("/api/{proxy+}", "GET")
    assert made["identity"]["sourceIp"] == "203.0.113.9"
    assert made["requestId"] != event()["requestContext"]["requestId"]
    assert Context().get_remaining_time_in_millis() <= gateway.LAMBDA_SECONDS * 1000
    assert Context(seconds=0).get_remaining_time_in_millis() <= 0


def result(body: object = "", **more: object) -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"A": "1"}, "body": body, **more}


def test_an_answer_is_utf8_or_base64_and_has_all_its_headers() -> None:
    assert answer_of(result("中")) == (200, [("A", "1")], "中".encode())
    assert answer_of(result("/wA=", isBase64Encoded=True))[2] == b"\xff\x00"
    headers = answer_of(result(multiValueHeaders={"B": ["2", "3"]}))[1]
    assert headers == [("A", "1"), ("B", "2"), ("B", "3")]


BAD_GATEWAY = (502, [("Content-Type", "application/json")], b'{"message": "Internal server error"}')
MALFORMED: list[Any] = [None, "text", {"headers": {}}, {"statusCode": "x"}, result({"a": 1})]
MALFORMED += [result("%", isBase64Encoded=True), result(multiValueHeaders=[1]), result("\ud800")]


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_result_is_a_bad_gateway(malformed: object) -> None:
    assert answer_of(malformed) == BAD_GATEWAY


@pytest.mark.parametrize(
    ("character", "each"), [("a", 1), ("\x00", 6), ("中", 6), ("😀", 12), ("\n", 2)]
)
def test_an_answer_is_measured_as_lambda_writes_it(character: str, each: int) -> None:
    fits = (gateway.MAX_ANSWER - len(json.dumps(result("")))) // each
    assert answer_of(result(character * fits))[0] == 200
    assert answer_of(result(character * (fits + 1))) == BAD_GATEWAY


class Gate:
    """A gateway on a socket; its function notes each event and answers "hello", or `answer`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | Exception | None = None
        application = gateway.Gateway(self._function, ROUTES)
        self.server = serve_wsgi(application, "127.0.0.1", 0, gateway.refuse)
        self.address = ("127.0.0.1", urlsplit(self.server.url).port or 0)
        self.connection = http.client.HTTPConnection(*self.address, timeout=10)

    def _function(self, event: dict[str, Any], _context: object) -> dict[str, Any]:
        self.events.append(event)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or result("hello")

    def ask(self, *request: Any, **more: Any) -> tuple[int, dict[str, str], bytes]:
        """Send a request on a connection that is kept; give status, headers and body."""
        self.connection.request(*request, **more)
        response = self.connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()

    def send(self, sent: bytes) -> bytes:
        """Send bytes, of which the gateway may not take all; read its answer to the end."""
        with socket.create_connection(self.address, timeout=10) as sock, suppress(ConnectionError):
            sock.sendall(sent)
            received = sock.recv(65_536)
            while data := sock.recv(65_536):
                received += data
        return received


@pytest.fixture
def gate() -> Iterator[Gate]:
    started = Gate()
    with closing(started.connection):
        yield started
    started.server.close()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://evil.test/api/a?b=1", "/api/a"),
        (b"http://evil.test:99/login", "/login"),
        (b"http://evil.test", "/"),
        (b"/x://evil.test/login", "/x://evil.test/login"),
        (b"/api/http://evil.test/", "/api/http://evil.test/"),
        (b"/v1/api/a%2fb//c?x=%2525", "/api/a%2fb//c"),
        (b"/v1/v1/login", "/v1/login"),
        (b"/v1", "/v1"),
        (b"/v10/login", "/v10/login"),
    ],
)
def test_a_target_arrives_raw_without_its_stage_and_its_authority_routes_nothing(
    gate: Gate, target: bytes, path: str
) -> None:
    gate.send(b"GET " + target + b" HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
    assert (gate.events[0]["path"], gate.events[0]["requestContext"]["path"]) == (
        path,
        f"/v1{path}",
    )


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"get /login HTTP/1.1", "InvalidRequest"),
        (b"GET /api/canary b HTTP/1.1", "InvalidRequest"),
        (b"GET /login HTTP/1.1\r\ncanary", "InvalidRequest"),
        (b"POST /login HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3", "InvalidRequest"),
        (b"POST /login HTTP/1.1\r\nTransfer-Encoding: canary", "InvalidRequest"),
        (b"GET http://[::canary/login HTTP/1.1", "InvalidPath"),
        (b"GET http://[canary]/login HTTP/1.1", "InvalidPath"),
        (b"GET /api/canary/\xe4\xb8\x8a HTTP/1.1", "InvalidPath"),
        (b"GET /login HTTP/1.1\r\nX-A: " + b"canary" * 50_000, "RequestTooLarge"),
    ],
    ids=lambda value: str(value[:40]),
)
def test_what_is_no_http_is_refused_in_the_contracts_shape(
    gate: Gate, sent: bytes, code: str
) -> None:
    head, _, body = gate.send(sent + b"\r\n\r\n").partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert line.split(" ")[1] == ("413" if code == "RequestTooLarge" else "400")
    assert headers["X-Wxgate-Error"] == json.loads(body)["Code"] == code
    assert headers["X-Request-Id"]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert b"canary" not in head + body
    assert gate.events == []


def test_a_front_door_that_breaks_is_an_error_of_ours(gate: Gate) -> None:
    gate.answer = ZeroDivisionError("canary")
    status, headers, body = gate.ask("GET", "/login")
    assert (status, headers["X-Wxgate-Error"]) == (500, "InternalError")
    assert b"canary" not in body


def test_headers_arrive_and_two_of_a_name_as_one_and_a_forwarded_address_is_not_believed(
    gate: Gate,
) -> None:
    sent = b"X-WX-OPENID: evil\r\nX-A: a\r\nX-A: b\r\nX-Forwarded-For: 203.0.113.9\r\n"
    gate.send(b"GET /login HTTP/1.1\r\nHost: g\r\nConnection: close\r\n" + sent + b"\r\n")
    (seen,) = gate.events
    assert (seen["headers"]["X-Wx-Openid"], seen["headers"]["X-A"]) == ("evil", "a, b")
    assert "Connection" not in seen["headers"]
    assert seen["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"


PIECES = [bytes(range(256)), b"two" * 10_000, b"\xff"]


@pytest.mark.parametrize("body", [b"".join(PIECES), PIECES], ids=["at once", "chunked"])
def test_a_body_arrives_whole(gate: Gate, body: bytes | list[bytes]) -> None:
    gate.ask("POST", "/login", body=body, encode_chunked=isinstance(body, list))
    assert base64.b64decode(gate.events[0]["body"]) == b"".join(PIECES)
    assert "Transfer-Encoding" not in gate.events[0]["headers"]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_ten_megabytes_never_reaches_the_function(gate: Gate, is_chunked: bool) -> None:
    sent = b"x" * (gateway.MAX_REQUEST + 1)
    body = iter([sent]) if is_chunked else sent
    status, _, answer = gate.ask("POST", "/login", body=body, encode_chunked=is_chunked)
    assert (status, json.loads(answer)["Code"]) == (413, "RequestTooLarge")
    assert gate.events == []


def test_idle_connections_do_not_keep_others_out(gate: Gate) -> None:
    with ExitStack() as idle:
        for _ in range(200):
            idle.enter_context(closing(socket.create_connection(gate.address, timeout=10)))
        assert gate.ask("GET", "/health")[0] == 200


def test_headers_go_out_in_utf_8_and_those_of_api_gateway_s_own_renamed_or_dropped(
    gate: Gate,
) -> None:
    names = ["WWW-Authenticate", "Date", "Server", "Connection", "Content-Length"]
    sent = {**dict.fromkeys(names, "1"), "TE": "x", "Upgrade": "x", "X-A": "y"}
    sent["Content-Disposition"] = 'filename="订单.pdf"'
    gate.answer = {**result(), "headers": sent}
    headers = {name.lower(): value for name, value in gate.ask("GET", "/login")[1].items()}
    assert {f"x-amzn-remapped-{name.lower()}": "1" for name in names}.items() <= headers.items()
    assert (headers["x-a"], headers["content-length"]) == ("y", "0")
    assert not {"www-authenticate", "te", "upgrade"} & headers.keys()
    assert headers["content-disposition"].encode("latin-1").decode() == 'filename="订单.pdf"'


@pytest.mark.parametrize(
    ("method", "status", "length"), [("GET", 204, None), ("GET", 304, None), ("HEAD", 200, "0")]
)
def test_a_bodiless_answer_has_no_body_and_leaves_the_next_one_whole(
    gate: Gate, method: str, status: int, length: str | None
) -> None:
    gate.answer = {"statusCode": status, "headers": {}, "body": "ignored"}
    answered, headers, body = gate.ask(method, "/health")
    assert (answered, headers.get("Content-Length"), body) == (status, length, b"")
    gate.answer = None
    assert gate.ask("GET", "/health")[2] == b"hello"


def test_a_connection_is_kept_for_the_next_request(gate: Gate) -> None:
    gate.ask("GET", "/health")
    kept = gate.connection.sock
    assert [gate.ask(method, "/health")[0] for method in ("POST", "HEAD", "GET")] == [200] * 3
    assert gate.connection.sock is kept


@pytest.mark.parametrize("status", [201, 418, 599])
def test_every_status_and_a_large_body_passes(gate: Gate, status: int) -> None:
    gate.answer = result("x" * 5_000_000, statusCode=status)
    answered, _, body = gate.ask("GET", "/health")
    assert (answered, len(body)) == (status, 5_000_000)
