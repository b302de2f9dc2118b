"""The upstream fails: unreachable, slow, broken, huge, or with an answer of its own."""

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.gateway import Context
from tests.attacks.loopback import (
    Loopback,
    Received,
    Script,
    answer,
    dripping,
    reset,
    sending,
    silence,
)
from tests.attacks.runner import bomb
from tests.attacks.world import KEYS, Door, Exchange, World, echo
from tests.faults import alone
from tests.faults.corpus import (
    ALLOWANCE,
    Asked,
    Fault,
    always,
    check,
    covers,
    covers_each,
)
from tests.support.misbehaving import HOST, closed_port, full_backlog, self_signed

JSON = [("Content-Type", "application/json")]
METHODS = ("GET", "POST")

ONCE = Asked(upstream=1, store=1)

HURRIED = 2.1
"""Seconds of an invocation that leaves the upstream 0.6 s: remaining - 1500 ms."""


def proxied(door: Door, token: str, method: str = "GET", **options: Any) -> Exchange:
    """Send a request upstream."""
    body = None if method in ("GET", "HEAD") else {"a": 1}
    return door.send(method, "/api/orders", token=token, json_body=body, **options)


def warm_door(world: World, token: str, **environ: str) -> Door:
    """An app of its own that has made its clients and read the signing key."""
    door = world.open_door(**environ)
    door.send("GET", "/session", token=token)
    door.send("GET", KEYS)
    return door


# --- no connection -------------------------------------------------------------------------------


@covers("UP-01")
def test_a_name_without_an_address_is_unreachable(world: World, token: str, fault: Fault) -> None:
    door = warm_door(world, token, UPSTREAM_URL="http://upstream.invalid/base")
    exchange = proxied(door, token)
    check(world, fault, exchange, ONCE, at={"upstream": ("upstream.invalid", 80)})


@covers("UP-04")
@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1)])
def test_a_refused_connection_is_tried_again_where_that_is_safe(
    world: World, token: str, fault: Fault, method: str, tries: int
) -> None:
    port = closed_port()
    door = warm_door(world, token, UPSTREAM_URL=f"http://{HOST}:{port}/base")
    exchange = proxied(door, token, method)
    asked = Asked(upstream=tries, store=1)
    check(world, fault, exchange, asked, at={"upstream": (HOST, port)})


@covers("UP-05")
def test_a_connection_that_is_not_accepted_is_a_timeout(
    world: World, token: str, fault: Fault
) -> None:
    with full_backlog() as port:
        door = warm_door(world, token, UPSTREAM_URL=f"http://{HOST}:{port}/base")
        exchange = proxied(door, token)
    check(world, fault, exchange, ONCE, at={"upstream": (HOST, port)})
    assert exchange.seconds < 3 + ALLOWANCE  # docs/errors.md: no connection in three seconds


@covers("UP-06")
@pytest.mark.parametrize("flaw", ["self-signed", "expired", "wrong name"])
def test_a_certificate_that_does_not_hold_gets_no_identity(
    world: World,
    token: str,
    fault: Fault,
    flaw: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "other.test" if flaw == "wrong name" else "127.0.0.1"
    tls, certificate = self_signed(tmp_path, name, days=-1 if flaw == "expired" else 1)
    if flaw != "self-signed":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Loopback(echo, tls)
    try:
        exchange = proxied(warm_door(world, token, UPSTREAM_URL=f"{server.url}/base"), token)
    finally:
        server.close()
    check(world, fault, exchange, ONCE, at={"upstream": (HOST, server.port)})
    assert (server.connections, server.received) == (1, [])


# --- no answer -----------------------------------------------------------------------------------


@covers_each({"UP-07": silence, "UP-09": dripping(answer(200, [], b"x" * 60), 0.2)})
@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_does_not_come_ends_at_the_deadline(
    world: World, token: str, fault: Fault, injected: Script, method: str
) -> None:
    with world.upstream.scripted(injected):
        exchange = proxied(world.door, token, method, context=Context(seconds=HURRIED))
    check(world, fault, exchange, ONCE, left=HURRIED)
    assert exchange.seconds > 0.4


TOTAL = 4
"""Seconds of UPSTREAM_TIMEOUT: what an upstream gets of an invocation that has time enough."""


@covers("UP-09")
def test_a_drip_ends_at_the_total_deadline(world: World, token: str, fault: Fault) -> None:
    door = warm_door(world, token, UPSTREAM_TIMEOUT=str(TOTAL))
    with world.upstream.scripted(dripping(answer(200, [], b"x" * 60), 0.4)):
        exchange = proxied(door, token)
    check(world, fault, exchange, ONCE)
    assert TOTAL - 0.2 < exchange.seconds < TOTAL + ALLOWANCE


def test_a_body_that_drips_ends_at_the_deadline_too(world: World, token: str) -> None:
    def script(connection: socket.socket, received: Received) -> None:
        connection.sendall(answer(200, [("Content-Length", "60")]))
        dripping(b"x" * 60, 0.2)(connection, received)

    with world.upstream.scripted(script):
        exchange = proxied(world.door, token, context=Context(seconds=HURRIED))
    assert exchange.answer.code == "UpstreamTimeout"
    assert exchange.seconds < 0.6 + ALLOWANCE
    always(world, exchange)


def test_a_timeout_of_the_operators_counts_where_it_is_shorter(world: World, token: str) -> None:
    door = world.open_door(UPSTREAM_TIMEOUT="0.3")
    with world.upstream.scripted(silence):
        exchange = proxied(door, token)
    assert exchange.answer.code == "UpstreamTimeout"
    always(world, exchange)


# --- a broken answer -----------------------------------------------------------------------------


def _line(status: str) -> Script:
    return sending(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def _lines(*lines: bytes) -> Script:
    return sending(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", b"{}"]))


CUT = answer(200, [("Content-Length", "1000")], b"x" * 400)


def _reset_in_the_body(connection: socket.socket, received: Received) -> None:
    connection.sendall(CUT)
    time.sleep(0.05)  # a reset overtakes bytes that were not read yet
    reset(connection, received)


BROKEN: dict[str, list[Script]] = {
    "UP-11": [_reset_in_the_body, sending(CUT)],
    "UP-18": [_line("999 x"), _line("099 x"), _line("abc x"), _line("2000 x"), _line("-1 x")],
    "UP-19": [sending(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")],
    "UP-24": [
        _lines(b"No colon here"),
        _lines(b"X-A: 1", b" folded: x"),
        _lines(b"Content-Language: a\x00b"),
        _lines(b"Content-Language: a\rX-Wx-Openid: b"),
        _lines(b": no name"),
        _lines(b"Content-Length: 7"),
    ],
    "UP-25": [_lines(*[b"X-Header-%d: x" % number for number in range(10_000)])],
}


@covers(*BROKEN)
@pytest.mark.parametrize("method", METHODS)
def test_a_broken_answer_is_never_passed_on_nor_asked_for_again(
    world: World, token: str, fault: Fault, method: str
) -> None:
    for script in BROKEN[fault.id]:
        with world.upstream.scripted(script):
            exchange = proxied(world.door, token, method)
        check(world, fault, exchange, ONCE)
        told = f"{exchange.answer.headers}{exchange.answer.body!r}".lower()
        assert "folded" not in told
        assert "x-wx-openid" not in told


@pytest.mark.parametrize("number", range(len(BROKEN["UP-18"])))
def test_a_status_that_is_none_is_a_bad_answer(world: World, token: str, number: int) -> None:
    with world.upstream.scripted(BROKEN["UP-18"][number]):
        assert proxied(world.door, token).answer.code == "UpstreamBadResponse"


@covers("UP-12")
def test_a_connection_that_idled_is_not_used_for_a_post(
    world: World, token: str, fault: Fault
) -> None:
    with world.upstream.scripted(_echo_and_hang_up):
        first = proxied(world.door, token)
        exchange = proxied(world.door, token, "POST")
    check(world, fault, first, ONCE)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.status == 200


def _echo_and_hang_up(connection: socket.socket, received: Received) -> None:
    echo(connection, received)
    connection.shutdown(socket.SHUT_RDWR)


# --- the upstream's own answers ------------------------------------------------------------------


@covers_each({"UP-14": 502, "UP-15": 503, "UP-16": 401, "UP-17": 429})
@pytest.mark.parametrize("method", METHODS)
def test_the_upstreams_own_refusal_is_passed_on_as_its_own(
    world: World, token: str, fault: Fault, injected: int, method: str
) -> None:
    headers = [*JSON, ("Retry-After", "7"), ("X-Wxgate-Error", "InvalidToken")]
    with world.upstream.scripted(sending(answer(injected, headers, b'{"error":"x"}'))):
        exchange = proxied(world.door, token, method)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.code is None  # so the client does not log in again by itself
    assert exchange.answer.json == {"error": "x"}
    assert exchange.answer.headers["Retry-After"] == "7"


@covers("UP-31")
def test_a_redirect_to_itself_is_one_call(world: World, token: str, fault: Fault) -> None:
    here = f"{world.upstream.url}/base/orders"
    with world.upstream.scripted(sending(answer(302, [("Location", here)]))):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.headers["Location"] == "/v1/api/orders"


# --- too much ------------------------------------------------------------------------------------


def _endless(sent: list[int]) -> Script:
    def script(connection: Any, _received: Any) -> None:
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        connection.sendall(answer(200, [("Transfer-Encoding", "chunked")]))
        while sum(sent) < 100_000_000:
            connection.sendall(chunk)
            sent.append(65_536)

    return script


@covers("UP-26")
def test_an_answer_that_lambda_cannot_carry_says_so(world: World, token: str, fault: Fault) -> None:
    body = b"x" * 7_000_000
    with world.upstream.scripted(sending(answer(200, JSON, body))):
        exchange = proxied(world.door, token)
        alone.stays_small(world, exchange)
    check(world, fault, exchange, ONCE)


@covers("UP-27")
def test_an_endless_answer_is_read_to_the_cap(world: World, token: str, fault: Fault) -> None:
    sent: list[int] = []
    with world.upstream.scripted(_endless(sent)):
        exchange = proxied(world.door, token)
    with world.upstream.scripted(_endless([])):
        alone.stays_small(world, exchange)
    check(world, fault, exchange, ONCE)
    assert sum(sent) < 30_000_000


@covers("UP-28")
def test_a_bomb_is_passed_on_unopened(world: World, token: str, fault: Fault) -> None:
    packed = [("Content-Encoding", "gzip, gzip")]
    with world.upstream.scripted(sending(answer(200, packed, bomb()))):
        exchange = proxied(world.door, token)
        alone.stays_small(world, exchange)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.body == bomb()


@covers("UP-29")
def test_what_is_packed_is_not_ours_to_open(world: World, token: str, fault: Fault) -> None:
    with world.upstream.scripted(sending(answer(200, [("Content-Encoding", "gzip")], b"plain"))):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.body == b"plain"


# --- a bad configuration -------------------------------------------------------------------------

BAD_URLS = {
    "http in production": ("http://api.example.com/base", "false"),
    "credentials": ("https://user:canary-password@api.example.com/base", "false"),
    "fragment": ("https://api.example.com/base#x", "false"),
    "query": ("https://api.example.com/base?x=1", "false"),
    "no host": ("https:///base", "false"),
    "another scheme": ("file:///etc/passwd", "true"),
    "no port": ("https://api.example.com:0/base", "false"),
    "an odd port": ("https://api.example.com:99999/base", "false"),
    "dot segments": ("https://api.example.com/a/../b", "false"),
    "encoded dot segments": ("https://api.example.com/a/%2e%2e/b", "false"),
    "a space": ("https://api.example.com/a b", "false"),
    "a private address": ("https://10.0.0.1/base", "false"),
    "metadata": ("https://169.254.169.254/base", "false"),
    "loopback by name": ("https://localhost/base", "false"),
    "half a bracket": ("https://[::1/base", "false"),
    "an empty label": ("https://api..example.com/base", "false"),
    "a label too long": (f"https://{'a' * 64}.example.com/base", "false"),
}


@covers("UP-32")
@pytest.mark.parametrize("flaw", BAD_URLS)
def test_a_bad_upstream_is_refused_at_the_start(
    world: World, token: str, fault: Fault, flaw: str
) -> None:
    url, private = BAD_URLS[flaw]
    door = world.open_door(UPSTREAM_URL=url, UPSTREAM_ALLOW_PRIVATE=private)
    assert "UPSTREAM_URL is malformed" in door.module.services.fault
    exchange = proxied(door, token)
    check(world, fault, exchange, Asked())
    assert "canary-password" not in exchange.seen.said + door.module.services.fault
