"""The corpus is covered: every entry has a test, and docs/errors.md tells the client as it says."""

import importlib
import json
import re
from pathlib import Path

import pytest

from tests.faults.corpus import BUDGETS, CONTRADICTIONS, COVERED, DOCUMENTED, FAULTS, seconds

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


def test_every_fault_is_injected() -> None:
    for path in FOLDER.glob("test_faults_*.py"):
        importlib.import_module(f"{__package__}.{path.stem}")
    assert set(FAULTS) == COVERED
    assert {**CONTRADICTIONS, **DOCUMENTED}.keys() <= COVERED


def test_every_budget_is_kept_and_ends_before_the_platform_does() -> None:
    texts = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    assert [name for name in BUDGETS if f'"{name}"' not in texts] == []
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    functions = config["stages"]["package"]["lambda_functions"]
    # deliver waits for no phone: it works off a queue.
    served = {name: each for name, each in functions.items() if name != "deliver"}
    timeouts = {name: each["lambda_timeout"] for name, each in served.items()}
    assert max(timeouts.values()) == seconds("lambda_timeout")
    assert seconds("lambda_timeout") < seconds("api_gateway_integration")
    assert seconds("login_total") < timeouts["login"]


ADVICE = {
    "call wx.login again": r"new code|wx\.login|log in",
    "wait": r"wait|later",
    "retry": r"again|repeat|retry",
    "log in": r"log in",
    "report": r"report|nothing helps",
    "stop": r"do not retry",
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


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.code])
def test_the_client_is_told_what_the_entry_says(name: str) -> None:
    code, should = FAULTS[name].code, FAULTS[name].client_should
    section = (ROOT / "docs/errors.md").read_text().partition(f"\n### {code} ")[2]
    said = re.findall(r"^- \*\*Client\*\*: (.*?)\n- ", section, re.MULTILINE | re.DOTALL)[0].lower()
    missing = [
        words
        for words, ours in ADVICE.items()
        if re.search(rf"\b{words}", should) and not re.search(ours, said)
    ]
    assert bool(missing) == (name in ADVISED_OTHERWISE), (should, said, missing)
