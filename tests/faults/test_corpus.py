"""The corpus is covered: every entry has a test, every exception from it has a reason."""

import importlib
import json
import re
from pathlib import Path

import pytest

from tests.faults.corpus import (
    ALLOWANCE,
    BUDGETS,
    CONTRADICTIONS,
    COVERED,
    DOCUMENTED,
    FAULTS,
    seconds,
)

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


def test_every_fault_is_injected() -> None:
    for path in FOLDER.glob("test_faults_*.py"):
        importlib.import_module(f"{__package__}.{path.stem}")
    assert set(FAULTS) == COVERED


def test_every_exception_from_the_corpus_names_an_entry_and_a_reason() -> None:
    exceptions = {**CONTRADICTIONS, **DOCUMENTED}
    assert set(exceptions) <= set(FAULTS)
    assert all(reason.endswith(".") for _, _, reason in exceptions.values())


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUDGETS)
def test_every_budget_is_used(name: str) -> None:
    assert any(f'"{name}"' in path.read_text() for path in FOLDER.glob("*.py"))


def test_a_busy_machine_is_allowed_less_than_one_further_attempt() -> None:
    attempts = [
        seconds("wechat_connect"),
        seconds("dynamodb_attempt"),
        seconds("secrets_total") / 2,
    ]
    assert min(attempts) / 2 > ALLOWANCE


def test_every_answer_has_to_come_before_the_platform_ends_it() -> None:
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    functions = config["stages"]["package"]["lambda_functions"]
    timeouts = {name: function["lambda_timeout"] for name, function in functions.items()}
    assert max(timeouts.values()) == seconds("lambda_timeout")
    assert seconds("lambda_timeout") < seconds("api_gateway_integration")
    assert seconds("login_total") < timeouts["login"]


# --- the client ----------------------------------------------------------------------------------

ADVICE = {
    "call wx.login again": r"new code|wx\.login|log in",
    "wait": r"wait|later",
    "retry": r"again|repeat",
    "log in": r"log in",
    "report": r"report|nothing that it does helps",
    "stop": r"do not try again",
    "paging": r"paging",
}
"""Words of an entry's client_should, and those with which docs/errors.md says the same."""

ADVISED_OTHERWISE = {
    "WX-03": "wait: a timeout has no Retry-After; the new code takes its time.",
    "WX-04": "report: no client can tell a bad certificate from another lost connection.",
    "UP-06": "report: as WX-04.",
    "RUN-04": "retry: the platform's answer is meant; ours is InternalError, which is reported.",
    "WX-43": "call wx.login again: while WeChat refuses the secret, no new code helps.",
}


def _row(code: str) -> str:
    """What the client does, by docs/errors.md."""
    page = (ROOT / "docs/errors.md").read_text()
    found = re.search(
        rf"^### {code} .*?\n- \*\*Client\*\*: (.*?)\n- ", page, re.MULTILINE | re.DOTALL
    )
    assert found, code
    return found[1].lower()


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.code])
def test_the_client_is_told_what_the_entry_says(name: str) -> None:
    fault = FAULTS[name]
    row = _row(str(fault.code))
    missing = [
        words
        for words, said in ADVICE.items()
        if re.search(rf"\b{words}", fault.client_should) and not re.search(said, row)
    ]
    assert bool(missing) == (name in ADVISED_OTHERWISE), (fault.client_should, row, missing)
