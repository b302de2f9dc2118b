"""The runtime fails: no time, no memory, crossed logins, a wrong clock, a dead log, odd events."""

import contextlib
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from simulator.gateway import Context
from tests.attacks.oracle import PHONE, body_of, message
from tests.attacks.world import TTL, Exchange, World
from tests.faults import corpus
from tests.faults.corpus import Calls, Fault, check, covers, login, proxied
from tests.support.aws_proxy import Forward, Operation
from tests.support.fakes import NOW
from tests.support.loopback import Peer, is_silent, says, whole
from tests.support.wechat import USERS, said, session_of

ROOT = Path(__file__).parents[2]
NEW_KEY = USERS["A"]["session_key_replaced"]


@covers("RUN-02")
def test_no_token_is_given_where_no_time_is_left_to_store_it(world: World, fault: Fault) -> None:
    before = world.sessions()
    late = says(whole(json.dumps(session_of("A")).encode()), pause=1.6)
    with world.wechat.scripted(late):
        exchange = login(world.door, context=Context(seconds=1.9))
    check(world, fault, exchange, Calls(wechat=len(exchange.wechat)))
    assert len(exchange.wechat) <= 1  # better none: the code is not spent
    assert world.sessions() == before


class _TooLarge(str):
    """A body that memory is too small for."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        raise MemoryError("canary-memory-text")


@covers("RUN-04")
def test_a_request_without_memory_fails_alone(world: World, token: str, fault: Fault) -> None:
    event = world.door.event("POST", "/api/orders", token=token, body=_TooLarge("{}"))
    exchange = world.door.serve(event)
    assert (exchange.answer.status, exchange.answer.code) == (fault.statuses[0], fault.code)
    assert exchange.upstream == []
    corpus.nothing_leaks(world, exchange.seen)
    assert "canary-memory-text" not in str(exchange.seen.lines) + str(exchange.answer)
    assert login(world.door).answer.status == 200


SERVING = f"""
import json, sys, app
app.services.clock = lambda: {NOW}
print(app.app(json.load(sys.stdin), None))
"""


@covers("RUN-03")
@pytest.mark.parametrize("moment", ["before the writes", "after the writes"])
def test_a_process_killed_in_its_writes_leaves_no_half_session(
    world: World, token: str, fault: Fault, moment: str
) -> None:
    before, reached = world.sessions(), threading.Event()

    def stops(peer: Peer, _operation: Operation, forward: Forward) -> None:
        if moment == "after the writes":
            forward()
        reached.set()
        peer.read_to_the_end()

    environ = {**os.environ, **world.environ}
    command = [sys.executable, "-c", SERVING]
    with (
        world.aws.failing("TransactWriteItems", stops),
        world.watching() as watched,
        Popen(command, cwd=ROOT, env=environ, stdin=PIPE, stdout=PIPE, text=True) as process,
    ):
        assert process.stdin
        assert process.stdout
        json.dump(corpus.login_event(world, corpus.CODE, replaces=token), process.stdin)
        process.stdin.close()
        assert reached.wait(20)
        process.kill()
        assert process.stdout.read() == ""  # no token left the process
    assert (len(watched.wechat), watched.operations[-1].name) == (1, "TransactWriteItems")
    assert world.sessions() == before  # the old one, or the one that replaced it
    exchange = proxied(world.door, token)
    assert exchange.answer.status == (401 if moment == "after the writes" else 200)
    check(world, fault, login(world.door), corpus.LOGIN)


@covers("RUN-06")
def test_a_code_repeated_after_a_timeout_gives_no_second_session(
    world: World, fault: Fault
) -> None:
    world.wechat.renew()

    def consumed_and_silent(peer: Peer) -> None:
        world.wechat.codes["code-once"] = 40163
        is_silent(peer)

    with world.wechat.scripted(consumed_and_silent):
        first = login(world.door, "code-once", context=Context(seconds=2.2))
    second = login(world.door, "code-once")
    world.wechat.codes["code-once"] = "openid A, once"
    for exchange, code in ((first, "WeChatTimeout"), (second, "InvalidCode")):
        assert exchange.answer.code == code
        assert corpus.calls_in(world, exchange) == Calls(wechat=1)
        corpus.always(world, exchange)
    check(world, fault, second, Calls(wechat=1))


@covers("RUN-07")
def test_a_code_sent_at_once_gives_tokens_of_its_own_user_alone(world: World, fault: Fault) -> None:
    world.wechat.renew()
    exchanges = world.door.serve_at_once([corpus.login_event(world, "code-once")] * 2)
    assert len(exchanges[0].wechat) == 2  # each exchange has what was seen of all
    corpus.nothing_leaks(world, exchanges[0].seen)
    answers = [exchange.answer for exchange in exchanges]
    assert sorted(answer.status for answer in answers) == [200, 401]
    [token] = [answer.json["token"] for answer in answers if answer.status == 200]
    sent = proxied(world.door, token)
    check(world, fault, sent, corpus.ONCE)
    assert sent.upstream[0].values("x-wx-openid") == [USERS["A"]["openid"]]


@covers("RUN-08")
def test_logins_that_cross_keep_their_own_keys(world: World, fault: Fault) -> None:
    second_is_stored, first_is_here = threading.Event(), threading.Event()
    keys = [said(session_of("A", key)) for key in (USERS["A"]["session_key"], NEW_KEY)]

    def wait_for_the_second(peer: Peer, _operation: Operation, forward: Forward) -> None:
        first_is_here.set()
        assert second_is_stored.wait(5)
        peer.send(forward())

    with (
        world.wechat.scripted(*keys),
        world.aws.failing("PutItem", wait_for_the_second, times=1),
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(world.door.app, corpus.login_event(world, corpus.CODE), Context())
        assert first_is_here.wait(5)
        second = login(world.door)
        second_is_stored.set()
        first = json.loads(slow.result()["body"])["token"]
    check(world, fault, second, corpus.LOGIN)
    for token, key in ((first, USERS["A"]["session_key"]), (second.answer.json["token"], NEW_KEY)):
        assert _decrypted(world, token, key).answer.json["data"] == PHONE


def _decrypted(world: World, token: str, session_key: str) -> Exchange:
    sealed = message(PHONE, session_key=session_key)
    body = body_of("phone", sealed.iv, sealed.blocks)
    return world.door.send("POST", "/decrypt", token=token, json_body=body)


@covers("RUN-09")
def test_a_key_that_wechat_replaced_fails_to_open_and_ends_no_session(
    world: World, token: str, fault: Fault
) -> None:
    check(world, fault, _decrypted(world, token, NEW_KEY), Calls(store=2))
    assert proxied(world.door, token).answer.status == 200


@covers({"RUN-12": 300, "RUN-13": -300, "RUN-14": -3600})
def test_with_a_wrong_clock_sessions_end_early_or_late_by_as_much(
    world: World, token: str, fault: Fault, injected: int, later: Callable[[float], None]
) -> None:
    other = world.door.login_at(NOW - TTL + max(injected, 0))
    later(injected)
    exchange = proxied(world.door, token)
    # What was read in the future is read anew: the signing key, in each of its stages.
    reads = corpus.calls_in(world, exchange).secrets
    assert 1 <= reads <= 3
    check(world, fault, exchange, Calls(upstream=1, store=1, secrets=reads))
    # It ends now by a right clock, or five minutes from now.
    assert proxied(world.door, other).answer.status == (401 if injected > 0 else 200)
    assert login(world.door).answer.status == 200
    # The watermark is too old by this clock, or lies in the future.
    opened = _decrypted(world, token, USERS["A"]["session_key"])
    assert opened.answer.code == "DecryptFailed"


CLOSED = io.StringIO()
CLOSED.close()
ASCII = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")


@covers("RUN-17")
def test_a_log_that_fails_fails_no_request(world: World, token: str, fault: Fault) -> None:
    event = world.door.event("GET", "/api/echo", token=token)
    for stream in (CLOSED, ASCII):
        broken = contextlib.redirect_stdout(stream)
        with world.door.inside(), world.watching() as watched, broken:
            assert world.door.app(event, None)["statusCode"] == 200
        assert len(watched.upstream) == 1
        corpus.nothing_leaks(world, watched.seen)
    check(world, fault, proxied(world.door, token), corpus.ONCE)


_JSON = '"multiValueHeaders":{"Content-Type":["application/json"]}'
_LOGIN = f'{{"requestContext":{{"resourcePath":"/login","httpMethod":"POST"}},{_JSON}'
_PROXY = '{"requestContext":{"resourcePath":"/api/{proxy+}","httpMethod":"GET"}'
EVENTS = [
    *("{}", "null", "[]", '"x"', '{"key1":"value1"}', '{"requestContext":[]}'),
    '{"path":"/login","httpMethod":"POST","body":"{}","headers":null}',
    f'{_LOGIN},"headers":null,"body":{{"code":"code-A"}}}}',
    f'{_PROXY},"path":7,"headers":[],"multiValueHeaders":{{"Authorization":"Bearer x"}}}}',
    f'{_PROXY},"path":"/api/a","multiValueQueryStringParameters":{{"a":null}}}}',
    '{"version":"2.0","rawPath":"/login","requestContext":{"http":{"method":"POST"}},"body":"{}"}',
]
"""A console's test event, other shapes of Lambda events, and members of other types."""


@covers("RUN-19")
@pytest.mark.parametrize("shape", EVENTS)
def test_a_strange_event_is_refused_without_a_trace(world: World, fault: Fault, shape: str) -> None:
    exchange = world.door.serve(json.loads(shape))
    assert exchange.answer.status < 500
    assert exchange.answer.code
    assert "Traceback" not in str(exchange.answer) + "".join(exchange.seen.lines)
    check(world, replace(fault, code=exchange.answer.code), exchange, Calls())


@covers("RUN-21")
def test_the_functions_have_their_instances_to_themselves(fault: Fault) -> None:
    pages = (ROOT / "infrastructure/template").glob("*.yaml")
    template = "\n".join(page.read_text() for page in pages)
    reserved = re.findall(r"ReservedConcurrentExecutions[^}\]]*?\b(\w+)Concurrency\b", template)
    assert set(reserved) >= {"Login", "Proxy", "Decrypt"}, fault


@covers("RUN-22")
def test_a_slow_upstream_delays_no_login(world: World, token: str, fault: Fault) -> None:
    door = world.open_door(UPSTREAM_TIMEOUT="2")
    event = door.event("GET", "/api/slow", token=token)
    with (
        world.upstream.scripted(is_silent),
        ThreadPoolExecutor(8) as pool,
        door.inside(),
        world.watching() as watched,
    ):
        slow = [pool.submit(door.app, event, None) for _ in range(8)]
        quick = world.door.app(corpus.login_event(world, corpus.CODE), None)
        finished = sum(one.done() for one in slow)
        answers = [one.result() for one in slow]
    assert quick["statusCode"] == 200
    assert finished == 0  # all of them were still waiting
    assert (len(watched.wechat), len(watched.upstream)) == (1, 8)
    corpus.nothing_leaks(world, watched.seen)
    assert {answer["statusCode"] for answer in answers} == set(fault.statuses)
    codes = {json.loads(answer["body"])["Code"] for answer in answers}
    assert codes == {fault.code}
