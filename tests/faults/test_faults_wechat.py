"""WeChat fails: unreachable, slow, broken, or with an errcode."""

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from simulator.gateway import Context
from tests.attacks import loopback
from tests.attacks.loopback import Loopback, Received, Script, answer, dripping, sending, silence
from tests.attacks.wechat import RID, refusal, said, session_of
from tests.attacks.world import KEYS, Door, World
from tests.faults import alone
from tests.faults.corpus import (
    ALLOWANCE,
    FAULTS,
    Asked,
    Fault,
    always,
    check,
    covers,
    covers_each,
    reported,
    seconds,
    sessions_in,
)
from tests.faults.user import login
from tests.support.misbehaving import HOST, closed_port, full_backlog, self_signed

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
    check(world, fault, exchange, Asked(wechat=2, secrets=1), at={"wechat": (HOST, port)})
    assert sessions_in(world) == before


@covers("WX-03")
def test_a_connection_that_is_not_accepted_is_tried_once_more(world: World, fault: Fault) -> None:
    with full_backlog() as port:
        exchange = login(door_to(world, f"http://{HOST}:{port}"))
    check(world, fault, exchange, Asked(wechat=2, secrets=1), at={"wechat": (HOST, port)})
    assert exchange.seconds < 2 * seconds("wechat_connect") + ALLOWANCE


@covers("WX-04")
@pytest.mark.parametrize("flaw", ["self-signed", "expired", "wrong name", "none"])
def test_a_certificate_that_does_not_hold_gets_no_byte(
    world: World, fault: Fault, flaw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "other.test" if flaw == "wrong name" else "127.0.0.1"
    tls, certificate = self_signed(tmp_path, name, days=-1 if flaw == "expired" else 1)
    if flaw != "self-signed":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Loopback(said(GOOD), tls)
    try:
        exchange = login(door_to(world, server.url))
    finally:
        server.close()
    if flaw == "none":  # the control: with a good certificate the same server is believed
        assert exchange.answer.status == 200
        return
    at = {"wechat": (HOST, server.port)}
    check(world, fault, exchange, Asked(wechat=1, secrets=1), at=at)
    assert (server.connections, server.received) == (1, [])
    assert reported(exchange)["security"] is True


@covers("WX-05")
def test_an_answer_that_does_not_come_is_not_asked_for_again(world: World, fault: Fault) -> None:
    _ends_at_the_total(world, fault, silence)


@covers("WX-08")
def test_a_drip_ends_at_the_total_deadline(world: World, fault: Fault) -> None:
    _ends_at_the_total(world, fault, dripping(answer(200, [], json.dumps(GOOD).encode()), 0.4))


def _ends_at_the_total(world: World, fault: Fault, script: Script) -> None:
    before = sessions_in(world)
    with world.wechat.scripted(script):
        exchange = login(world.door)
    check(world, fault, exchange, Asked(wechat=1))  # and no later than the budget
    assert exchange.seconds > seconds("wechat_total") - 0.2
    assert sessions_in(world) == before


@covers("WX-09")
def test_a_late_status_line_and_late_headers_have_one_deadline(world: World, fault: Fault) -> None:
    # The entry's 3 s and 3 s of four, scaled to a call that gets 0.6 s: RESERVE is one second.
    with world.wechat.scripted(_late(0.45)):
        exchange = login(world.door, context=Context(seconds=1.6))
    check(world, fault, exchange, Asked(wechat=1))
    assert 0.5 < exchange.seconds < 0.6 + ALLOWANCE


def _late(pause: float) -> Script:
    """The status line after a pause, the headers and the body after another."""
    line, rest = answer(200, [], json.dumps(GOOD).encode()).split(b"\r\n", 1)

    def script(connection: socket.socket, _received: Received) -> None:
        connection.settimeout(pause)
        for part in (line + b"\r\n", rest):
            with contextlib.suppress(TimeoutError):
                if connection.recv(1) == b"":
                    return
            connection.sendall(part)

    return script


# --- a broken answer -----------------------------------------------------------------------------

BROKEN = {
    "WX-06": loopback.reset,
    "WX-10": sending(answer(400, HTML, b"<html>")),
    "WX-11": sending(answer(403, HTML, b"<html>")),
    "WX-12": sending(answer(404, HTML, b"<html>")),
    "WX-13": sending(answer(500, HTML, b"<html>")),
    "WX-14": sending(answer(502, HTML, b"<html>")),
    "WX-15": sending(answer(503, HTML, b"<html>")),
    "WX-16": sending(answer(429, [("Retry-After", "5")])),
    "WX-17": sending(answer(302, [("Location", "https://evil.test/?x")])),
    "WX-21": said(json.dumps(GOOD).encode()[:60]),
    "WX-22": sending(answer(200, [("Content-Length", "200")], json.dumps(GOOD).encode()[:60])),
    "WX-25": said(b"[]"),
    "WX-26": said(b"null"),
    "WX-29": said({**GOOD, "openid": ""}),
    "WX-31": said({**GOOD, "openid": "o\r\nX: y"}),
    "WX-32": said({**GOOD, "openid": "o" * 4096}),
    "WX-39": said({**GOOD, **refusal(40029)}),
}


@covers_each(BROKEN)
def test_a_broken_answer_is_no_login_and_is_not_asked_for_again(
    world: World, fault: Fault, injected: Script
) -> None:
    before = sessions_in(world)
    with world.wechat.scripted(injected):
        exchange = login(world.door)
    check(world, fault, exchange, Asked(wechat=1))
    assert sessions_in(world) == before


def test_wechats_retry_after_is_passed_on(world: World) -> None:
    with world.wechat.scripted(BROKEN["WX-16"]):
        assert login(world.door).answer.headers["Retry-After"] == "5"


SIBLINGS: dict[str, tuple[Any, int]] = {
    "no body": (b"", 502),
    "openid null": ({**GOOD, "openid": None}, 502),
    "openid missing": ({"session_key": GOOD["session_key"]}, 502),
    "openid number": ({**GOOD, "openid": 7}, 502),
    "openid with a space": ({**GOOD, "openid": "o 1"}, 502),
    "openid full-width": ({**GOOD, "openid": "ｏ1"}, 502),
    "unionid with CRLF": ({**GOOD, "unionid": "u\r\nX: y"}, 502),
    "unionid number": ({**GOOD, "unionid": 7}, 502),
    "unionid empty": ({**GOOD, "unionid": ""}, 200),
    "session_key missing": ({"openid": GOOD["openid"]}, 502),
    "session_key short": ({**GOOD, "session_key": "AAAA"}, 502),
    "session_key not base64": ({**GOOD, "session_key": "*" * 24}, 502),
    "session_key number": ({**GOOD, "session_key": 7}, 502),
    "errcode null": ({**GOOD, "errcode": None}, 502),
    "errcode true": ({**GOOD, "errcode": True}, 502),
    "errcode of many digits": ({**GOOD, "errcode": 10**40}, 502),
    "errcode with a fraction": ({**GOOD, "errcode": 0.5}, 502),
    "a duplicate openid": (b'{"openid":"o1","openid":"o2","session_key":"x"}', 502),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), 502),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), 502),
    "trailing junk": (json.dumps(GOOD).encode() + b"x", 502),
    "deep nesting": (b"[" * 60_000, 502),
}


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_what_is_not_quite_wechats_answer_is_no_login(world: World, sibling: str) -> None:
    body, status = SIBLINGS[sibling]
    with world.wechat.scripted(said(body)):
        exchange = login(world.door)
    assert exchange.answer.status == status
    assert len(exchange.writes) == (status == 200)
    always(world, exchange)


@covers("WX-56")
def test_a_huge_answer_is_read_to_the_cap_alone(world: World, fault: Fault) -> None:
    sent: list[int] = []
    with world.wechat.scripted(_flood(sent, 50_000_000)):
        exchange = login(world.door)
    with world.wechat.scripted(_flood([], 50_000_000)):
        alone.stays_small(world, exchange)
    check(world, fault, exchange, Asked(wechat=1))
    # What the sockets' buffers take is sent; what the gate reads is 64 KiB.
    assert sum(sent) < 25_000_000


def _flood(sent: list[int], size: int) -> Script:
    def script(connection: Any, _received: Any) -> None:
        connection.sendall(answer(200, [("Content-Length", str(size))]))
        while sum(sent) < size:
            connection.sendall(b" " * 65_536)
            sent.append(65_536)

    return script


# --- answers that are odd, and good --------------------------------------------------------------


@covers_each(
    {
        "WX-23": said(GOOD, content_type="text/plain"),
        "WX-24": said(GOOD, content_type="text/html"),
        "WX-35": said({name: GOOD[name] for name in ("openid", "session_key")}),
        "WX-36": said({**GOOD, "expires_in": 7200, "new": 1}),
        "WX-37": said({**GOOD, "errcode": 0, "errmsg": "ok"}),
        "WX-38": said({**GOOD, "errcode": "0"}),
    }
)
def test_an_odd_but_good_answer_logs_in(world: World, fault: Fault, injected: Script) -> None:
    before = sessions_in(world)
    with world.wechat.scripted(injected):
        exchange = login(world.door)
    check(world, fault, exchange, Asked(wechat=1, store=1))
    assert sessions_in(world) == before + 1


@covers("WX-07")
def test_a_connection_that_ended_after_an_answer_is_not_used_again(
    world: World, fault: Fault
) -> None:
    with world.wechat.scripted(sending(answer(200, [], json.dumps(GOOD).encode()))):
        logins = [login(world.door) for _ in range(2)]
    for exchange in logins:
        check(world, fault, exchange, Asked(wechat=1, store=1))
        assert exchange.answer.status == 200


def test_no_connection_is_kept_for_the_next_call(world: World) -> None:
    before = world.wechat.connections
    login(world.door)
    login(world.door)
    assert world.wechat.connections == before + 2


def test_a_user_without_a_unionid_brings_none_upstream(world: World) -> None:
    with world.wechat.scripted(said({name: GOOD[name] for name in ("openid", "session_key")})):
        token = world.door.login()
    forged = [("X-WX-UNIONID", "u-victim")]
    exchange = world.door.send("GET", "/api/echo", token=token, headers=forged)
    assert exchange.upstream[0].values("x-wx-unionid") == []


def test_unknown_members_are_not_stored(world: World) -> None:
    with world.wechat.scripted(said({**GOOD, "new": "canary-member"})):
        assert login(world.door).answer.status == 200
    assert "canary-member" not in str(world.items())


# --- errcodes ------------------------------------------------------------------------------------

ERRCODES = {
    name: int(fault.text.split("errcode ")[1].split(" ")[0])
    for name, fault in FAULTS.items()
    if fault.text.startswith("errcode ") and name not in ("WX-37", "WX-38", "WX-39")
}


@covers_each(ERRCODES)
def test_an_errcode_means_one_refusal_and_is_told_to_the_log_alone(
    world: World, fault: Fault, injected: int
) -> None:
    before = sessions_in(world)
    with world.wechat.scripted(said(refusal(injected))):
        exchange = login(world.door)
    # 40125: the secret is read again, and is the same; the version before it there is none.
    check(world, fault, exchange, Asked(wechat=1, secrets=2 if injected == 40125 else 0))
    assert (reported(exchange)["errcode"], reported(exchange)["rid"]) == (injected, RID)
    assert RID not in exchange.answer.body.decode()
    assert sessions_in(world) == before


def test_the_minute_quota_says_when_to_come_back(world: World) -> None:
    with world.wechat.scripted(said(refusal(45011))):
        assert login(world.door).answer.headers["Retry-After"] == "60"


def test_a_wechat_that_fails_leaves_sessions_alone(world: World, token: str) -> None:
    with world.wechat.scripted(silence):
        assert world.door.send("GET", "/api/echo", token=token).answer.status == 200
