"""Which connections are used again, and what is sent a second time."""

import gc
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from chalicelib.deadlines import IDLE, Deadline
from chalicelib.network import exchange_errors as errors
from chalicelib.network.connections import MAX_IDLE, Connections, Origin
from tests.network.test_connections import at, connections, send, ticking
from tests.support.fakes import Clock
from tests.support.loopback import (
    HOST,
    SMALL,
    Act,
    Loopback,
    Peer,
    answers,
    chunked,
    closed_port,
    resets,
    says_and_stays,
    whole,
)

SAFE = (errors.Refused, errors.Stale)


@pytest.mark.parametrize(
    ("answer", "method"),
    [
        (whole(b"ok"), "GET"),
        (whole(b"ok"), "POST"),
        (whole(), "GET"),
        (chunked(b"2\r\nok\r\n0\r\n\r\n"), "GET"),
        (chunked(b"2\r\nok\r\n0\r\nX-Trailer: x\r\n\r\n"), "GET"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "DELETE"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", "GET"),
        (b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n" + whole(b"ok"), "GET"),
        (whole(b"ok", status=500, headers="Connection: keep-alive\r\n"), "POST"),
    ],
)
def test_a_connection_is_used_again_after_a_regular_answer(answer: bytes, method: str) -> None:
    def act(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)

    with Loopback(act) as server:
        kept = connections()
        first, second = (send(server, method, by=kept) for _ in range(2))
    assert first == second
    assert (server.connections, len(server.requests)) == (1, 2)


IRREGULAR = {
    "close": whole(headers="Connection: close\r\n"),
    "close, in another line": whole(headers="Connection: keep-alive\r\nConnection: Close\r\n"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "1.0 keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    "a second answer at once": whole(b"ok") + whole(b"smuggled"),
    "a second answer after chunks": chunked(b"2\r\nok\r\n0\r\n\r\n") + whole(b"smuggled"),
    "a body where none may be": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    "a coding where no body may be": b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n",
}
FAILING = {
    "a long body": whole(b"a" * 2000),
    "no HTTP": chunked(b"0x2\r\nok\r\n0\r\n\r\n"),
    "a short body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
}


@pytest.mark.parametrize("name", [*IRREGULAR, *FAILING])
def test_a_connection_is_not_used_again_after_an_irregular_answer_or_a_failure(name: str) -> None:
    answer = {**IRREGULAR, **FAILING}[name]
    with Loopback(says_and_stays(answer), answers(b"next")) as server:
        kept = connections()
        with pytest.raises(errors.TransportError) if name in FAILING else nullcontext():
            send(server, by=kept, deadline=Deadline.after(1))
        assert send(server, by=kept).body == b"next"
    assert server.connections == 2


def test_a_connection_on_which_a_body_was_not_sent_to_its_end_is_not_used_again() -> None:
    left = threading.Event()

    def refuses(peer: Peer) -> None:
        peer.sock.recv(10)
        peer.send(whole(status="413 Too Large"))
        peer.wait(0.05)
        peer.sock.close()
        left.set()

    with Loopback(refuses, answers(b"next"), buffer=SMALL) as server:
        kept = connections()
        assert send(server, "POST", body=bytes(20_000_000), by=kept).status == 413
        assert left.wait(5)
        assert send(server, "POST", by=kept).body == b"next"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("passed", "connected"), [(0, 1), (IDLE - 0.1, 1), (IDLE, 2), (86_400, 2), (-0.1, 2)]
)
def test_a_connection_is_used_again_within_ten_seconds_by_the_wall_clock(
    clock: Clock, passed: float, connected: int
) -> None:
    kept = Connections(allow_private=True, connect_timeout=1.0, wall=clock)
    with Loopback(answers()) as server:
        send(server, by=kept)
        clock.advance(passed)
        send(server, by=kept)
    assert server.connections == connected


MEANWHILE: list[Act] = [
    *(Peer.reset, lambda peer: peer.sock.shutdown(1), lambda peer: peer.send(whole(b"smuggled")))
]


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_a_post_goes_on_a_new_connection_if_the_peer_closed_or_spoke_meanwhile(
    meanwhile: Act, tls: ssl.SSLContext | None
) -> None:
    go, gone = threading.Event(), threading.Event()

    def act(peer: Peer) -> None:
        peer.read_request()
        peer.send(whole(b"first"))
        assert go.wait(5)
        meanwhile(peer)
        peer.wait(0.05)  # until it has arrived, also on a busy machine
        gone.set()

    with Loopback(act, answers(b"second"), tls=tls) as server:
        kept = connections()
        assert send(server, by=kept).body == b"first"
        go.set()
        assert gone.wait(5)
        assert send(server, "POST", body=b"once", by=kept).body == b"second"
    assert server.connections == 2
    assert [request.body for request in server.requests] == [b"", b"once"]


def test_a_connection_is_never_shared_by_two_threads() -> None:
    both = threading.Barrier(2)

    def act(peer: Peer) -> None:
        body = peer.read_request().body
        both.wait(5)
        peer.send(whole(body))

    kept = connections()
    with Loopback(act) as server, ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            replies = list(pool.map(lambda n: send(server, "POST", body=n, by=kept), (b"1", b"2")))
            assert [reply.body for reply in replies] == [b"1", b"2"]
    assert server.connections == 2


def opened(server: Loopback, kept: Connections, count: int) -> None:
    for _ in range(count):
        kept.open(Origin.of(server.url), Deadline.after(5))


def test_the_newest_connection_is_used_first() -> None:
    kept = connections()
    with Loopback(answers()) as server:
        opened(server, kept, 2)
        for _ in range(2):
            send(server, by=kept)
    assert (server.connections, len(server.received)) == (2, 1)


def test_at_most_thirty_two_connections_idle() -> None:
    all_at_once = threading.Barrier(MAX_IDLE + 1)

    def act(peer: Peer) -> None:
        peer.read_request()
        all_at_once.wait(5)
        peer.send(whole())

    kept = connections()
    with Loopback(act) as server, ThreadPoolExecutor(MAX_IDLE + 1) as pool:
        opened(server, kept, MAX_IDLE + 1)  # one of these is closed at once
        list(pool.map(lambda _: send(server, by=kept), range(MAX_IDLE + 1)))
        assert server.connections == MAX_IDLE + 2


def test_each_origin_has_connections_of_its_own() -> None:
    kept = connections()
    with Loopback(answers(b"one")) as one, Loopback(answers(b"two")) as two:
        bodies = [send(server, by=kept).body for server in (one, two, one, two)]
    assert bodies == [b"one", b"two", b"one", b"two"]
    assert (one.connections, two.connections) == (1, 1)


def test_a_connection_may_be_opened_ahead(tls: ssl.SSLContext | None) -> None:
    kept = connections()
    with Loopback(answers(b"ok"), tls=tls) as server:
        kept.open(Origin.of(server.url), Deadline.after(5))
        # TLS 1.3 session tickets have made the socket readable by now.
        assert [send(server, by=kept).body for _ in range(2)] == [b"ok", b"ok"]
    assert server.connections == 1


def test_a_connection_that_cannot_be_opened_ahead_says_so() -> None:
    with pytest.raises(errors.NotConnected):
        connections().open(Origin("http", HOST, closed_port()), Deadline.after(5))


def test_closing_drops_what_is_idle() -> None:
    kept = connections()
    with Loopback(answers()) as server:
        opened(server, kept, 1)
        kept.close()
        send(server, by=kept)
    assert server.connections == 2


def test_connections_that_nobody_refers_to_are_closed() -> None:
    closed = threading.Event()

    def act(peer: Peer) -> None:
        peer.read_request()
        peer.send(whole())
        peer.read_to_the_end()
        closed.set()

    with Loopback(act) as server:
        kept = connections()
        send(server, by=kept)
        del kept
        gc.collect()
        assert closed.wait(5)


def test_a_request_is_sent_again_if_its_caller_says_so() -> None:
    with Loopback(answers(), resets(), answers(b"again"), resets(), answers()) as server:
        kept = connections()
        send(server, by=kept)
        assert send(server, by=kept, retry_on=SAFE).body == b"again"
        with pytest.raises(errors.Stale):
            send(server, "POST", by=kept, retry_on=errors.UNSENT)
    assert (server.connections, len(server.requests)) == (2, 4)


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\n"])
def test_a_request_is_not_sent_again_once_a_byte_of_the_answer_came(begun: bytes) -> None:
    with Loopback(answers(), resets(begun), answers()) as server:
        kept = connections()
        send(server, by=kept)
        with pytest.raises(errors.Broken):
            send(server, by=kept, retry_on=SAFE)
    assert len(server.requests) == 2


def test_a_request_is_not_sent_again_after_a_new_connection_ended() -> None:
    with Loopback(resets(), answers()) as server:
        with pytest.raises(errors.NoAnswer) as caught:
            send(server, retry_on=SAFE)
        assert caught.type is errors.NoAnswer
    assert len(server.requests) == 1


def test_a_request_is_sent_twice_at_most_and_the_second_time_on_a_new_connection() -> None:
    with Loopback(answers(), resets(), resets()) as server:
        kept = connections()
        opened(server, kept, 2)
        send(server, by=kept)
        with pytest.raises(errors.NoAnswer):
            send(server, by=kept, retry_on=SAFE)
    assert (server.connections, len(server.requests)) == (3, 3)


def refusing_first(server: Loopback) -> Connections:
    ports = [closed_port(), server.port]
    return connections(look_up=lambda _host, _port: [at(ports.pop(0))])


def test_a_second_connection_is_tried_if_the_caller_says_so() -> None:
    with Loopback(answers(b"ok")) as server:
        assert send(server, "POST", by=refusing_first(server), retry_on=errors.UNSENT).body == b"ok"
        with pytest.raises(errors.Refused):
            send(server, "POST", by=refusing_first(server))
    assert len(server.requests) == 1


def test_without_time_there_is_no_second_attempt() -> None:
    deadline = ticking(0, 1, 9)
    with Loopback(answers()) as server, pytest.raises(errors.Refused):
        send(server, by=refusing_first(server), retry_on=SAFE, deadline=deadline)
    assert server.connections == 0
