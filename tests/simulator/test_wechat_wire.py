"""The sockets: keep-alive, and the faults that are told from how an answer travels."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from simulator.wechat import WeChat, serve
from tests.simulator.wechat_desk import Desk

SNS = "/sns/jscode2session"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


def log(desk: Desk) -> Any:
    return desk.call("GET", "/control/log").json()


def raw(desk: Desk, request: bytes) -> bytes:
    """Send bytes on a connection of their own, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", desk.server.port), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_one_connection_carries_many_calls(desk: Desk) -> None:
    request = b"GET /wx/login HTTP/1.1\r\nHost: x\r\n"
    answers = raw(desk, (request + b"\r\n") * 2 + request + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 405 ") == 3


def test_the_first_value_of_a_parameter_counts(desk: Desk) -> None:
    desk.call("GET", f"{SNS}?appid=first&appid=second")
    assert log(desk)[0]["query"] == {"appid": "first"}


def test_a_body_may_come_in_chunks(desk: Desk) -> None:
    pieces = iter([b'{"appid": "wx4f4bc4dec97d474b",', b' "user": "ann"}'])
    assert len(desk.call("POST", "/wx/login", data=pieces).json()["code"]) == 32


def test_a_body_in_chunks_may_have_extensions_and_trailers(desk: Desk) -> None:
    chunks = b"2;x=y\r\n[]\r\n0\r\nX-Trailer: z\r\n\r\n"
    next_call = b"GET /wx/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = b"POST /wx/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = raw(desk, head + chunks + next_call)
    assert b"the body is not a JSON object" in answers
    assert answers.count(b"HTTP/1.1 405 ") == 1


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Content-Length: -1", b"411"),
        (b"Transfer-Encoding: gzip", b"411"),
        (b"Transfer-Encoding: chunked\r\n\r\nmany", b"411"),
        (b"Transfer-Encoding: chunked\r\n\r\n-1", b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\nf4241", b"413"),
        (b"Content-Length: 1000001", b"413"),
    ],
)
def test_a_body_of_unclear_or_absurd_length_is_refused(
    desk: Desk, header: bytes, status: bytes
) -> None:
    answer = raw(desk, b"POST /wx/login HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_a_head_has_no_body(desk: Desk) -> None:
    answer = desk.call("HEAD", "/nowhere")
    assert (answer.status_code, answer.content) == (404, b"")


def test_a_reset_before_the_call_leaves_the_code_good(desk: Desk) -> None:
    code = desk.code()
    desk.fault(SNS, "reset")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        desk.code2session(code)
    assert "openid" in desk.code2session(code).json()


def test_a_reset_after_the_call_has_spent_the_code(desk: Desk) -> None:
    code = desk.code()
    desk.fault(SNS, "reset_after")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        desk.code2session(code)
    assert desk.code2session(code).json()["errcode"] == 40163
    assert [entry["status"] for entry in log(desk)] == [None, 200]


def test_a_timeout_never_answers_and_leaves_the_code_good(desk: Desk) -> None:
    code = desk.code()
    desk.fault(SNS, "timeout")
    with pytest.raises(requests.ReadTimeout):
        desk.http.get(desk.server.url + SNS, timeout=0.05)
    assert "openid" in desk.code2session(code).json()
    assert log(desk)[0]["status"] is None


@contextmanager
def held_connection(desk: Desk) -> Iterator[socket.socket]:
    """Open a connection whose call has arrived and gets no answer."""
    desk.fault(SNS, "timeout")
    with socket.create_connection(("127.0.0.1", desk.server.port), timeout=5) as connection:
        connection.sendall(f"GET {SNS} HTTP/1.1\r\n\r\n".encode())
        while not log(desk):
            time.sleep(0.001)
        yield connection


def test_others_are_answered_while_one_is_held(desk: Desk) -> None:
    with held_connection(desk):
        assert desk.session_key()


def test_a_held_connection_ends_with_the_server(desk: Desk) -> None:
    with held_connection(desk) as connection:
        desk.server.close()
        assert connection.recv(1) == b""


def test_a_held_connection_ends_after_its_time() -> None:
    server = serve(WeChat({}), hold=0.02)
    fault = {"path": SNS, "kind": "timeout"}
    requests.post(f"{server.url}/control/fault", json=fault, timeout=5)
    with pytest.raises(requests.ConnectionError, match="without response"):
        requests.get(server.url + SNS, timeout=5)
    server.close()


def test_a_dripped_answer_is_the_right_one_byte_by_byte(desk: Desk) -> None:
    desk.fault(SNS, "drip")
    code, started = desk.code(), time.monotonic()
    answer = desk.code2session(code)
    assert "openid" in answer.json()
    assert time.monotonic() - started >= len(answer.content) * desk.server.drip_delay


def test_a_late_answer_is_the_right_one(desk: Desk) -> None:
    desk.fault(SNS, "late_0.05")
    started = time.monotonic()
    assert "openid" in desk.code2session(desk.code()).json()
    assert time.monotonic() - started >= 0.05


def test_a_port_in_use_is_an_error(desk: Desk) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(WeChat({}), port=desk.server.port)


def test_closing_twice_does_no_harm(desk: Desk) -> None:
    desk.server.close()
    desk.server.close()
