"""Where the corpus leaves a choice, ours is written down, and is one that it leaves."""

import pytest

from tests.attacks import corpus
from tests.attacks.choices import CHOICES, allows, leaves_a_choice, ours
from tests.attacks.events import modes


def test_each_choice_that_the_corpus_leaves_is_made() -> None:
    assert set(CHOICES) == {entry.id for entry in corpus.entries() if leaves_a_choice(entry)}


@pytest.mark.parametrize("identifier", CHOICES)
def test_a_choice_is_one_that_its_entry_leaves(identifier: str) -> None:
    entry = corpus.entry(identifier)
    for mode in modes(entry):
        choice = ours(entry, mode)
        assert choice is not None
        assert allows(entry, choice), mode
