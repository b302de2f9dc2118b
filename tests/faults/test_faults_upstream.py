"""The upstream fails: unreachable, slow, broken, huge, or with an answer of its own."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from simulator.gateway import Context
from tests.attacks.loopback import Loopback, Script, answer, dripping, sending, silence
from tests.attacks.runner import bomb
from tests.attacks.world import Exchange, World, echo
from tests.faults.corpus import Fault, check, covers, covers_each
from tests.misbehaving import closed_port, full_backlog, self_signed

JSON = [("Content-Type", "application/json")]
METHODS = ("GET", "POST")


def proxied(world: World, token: str, method: str = "GET", **options: Any) -> Exchange:
    """Send a request upstream."""
    body = {"a": 1} if method != "GET" else None
    return world.door.send(method, "/api/orders", token=token, json_body=body, **options)


def in_a_hurry() -> Context:
    """An invocation that leaves the upstream 0.6 s: remaining - 1500 ms."""
    return Context(seconds=2.1)


# --- no connection -------------------------------------------------------------------------------


@covers("UP-01")
def test_a_name_without_an_address_is_unreachable(world: World, token: str, fault: Fault) -> None:
    door = world.open_door(UPSTREAM_URL="http://upstream.invalid/base")
    exchange = door.send("GET", "/api/orders", token=token)
    check(world, fault, exchange)
    assert [name for name in exchange.seen.names if name != "127.0.0.1"] == ["upstream.invalid"]


@covers("UP-04")
@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1)])
def test_a_refused_connection_is_tried_again_where_that_is_safe(
    world: World, token: str, fault: Fault, method: str, tries: int
) -> None:
    port = closed_port()
    door = world.open_door(UPSTREAM_URL=f"http://127.0.0.1:{port}/base")
    exchange = door.send(method, "/api/orders", token=token)
    check(world, fault, exchange)
    assert exchange.seen.addresses.count(("127.0.0.1", port)) == tries


@covers("UP-05")
def test_a_connection_that_is_not_accepted_is_a_timeout(
    world: World, token: str, fault: Fault
) -> None:
    with full_backlog() as port:
        door = world.open_door(UPSTREAM_URL=f"http://127.0.0.1:{port}/base")
        exchange = door.send("GET", "/api/orders", token=token)
    check(world, fault, exchange)
    assert exchange.seen.addresses.count(("127.0.0.1", port)) == 1


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
    door = world.open_door(UPSTREAM_URL=f"{server.url}/base")
    exchange = door.send("GET", "/api/orders", token=token)
    server.close()
    check(world, fault, exchange)
    assert server.received == []


# --- no answer -----------------------------------------------------------------------------------


@covers_each(
    {
        "UP-07": silence,
        "UP-09": dripping(answer(200, [], b"x" * 60), 0.2),
    }
)
@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_does_not_come_ends_at_the_deadline(
    world: World, token: str, fault: Fault, injected: Script, method: str
) -> None:
    with world.upstream.scripted(injected):
        exchange = proxied(world, token, method, context=in_a_hurry())
    check(world, fault, exchange)
    assert len(exchange.upstream) == 1
    assert 0.4 < exchange.seconds < 1.6


def test_a_body_that_drips_ends_at_the_deadline_too(world: World, token: str) -> None:
    def script(connection: Any, received: Any) -> None:
        connection.sendall(answer(200, [("Content-Length", "60")]))
        dripping(b"x" * 60, 0.2)(connection, received)

    with world.upstream.scripted(script):
        exchange = proxied(world, token, context=in_a_hurry())
    assert exchange.answer.code == "UpstreamTimeout"
    assert exchange.seconds < 1.6


def test_a_timeout_of_the_operators_counts_where_it_is_shorter(world: World, token: str) -> None:
    door = world.open_door(UPSTREAM_TIMEOUT="0.3")
    with world.upstream.scripted(silence):
        exchange = door.send("GET", "/api/orders", token=token)
    assert exchange.answer.code == "UpstreamTimeout"


# --- a broken answer -----------------------------------------------------------------------------


def _line(status: str) -> Script:
    return sending(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def _lines(*lines: bytes) -> Script:
    return sending(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", b"{}"]))


def _cut_off(connection: Any, received: Any) -> None:
    connection.sendall(answer(200, [("Content-Length", "1000")], b"x" * 400))


BROKEN: dict[str, list[Script]] = {
    "UP-11": [sending(answer(200, [("Content-Length", "1000")], b"x" * 400))],
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
CASES = {
    f"{name}-{number}": (name, script)
    for name, scripts in BROKEN.items()
    for number, script in enumerate(scripts)
}


@covers(*BROKEN)
@pytest.mark.parametrize("method", METHODS)
def test_a_broken_answer_is_never_passed_on_nor_asked_for_again(
    world: World, token: str, fault: Fault, method: str
) -> None:
    for script in BROKEN[fault.id]:
        with world.upstream.scripted(script):
            exchange = proxied(world, token, method)
        check(world, fault, exchange)
        assert len(exchange.upstream) == 1
        told = f"{exchange.answer.headers}{exchange.answer.body!r}".lower()
        assert "folded" not in told
        assert "x-wx-openid" not in told


@pytest.mark.parametrize("number", range(len(BROKEN["UP-18"])))
def test_a_status_that_is_none_is_a_bad_answer(world: World, token: str, number: int) -> None:
    with world.upstream.scripted(BROKEN["UP-18"][number]):
        assert proxied(world, token).answer.code == "UpstreamBadResponse"


@covers("UP-12")
def test_a_connection_that_idled_is_not_used_for_a_post(
    world: World, token: str, fault: Fault
) -> None:
    connections = world.upstream.connections
    proxied(world, token)
    exchange = proxied(world, token, "POST")
    check(world, fault, exchange)
    assert len(exchange.upstream) == 1
    assert world.upstream.connections == connections + 2


# --- the upstream's own answers ------------------------------------------------------------------


@covers_each({"UP-14": 502, "UP-15": 503, "UP-16": 401, "UP-17": 429})
@pytest.mark.parametrize("method", METHODS)
def test_the_upstreams_own_refusal_is_passed_on_as_its_own(
    world: World, token: str, fault: Fault, injected: int, method: str
) -> None:
    headers = [*JSON, ("Retry-After", "7"), ("X-Wxgate-Error", "InvalidToken")]
    with world.upstream.scripted(sending(answer(injected, headers, b'{"error":"x"}'))):
        exchange = proxied(world, token, method)
    check(world, fault, exchange)
    assert exchange.answer.code is None  # so the client does not log in again by itself
    assert exchange.answer.json == {"error": "x"}
    assert exchange.answer.headers["Retry-After"] == "7"
    assert len(exchange.upstream) == 1


@covers("UP-31")
def test_a_redirect_to_itself_is_one_call(world: World, token: str, fault: Fault) -> None:
    here = f"{world.upstream.url}/base/orders"
    with world.upstream.scripted(sending(answer(302, [("Location", here)]))):
        exchange = proxied(world, token)
    check(world, fault, exchange)
    assert len(exchange.upstream) == 1
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
    with world.upstream.scripted(sending(answer(200, JSON, b"x" * 7_000_000))):
        exchange = proxied(world, token)
    check(world, fault, exchange)


@covers("UP-27")
def test_an_endless_answer_is_read_to_the_cap(world: World, token: str, fault: Fault) -> None:
    sent: list[int] = []
    with world.upstream.scripted(_endless(sent)):
        exchange = proxied(world, token)
    check(world, fault, exchange)
    assert sum(sent) < 30_000_000


@covers("UP-28")
def test_a_bomb_is_passed_on_unopened(world: World, token: str, fault: Fault) -> None:
    packed = [("Content-Encoding", "gzip, gzip")]
    tracemalloc.start()
    with world.upstream.scripted(sending(answer(200, packed, bomb()))):
        exchange = proxied(world, token)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    check(world, fault, exchange)
    assert exchange.answer.body == bomb()
    assert peak < 50_000_000


@covers("UP-29")
def test_what_is_packed_is_not_ours_to_open(world: World, token: str, fault: Fault) -> None:
    with world.upstream.scripted(sending(answer(200, [("Content-Encoding", "gzip")], b"plain"))):
        exchange = proxied(world, token)
    check(world, fault, exchange)
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
    exchange = door.send("GET", "/api/orders", token=token)
    check(world, fault, exchange)
    assert exchange.operations == []
    assert "canary-password" not in exchange.seen.said + door.module.services.fault
