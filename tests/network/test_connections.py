"""Exchanges on loopback: exact bytes, one deadline, checked addresses, and what is no HTTP."""

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from chalicelib.deadlines import Deadline
from chalicelib.network import exchange_errors as errors
from chalicelib.network.connections import Connections, Origin, Reply
from tests.support.fakes import told_by
from tests.support.loopback import (
    HOST,
    SMALL,
    Act,
    Loopback,
    Peer,
    answers,
    chunked,
    closed_port,
    drips,
    full_backlog,
    hangs_up,
    is_silent,
    repeats,
    resets,
    resets_at_once,
    says,
    says_and_stays,
    whole,
)

LookUp = Callable[[str, int], list[Any]]

ENOUGH = 5.0
SHORT = 0.2


def connections(*, private: bool = True, look_up: LookUp = socket.getaddrinfo) -> Connections:
    return Connections(allow_private=private, connect_timeout=1.0, look_up=look_up)


def send(
    to: Loopback | Origin,
    method: str = "GET",
    target: str = "/",
    *,
    by: Connections | None = None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    deadline: Deadline | None = None,
    max_bytes: int = 1000,
    **options: Any,
) -> Reply:
    """Exchange; `options` are those of Connections.exchange."""
    origin = to if isinstance(to, Origin) else Origin.of(to.url)
    message = (method, target, list(headers), body)
    within = deadline or Deadline.after(ENOUGH)
    return (by or connections()).exchange(origin, message, within, max_bytes=max_bytes, **options)


def reply_to(act: Act, method: str = "GET", *, max_bytes: int = 1000) -> Reply:
    with Loopback(act) as server:
        return send(server, method, max_bytes=max_bytes)


def at(port: int, address: str = HOST) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))


def resolving_to(*entries: tuple[Any, ...]) -> Connections:
    return connections(look_up=lambda _host, _port: list(entries))


def ticking(*times: float) -> Deadline:
    """A deadline at 9 by a clock that shows these times, one at each look; the last remains."""
    left = list(times)
    return Deadline(9, lambda: left.pop(0) if len(left) > 1 else left[0])


def test_the_given_bytes_go_out_and_nothing_else() -> None:
    body = bytes(range(256)) * 20_000
    headers = [("x-a", "1"), ("x-a", "2"), ("Content-Type", "a/b")]
    with Loopback(answers()) as server:
        send(server, "POST", "/base/%E4%B8%8A/%2e?a=%2F&a=1", headers=headers, body=body)
    assert server.received == [
        b"POST /base/%E4%B8%8A/%2e?a=%2F&a=1 HTTP/1.1\r\nContent-Length: 5120000\r\n"
        + f"Host: {HOST}:{server.port}\r\n".encode()
        + b"x-a: 1\r\nx-a: 2\r\nContent-Type: a/b\r\n\r\n"
        + body
    ]


@pytest.mark.parametrize(
    ("method", "body", "lengths"),
    [
        *[(method, b"", []) for method in ("GET", "HEAD", "DELETE")],
        *[(method, b"", ["0"]) for method in ("POST", "PUT", "PATCH")],
        *[(method, b"12345", ["5"]) for method in ("GET", "DELETE", "POST")],
    ],
)
def test_a_body_has_its_length_and_no_body_only_where_one_is_expected(
    method: str, body: bytes, lengths: list[str]
) -> None:
    with Loopback(answers()) as server:
        send(server, method, body=body)
    assert server.requests[0].values("content-length") == lengths
    assert server.requests[0].body == body


@pytest.mark.parametrize("host", ["api.test", "2001:db8::a"])
def test_the_host_header_is_the_origins_whatever_its_address(host: str) -> None:
    with Loopback(answers()) as server:
        origin = Origin("http", host, 80)
        send(origin, by=resolving_to(at(server.port)))
    assert server.requests[0].values("host") == [origin.authority]


BREAKING = [
    *({"target": target} for target in ("/a b", "/a\r\nX: y", "/a\x00", "/上")),
    *({"headers": [("X-A", value)]} for value in ("a\r\nX: y", "a\nX: y", "a\rX: y", "上")),
]


@pytest.mark.parametrize("given", BREAKING)
def test_what_would_break_the_request_is_not_sent(given: dict[str, Any]) -> None:
    with Loopback(answers()) as server, pytest.raises(errors.Broken):
        send(server, **given)
    assert server.received == []


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(answers()) as server, Loopback(answers()) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        send(server)
    assert (server.connections, proxy.connections) == (1, 0)


def test_an_answer_comes_as_it_is() -> None:
    headers = "b: 1\r\nA: 2\r\nSet-Cookie: x\r\nSet-Cookie: y\r\n"
    assert reply_to(answers(b"\x00\xff\r\n", status="599 Teapot", headers=headers)) == Reply(
        599,
        [("b", "1"), ("A", "2"), ("Set-Cookie", "x"), ("Set-Cookie", "y"), ("Content-Length", "4")],
        b"\x00\xff\r\n",
    )


@pytest.mark.parametrize(
    "answer",
    [
        chunked(b"3\r\nabc\r\n7\r\ndefghij\r\n0\r\n\r\n"),
        chunked(b"a;x=y\r\nabcdefghij\r\n0\r\nX-Trailer: z\r\n\r\n"),
        chunked(b"A \t\nabcdefghij\r\n" + b"0" * 15 + b"\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\na\r\nabcdefghij\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nabcdefghij",
        b"HTTP/1.0 200 OK\r\nContent-Length: 10 \r\n\r\nabcdefghij",
        b"HTTP/1.1 200\r\nContent-Length: 10\r\nContent-Length: 10\r\n\r\nabcdefghij",
        b"HTTP/1.1 200 OK\nContent-Length: 10\n\nabcdefghijk",
    ],
)
def test_a_body_ends_where_its_framing_says(answer: bytes) -> None:
    assert reply_to(says(answer)).body == b"abcdefghij"


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Same")]
)
@pytest.mark.parametrize(
    "framing", ["Content-Length: 1000", "Transfer-Encoding: chunked", "X-A: 1"]
)
def test_an_answer_without_body_ends_with_its_head_whatever_that_says(
    method: str, status: str, framing: str
) -> None:
    answer = f'HTTP/1.1 {status}\r\n{framing}\r\nETag: "x"\r\n\r\n'.encode()
    reply = reply_to(says_and_stays(answer), method)
    assert (reply.status, reply.body) == (int(status[:3]), b"")
    assert ("ETag", '"x"') in reply.headers


@pytest.mark.parametrize("interim", [100, 102, 103, 199])
def test_an_interim_answer_is_skipped_with_its_headers(interim: int) -> None:
    first = f"HTTP/1.1 {interim} Wait\r\nLink: <x>\r\n\r\n".encode()
    reply = reply_to(says(first + first + whole(b"end")))
    assert reply == Reply(200, [("Content-Length", "3")], b"end")


# Beside those of the corpus of faults (UP-11, UP-18, UP-19, UP-24, UP-25).
BROKEN = {
    "garbage": b"garbage\r\n\r\n",
    "no status line": b"\r\n\r\n",
    "another protocol": b"HTTP/2 200 OK\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    "status 600": whole(status="600 Odd"),
    "a status with a sign": whole(status="+200 OK"),
    "a status after a tab": b"HTTP/1.1\t200\tOK\r\nContent-Length: 0\r\n\r\n",
    "a protocol in words": b"HTTP/1.x 200 OK\r\nContent-Length: 0\r\n\r\n",
    "an interim status that is none": b"HTTP/1.1 1_03 Hints\r\n\r\n" + whole(),
    "CR in the status line": whole(status="200 OK\rX-A: 1"),
    "CR before CRLF": b"HTTP/1.1 200 OK\r\nX-A: x\r\r\nContent-Length: 100\r\n\r\n[1,2,",
    "CR in an interim header": b"HTTP/1.1 103 Hints\r\nLink: x\r\r\n\r\n" + whole(),
    "CR in a chunk's extension": chunked(b"2;x\ry\r\nok\r\n0\r\n\r\n"),
    "CR in a trailer": chunked(b"2\r\nok\r\n0\r\nX-A: x\ry\r\n\r\n"),
    "switching protocols": b"HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\n\r\n\x00\x00",
    "a status line of 100 kB": whole(status=f"200 {'a' * 100_000}"),
    "a blank before the colon": whole(b"ok", headers="X-A : 1\r\n"),
    "a control in a header's name": whole(b"ok", headers="X\x01A: 1\r\n"),
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a length with underscore": b"HTTP/1.1 200 OK\r\nContent-Length: 0_2\r\n\r\nok",
    "a length without end": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\nok",
    "a length beside a coding": whole(b"0\r\n\r\n", headers="Transfer-Encoding: chunked\r\n"),
    "two codings in one": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": b"HTTP/1.1 200 OK\r\n"
    + b"Transfer-Encoding: chunked\r\n" * 2
    + b"\r\n0\r\n\r\n",
    "a chunk without size": chunked(b"\r\n"),
    "a chunk size with a sign": chunked(b"+2\r\nok\r\n0\r\n\r\n"),
    "a negative chunk size": chunked(b"-1\r\n" + b"a" * 2000),
    "a chunk size after a blank": chunked(b" 2\r\nok\r\n0\r\n\r\n"),
    "a chunk size with 0x": chunked(b"0x2\r\nok\r\n0\r\n\r\n"),
    "a chunk size of sixteen digits": chunked(b"0" * 15 + b"2\r\nok\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": chunked(b"2\r\nokay0\r\n\r\n"),
    "a chunk that is short": chunked(b"ff\r\nok"),
    "no last chunk": chunked(b"2\r\nok\r\n"),
    "no end of the trailers": chunked(b"2\r\nok\r\n0\r\nX-A: 1\r\n"),
    "headers that end early": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-",
    "headers that end after a line": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_http_is_broken(answer: bytes) -> None:
    with Loopback(says(answer)) as server, pytest.raises(errors.Broken):
        send(server, max_bytes=200_000, retry_on=(errors.NoAnswer,))
    assert server.connections == 1


def test_a_line_without_end_is_not_waited_for() -> None:
    with pytest.raises(errors.Broken):
        reply_to(says_and_stays(chunked(b"0" * 65_537)))


@pytest.mark.parametrize("act", [says(), resets(), hangs_up, resets_at_once])
@pytest.mark.parametrize("size", [4, 2_000_000])
def test_a_connection_that_ends_before_the_answer_is_no_answer(act: Act, size: int) -> None:
    with Loopback(act) as server, pytest.raises(errors.NoAnswer):
        send(server, "POST", body=bytes(size))
    assert server.connections == 1


@pytest.mark.parametrize(
    "act",
    [
        says_and_stays(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"),
        says_and_stays(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1001),
        says_and_stays(chunked(b"3e9\r\n" + b"a" * 1001)),
        repeats(chunked(), b"400\r\n" + b"a" * 1024 + b"\r\n"),
        says_and_stays(chunked(b"ffffffffffff\r\n" + b"a" * 2000)),
        repeats(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65_536),
    ],
    ids=["length", "no length", "chunk", "endless chunks", "huge chunk", "endless"],
)
def test_a_longer_body_is_not_read_to_its_end(act: Act) -> None:
    assert reply_to(answers(b"a" * 1000), max_bytes=1000).body == b"a" * 1000
    with pytest.raises(errors.TooLarge):
        reply_to(act, max_bytes=1000)


# Beside those of the corpus of faults (UP-07, UP-09).
SLOW: dict[str, Act] = {
    "headers in drips": drips(b"X-A: 1\r\n" * 20, after=b"HTTP/1.1 200 OK\r\n"),
    "a body without length in drips": drips(b"a" * 50, after=b"HTTP/1.1 200 OK\r\n\r\n"),
    "chunks in drips": drips(b"1\r\na\r\n" * 20, after=chunked()),
    "trailers in drips": drips(b"X-A: 1\r\n" * 20, after=chunked(b"0\r\n")),
    "interim answers in drips": drips(b"HTTP/1.1 103 Hints\r\n\r\n" * 20),
    "interim answers without end": repeats(b"", b"HTTP/1.1 103 Hints\r\n\r\n"),
}


@pytest.mark.parametrize("act", SLOW.values(), ids=SLOW.keys())
def test_the_deadline_is_for_the_whole_exchange(act: Act) -> None:
    with Loopback(act) as server:
        with pytest.raises(errors.TimedOut):
            send(server, deadline=Deadline.after(SHORT))
        assert server.connections == 1


def test_a_peer_that_reads_slowly_does_not_outlast_the_deadline(tls: ssl.SSLContext | None) -> None:
    def reads_slowly(peer: Peer) -> None:
        while peer.wait(0.01) and peer.sock.recv(SMALL * 4):
            pass

    with Loopback(reads_slowly, tls=tls, buffer=SMALL) as server, pytest.raises(errors.TimedOut):
        send(server, "POST", body=bytes(8_000_000), deadline=Deadline.after(2 * SHORT))


@pytest.mark.parametrize(("timeout", "left"), [(600, SHORT), (SHORT, 600)])
def test_connecting_ends_at_the_deadline_or_the_time_of_an_address(
    timeout: float, left: float
) -> None:
    by = Connections(allow_private=True, connect_timeout=timeout)
    with full_backlog() as port, pytest.raises(errors.ConnectTimeout):
        send(Origin("http", HOST, port), by=by, deadline=Deadline.after(left))


@pytest.mark.parametrize("times", [(9,), (10,), (0, 9), (0, 1, 9)], ids=str)
def test_without_time_to_connect_or_once_connected_nothing_is_sent(times: tuple[float]) -> None:
    failure = errors.TimedOut if len(times) == 3 else errors.ConnectTimeout
    with Loopback(answers()) as server, pytest.raises(failure):
        send(server, deadline=ticking(*times))
    assert (server.connections, server.received) == (len(times) == 3, [])


def test_a_look_up_that_hangs_ends_at_the_deadline() -> None:
    answered = threading.Event()

    def hang(_host: str, _port: int) -> list[Any]:
        assert answered.wait(ENOUGH)
        return []

    by, deadline = connections(look_up=hang), Deadline.after(SHORT)
    with pytest.raises(errors.ConnectTimeout):
        send(Origin("http", "slow.test", 80), by=by, deadline=deadline)
    answered.set()


@pytest.mark.parametrize("host", [HOST, "localhost", "2130706433", "0x7f.1", "127.1"])
def test_a_private_host_gets_no_connection_in_any_spelling(host: str) -> None:
    with Loopback(answers()) as server, pytest.raises(errors.AddressForbidden):
        send(Origin("http", host, server.port), by=connections(private=False))
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_contacted() -> None:
    looked_up = []

    def look_up(host: str, port: int) -> list[tuple[Any, ...]]:
        looked_up.append((host, port))
        return [at(server.port, "169.254.169.254"), at(server.port)]

    with Loopback(answers()) as server:
        send(Origin("http", "api.test", 80), by=connections(look_up=look_up))
    assert looked_up == [("api.test", 80)]
    assert server.connections == 1


def test_the_next_address_is_tried_if_one_does_not_accept() -> None:
    with Loopback(answers()) as server:
        assert send(server, by=resolving_to(at(closed_port()), at(server.port))).status == 200


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".test"])
def test_a_host_that_is_no_name_is_unresolved(host: str) -> None:
    with pytest.raises(errors.Unresolved):
        send(Origin("http", host, 80))


@pytest.mark.parametrize(
    ("answer", "failure"), [(b"HTTP/1.1 200 OK\r\n\r\n[1,2", errors.Broken), (b"", errors.NoAnswer)]
)
def test_an_answer_that_tls_does_not_end_is_not_complete(
    trusted: ssl.SSLContext, answer: bytes, failure: type[errors.TransportError]
) -> None:
    with Loopback(says(answer), tls=trusted) as server, pytest.raises(failure):
        send(server)


def test_a_body_in_drips_over_tls_ends_at_the_deadline(trusted: ssl.SSLContext) -> None:
    with Loopback(drips(whole(b"a" * 50)), tls=trusted) as server, pytest.raises(errors.TimedOut):
        send(server, deadline=Deadline.after(1))


def test_a_peer_that_speaks_no_tls_is_not_trusted() -> None:
    def plain(peer: Peer) -> None:
        peer.send(whole(b"plain"))
        peer.read_to_the_end()

    with Loopback(plain) as server, pytest.raises(errors.NotTrusted):
        send(Origin("https", HOST, server.port))
    assert b"GET" not in server.received[0]


@pytest.mark.parametrize("act", [hangs_up, resets_at_once])
def test_a_peer_that_leaves_in_the_handshake_refuses(act: Act) -> None:
    with Loopback(act) as server, pytest.raises(errors.Refused):
        send(Origin("https", HOST, server.port))


@pytest.mark.parametrize("deadline", [lambda: Deadline.after(SHORT), lambda: ticking(0, 1, 9)])
def test_a_handshake_ends_at_the_deadline(deadline: Callable[[], Deadline]) -> None:
    with Loopback(is_silent) as server, pytest.raises(errors.ConnectTimeout):
        send(Origin("https", HOST, server.port), deadline=deadline())


def test_tls_before_1_2_is_not_spoken(trusted: ssl.SSLContext) -> None:
    trusted.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        trusted.minimum_version = trusted.maximum_version = ssl.TLSVersion.TLSv1_1
    with Loopback(answers(), tls=trusted) as server, pytest.raises(errors.NotTrusted):
        send(server)
    assert server.received == []


@pytest.mark.parametrize(
    ("act", "failure"), [(says(b"canary\r\n\r\n"), errors.Broken), (resets(), errors.NoAnswer)]
)
def test_an_error_says_nothing(act: Act, failure: type[errors.TransportError]) -> None:
    with Loopback(act) as server, pytest.raises(failure) as caught:
        send(server, target="/?secret=canary")
    assert (str(caught.value), caught.value.args) == ("", ())
    assert "canary" not in told_by(caught.value)
