"""The upstream fails: unreachable, slow, broken, huge, or with an answer of its own."""

from pathlib import Path

import pytest

from simulator.gateway import Context, event_of
from tests.attacks.runner import bomb
from tests.attacks.world import KEYS, Door, World, echo
from tests.faults import alone
from tests.faults.corpus import (
    ALLOWANCE,
    ONCE,
    Calls,
    Fault,
    always,
    check,
    covers,
    covers_each,
    login_event,
    proxied,
)
from tests.support.loopback import (
    HOST,
    Act,
    Peer,
    answers,
    closed_port,
    drips,
    full_backlog,
    is_silent,
    repeats,
    resets,
    says,
    then,
    whole,
)

JSON = [("Content-Type", "application/json")]
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])

HURRIED = 2.1
"""Seconds of an invocation that leaves the upstream 0.6 s: remaining - 1500 ms."""


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
@pytest.mark.parametrize(("method", "attempts"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1)])
def test_a_refused_connection_is_tried_again_where_that_is_safe(
    world: World, token: str, fault: Fault, method: str, attempts: int
) -> None:
    port = closed_port()
    door = warm_door(world, token, UPSTREAM_URL=f"http://{HOST}:{port}/base")
    exchange = proxied(door, token, method)
    calls = Calls(upstream=attempts, store=1)
    check(world, fault, exchange, calls, at={"upstream": (HOST, port)})


@covers("UP-05")
def test_a_connection_that_is_not_accepted_is_a_timeout(
    world: World, token: str, fault: Fault
) -> None:
    with full_backlog() as port:
        door = warm_door(world, token, UPSTREAM_URL=f"http://{HOST}:{port}/base")
        exchange = proxied(door, token)
    check(world, fault, exchange, ONCE, at={"upstream": (HOST, port)})
    assert exchange.own_seconds < 3 + ALLOWANCE  # docs/errors.md: no connection in three seconds


@covers("UP-06")
def test_a_certificate_that_does_not_hold_gets_no_identity(
    world: World, token: str, fault: Fault, tmp_path: Path
) -> None:
    bearer = [("Authorization", f"Bearer {token}")]
    event = event_of("GET", "/api/orders", bearer, None, world.door.app.routes)
    with alone.with_certificates(echo, tmp_path) as (servers, trusted):
        trust = {"SSL_CERT_FILE": str(trusted)}
        cases = [({**trust, "UPSTREAM_URL": server.url}, event) for server in servers.values()]
        *refused, control = alone.serve(world, *cases)
        for outcome, server in zip(refused, servers.values(), strict=False):
            assert (outcome.answer.status, outcome.answer.code) == (fault.statuses[0], fault.code)
            assert (server.connections, server.requests) == (1, [])
    assert control.answer.status == 200


# --- no answer -----------------------------------------------------------------------------------

SLOW = {"UP-07": is_silent, "UP-09": drips(whole(b"x" * 60), 0.2)}


@covers_each(SLOW)
@METHODS
def test_an_answer_that_does_not_come_ends_at_the_deadline(
    world: World, token: str, fault: Fault, injected: Act, method: str
) -> None:
    with world.upstream.scripted(injected):
        exchange = proxied(world.door, token, method, context=Context(seconds=HURRIED))
    check(world, fault, exchange, ONCE, left=HURRIED)
    assert exchange.seconds > 0.4


def test_a_body_that_drips_ends_at_the_deadline_too(world: World, token: str) -> None:
    body = drips(b"x" * 60, 0.2, after=whole(headers=[("Content-Length", "60")]))
    with world.upstream.scripted(body):
        exchange = proxied(world.door, token, context=Context(seconds=HURRIED))
    assert exchange.answer.code == "UpstreamTimeout"
    assert exchange.own_seconds < 0.6 + ALLOWANCE
    always(world, exchange)


@covers("UP-09")
def test_a_drip_ends_at_the_timeout_of_the_operators(
    world: World, token: str, fault: Fault
) -> None:
    door = warm_door(world, token, UPSTREAM_TIMEOUT="1")
    with world.upstream.scripted(drips(whole(b"x" * 60), 0.4)):
        exchange = proxied(door, token)
    check(world, fault, exchange, ONCE)
    assert exchange.own_seconds < 1 + ALLOWANCE
    assert exchange.seconds > 0.8


# --- a broken answer -----------------------------------------------------------------------------


def _status(line: str) -> Act:
    return says(f"HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def _lines(*lines: bytes) -> Act:
    return says(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", b"{}"]))


CUT = whole(b"x" * 400, headers=[("Content-Length", "1000")])

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
}


@covers(*BROKEN)
@METHODS
def test_a_broken_answer_is_never_passed_on_nor_asked_for_again(
    world: World, token: str, fault: Fault, method: str
) -> None:
    for act in BROKEN[fault.id]:
        with world.upstream.scripted(act):
            exchange = proxied(world.door, token, method)
        check(world, fault, exchange, ONCE)
        text = f"{exchange.answer.headers}{exchange.answer.body!r}".lower()
        assert "folded" not in text
        assert "x-wx-openid" not in text


# --- the upstream's own answers ------------------------------------------------------------------


@covers_each({"UP-14": 502, "UP-15": 503, "UP-16": 401, "UP-17": 429})
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


# --- too much ------------------------------------------------------------------------------------


@covers("UP-26")
def test_an_answer_that_lambda_cannot_carry_says_so(world: World, token: str, fault: Fault) -> None:
    with world.upstream.scripted(answers(b"x" * 7_000_000, headers=JSON)):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)


CHUNKED, CHUNK = [("Transfer-Encoding", "chunked")], b"10000\r\n" + b"x" * 65_536 + b"\r\n"


@covers("UP-27")
def test_an_endless_answer_is_read_to_the_cap(world: World, token: str, fault: Fault) -> None:
    sent: list[int] = []
    endless = repeats(whole(headers=CHUNKED), CHUNK, sent, most=100_000_000)
    with world.upstream.scripted(endless):
        exchange = proxied(world.door, token)
        check(world, fault, exchange, ONCE)
        assert sum(sent) < 30_000_000


@covers("UP-28")
def test_a_bomb_is_passed_on_unopened(world: World, token: str, fault: Fault) -> None:
    packed = [("Content-Encoding", "gzip, gzip")]
    with world.upstream.scripted(answers(bomb(), headers=packed)):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.body == bomb()


MEMORY = 200
"""MB that a process may have at its peak, whatever a peer sends."""


def test_the_greatest_answers_leave_the_process_small(world: World, token: str) -> None:
    bearer = [("Authorization", f"Bearer {token}")]
    event = event_of("GET", "/api/orders", bearer, None, world.door.app.routes)
    endless = repeats(whole(headers=CHUNKED), CHUNK, most=100_000_000)
    acts = [
        answers(b"x" * 7_000_000, headers=JSON),
        endless,
        answers(bomb()),
        answers(b"x" * 4_000_000),
    ]
    flood = repeats(whole(headers=[("Content-Length", "50000000")]), b" " * 65_536)
    with world.upstream.scripted(*acts), world.wechat.scripted(flood):
        events = [*[event] * len(acts), login_event(world)]
        outcomes = alone.serve(world, *[({}, each) for each in events])
    assert [outcome.answer.status for outcome in outcomes] == [502, 502, 200, 200, 502]
    assert outcomes[-1].peak < MEMORY


@covers("UP-29")
def test_what_is_packed_is_not_ours_to_open(world: World, token: str, fault: Fault) -> None:
    packed = [("Content-Encoding", "gzip")]
    with world.upstream.scripted(answers(b"plain", headers=packed)):
        exchange = proxied(world.door, token)
    check(world, fault, exchange, ONCE)
    assert exchange.answer.body == b"plain"
    assert exchange.answer.headers["Content-Encoding"] == "gzip"


# --- a bad configuration -------------------------------------------------------------------------

BAD_URLS = """
http://api.example.com/base https://user:canary-password@api.example.com/base
https://api.example.com/base#x https://api.example.com/base?x=1 https:///base file:///etc/passwd
https://api.example.com:0/base https://api.example.com:99999/base https://api.example.com/a/../b
https://api.example.com/a/%2e%2e/b https://10.0.0.1/base https://169.254.169.254/base
https://localhost/base https://[::1/base https://api..example.com/base
https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com/base
"""


@covers("UP-32")
def test_a_bad_upstream_is_refused_at_the_start(world: World, token: str, fault: Fault) -> None:
    for url in [*BAD_URLS.split(), "https://api.example.com/a b"]:
        door = world.open_door(UPSTREAM_URL=url, UPSTREAM_ALLOW_PRIVATE="false")
        exchange = proxied(door, token)
        check(world, fault, exchange, Calls())
        assert "UPSTREAM_URL is malformed" in door.start.said, url
        assert "canary-password" not in door.start.said + exchange.seen.said


# --- connections that are kept -------------------------------------------------------------------


def test_requests_share_a_connection(world: World, token: str) -> None:
    proxied(world.door, token)
    before = world.upstream.connections
    statuses = [proxied(world.door, token, method).answer.status for method in ("GET", "POST") * 3]
    assert statuses == [200] * 6
    assert world.upstream.connections == before


@covers("UP-12")
@pytest.mark.parametrize("ending", [Peer.close, Peer.end, Peer.reset])
def test_a_connection_that_ended_while_idle_is_not_used(
    world: World, token: str, fault: Fault, ending: Act
) -> None:
    with world.upstream.scripted(then(echo, ending)):
        for method in ("GET", "POST", "POST"):
            world.upstream.forget_endings()
            exchange = proxied(world.door, token, method)
            check(world, fault, exchange, ONCE)
            assert exchange.answer.status == 200
            assert world.upstream.endings.acquire(timeout=5)


ENDINGS = [says(), resets(), Peer.reset, Peer.close, says(b"HTTP/1.1")]
"""Ends of a kept connection with, or under, the next request: it may have been served, or not."""


@pytest.mark.parametrize("ending", ENDINGS, ids=range(len(ENDINGS)))
@pytest.mark.parametrize(("method", "most"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("DELETE", 1)])
def test_what_may_have_had_an_effect_is_never_sent_twice_however_a_kept_connection_ends(
    world: World, token: str, method: str, most: int, ending: Act
) -> None:
    sends = 1 if ending is ENDINGS[-1] else most  # there an answer had begun
    proxied(world.door, token)
    before = world.upstream.connections
    with world.upstream.scripted(ending, echo):
        exchange = proxied(world.door, token, method)
    assert exchange.answer.status == (200 if sends == 2 else 502)
    assert world.upstream.connections == before + sends - 1  # the second send is on a fresh one
    assert len(exchange.upstream) <= sends
