"""Every attack of the corpus, in each mode, fails."""

from dataclasses import replace

import pytest

from chalicelib.sessions.tokens import Token
from tests.attacks.corpus import CONTRADICTIONS, ENTRIES, Entry
from tests.attacks.events import GATEWAY, Mode, modes
from tests.attacks.expectations import DECISIONS, check_of, decision
from tests.attacks.runner import Runner
from tests.attacks.world import JUNK, World

CASES = [
    pytest.param(entry, mode, id=f"{entry.id}-{mode.name}-{entry.title}")
    for entry in ENTRIES
    for mode in modes(entry)
]
FLOODS = [entry for entry in ENTRIES if entry.setup.flood]
AT_ONCE = [
    (entry, sends) for entry in ENTRIES if entry.setup.at_once for sends in (2, entry.setup.at_once)
]


@pytest.mark.parametrize(("entry", "mode"), CASES)
def test_the_attack_fails(runner: Runner, entry: Entry, mode: Mode) -> None:
    runner.run(entry, mode)


# --- many sends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("entry", "sends"), AT_ONCE, ids=str)
def test_a_code_sent_many_times_at_once_logs_its_own_user_in_once(
    runner: Runner, world: World, entry: Entry, sends: int
) -> None:
    world.wechat.renew()
    exchanges = world.door.serve_at_once([runner.event(entry) for _ in range(sends)])
    for exchange in exchanges:
        runner.check(entry, GATEWAY, exchange, sends=sends)
    statuses = sorted(exchange.answer.status for exchange in exchanges)
    assert statuses == [200] + [401] * (sends - 1)


@pytest.mark.parametrize("entry", FLOODS, ids=str)
def test_a_flood_of_bad_codes_is_refused_alike_and_harms_nobody_else(
    runner: Runner, world: World, entry: Entry
) -> None:
    alike = replace(entry, expect=replace(entry.expect, uniform_group="login-failure"))
    for _ in range(entry.setup.flood):
        runner.check(alike, GATEWAY, world.door.serve(runner.event(entry)))
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


def _failed(world: World, token: str) -> tuple[int, str | None]:
    answer = world.door.send("POST", "/decrypt", token=token, json_body=JUNK).answer
    return answer.status, answer.headers.get("Retry-After")


# --- the corpus itself ---------------------------------------------------------------------------


def test_each_decision_that_the_corpus_leaves_is_made_and_is_one_that_it_leaves() -> None:
    for entry in ENTRIES:
        check_of(entry.expect.invariant)  # is known
        statuses, codes = entry.expect.status, entry.expect.codes
        is_open = len(statuses) > 1 or (statuses[0] >= 400 and len(codes) != 1)
        assert (entry.id in DECISIONS) == is_open
        for status, code in filter(None, (decision(entry, mode) for mode in modes(entry))):
            assert status in statuses, entry
            assert (code in codes or not codes) if status >= 400 else code is None, entry


def test_every_contradiction_is_of_an_entry_that_is_sent_all_the_same() -> None:
    assert set(CONTRADICTIONS) == {entry.id for entry in FLOODS}


# --- what is left behind -------------------------------------------------------------------------


def test_nothing_in_the_table_lives_for_ever(world: World) -> None:
    world.door.login()
    longest = world.clock() + 2_592_000  # seconds: the longest TOKEN_TTL
    expiries = [int(item["expires_at"]["N"]) for item in world.items()]
    assert expiries
    assert [expiry for expiry in expiries if not 0 < expiry <= longest] == []


def test_a_token_is_never_given_twice(world: World) -> None:
    tokens = [world.door.login() for _ in range(20)]
    assert len({Token.parse(token).secret for token in tokens}) == 20
