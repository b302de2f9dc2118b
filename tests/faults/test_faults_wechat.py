"""WeChat fails: unreachable, slow, broken, or with an errcode."""

import json
from pathlib import Path

import pytest

from simulator.gateway import Context
from tests.attacks.world import KEYS, Door, World
from tests.faults import alone
from tests.faults.corpus import (
    ALLOWANCE,
    FAULTS,
    Calls,
    Fault,
    check,
    covers,
    covers_each,
    login,
    login_event,
    request_line,
    seconds,
    sessions_in,
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
from tests.support.wechat import RID, refusal, said, session_of

GOOD = session_of("A")
HTML = [("Content-Type", "text/html")]


def door_to(world: World, url: str) -> Door:
    """An app with WeChat elsewhere, which has read no appsecret yet; its clients stand."""
    door = world.open_door(WECHAT_API_URL=url)
    door.send("GET", KEYS)
    return door


# --- no answer -----------------------------------------------------------------------------------


@covers("WX-02")
def test_a_refused_connection_is_tried_once_more(world: World, fault: Fault) -> None:
    port, before = closed_port(), sessions_in(world)
    exchange = login(door_to(world, f"http://{HOST}:{port}"))
    check(world, fault, exchange, Calls(wechat=2, secrets=1), at={"wechat": (HOST, port)})
    assert sessions_in(world) == before


@covers("WX-03")
def test_a_connection_that_is_not_accepted_is_tried_once_more(world: World, fault: Fault) -> None:
    with full_backlog() as port:
        exchange = login(door_to(world, f"http://{HOST}:{port}"))
    check(world, fault, exchange, Calls(wechat=2, secrets=1), at={"wechat": (HOST, port)})


@covers("WX-04")
def test_a_certificate_that_does_not_hold_gets_no_byte(
    world: World, fault: Fault, tmp_path: Path
) -> None:
    event = login_event(world)
    with alone.with_certificates(said(GOOD), tmp_path) as (servers, trusted):
        trust = {"SSL_CERT_FILE": str(trusted)}
        cases = [({**trust, "WECHAT_API_URL": server.url}, event) for server in servers.values()]
        *refused, control = alone.serve(world, *cases)
        for outcome, server in zip(refused, servers.values(), strict=False):
            assert (outcome.answer.status, outcome.answer.code) == (fault.statuses[0], fault.code)
            assert outcome.line["security"] is True
            assert (server.connections, server.requests) == (1, [])
    assert control.answer.status == 200  # with a good certificate the same server is believed


HURRIED = 2.2
"""Seconds of an invocation that leave a call to WeChat 1.2: the reserve is one second."""

SLOW = {"WX-05": (is_silent, None), "WX-08": (drips(whole(b" " * 99), 0.1), HURRIED)}


@covers_each(SLOW)
def test_an_answer_that_does_not_come_ends_at_the_total_deadline_and_is_not_asked_for_again(
    world: World, fault: Fault, injected: tuple[Act, float | None]
) -> None:
    act, left = injected
    before, total = sessions_in(world), left - 1 if left else seconds("wechat_total")
    with world.wechat.scripted(act):
        exchange = login(world.door, context=Context(seconds=left) if left else None)
    check(world, fault, exchange, Calls(wechat=1))
    assert exchange.own_seconds < total + ALLOWANCE
    assert exchange.seconds > total - 0.2
    assert sessions_in(world) == before


@covers("WX-09")
def test_a_late_status_line_and_late_headers_have_one_deadline(world: World, fault: Fault) -> None:
    # The entry's 3 s and 3 s of four, scaled to a call that gets 1.2 s.
    with world.wechat.scripted(_late(0.8)):
        exchange = login(world.door, context=Context(seconds=HURRIED))
    check(world, fault, exchange, Calls(wechat=1))


def _late(pause: float) -> Act:
    """The status line after a pause, the rest after another."""
    line, _, rest = whole(json.dumps(GOOD).encode()).partition(b"\r\n")
    return says(line + b"\r\n", rest, pause=pause)


# --- a broken answer -----------------------------------------------------------------------------

BROKEN = {
    "WX-06": resets(),
    "WX-10": answers(b"<html>", status=400, headers=HTML),
    "WX-11": answers(b"<html>", status=403, headers=HTML),
    "WX-12": answers(b"<html>", status=404, headers=HTML),
    "WX-13": answers(b"<html>", status=500, headers=HTML),
    "WX-14": answers(b"<html>", status=502, headers=HTML),
    "WX-15": answers(b"<html>", status=503, headers=HTML),
    "WX-16": answers(status=429, headers=[("Retry-After", "5")]),
    "WX-17": answers(status=302, headers=[("Location", "https://evil.test/?x")]),
    "WX-21": said(json.dumps(GOOD).encode()[:60]),
    "WX-22": says(whole(json.dumps(GOOD).encode()[:60], headers=[("Content-Length", "200")])),
    "WX-25": said(b"[]"),
    "WX-26": said(b"null"),
    "WX-29": said({**GOOD, "openid": ""}),
    "WX-31": said({**GOOD, "openid": "o\r\nX: y"}),
    "WX-32": said({**GOOD, "openid": "o" * 4096}),
    "WX-39": said({**GOOD, **refusal(40029)}),
}


@covers_each(BROKEN)
def test_a_broken_answer_is_no_login_and_is_not_asked_for_again(
    world: World, fault: Fault, injected: Act
) -> None:
    before = sessions_in(world)
    with world.wechat.scripted(injected):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1))
    assert sessions_in(world) == before
    if fault.id == "WX-16":
        assert exchange.answer.headers["Retry-After"] == "5"  # WeChat's own


@covers("WX-56")
def test_a_huge_answer_is_read_to_the_cap_alone(world: World, fault: Fault) -> None:
    sent: list[int] = []
    head = whole(headers=[("Content-Length", "50000000")])
    with world.wechat.scripted(repeats(head, b" " * 65_536, sent, most=50_000_000)):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1))
    # What the sockets' buffers take is sent; what the gate reads is 64 KiB.
    assert sum(sent) < 25_000_000


# --- answers that are unusual, and good ----------------------------------------------------------


@covers_each(
    {
        "WX-23": said(GOOD, content_type="text/plain"),
        "WX-24": said(GOOD, content_type="text/html"),
        "WX-35": said({name: GOOD[name] for name in ("openid", "session_key")}),
        "WX-36": said({**GOOD, "expires_in": 7200, "new": "canary-member"}),
        "WX-37": said({**GOOD, "errcode": 0, "errmsg": "ok"}),
        "WX-38": said({**GOOD, "errcode": "0"}),
    }
)
def test_an_unusual_but_good_answer_logs_in(world: World, fault: Fault, injected: Act) -> None:
    before = sessions_in(world)
    with world.wechat.scripted(injected):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1, store=1))
    assert sessions_in(world) == before + 1
    assert "canary-member" not in str(world.items())


# --- errcodes ------------------------------------------------------------------------------------

ERRCODES = {
    name: int(fault.text.split("errcode ")[1].split(" ")[0])
    for name, fault in FAULTS.items()
    if fault.text.startswith("errcode ") and name not in ("WX-37", "WX-38", "WX-39")
}


@covers_each(ERRCODES)
def test_an_errcode_means_one_refusal_and_goes_to_the_log_alone(
    world: World, fault: Fault, injected: int
) -> None:
    before = sessions_in(world)
    with world.wechat.scripted(said(refusal(injected))):
        exchange = login(world.door)
    # 40125: the secret is read again, and is the same; there is no version before it.
    check(world, fault, exchange, Calls(wechat=1, secrets=2 if injected == 40125 else 0))
    line = request_line(exchange)
    assert (line["errcode"], line["rid"]) == (injected, RID)
    assert RID not in exchange.answer.body.decode()
    assert sessions_in(world) == before
    if injected == 45011:
        assert exchange.answer.headers["Retry-After"] == "60"


def test_a_wechat_that_fails_leaves_sessions_alone(world: World, token: str) -> None:
    with world.wechat.scripted(is_silent):
        assert world.door.send("GET", "/api/echo", token=token).answer.status == 200


# --- connections that are kept -------------------------------------------------------------------


def test_logins_share_a_connection(world: World) -> None:
    before = world.wechat.connections
    assert [login(world.door).answer.status for _ in range(3)] == [200] * 3
    assert world.wechat.connections == before


@covers("WX-07")
@pytest.mark.parametrize("ending", [Peer.close, Peer.end, Peer.reset])
def test_a_connection_that_ended_while_idle_is_not_used(
    world: World, fault: Fault, ending: Act
) -> None:
    with world.wechat.scripted(then(said(GOOD), ending)):
        for _ in range(3):
            world.wechat.forget_endings()
            exchange = login(world.door)
            check(world, fault, exchange, Calls(wechat=1, store=1))
            assert exchange.answer.status == 200
            assert world.wechat.endings.acquire(timeout=5)


ENDINGS = [says(), says(b"HTTP/1.1"), resets(), Peer.reset, Peer.close]
"""Ends of a kept connection with, or under, the next request: it may have been served, or not."""


@pytest.mark.parametrize("ending", ENDINGS, ids=range(len(ENDINGS)))
def test_a_code_is_never_sent_twice_however_a_kept_connection_ends(
    world: World, ending: Act
) -> None:
    before = world.wechat.connections
    with world.wechat.scripted(ending, said(GOOD)):
        exchange = login(world.door)
    assert exchange.answer.code in ("WeChatUnavailable", "WeChatBadResponse")
    assert world.wechat.connections == before
    assert len(exchange.wechat) <= 1
