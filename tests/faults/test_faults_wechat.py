"""WeChat fails: unreachable, slow, broken, or with an errcode."""

import json

from simulator.gateway import Context
from tests.attacks.world import World
from tests.faults import corpus
from tests.faults.corpus import Calls, Fault, check, covers, login
from tests.support.loopback import Act, answers, drips, is_silent, repeats, resets, says, whole
from tests.support.wechat import RID, refusal, said, session_of

GOOD = session_of("A")
TEXT = json.dumps(GOOD).encode()


def html(status: int) -> Act:
    return answers(b"<html>", status=status, headers=[("Content-Type", "text/html")])


HURRIED = 2.2
"""Seconds of an invocation that leave a call to WeChat 1.2: the reserve is one second."""

_LINE, _, _REST = whole(TEXT).partition(b"\r\n")
SLOW: dict[str, tuple[Act, float | None]] = {
    "WX-05": (is_silent, None),
    "WX-08": (drips(whole(b" " * 99), 0.1), HURRIED),
    # The entry's 3 s and 3 s of four, scaled to a call that gets 1.2 s.
    "WX-09": (says(_LINE + b"\r\n", _REST, pause=0.8), HURRIED),
}


@covers(SLOW)
def test_an_answer_that_does_not_come_ends_at_the_total_deadline_and_is_not_asked_for_again(
    world: World, fault: Fault, injected: tuple[Act, float | None]
) -> None:
    act, left = injected
    with world.wechat.scripted(act):
        exchange = login(world.door, context=Context(seconds=left) if left else None)
    total = left - 1 if left else corpus.seconds("wechat_total")
    check(world, fault, exchange, Calls(wechat=1), within=total)
    assert exchange.seconds > total - 0.2


SENT: list[int] = []
FLOOD = repeats(whole(headers=[("Content-Length", "50000000")]), b" " * 65_536, SENT, 50_000_000)

BROKEN = {
    "WX-06": resets(),
    **{f"WX-{n}": html(status) for n, status in enumerate((400, 403, 404, 500, 502, 503), 10)},
    "WX-16": answers(status=429, headers=[("Retry-After", "5")]),
    "WX-17": answers(status=302, headers=[("Location", "https://evil.test/?x")]),
    "WX-21": said(TEXT[:60]),
    "WX-22": says(whole(TEXT[:60], headers=[("Content-Length", "200")])),
    "WX-25": said(b"[]"),
    "WX-26": said(b"null"),
    "WX-29": said({**GOOD, "openid": ""}),
    "WX-31": said({**GOOD, "openid": "o\r\nX: y"}),
    "WX-32": said({**GOOD, "openid": "o" * 4096}),
    "WX-39": said({**GOOD, **refusal(40029)}),
    "WX-56": FLOOD,
}


@covers(BROKEN)
def test_a_broken_answer_is_no_login_and_is_not_asked_for_again(
    world: World, fault: Fault, injected: Act
) -> None:
    with world.wechat.scripted(injected):
        exchange = login(world.door)
    check(world, fault, exchange, Calls(wechat=1))
    if fault.id == "WX-16":
        assert exchange.answer.headers["Retry-After"] == "5"  # WeChat's own
    # Of a flood, the sockets' buffers take more than what the gate reads, 64 KiB.
    assert sum(SENT) < 25_000_000


@covers(
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
    with world.wechat.scripted(injected):
        exchange = login(world.door)
    check(world, fault, exchange, corpus.LOGIN)
    assert [done.name for done in exchange.store] == ["PutItem"]
    assert "canary-member" not in str(exchange.store)


ERRCODES = {
    name: int(fault.text.split("errcode ")[1].split(" ")[0])
    for name, fault in corpus.FAULTS.items()
    if fault.text.startswith("errcode ") and name not in ("WX-37", "WX-38", "WX-39")
}


@covers(ERRCODES)
def test_an_errcode_means_one_refusal_and_goes_to_the_log_alone(
    world: World, fault: Fault, injected: int
) -> None:
    with world.wechat.scripted(said(refusal(injected))):
        exchange = login(world.door)
    # 40125: the secret is read again, and is the same; there is no version before it.
    check(world, fault, exchange, Calls(wechat=1, secrets=2 if injected == 40125 else 0))
    line = corpus.request_line(exchange)
    assert (line["errcode"], line["rid"]) == (injected, RID)
    assert RID not in exchange.answer.body.decode()
    if injected == 45011:
        assert exchange.answer.headers["Retry-After"] == "60"
