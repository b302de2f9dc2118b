"""The sockets: keep-alive, and the faults that are told from how an answer travels."""

import socket
import time

import pytest
import requests

from simulator.wechat import WeChat, serve
from tests.simulator.wechat_desk import Desk

SNS = "/sns/jscode2session"


def raw(desk: Desk, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", desk.server.port), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_one_connection_carries_many_calls(desk: Desk) -> None:
    request = b"GET /wx/login HTTP/1.1\r\nHost: x\r\n"
    answers = raw(desk, (request + b"\r\n") * 2 + request + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 405 ") == 3


def test_the_first_value_of_a_parameter_counts(desk: Desk) -> None:
    desk.call("GET", f"{SNS}?appid=first&appid=second")
    assert desk.log()[0]["query"] == {"appid": "first"}


def test_a_body_may_come_in_chunks_which_may_have_extensions_and_trailers(desk: Desk) -> None:
    chunks = b"2;x=y\r\n[]\r\n0\r\nX-Trailer: z\r\n\r\n"
    next_call = b"GET /wx/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = b"POST /wx/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = raw(desk, head + chunks + next_call)
    assert b"the body is not a JSON object" in answers
    assert answers.count(b"HTTP/1.1 405 ") == 1


LENGTHS = {b"Transfer-Encoding: gzip": b"411", b"Content-Length: 1000001": b"413"}
LENGTHS[b"Transfer-Encoding: chunked\r\n\r\nf4241"] = b"413"


@pytest.mark.parametrize("header", LENGTHS)
def test_a_body_of_unclear_or_absurd_length_is_refused(desk: Desk, header: bytes) -> None:
    answer = raw(desk, b"POST /wx/login HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + LENGTHS[header])


@pytest.mark.parametrize(("kind", "errcode"), [("reset", None), ("reset_after", 40163)])
def test_a_reset_after_the_call_has_spent_the_code_and_one_before_has_not(
    desk: Desk, kind: str, errcode: int | None
) -> None:
    code = desk.code()
    desk.fault(SNS, kind)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        desk.code2session(code)
    assert desk.exchanged(code).get("errcode") == errcode
    assert [entry["status"] for entry in desk.log()] == [None, 200]


def test_a_timeout_keeps_no_other_waiting_and_the_code_good_and_ends_with_the_server(
    desk: Desk,
) -> None:
    code = desk.code()
    desk.fault(SNS, "timeout")
    with socket.create_connection(("127.0.0.1", desk.server.port), timeout=5) as held:
        held.sendall(f"GET {SNS}?js_code={code} HTTP/1.1\r\n\r\n".encode())
        while not desk.log():
            time.sleep(0.001)
        assert "openid" in desk.exchanged(code)
        assert desk.log()[0]["status"] is None
        desk.server.close()
        assert held.recv(1) == b""


def test_a_held_connection_ends_after_its_time() -> None:
    server = serve(WeChat({}), hold=0.02)
    fault = {"path": SNS, "kind": "timeout"}
    requests.post(f"{server.url}/control/fault", json=fault, timeout=5)
    with pytest.raises(requests.ConnectionError, match="without response"):
        requests.get(server.url + SNS, timeout=5)
    server.close()


@pytest.mark.parametrize("kind", ["drip", "late_0.05"])
def test_an_answer_that_takes_its_time_is_the_right_one(desk: Desk, kind: str) -> None:
    desk.fault(SNS, kind)
    code, started = desk.code(), time.monotonic()
    answer = desk.code2session(code)
    assert "openid" in answer.json()
    assert time.monotonic() - started >= min(len(answer.content) * desk.server.drip_delay, 0.05)
