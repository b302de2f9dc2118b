"""The upstream fails: unreachable, slow, broken, huge, or with an answer of its own."""

import pytest

from simulator.gateway import Context
from tests.attacks.corpus import bomb
from tests.attacks.world import World
from tests.faults.corpus import ONCE, UPSTREAM_RESERVE, Calls, Fault, check, covers, proxied
from tests.support.loopback import Act, answers, drips, is_silent, repeats, resets, says, whole

JSON = [("Content-Type", "application/json")]
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])

HURRIED = 2.1
"""Seconds of an invocation that leaves the upstream 0.6 s: remaining - 1500 ms."""


LENGTH = [("Content-Length", "60")]
SLOW = {
    "UP-07": [is_silent],
    "UP-09": [drips(whole(b"x" * 60), 0.2), drips(b"x" * 60, 0.2, after=whole(headers=LENGTH))],
}


@covers(SLOW)
@METHODS
def test_an_answer_that_does_not_come_ends_at_the_deadline(
    world: World, token: str, fault: Fault, injected: list[Act], method: str
) -> None:
    for act in injected:
        with world.upstream.scripted(act):
            exchange = proxied(world.door, token, method, context=Context(seconds=HURRIED))
        check(world, fault, exchange, ONCE, within=HURRIED - UPSTREAM_RESERVE)
        assert exchange.seconds > 0.4


def _status(line: str) -> Act:
    return says(f"HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def _lines(*lines: bytes) -> Act:
    return says(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", b"{}"]))


CUT = whole(b"x" * 400, headers=[("Content-Length", "1000")])

SENT: list[int] = []
CHUNKED, CHUNK = [("Transfer-Encoding", "chunked")], b"10000\r\n" + b"x" * 65_536 + b"\r\n"

BROKEN: dict[str, list[Act]] = {
    "UP-11": [resets(CUT), says(CUT)],
    "UP-18": [_status(line) for line in ("999 x", "099 x", "abc x", "2000 x", "-1 x")],
    "UP-19": [says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")],
    "UP-24": [
        _lines(b"No colon here"),
        _lines(b"X-A: 1", b" folded: x"),
        _lines(b"Content-Language: a\x00b"),
        _lines(b"Content-Language: a\rX-Wx-Openid: b"),
        _lines(b": no name"),
        _lines(b"Content-Length: 7"),
    ],
    "UP-25": [_lines(*[b"X-Header-%d: x" % number for number in range(10_000)])],
    "UP-26": [answers(b"x" * 7_000_000, headers=JSON)],
    "UP-27": [repeats(whole(headers=CHUNKED), CHUNK, SENT, most=100_000_000)],
}


@covers(BROKEN)
@METHODS
def test_a_broken_answer_is_never_passed_on_nor_asked_for_again(
    world: World, token: str, fault: Fault, injected: list[Act], method: str
) -> None:
    SENT.clear()
    for act in injected:
        with world.upstream.scripted(act):
            exchange = proxied(world.door, token, method)
            check(world, fault, exchange, ONCE)
            text = f"{exchange.answer.headers}{exchange.answer.body!r}".lower()
            assert "folded" not in text
            assert "x-wx-openid" not in text
            assert sum(SENT) < 30_000_000  # an endless answer is read to the cap


@covers({"UP-14": 502, "UP-15": 503, "UP-16": 401, "UP-17": 429})
@METHODS
def test_the_upstreams_own_refusal_is_passed_on_as_its_own(
    world: World, token: str, fault: Fault, injected: int, method: str
) -> None:
    headers = [*JSON, ("Retry-After", "7"), ("X-Wxgate-Error", "InvalidToken")]
    with world.upstream.scripted(answers(b'{"error":"x"}', status=injected, headers=headers)):
        exchange = proxied(world.door, token, method)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.code is None  # so the client does not log in again by itself
    assert exchange.answer.json == {"error": "x"}
    assert exchange.answer.headers["Retry-After"] == "7"


@covers("UP-31")
def test_a_redirect_to_itself_is_one_call(world: World, token: str, fault: Fault) -> None:
    here = f"{world.upstream.url}/base/orders"
    with world.upstream.scripted(answers(status=302, headers=[("Location", here)])):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.headers["Location"] == "/v1/api/orders"


@covers({"UP-28": ("gzip, gzip", bomb()), "UP-29": ("gzip", b"plain")})
def test_what_is_packed_is_passed_on_unopened(
    world: World, token: str, fault: Fault, injected: tuple[str, bytes]
) -> None:
    encoding, body = injected
    with world.upstream.scripted(answers(body, headers=[("Content-Encoding", encoding)])):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.body == body
    assert exchange.answer.headers["Content-Encoding"] == encoding


BAD = ["http://api.example.com/base", "https://user:canary-password@api.example.com/base"]


@covers("UP-32")
@pytest.mark.parametrize("url", [*BAD, "https://api.example.com/base#x", "https:///base"])
def test_a_bad_upstream_is_refused_at_the_start(
    world: World, token: str, fault: Fault, url: str
) -> None:
    door = world.open_door(UPSTREAM_URL=url, UPSTREAM_ALLOW_PRIVATE="false")
    exchange = proxied(door, token)
    check(world, fault, exchange, Calls())
    assert "UPSTREAM_URL is malformed" in door.start.said
    assert "canary-password" not in door.start.said + exchange.seen.said
