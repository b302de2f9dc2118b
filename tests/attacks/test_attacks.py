"""Every attack of the corpus, in each mode, leaves no breach."""

import json

import pytest

from chalicelib.tokens import Token
from simulator.gateway import answer_of
from tests.attacks import corpus
from tests.attacks.corpus import CONTRADICTIONS, Entry
from tests.attacks.events import MERCIFUL, Mode, modes
from tests.attacks.particulars import PARTICULARS
from tests.attacks.runner import JUNK, Runner, _told
from tests.attacks.world import World

CASES = [
    pytest.param(entry, mode, id=f"{entry.id}-{mode.name}-{entry.title}")
    for entry in corpus.entries()
    for mode in modes(entry)
]


@pytest.mark.parametrize(("entry", "mode"), CASES)
def test_the_attack_fails(runner: Runner, entry: Entry, mode: Mode) -> None:
    assert runner.run(entry, mode) == [], str(entry)
