"""Controls that no entry can try: faults, the store, the network, the log, each on and off."""

import socket
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import UpstreamBadResponse, UpstreamUnreachable
from chalicelib.front.request import Request
from chalicelib.front.response import Answer
from chalicelib.logs import JsonFormatter
from chalicelib.network.connections import (
    AddressForbidden,
    NoAnswer,
    NotTrusted,
    Origin,
    Refused,
    Reply,
    TimedOut,
    Transport,
    TransportError,
)
from chalicelib.sessions.sessions import Sessions
from chalicelib.sessions.tokens import Token
from chalicelib.upstream.upstream import Upstream
from simulator.gateway import event_of
from tests.attacks import watch
from tests.attacks import weakened as weak
from tests.attacks.aws_front import refusing
from tests.attacks.loopback import Received
from tests.attacks.oracle import KEY, PHONE, message
from tests.attacks.runner import Runner
from tests.attacks.weakened import Handler, Weakness, sessions_of, upstream_of
from tests.attacks.world import World
from tests.support.fakes import Wire
from tests.support.misbehaving import HOST, Misbehaving, answers, drips, self_signed, whole

CANARY = "canary-exception-3fTz"


# --- the gate and its log ------------------------------------------------------------------------


class _Unwritable(Answer):
    """An answer that fails after the view and the middleware are through."""

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:
        raise RuntimeError(CANARY)


def _unwritable(_request: Request, **_services: Any) -> Answer:
    return _Unwritable("", {}, 200)


UNWRITABLE: dict[str, Handler] = {"login": _unwritable}


def test_without_a_last_resort_exceptions_get_out(world: World) -> None:
    kept = weak.open_door(world, Weakness(handlers=UNWRITABLE)).send("POST", "/login")
    assert kept.answer.code == "InternalError"
    door = weak.open_door(world, Weakness(gate=weak.NoLastResort, handlers=UNWRITABLE))
    with pytest.raises(weak.Escaped):
        door.send("POST", "/login")


@pytest.mark.parametrize(
    ("formatter", "found"), [(JsonFormatter(), []), (weak.ExceptionTexts(), ["canary"])]
)
def test_exception_texts_in_the_log_would_be_found(
    world: World, formatter: JsonFormatter, found: list[str]
) -> None:
    door = weak.open_door(world, Weakness(handlers=UNWRITABLE))
    with weak.formatted(formatter):
        said = "\n".join(door.send("POST", "/login").seen.lines)
    assert "RuntimeError" in said
    assert watch.leaks(said, {"canary": {CANARY}}) == found


# --- sessions and their keys ---------------------------------------------------------------------


def test_sessions_kept_in_memory_would_outlive_their_end(world: World) -> None:
    door = weak.open_door(world, Weakness(services=sessions_of(weak.Remembering)))
    token = door.login()
    assert world.door.send("POST", "/logout", token=token).answer.status == 204
    assert world.door.send("GET", "/api/echo", token=token).answer.code == "InvalidToken"
    assert door.send("GET", "/api/echo", token=token).answer.status == 200


@pytest.mark.parametrize(
    ("kind", "code"), [(Sessions, "StoreUnavailable"), (weak.FaultIsNobody, "InvalidToken")]
)
def test_a_store_that_fails_would_send_every_client_to_log_in(
    runner: Runner, world: World, kind: type[Sessions], code: str
) -> None:
    door, token = (
        weak.open_door(world, Weakness(services=sessions_of(kind))),
        runner.tokens.user("A"),
    )
    with world.aws.failing("GetItem", refusing("InternalServerError")):
        assert door.send("GET", "/api/echo", token=token).answer.code == code


@pytest.mark.parametrize(("kind", "found"), [(Sessions, []), (weak.Unsealed, ["session_key"])])
def test_keys_that_are_not_sealed_would_be_in_a_dump(
    world: World, kind: type[Sessions], found: list[str]
) -> None:
    token = weak.open_door(world, Weakness(services=sessions_of(kind))).login()
    dump = world.dump()
    world.drop_item(token)
    assert watch.leaks(dump, {"session_key": {KEY}}) == found


@pytest.mark.parametrize(
    ("request_of", "reader", "status"),
    [(Request, Token, 401), (weak.UnboundTokens, weak.Unbound, 200)],
)
def test_a_key_that_is_bound_to_no_slot_would_open_from_another(
    world: World, request_of: type[Request], reader: type[Token], status: int
) -> None:
    token, door = world.door.login(), weak.open_door(world, Weakness(request=request_of))
    world.change_item(token, sealed_key={"B": reader.parse(token).seal(KEY, "previous")})
    body = message(PHONE, bytes(16)).query("honest", "phone").body
    assert door.send("POST", "/decrypt", token=token, json_body=body).answer.status == status


# --- the network ---------------------------------------------------------------------------------


def _ask(transport: Transport, origin: Origin, seconds: float = 5.0) -> Reply:
    return transport.exchange(origin, "GET", "/", [], b"", seconds=seconds, cap=1000)


@pytest.mark.parametrize("fault", [Refused, NoAnswer])
@pytest.mark.parametrize(("kind", "sends"), [(Upstream, 1), (weak.TryingAgain, 2)])
def test_a_post_that_failed_would_go_out_twice(
    kind: type[Upstream], sends: int, fault: type[TransportError]
) -> None:
    wire = Wire(fault())
    post = Request(event_of("POST", "/api/pay", [], "{}", ["/api/{proxy+}"]))
    with pytest.raises((UpstreamUnreachable, UpstreamBadResponse)):
        kind(wire, "https://api.test", 20, ()).forward(post, "pay", None)
    assert len(wire.exchanged) == sends


@pytest.mark.parametrize(("transport", "whole_answer"), [(Transport, False), (weak.Uncapped, True)])
def test_an_answer_without_a_cap_would_be_read_to_its_end(
    runner: Runner, world: World, transport: type[Transport], whole_answer: bool
) -> None:
    sent: list[int] = []

    def flood(connection: socket.socket, _received: Received) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")  # no length: it ends where it ends
        for _ in range(32):
            connection.sendall(b"\xff" * 1_000_000)
            sent.append(1_000_000)
        connection.shutdown(socket.SHUT_RDWR)

    door = weak.open_door(world, Weakness(services=upstream_of(transport=transport)))
    with world.upstream.scripted(flood):
        exchange = door.send("GET", "/api/echo", token=runner.tokens.user("A"))
    assert exchange.answer.code == "UpstreamTooLarge"
    assert (sum(sent) == 32_000_000) is whole_answer


def test_without_a_total_deadline_a_drip_would_hold_the_gate() -> None:
    with Misbehaving(drips(whole(b"slow"), 0.01)) as server:
        with pytest.raises(TimedOut):
            _ask(Transport(allow_private=True), server.origin, 0.2)
        assert _ask(weak.Patient(allow_private=True), server.origin, 0.2).body == b"slow"


def test_without_the_check_of_addresses_a_name_could_lead_inside() -> None:
    with Misbehaving(answers(b"inside")) as server:
        inside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, server.port))
        origin = Origin("http", "api.test", 80)
        with pytest.raises(AddressForbidden):
            _ask(Transport(allow_private=False, look_up=lambda *_: [inside]), origin)
        assert server.connections == 0
        open_door = Transport(allow_private=True, look_up=lambda *_: [inside])
        assert _ask(open_door, origin).body == b"inside"


def test_without_a_check_of_certificates_anyone_could_be_the_upstream(tmp_path: Path) -> None:
    with Misbehaving(answers(b"anyone"), tls=self_signed(tmp_path)[0]) as server:
        with pytest.raises(NotTrusted):
            _ask(Transport(allow_private=True), server.origin)
        assert _ask(weak.Credulous(allow_private=True), server.origin).body == b"anyone"
