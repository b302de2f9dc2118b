"""Every attack of the corpus, in each mode, leaves no breach."""

from typing import Any

import pytest

from chalicelib.sessions.tokens import Token
from tests.attacks import corpus
from tests.attacks.corpus import CAPS, CONTRADICTIONS, COUNTS, MEMBERS, SETUPS, Entry
from tests.attacks.decisions import DECISIONS, allows, decision, leaves_a_decision
from tests.attacks.events import ALL_HEADERS, GATEWAY, Mode, event, modes
from tests.attacks.expectations import check_of
from tests.attacks.runner import Runner, comparable
from tests.attacks.world import JUNK, World

MAX_TTL = 2_592_000
"""Seconds: the longest TOKEN_TTL."""

ENTRIES = corpus.entries()
CASES = [
    pytest.param(entry, mode, id=f"{entry.id}-{mode.name}-{entry.title}")
    for entry in ENTRIES
    for mode in modes(entry)
]
FLOODS = [pytest.param(entry, id=entry.id) for entry in ENTRIES if entry.setup.flood]
AT_ONCE = [
    pytest.param(entry, sends, id=f"{entry.id}-{sends}")
    for entry in ENTRIES
    if entry.setup.at_once
    for sends in (2, entry.setup.at_once)
]


@pytest.mark.parametrize(("entry", "mode"), CASES)
def test_the_attack_fails(runner: Runner, entry: Entry, mode: Mode) -> None:
    assert runner.run(entry, mode) == [], str(entry)


# --- many sends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("entry", "sends"), AT_ONCE)
def test_a_code_sent_many_times_at_once_logs_its_own_user_in_once(
    runner: Runner, entry: Entry, sends: int
) -> None:
    exchanges, breaches = runner.parallel(entry, GATEWAY, sends)
    assert breaches == []
    statuses = sorted(exchange.answer.status for exchange in exchanges)
    assert statuses == [200] + [401] * (sends - 1)


@pytest.mark.parametrize("entry", FLOODS)
def test_a_flood_of_bad_codes_is_refused_alike_and_harms_nobody_else(
    runner: Runner, world: World, entry: Entry
) -> None:
    refused, breaches = runner.flood(entry, GATEWAY)
    assert breaches == []
    model = comparable(runner.model("login-failure"))
    assert [comparable(exchange) for exchange in refused] == [model] * entry.setup.flood
    token = world.door.login("code-B")
    assert world.door.send("GET", "/api/echo", token=token).answer.status == 200


LIMIT, WINDOW = 10, 600
"""Failed decryptions of a user in a window, and its seconds: at most 20 in any ten minutes."""


def test_failures_are_counted_per_user_over_all_logins_until_the_window_ends(
    runner: Runner, world: World
) -> None:
    world.forget_failures()
    statuses = [_failed(world, world.door.login())[0] for _ in range(LIMIT + 2)]
    assert statuses == [422] * LIMIT + [429] * 2
    assert _failed(world, runner.tokens.user("B"))[0] == 422
    token = world.door.login()
    wait = int(_failed(world, token)[1] or 0)
    assert 0 < wait <= WINDOW
    for passed, status in ((wait - 1, 429), (1, 422)):
        world.clock.advance(passed)
        assert _failed(world, token)[0] == status
    world.clock.advance(-wait)
    world.forget_failures()


def test_no_ten_minutes_have_more_than_twenty_failures(world: World) -> None:
    world.forget_failures()
    token, opened = world.door.login(), 0
    for _ in range(WINDOW // 60):
        opened += sum(_failed(world, token)[0] == 422 for _ in range(LIMIT))
        world.clock.advance(60)
    world.clock.advance(-WINDOW)
    world.forget_failures()
    assert LIMIT <= opened <= 2 * LIMIT


def _failed(world: World, token: str) -> tuple[int, str | None]:
    answer = world.door.send("POST", "/decrypt", token=token, json_body=JUNK).answer
    return answer.status, answer.headers.get("Retry-After")


# --- the corpus itself ---------------------------------------------------------------------------


def test_every_sentence_of_the_corpus_has_a_check() -> None:
    assert all(check_of(entry.expect["invariant"]) for entry in ENTRIES)


def test_every_member_of_an_entry_is_read() -> None:
    for name, known in MEMBERS.items():
        found = {member for item in corpus.members(name) for member in item}
        assert found <= known, name


def test_every_count_and_every_setup_is_understood() -> None:
    for expect in corpus.members("expect"):
        for name in COUNTS & set(expect):
            assert _is_count(expect[name]), expect
    assert {item["setup"] for item in corpus.members("entry") if "setup" in item} == set(SETUPS)


def _is_count(value: object) -> bool:
    match value:
        case str():
            return value in CAPS
        case [int(), int()] | int():
            return True
    return False


def test_each_decision_that_the_corpus_leaves_is_made_and_is_one_that_it_leaves() -> None:
    assert set(DECISIONS) == {entry.id for entry in ENTRIES if leaves_a_decision(entry)}
    for entry in ENTRIES:
        for mode in modes(entry):
            made = decision(entry, mode)
            assert made is None or allows(entry, made), (entry.id, mode)


def test_every_contradiction_is_of_an_entry_that_is_sent_all_the_same() -> None:
    assert set(CONTRADICTIONS) == {entry.id for entry in ENTRIES if entry.setup.flood}


def test_an_event_is_built_by_the_rules_of_the_corpus(runner: Runner, world: World) -> None:
    def built(identifier: str, mode: Mode = GATEWAY) -> dict[str, Any]:
        return event(corpus.entry(identifier), runner.tokens, mode, world.door.app.routes)

    assert built("PATH-017")["path"] == "/api/a%252fb/%252e%252e/admin"
    assert built("PATH-017")["pathParameters"] == {"proxy": "a%252fb/%252e%252e/admin"}
    assert built("HDR-057")["headers"]["Host"] == "b.test"
    assert built("HDR-057", ALL_HEADERS)["multiValueHeaders"]["Host"] == ["a.test", "b.test"]
    assert "Transfer-Encoding" not in built("HDR-059")["headers"]
    assert "Transfer-Encoding" in built("HDR-059", ALL_HEADERS)["headers"]


# --- what is left behind -------------------------------------------------------------------------


def test_nothing_in_the_table_lives_for_ever(world: World) -> None:
    world.door.login()
    now = world.clock()
    expiries = [int(item["expires_at"]["N"]) for item in world.items()]
    assert expiries
    assert [expiry for expiry in expiries if not 0 < expiry <= now + MAX_TTL] == []


def test_a_token_is_never_given_twice(world: World) -> None:
    tokens = [world.door.login() for _ in range(20)]
    assert len({Token.parse(token).secret for token in tokens}) == 20
