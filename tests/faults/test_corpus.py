"""The corpus is covered: every entry has a test, every exception from it has a reason."""

import importlib
from pathlib import Path

from tests.faults.corpus import CONTRADICTIONS, COVERED, DOCUMENTED, FAULTS


def test_every_fault_is_injected() -> None:
    for path in Path(__file__).parent.glob("test_faults_*.py"):
        importlib.import_module(f"{__package__}.{path.stem}")
    assert set(FAULTS) == COVERED


def test_every_exception_from_the_corpus_names_an_entry_and_a_reason() -> None:
    exceptions = {**CONTRADICTIONS, **DOCUMENTED}
    assert set(exceptions) <= set(FAULTS)
    assert all(reason.endswith(".") for _, _, reason in exceptions.values())
