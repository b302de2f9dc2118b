"""Connections to WeChat and to the upstream fail: they do not come about, or end while kept."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.world import KEYS, Door, Exchange, World
from tests.faults.corpus import Calls, Fault, check, covers, login, proxied, seconds
from tests.support import loopback
from tests.support.loopback import HOST, Act, Loopback, Peer, self_signed
from tests.support.wechat import said, session_of

VARIABLES = {"wechat": "WECHAT_API_URL", "upstream": "UPSTREAM_URL"}
GOOD: dict[str, Act] = {"wechat": said(session_of("A")), "upstream": loopback.echo}


def door_to(world: World, token: str, side: str, url: str, **environ: str) -> Door:
    """An app with one side elsewhere; its clients stand, and it has read the signing key."""
    door = world.open_door(**{VARIABLES[side]: url}, **environ)
    door.send("GET", KEYS)
    if side == "upstream":
        door.send("GET", "/session", token=token)
    return door


def called(door: Door, token: str, side: str, method: str) -> Exchange:
    return login(door) if side == "wechat" else proxied(door, token, method)


def calls_of(side: str, attempts: int) -> Calls:
    """The calls if one side fails; an app that was loaded anew reads the appsecret."""
    upstream = Calls(upstream=attempts, store=1)
    return Calls(wechat=attempts, secrets=1) if side == "wechat" else upstream


def closed() -> AbstractContextManager[int]:
    return nullcontext(loopback.closed_port())


Nowhere = tuple[str, Callable[[], AbstractContextManager[int]], dict[str, int], float]
"""Host, port, how many attempts each method makes, and the seconds that they may take."""

UNREACHABLE: dict[str, Nowhere] = {
    "WX-02": (HOST, closed, {"POST": 2}, 1),
    "WX-03": (HOST, loopback.full_backlog, {"POST": 2}, 2 * seconds("wechat_connect")),
    "UP-01": ("upstream.invalid", lambda: nullcontext(80), {"GET": 1}, 20),
    "UP-04": (HOST, closed, {"GET": 2, "HEAD": 2, "POST": 1, "PUT": 1}, 1),
    "UP-05": (HOST, loopback.full_backlog, {"GET": 1}, 3),  # docs/errors.md
}


@covers(UNREACHABLE)
def test_a_connection_is_tried_once_more_if_it_was_refused_and_that_is_safe(
    world: World, token: str, fault: Fault, injected: Nowhere
) -> None:
    host, place, methods, time = injected
    for method, attempts in methods.items():
        with place() as port:
            door = door_to(world, token, fault.area, f"http://{host}:{port}")
            exchange = called(door, token, fault.area, method)
        calls, at = calls_of(fault.area, attempts), {fault.area: (host, port)}
        check(world, fault, exchange, calls, at=at, within=time)


FLAWS: dict[str, dict[str, Any]] = {"unknown authority": {}, "none": {}}
FLAWS |= {"expired": {"days": -1}, "another name": {"name": "other.test"}}


@covers("WX-04", "UP-06")
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_server_whose_certificate_does_not_hold_gets_no_byte(
    world: World, token: str, fault: Fault, flaw: str, tmp_path: Path
) -> None:
    tls, certificate = self_signed(tmp_path, **FLAWS[flaw])
    if flaw == "unknown authority":
        certificate = self_signed(tmp_path)[1]
    with Loopback(GOOD[fault.area], tls=tls) as server:
        door = door_to(world, token, fault.area, server.url, SSL_CERT_FILE=str(certificate))
        exchange = called(door, token, fault.area, "GET")
    if flaw == "none":  # the same server is believed
        assert exchange.answer.status == 200
        return
    at = {fault.area: (HOST, server.port)}
    check(world, fault, exchange, calls_of(fault.area, 1), at=at)
    assert ('"security": true' in exchange.seen.said) == (fault.area == "wechat")
    assert (server.connections, server.requests) == (1, [])


@covers("WX-07", "UP-12")
@pytest.mark.parametrize("ending", [Peer.close, Peer.end, Peer.reset])
def test_a_connection_that_ended_while_idle_is_not_used(
    world: World, token: str, fault: Fault, ending: Act
) -> None:
    side: Loopback = getattr(world, fault.area)
    with side.scripted(loopback.then(GOOD[fault.area], ending)):
        for method in ("GET", "POST", "POST"):
            side.forget_endings()
            exchange = called(world.door, token, fault.area, method)
            check(world, fault, exchange, Calls(**{fault.area: 1}, store=1))
            assert exchange.answer.status == 200
            assert side.endings.acquire(timeout=5)
