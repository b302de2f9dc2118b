"""The door to the network: one exchange, one deadline, checked addresses, exact bytes."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chalicelib.network.connections import (
    CHUNK,
    MAX_LINE,
    AddressForbidden,
    Broken,
    ConnectTimeout,
    NoAnswer,
    NotConnected,
    NotTrusted,
    Origin,
    Refused,
    Reply,
    TimedOut,
    TooLarge,
    Transport,
    TransportError,
    Unresolved,
    permitted,
    within,
)
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
    reads_slowly,
    repeats,
    resets,
    resets_at_once,
    says,
    says_and_stays,
    self_signed,
    whole,
)

LOCAL = Transport(allow_private=True)
GENEROUS = 5.0
SHORT = 0.3


def ask(
    origin: Origin,
    method: str = "GET",
    target: str = "/",
    *,
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
    seconds: float = GENEROUS,
    cap: int = 1000,
    transport: Transport = LOCAL,
) -> Reply:
    return transport.exchange(origin, method, target, headers or [], body, seconds=seconds, cap=cap)


def reply_to(act: Act, method: str = "GET", *, cap: int = 1000) -> Reply:
    with Loopback(act) as server:
        return ask(Origin.of(server.url), method, cap=cap)


@contextmanager
def over_within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def at(port: int, address: str = HOST, family: int = socket.AF_INET) -> tuple[Any, ...]:
    """An entry as getaddrinfo gives it."""
    return (family, socket.SOCK_STREAM, 0, "", (address, port))


def names(*entries: tuple[Any, ...], private: bool = True) -> Transport:
    """A transport in whose world every name has these addresses."""
    return Transport(allow_private=private, look_up=lambda _host, _port: list(entries))


# --- what goes out -------------------------------------------------------------------------------


def test_the_given_bytes_go_out_and_nothing_else() -> None:
    body = bytes(range(256))
    with Loopback(answers()) as server:
        ask(
            Origin.of(server.url),
            "POST",
            "/base/%E4%B8%8A/%2e?a=%2F&a=1",
            headers=[("x-a", "1"), ("X-A", "2"), ("Content-Type", "a/b")],
            body=body,
        )
    assert server.received == [
        b"POST /base/%E4%B8%8A/%2e?a=%2F&a=1 HTTP/1.1\r\n"
        + f"Host: {HOST}:{server.port}\r\n".encode()
        + b"x-a: 1\r\nX-A: 2\r\nContent-Type: a/b\r\n"
        + b"Content-Length: 256\r\nConnection: close\r\n\r\n"
        + body
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_what_needs_no_body_has_no_length(method: str) -> None:
    with Loopback(answers()) as server:
        ask(Origin.of(server.url), method)
    assert b"ength" not in server.received[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_empty_body_has_the_length_nought(method: str) -> None:
    with Loopback(answers()) as server:
        ask(Origin.of(server.url), method)
    assert server.received[0].count(b"Content-Length: 0\r\n") == 1


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_body_that_is_not_expected_has_its_length_once(method: str) -> None:
    with Loopback(answers()) as server:
        ask(Origin.of(server.url), method, body=b"12345")
    assert server.received[0].count(b"Content-Length: 5\r\n") == 1
    assert server.received[0].endswith(b"\r\n\r\n12345")


def test_a_request_in_a_body_is_a_body() -> None:
    smuggled = b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
    with Loopback(answers()) as server:
        ask(Origin.of(server.url), "POST", body=smuggled)
    assert server.connections == 1
    assert f"Content-Length: {len(smuggled)}\r\n".encode() in server.received[0]
    assert server.received[0].endswith(b"\r\n\r\n" + smuggled)


def test_a_body_of_megabytes_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    with Loopback(answers()) as server:
        ask(Origin.of(server.url), "PUT", body=body)
    assert server.received[0].partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (Origin("https", "api.test", 443), "api.test"),
        (Origin("https", "api.test", 80), "api.test:80"),
        (Origin("http", "api.test", 80), "api.test"),
        (Origin("http", "api.test", 443), "api.test:443"),
        (Origin("https", "::1", 443), "[::1]"),
        (Origin("http", "::1", 8080), "[::1]:8080"),
    ],
)
def test_the_host_header_has_no_port_where_it_is_the_schemes_own(origin: Origin, host: str) -> None:
    assert origin.authority == host


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.test/base?a=1#b", Origin("https", "api.test", 443)),
        ("http://api.test", Origin("http", "api.test", 80)),
        ("https://api.test:8443/", Origin("https", "api.test", 8443)),
        ("http://[::1]:8080/x", Origin("http", "::1", 8080)),
        ("http:///x", Origin("http", "", 80)),
    ],
)
def test_an_origin_is_read_from_a_url(url: str, origin: Origin) -> None:
    assert Origin.of(url) == origin


def test_the_host_header_is_the_origins_whatever_its_address() -> None:
    with Loopback(answers()) as server:
        ask(Origin("http", "api.test", 80), transport=names(at(server.port)))
    assert b"\r\nHost: api.test\r\n" in server.received[0]


def test_an_ipv6_host_stands_in_brackets_on_the_wire() -> None:
    with Loopback(answers()) as server:
        ask(Origin("http", "2001:db8::a", 80), transport=names(at(server.port)))
    assert b"\r\nHost: [2001:db8::a]\r\n" in server.received[0]


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\x00", "/上"])
def test_a_target_that_would_break_the_request_line_is_not_sent(target: str) -> None:
    with Loopback(answers()) as server, pytest.raises(Broken):
        ask(Origin.of(server.url), target=target)
    assert server.received == []


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rX: y", "上"])
def test_a_header_that_would_break_the_head_is_not_sent(value: str) -> None:
    with Loopback(answers()) as server, pytest.raises(Broken):
        ask(Origin.of(server.url), headers=[("X-A", value)])
    assert server.received == []


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(answers()) as server, Loopback(answers()) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        ask(Origin.of(server.url))
    assert (server.connections, proxy.connections) == (1, 0)


# --- what comes back -----------------------------------------------------------------------------


def test_an_answer_comes_as_it_is() -> None:
    headers = "b: 1\r\nA: 2\r\nSet-Cookie: x\r\nSet-Cookie: y\r\n"
    reply = reply_to(answers(b"\x00\xff\r\n", status="418 Teapot", headers=headers))
    assert reply.status == 418
    assert reply.body == b"\x00\xff\r\n"
    assert reply.headers == [
        ("b", "1"),
        ("A", "2"),
        ("Set-Cookie", "x"),
        ("Set-Cookie", "y"),
        ("Content-Length", "4"),
    ]


def test_a_packed_body_stays_packed() -> None:
    packed = gzip.compress(bytes(1_000_000))
    reply = reply_to(answers(packed, headers="Content-Encoding: gzip\r\n"), cap=2000)
    assert reply.body == packed


def test_a_redirect_is_not_followed() -> None:
    with Loopback(answers()) as elsewhere:
        act = answers(status="302 Found", headers=f"Location: {elsewhere.url}/\r\n")
        with Loopback(act) as server:
            assert ask(Origin.of(server.url)).status == 302
    assert (server.connections, elsewhere.connections) == (1, 0)


def test_each_exchange_has_its_own_connection_and_no_cookie() -> None:
    with Loopback(answers(headers="Set-Cookie: a=b\r\n")) as server:
        ask(Origin.of(server.url))
        ask(Origin.of(server.url))
    assert server.connections == 2
    assert server.received[0] == server.received[1]


@pytest.mark.parametrize(
    "answer",
    [
        chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        chunked(b"5;x=y\r\nabcde\r\n0\r\nX-Trailer: z\r\n\r\n"),
        chunked(b"5 \t\nabcde\r\n" + b"0" * 15 + b"\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nabcde",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5 \r\n\r\nabcde",
        b"HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdefgh",
    ],
)
def test_a_body_ends_where_its_framing_says(answer: bytes) -> None:
    assert reply_to(says(answer)).body == b"abcde"


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Same")]
)
def test_an_answer_without_body_may_name_a_length(method: str, status: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 1000\r\n\r\n".encode()
    assert reply_to(says(answer), method).body == b""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize(
    "framing", ["Transfer-Encoding: chunked", "Content-Length: 9\r\nTransfer-Encoding: gzip"]
)
def test_a_status_without_body_ends_with_its_head_whatever_that_says(
    status: str, framing: str
) -> None:
    answer = f'HTTP/1.1 {status}\r\n{framing}\r\nETag: "x"\r\n\r\n'.encode()
    reply = reply_to(says_and_stays(answer))
    assert (reply.status, reply.body) == (int(status[:3]), b"")
    assert ("ETag", '"x"') in reply.headers


def test_an_answer_that_comes_before_the_body_was_read_is_the_answer() -> None:
    def refuses(peer: Peer) -> None:
        peer.sock.recv(10)
        peer.send(whole(status="413 Too Large"))
        peer.wait(0.05)
        peer.sock.close()

    with Loopback(refuses, buffer=SMALL) as server:
        assert ask(Origin.of(server.url), "POST", body=bytes(20_000_000)).status == 413


@pytest.mark.parametrize("status", [200, 599])
def test_the_last_status_of_http_is_an_answer_like_the_first(status: int) -> None:
    assert reply_to(answers(status=f"{status} Odd")).status == status


@pytest.mark.parametrize("interim", [100, 102, 103, 199])
def test_an_interim_answer_is_skipped_with_its_headers(interim: int) -> None:
    first = f"HTTP/1.1 {interim} Wait\r\nLink: <x>\r\n\r\n".encode()
    reply = reply_to(says(first + first + whole(b"end")))
    assert (reply.status, reply.body) == (200, b"end")
    assert reply.headers == [("Content-Length", "3")]


BROKEN = {
    "garbage": b"garbage\r\n\r\n",
    "no status line": b"\r\n\r\n",
    "an old protocol": b"HTTP/0.9\r\n\r\n",
    "another protocol": b"HTTP/2 200 OK\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    "status 999": whole(status="999 Odd"),
    "status 600": whole(status="600 Odd"),
    "status 099": whole(status="099 Odd"),
    "status -200": whole(status="-200 Odd"),
    "a status in words": whole(status="OK OK"),
    "a status with a sign": whole(status="+200 OK"),
    "a status with an underscore": whole(status="2_00 OK"),
    "a status of four digits": whole(status="0200 OK"),
    "a status after a tab": b"HTTP/1.1\t200\tOK\r\nContent-Length: 0\r\n\r\n",
    "a protocol in words": b"HTTP/1.x 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a protocol of more digits": b"HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n",
    "an interim status that is none": b"HTTP/1.1 1_03 Hints\r\n\r\n" + whole(),
    "CR in the status line": whole(status="200 OK\rX-A: 1"),
    "CR in a header": whole(b"ok", headers="X-A: x\rLocation: https://evil.test/\r\n"),
    "CR before CRLF": b"HTTP/1.1 200 OK\r\nX-A: x\r\r\nContent-Length: 100\r\n\r\n[1,2,",
    "CR in an interim header": b"HTTP/1.1 103 Hints\r\nLink: x\r\r\n\r\n" + whole(),
    "CR in a chunk's extension": chunked(b"2;x\ry\r\nok\r\n0\r\n\r\n"),
    "CR in a trailer": chunked(b"2\r\nok\r\n0\r\nX-A: x\ry\r\n\r\n"),
    "switching protocols": b"HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\n\r\n\x00\x00",
    "10,000 headers": whole(headers="X-A: 1\r\n" * 10_000),
    "10,000 interim headers": b"HTTP/1.1 103 Hints\r\n" + b"X-A: 1\r\n" * 10_000 + b"\r\n",
    "a header line of 100 kB": whole(headers=f"X-A: {'a' * 100_000}\r\n"),
    "a status line of 100 kB": whole(status=f"200 {'a' * 100_000}"),
    "a header without colon": whole(b"ok", headers="no colon\r\nX-A: 1\r\n"),
    "a header without name": whole(b"ok", headers=": value\r\n"),
    "a blank before the colon": whole(b"ok", headers="X-A : 1\r\n"),
    "a folded first header": whole(b"ok", headers=" folded\r\n"),
    "a control in a header's name": whole(b"ok", headers="X\x00A: 1\r\n"),
    "two lengths": whole(b"ok", headers="Content-Length: 5\r\n"),
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a length in words": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    "a length with sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "a length below nought": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a length with underline": b"HTTP/1.1 200 OK\r\nContent-Length: 0_2\r\n\r\nok",
    "a length without end": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\nok",
    "a folded length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok",
    "a length beside a coding": whole(b"0\r\n\r\n", headers="Transfer-Encoding: chunked\r\n"),
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": b"HTTP/1.1 200 OK\r\n"
    + b"Transfer-Encoding: chunked\r\n" * 2
    + b"\r\n0\r\n\r\n",
    "a folded coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a short body": b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"a" * 60,
    "a body that is missing": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "a chunk without size": chunked(b"\r\n"),
    "a chunk size in words": chunked(b"many\r\nok\r\n0\r\n\r\n"),
    "a chunk size with a sign": chunked(b"+2\r\nok\r\n0\r\n\r\n"),
    "a chunk size after a blank": chunked(b" 2\r\nok\r\n0\r\n\r\n"),
    "a chunk size with an underscore": chunked(b"0_2\r\nok\r\n0\r\n\r\n"),
    "a chunk size that says it is hex": chunked(b"0x2\r\nok\r\n0\r\n\r\n"),
    "a chunk size of sixteen digits": chunked(b"0" * 15 + b"2\r\nok\r\n0\r\n\r\n"),
    "a chunk size without the end of its line": chunked(b"0"),
    "a chunk that is longer than it says": chunked(b"2\r\nokay0\r\n\r\n"),
    "a chunk that is short": chunked(b"ff\r\nok"),
    "a chunk size of 100 kB": chunked(b"0" * 100_000 + b"\r\n"),
    "no last chunk": chunked(b"2\r\nok\r\n"),
    "headers that end early": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_http_is_broken(answer: bytes) -> None:
    with Loopback(says(answer)) as server, pytest.raises(Broken):
        ask(Origin.of(server.url), cap=200_000)
    assert server.connections == 1


def test_a_reset_in_the_body_is_broken() -> None:
    with pytest.raises(Broken):
        reply_to(resets(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"a" * 400))


def test_a_reset_in_a_body_without_length_is_broken() -> None:
    with pytest.raises(Broken):
        reply_to(resets(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 400))


@pytest.mark.parametrize(
    "act",
    [says(), resets(), hangs_up, resets_at_once, says(b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n")],
    ids=["ends", "resets", "hangs up", "resets at once", "103 and no more"],
)
def test_a_connection_that_ends_before_the_answer_is_no_answer(act: Act) -> None:
    with Loopback(act) as server, pytest.raises(NoAnswer):
        ask(Origin.of(server.url), "POST", body=b"once")
    assert server.connections == 1


def test_a_peer_that_leaves_while_it_is_sent_a_body_gives_no_answer() -> None:
    with Loopback(resets_at_once) as server, pytest.raises(NoAnswer):
        ask(Origin.of(server.url), "POST", body=bytes(20_000_000))
    assert server.connections == 1


def test_a_body_of_the_cap_passes() -> None:
    assert reply_to(answers(b"a" * 1000), cap=1000).body == b"a" * 1000


@pytest.mark.parametrize(
    "act",
    [
        answers(b"a" * 1001),
        says(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1001),
        says(chunked(b"3e9\r\n" + b"a" * 1001 + b"\r\n0\r\n\r\n")),
        repeats(chunked(), b"400\r\n" + b"a" * 1024 + b"\r\n"),
        says(chunked(b"ffffffffffff\r\n" + b"a" * 2000)),
        repeats(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", b"a" * 65_536),
        repeats(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65_536),
    ],
    ids=["length", "no length", "chunk", "endless chunks", "huge chunk", "huge length", "endless"],
)
def test_a_body_over_the_cap_is_not_read_to_its_end(act: Act) -> None:
    with over_within(GENEROUS - 1), pytest.raises(TooLarge):
        reply_to(act, cap=1000)


def test_a_length_over_the_cap_is_enough() -> None:
    with over_within(GENEROUS - 1), pytest.raises(TooLarge):
        reply_to(says_and_stays(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), cap=1000)


@pytest.mark.parametrize("cap", [1000, CHUNK + 1000])
def test_one_byte_over_the_cap_is_enough(cap: int) -> None:
    with over_within(GENEROUS - 1), pytest.raises(TooLarge):
        reply_to(says_and_stays(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (cap + 1)), cap=cap)


def test_a_chunk_of_negative_size_does_not_open_the_cap() -> None:
    with over_within(GENEROUS - 1), pytest.raises(Broken):
        reply_to(repeats(chunked(b"-1\r\n"), b"a" * 65_536), cap=1000)


@pytest.mark.parametrize("size", [b"1a", b"1A"])
def test_a_chunk_size_is_hexadecimal(size: bytes) -> None:
    letters = bytes(range(ord("a"), ord("z") + 1))
    assert reply_to(says(chunked(size + b"\r\n" + letters + b"\r\n0\r\n\r\n"))).body == letters


def test_a_chunk_size_without_end_is_not_waited_for() -> None:
    with over_within(GENEROUS - 1), pytest.raises(Broken):
        reply_to(says_and_stays(chunked(b"0" * MAX_LINE)))


# --- time ----------------------------------------------------------------------------------------

SLOW: dict[str, Act] = {
    "silence": is_silent,
    "a status line in drips": drips(whole(b"a" * 50)),
    "headers in drips": drips(b"X-A: 1\r\n" * 20, after=b"HTTP/1.1 200 OK\r\n"),
    "a body in drips": drips(b"a" * 50, after=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"),
    "a body without length in drips": drips(b"a" * 50, after=b"HTTP/1.1 200 OK\r\n\r\n"),
    "chunks in drips": drips(b"1\r\na\r\n" * 20, after=chunked()),
    "trailers in drips": drips(b"X-A: 1\r\n" * 20, after=chunked(b"0\r\n")),
    "interim answers in drips": drips(b"HTTP/1.1 103 Hints\r\n\r\n" * 20),
    "interim answers without end": repeats(b"", b"HTTP/1.1 103 Hints\r\n\r\n"),
}


@pytest.mark.parametrize("act", SLOW.values(), ids=SLOW.keys())
def test_the_deadline_is_for_the_whole_exchange(act: Act) -> None:
    with Loopback(act) as server:
        with over_within(SHORT + 1), pytest.raises(TimedOut):
            ask(Origin.of(server.url), seconds=SHORT)
        assert server.connections == 1


def test_a_slow_answer_within_the_deadline_is_an_answer() -> None:
    assert reply_to(drips(whole(b"ok"), 0.005)).body == b"ok"


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_peer_that_reads_slowly_does_not_outlast_the_deadline(
    encrypted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    transport, body = Transport(allow_private=True), bytes(8_000_000)
    act, tls = reads_slowly(SMALL * 4, 0.01), context if encrypted else None
    with (
        Loopback(act, tls=tls, buffer=SMALL) as server,
        over_within(SHORT + 1.5),
        pytest.raises(TimedOut),
    ):
        ask(Origin.of(server.url), "POST", body=body, seconds=SHORT, transport=transport)


def test_a_connection_that_is_not_accepted_ends_at_the_deadline() -> None:
    with full_backlog() as port, over_within(SHORT + 1), pytest.raises(ConnectTimeout):
        ask(Origin("http", HOST, port), seconds=SHORT)


def test_a_connection_that_is_not_accepted_is_given_up_after_a_second() -> None:
    with full_backlog() as port, over_within(2.5), pytest.raises(ConnectTimeout):
        ask(Origin("http", HOST, port), seconds=GENEROUS)


def test_a_connection_gets_the_time_that_is_set_for_it() -> None:
    transport = Transport(allow_private=True, connect_timeout=SHORT)
    with full_backlog() as port, over_within(SHORT + 0.5), pytest.raises(ConnectTimeout):
        ask(Origin("http", HOST, port), seconds=GENEROUS, transport=transport)


def ticking(*times: float) -> Callable[[], float]:
    """A monotonic clock that shows these times, one at each look."""
    left = list(times)
    return lambda: left.pop(0)


def test_without_time_nobody_is_contacted() -> None:
    with Loopback(answers()) as server, pytest.raises(ConnectTimeout):
        ask(Origin.of(server.url), transport=Transport(allow_private=True, monotonic=ticking(0, 9)))
    assert server.connections == 0


@pytest.mark.parametrize("late", [GENEROUS, 9])
def test_time_that_is_over_once_the_connection_stands_sends_nothing(late: float) -> None:
    transport = Transport(allow_private=True, monotonic=ticking(0, 1, 1, late))
    with Loopback(answers()) as server, pytest.raises(TimedOut):
        ask(Origin.of(server.url), transport=transport)
    assert server.received == []


def test_a_look_up_that_hangs_ends_at_the_deadline() -> None:
    answered = threading.Event()

    def hang(_host: str, _port: int) -> list[Any]:
        assert answered.wait(GENEROUS)
        return []

    transport = Transport(allow_private=True, look_up=hang)
    with over_within(SHORT + 1), pytest.raises(ConnectTimeout):
        ask(Origin("http", "slow.test", 80), seconds=SHORT, transport=transport)
    answered.set()


def test_what_is_done_in_time_gives_its_result_or_its_error() -> None:
    assert within(GENEROUS, lambda: "done") == "done"
    with pytest.raises(KeyboardInterrupt):
        within(GENEROUS, _interrupted)


def test_what_hangs_does_not_hold_the_process() -> None:
    assert within(GENEROUS, lambda: threading.current_thread().daemon)


def _interrupted() -> None:
    raise KeyboardInterrupt


# --- addresses -----------------------------------------------------------------------------------

NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::1%",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:0.0.0.0",
    "2002:a9fe:a9fe::1",
    "64:ff9b::169.254.169.254",
]
PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "2002:7f00:1::1",
]
PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::93.184.216.34"]


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("private", [False, True])
def test_some_addresses_are_never_permitted(address: str, private: bool) -> None:
    assert not permitted(address, allow_private=private)


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("private", [False, True])
def test_a_private_address_is_permitted_where_that_is_allowed(address: str, private: bool) -> None:
    assert permitted(address, allow_private=private) is private


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    assert permitted(address, allow_private=False)


@pytest.mark.parametrize("host", [HOST, "localhost", "2130706433", "0x7f.1", "127.1"])
def test_a_private_host_gets_no_connection_in_any_spelling(host: str) -> None:
    with Loopback(answers()) as server, pytest.raises(AddressForbidden):
        ask(Origin("http", host, server.port), transport=Transport(allow_private=False))
    assert server.connections == 0


def test_a_name_that_leads_to_a_forbidden_address_gets_no_connection() -> None:
    for address in NEVER:
        with pytest.raises(AddressForbidden):
            ask(Origin("http", "api.test", 80), transport=names(at(80, address)))


def test_the_address_that_was_checked_is_the_one_contacted() -> None:
    looked_up = []

    def look_up(host: str, port: int) -> list[tuple[Any, ...]]:
        looked_up.append((host, port))
        return [at(80, "169.254.169.254"), at(server.port)]

    with Loopback(answers()) as server:
        ask(
            Origin("http", "api.test", 80),
            transport=Transport(allow_private=True, look_up=look_up),
        )
    assert looked_up == [("api.test", 80)]
    assert server.connections == 1


@pytest.mark.parametrize("bad", [at(closed_port()), at(1, family=9999)], ids=["closed", "family"])
def test_the_next_address_is_tried_where_one_does_not_answer(bad: tuple[Any, ...]) -> None:
    with Loopback(answers()) as server:
        assert ask(Origin.of(server.url), transport=names(bad, at(server.port))).status == 200


def test_a_name_of_this_machine_is_looked_up() -> None:
    with Loopback(answers()) as server:
        assert ask(Origin("http", "localhost", server.port)).status == 200


def no_such_name(_host: str, _port: int) -> list[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_without_address_is_unresolved() -> None:
    with pytest.raises(Unresolved):
        ask(
            Origin("http", "gone.test", 80),
            transport=Transport(allow_private=True, look_up=no_such_name),
        )


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".test"])
def test_a_host_that_is_no_name_is_unresolved(host: str) -> None:
    with pytest.raises(Unresolved):
        ask(Origin("http", host, 80))


def test_a_port_where_nobody_listens_refuses() -> None:
    with pytest.raises(Refused):
        ask(Origin("http", HOST, closed_port()))


# --- TLS -----------------------------------------------------------------------------------------


def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Transport:
    """A transport of a machine that trusts this certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return Transport(allow_private=True)


def test_a_trusted_peer_is_spoken_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = self_signed(tmp_path)
    transport = trusting(certificate, monkeypatch)
    with Loopback(answers(b"ok"), tls=context) as server:
        assert ask(Origin.of(server.url), "POST", body=b"hi", transport=transport).body == b"ok"
        assert ask(Origin.of(server.url), transport=transport).body == b"ok"
    assert server.received[0].endswith(b"\r\n\r\nhi")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [(b"HTTP/1.1 200 OK\r\n\r\n[1,2", Broken), (b"", NoAnswer)],
)
def test_an_answer_that_tls_does_not_end_is_not_whole(
    answer: bytes,
    failure: type[TransportError],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, certificate = self_signed(tmp_path)
    transport = trusting(certificate, monkeypatch)
    with Loopback(says(answer), tls=context) as server, pytest.raises(failure):
        ask(Origin.of(server.url), transport=transport)


def test_a_self_signed_peer_gets_no_byte(tmp_path: Path) -> None:
    with Loopback(answers(), tls=self_signed(tmp_path)[0]) as server, pytest.raises(NotTrusted):
        ask(Origin.of(server.url), target="/?secret=canary", headers=[("X-WX-OPENID", "canary")])
    assert server.received == []


@pytest.mark.parametrize(("name", "days"), [("other.test", 1), (HOST, -1)], ids=["name", "expired"])
def test_a_wrong_certificate_gets_no_byte(
    name: str, days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = self_signed(tmp_path, name, days=days)
    transport = trusting(certificate, monkeypatch)
    with Loopback(answers(), tls=context) as server, pytest.raises(NotTrusted):
        ask(Origin.of(server.url), transport=transport)
    assert server.received == []


def test_a_peer_that_speaks_no_tls_is_not_trusted() -> None:
    def plain(peer: Any) -> None:
        peer.send(whole(b"plain"))
        peer.read_to_the_end()

    with Loopback(plain) as server, pytest.raises(NotTrusted):
        ask(Origin("https", HOST, server.port))
    assert b"GET" not in server.received[0]


@pytest.mark.parametrize("act", [hangs_up, resets_at_once])
def test_a_peer_that_leaves_in_the_handshake_refuses(act: Act) -> None:
    with Loopback(act) as server, pytest.raises(Refused):
        ask(Origin("https", HOST, server.port))


def test_a_handshake_ends_at_the_deadline() -> None:
    with (
        Loopback(is_silent) as server,
        over_within(SHORT + 1),
        pytest.raises(ConnectTimeout),
    ):
        ask(Origin("https", HOST, server.port), seconds=SHORT)


def test_a_handshake_is_not_begun_without_time() -> None:
    transport = Transport(allow_private=True, monotonic=ticking(0, 1, 1, 9))
    with Loopback(is_silent) as server, pytest.raises(ConnectTimeout):
        ask(Origin("https", HOST, server.port), transport=transport)
    assert (server.connections, server.received) == (1, [])


def test_tls_before_1_2_is_not_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = self_signed(tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    transport = trusting(certificate, monkeypatch)
    with Loopback(answers(), tls=context) as server, pytest.raises(NotTrusted):
        ask(Origin.of(server.url), transport=transport)
    assert server.received == []


def test_a_body_in_drips_over_tls_ends_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = self_signed(tmp_path)
    transport = trusting(certificate, monkeypatch)
    with (
        Loopback(drips(whole(b"a" * 50)), tls=context) as server,
        over_within(SHORT + 1),
        pytest.raises(TimedOut),
    ):
        ask(Origin.of(server.url), seconds=SHORT, transport=transport)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "failure"), [(says(b"canary\r\n\r\n"), Broken), (resets(), NoAnswer)]
)
def test_an_error_says_nothing(act: Act, failure: type[TransportError]) -> None:
    with Loopback(act) as server, pytest.raises(failure) as caught:
        ask(Origin.of(server.url), target="/?secret=canary")
    assert (str(caught.value), caught.value.args) == ("", ())
    assert "canary" not in told_by(caught.value)


def test_errors_tell_whether_the_request_may_have_had_its_effect() -> None:
    unsent = {Unresolved, Refused, ConnectTimeout, NotTrusted, AddressForbidden}
    assert set(NotConnected.__subclasses__()) == unsent
    assert set(TransportError.__subclasses__()) == {
        NotConnected,
        TimedOut,
        NoAnswer,
        Broken,
        TooLarge,
    }
