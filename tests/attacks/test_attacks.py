"""Every attack of the corpus, in each mode, fails."""

from dataclasses import replace

import pytest

from tests.attacks.corpus import CONTRADICTIONS, ENTRIES, Entry
from tests.attacks.events import GATEWAY, Mode, modes
from tests.attacks.expectations import DECISIONS, check_of, decision, leaves_a_choice
from tests.attacks.runner import Runner
from tests.attacks.world import World

CASES = [
    pytest.param(entry, mode, id=f"{entry.id}-{mode.name}-{entry.title}")
    for entry in ENTRIES
    for mode in modes(entry)
]
AT_ONCE = [entry for entry in ENTRIES if entry.setup.at_once]
FLOODS = [entry for entry in ENTRIES if entry.setup.flood]


@pytest.mark.parametrize(("entry", "mode"), CASES)
def test_the_attack_fails(runner: Runner, entry: Entry, mode: Mode) -> None:
    runner.run(entry, mode)


@pytest.mark.parametrize("entry", AT_ONCE, ids=str)
def test_a_code_sent_many_times_at_once_logs_its_own_user_in_once(
    runner: Runner, world: World, entry: Entry
) -> None:
    world.wechat.renew()
    sends = entry.setup.at_once
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


def test_each_decision_that_the_corpus_leaves_is_made_and_is_one_that_it_leaves() -> None:
    for entry in ENTRIES:
        check_of(entry.expect.invariant)  # is known
        assert (entry.id in DECISIONS) == leaves_a_choice(entry)
        statuses, codes = entry.expect.status, entry.expect.codes
        for status, code in filter(None, (decision(entry, mode) for mode in modes(entry))):
            assert status in statuses, entry
            assert (code in codes or not codes) if status >= 400 else code is None, entry
    assert set(CONTRADICTIONS) == {entry.id for entry in FLOODS}
