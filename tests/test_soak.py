"""The soak: its visitors are content with the gate, and notice when an answer is not theirs."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from simulator.wechat import openid_of
from soak.__main__ import GROWTH, SETTLED, faults, growth, main
from soak.traffic import GRACE, SAMPLES, Over, Pace, Tally
from soak.visitor import ACTS, Act, Answer, Fault, Headers, Visitor, WrongUser
from tests.conftest import APPID, FrontDoor
from tests.fakes import Clock

Tamper = Callable[[str, Answer], Answer]


def honest(_: str, answer: Answer) -> Answer:
    return answer


@dataclass
class DoorLine:
    """A line to the app without a socket; what comes back may be tampered with."""

    door: FrontDoor
    tamper: Tamper = honest

    def gate(self, method: str, target: str, headers: Headers, body: bytes | None) -> Answer:
        came = self.door.send(method, target, headers=list(headers.items()), body=body)
        names = {name.lower(): value for name, value in came.headers.items()}
        return self.tamper(target, Answer(came.status, names, came.body))

    def phone(self, call: str, members: dict[str, Any]) -> dict[str, Any]:
        return self.door.phone(user=members["user"]).do(call, **members)


@pytest.fixture
def ann(front_door: FrontDoor) -> Visitor:
    visitor = Visitor("ann", "ben")
    visitor.log_in(DoorLine(front_door), Random(1))
    return visitor


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_a_visitor_is_content_with_the_gate(act: Act, ann: Visitor, front_door: FrontDoor) -> None:
    for seed in range(3):
        act(ann, DoorLine(front_door), Random(seed))
        if not ann.tokens:
            ann.log_in(DoorLine(front_door), Random(seed))


def test_a_visitor_goes_on_for_long(ann: Visitor, front_door: FrontDoor) -> None:
    line, random, done = DoorLine(front_door), Random(7), set[str]()
    for _ in range(150):
        act = ann.chosen(random)
        act(ann, line, random)
        done.add(act.__name__)
    assert done == {act.__name__ for act in ACTS}


def renamed(_: str, answer: Answer) -> Answer:
    """An answer in which ann is ben."""
    names = (openid_of(APPID, "ann").encode(), openid_of(APPID, "ben").encode())
    return replace(answer, body=answer.body.replace(*names))


def put_off() -> Tamper:
    """Every answer comes to the request after it."""
    late: list[Answer] = []

    def tamper(_: str, answer: Answer) -> Answer:
        late.append(answer)
        return late[-2] if len(late) > 1 else answer

    return tamper


def resigned(_: str, answer: Answer) -> Answer:
    """An answer whose assertions say the same, in the gate's name, by a key of somebody else's."""
    key, text = ec.generate_private_key(ec.SECP256R1()), answer.body.decode()
    for assertion in re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", text):
        head = jwt.get_unverified_header(assertion)
        claims = jwt.decode(assertion, options={"verify_signature": False})
        text = text.replace(assertion, jwt.encode(claims, key, algorithm="ES256", headers=head))
    return replace(answer, body=text.encode())


def accepting(_: str, answer: Answer) -> Answer:
    """No token is ever refused."""
    return replace(answer, status=200) if answer.status == 401 else answer


@pytest.mark.parametrize("act", [Visitor.read, Visitor.write, Visitor.open_profile])
def test_a_visitor_notices_the_answer_of_another(
    act: Act, ann: Visitor, front_door: FrontDoor
) -> None:
    with pytest.raises(WrongUser):
        act(ann, DoorLine(front_door, renamed), Random(1))


@pytest.mark.parametrize(
    "act", [Visitor.read, Visitor.write, Visitor.open_profile, Visitor.give_phone_number]
)
def test_a_visitor_notices_an_assertion_that_the_gate_did_not_sign(
    act: Act, ann: Visitor, front_door: FrontDoor
) -> None:
    with pytest.raises(Fault, match="does not verify: InvalidSignatureError"):
        act(ann, DoorLine(front_door, resigned), Random(1))


def test_a_visitor_asks_for_the_keys_where_he_knows_none_of_that_name(
    ann: Visitor, front_door: FrontDoor
) -> None:
    asked: list[str] = []

    def noting(target: str, answer: Answer) -> Answer:
        asked.append(target)
        return answer

    line = DoorLine(front_door, noting)
    ann.read(line, Random(1))
    assert "/.well-known/jwks.json" not in asked
    ann.keys.clear()
    ann.read(line, Random(1))
    ann.read(line, Random(1))
    assert asked.count("/.well-known/jwks.json") == 1


def test_a_visitor_notices_the_answer_to_another_request(
    ann: Visitor, front_door: FrontDoor
) -> None:
    line = DoorLine(front_door, put_off())
    ann.read(line, Random(1))
    with pytest.raises(WrongUser):
        ann.read(line, Random(1))


def test_a_visitor_notices_that_a_profile_of_another_opens(
    ann: Visitor, front_door: FrontDoor
) -> None:
    with pytest.raises(WrongUser):
        ann.open_anothers_profile(
            DoorLine(front_door, lambda _, answer: replace(answer, status=200)), Random(1)
        )


@pytest.mark.parametrize("act", [Visitor.log_out, Visitor.invent_token])
def test_a_visitor_notices_a_token_that_should_be_dead(
    act: Act, ann: Visitor, front_door: FrontDoor
) -> None:
    with pytest.raises(Fault, match="a dead token is answered 200"):
        act(ann, DoorLine(front_door, accepting), Random(1))


@pytest.mark.parametrize("act", [a for a in ACTS if a is not Visitor.open_anothers_profile])
def test_a_visitor_notices_an_error(act: Act, ann: Visitor, front_door: FrontDoor) -> None:
    with pytest.raises(Fault, match="503"):
        act(ann, DoorLine(front_door, lambda _, answer: replace(answer, status=503)), Random(1))


def test_a_tally_tells_wrong_users_from_errors_and_keeps_no_secret() -> None:
    tally = Tally()
    tally.add_fault("read", WrongUser("it came as another's"))
    tally.add_fault("write", ConnectionResetError("wxg_secret"))
    for _ in range(SAMPLES):
        tally.add_fault("write", Fault("an error"))
    assert (tally.wrong_users, tally.errors) == (1, 1 + SAMPLES)
    assert tally.samples[:2] == ["read: it came as another's", "write: ConnectionResetError"]
    assert len(tally.samples) == SAMPLES


def test_a_pace_gives_as_many_moments_as_were_asked_for() -> None:
    pace = Pace(rate=1000, seconds=0.02)
    moments = [pace.wait() for _ in range(20)]
    assert moments == sorted(moments)
    assert round(moments[-1] - moments[0], 6) == 0.019
    with pytest.raises(Over):
        pace.wait()


def test_a_pace_that_is_behind_ends_all_the_same() -> None:
    clock = Clock()
    pace = Pace(rate=1000, seconds=60, clock=clock)
    clock.advance(60 + GRACE)
    pace.wait()
    clock.advance(1)
    with pytest.raises(Over):
        pace.wait()


def test_a_memory_that_is_flat_after_its_start_has_not_grown() -> None:
    assert growth([50.0, 80, 99, 100, 100, 101, 100, 99, 100, 100]) == 0
    assert growth([float(size) for size in range(100, 200)]) > GROWTH


GOOD = Tally(seconds=[0.1] * 190, elapsed=1.0)
FLAT, GROWN = [100.0] * (SETTLED + 1), [float(size) for size in range(100, 200)]


@pytest.mark.parametrize(
    ("tally", "sizes", "fault"),
    [
        (replace(GOOD, errors=1), FLAT, "0 wrong users, 1 errors."),
        (replace(GOOD, wrong_users=1), FLAT, "1 wrong users, 0 errors."),
        (GOOD, GROWN, "Its memory grew by 30%."),
        (replace(GOOD, elapsed=1.01), FLAT, "Only 188.1 of 200 requests/s"),
    ],
)
def test_a_soak_fails_for_one_thing_that_was_not_as_due(
    tally: Tally, sizes: list[float], fault: str
) -> None:
    (found,) = faults(tally, sizes, 200)
    assert found.startswith(fault)


def test_a_soak_passes_where_all_was_as_due() -> None:
    assert faults(GOOD, FLAT, 200) == []
    assert faults(GOOD, GROWN[:SETTLED], 200) == []  # a start is no growth


def test_a_short_soak_finds_every_answer_right(tmp_path: Path) -> None:
    told = tmp_path / "soak.json"
    flags = ["--any-rate", "--seconds", "1", "--rate", "40", "--users", "8", "--output"]
    assert main([*flags, str(told)]) == 0
    result = json.loads(told.read_text())
    assert (result["wrong users"], result["errors"]) == (0, 0), result
    assert result["requests"] == 40


@pytest.mark.parametrize("flags", ["--rate 2000", "--rate 0", "--seconds 100000", "--users 1"])
def test_a_soak_without_bounds_is_refused(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(flags.split())
    assert "at most" in (told := capsys.readouterr().err) or "at least" in told
