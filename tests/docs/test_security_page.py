"""docs/security.md and docs/asvs.md: every control has a proof, and so has what holds."""

import re

from tests.attacks import corpus as attacks
from tests.docs.pages import DOCS, ROOT
from tests.faults import corpus as faults

PAGE, CHECKLIST = (DOCS / "security.md").read_text(), (DOCS / "asvs.md").read_text()
PROOF = re.compile(r"`((?:tests|miniprogram)/[\w./]+)`")
LINE = re.compile(r"^\| ([\d.–]+)( \(L3\))? \| .+? \| (.+?) \| (.+) \|$", re.MULTILINE)

UNSHOWN = {"4.1.2", "6.5.5", "6.8.4", "7.1.2", "13.2.5"}
"""What holds without a test or page of ours: it is WeChat's, API Gateway's, or an assumption."""


def test_every_control_has_a_proof_that_exists() -> None:
    controls = PAGE.partition("## By asset")[2].partition("## How it is tried")[0]
    rows = re.findall(r"^\| (?!---).*(?<! proof) \|$", controls, re.MULTILINE)
    assert len(rows) > 50
    assert [row for row in rows if not PROOF.search(row)] == []
    proofs = PROOF.findall(PAGE + CHECKLIST)
    assert [proof for proof in proofs if not (ROOT / proof).is_file()] == []


def test_the_exceptions_from_the_corpora_are_told_and_no_others() -> None:
    section = PAGE.partition("## Where the corpora say otherwise")[2].partition("\n## ")[0]
    known = {*attacks.CONTRADICTIONS, *faults.CONTRADICTIONS, *faults.DOCUMENTED}
    assert sorted(re.findall(r"\b[A-Z]+-\d+\b", section)) == sorted(known)


def test_what_holds_is_shown_and_nothing_else_is_claimed() -> None:
    lines = [(ids, state, reason) for ids, _, state, reason in LINE.findall(CHECKLIST)]
    assert {state for _, state, _ in lines} == {"holds", "n/a", "deviation"}
    shown = re.compile(rf"{PROOF.pattern}|\]\((?!security\.md#what)")
    holding = {ids: why for ids, state, why in lines if state == "holds"}
    assert {ids for ids, why in holding.items() if not shown.search(why)} == UNSHOWN
    deviating = {ids: why for ids, state, why in lines if state == "deviation"}
    assert "AES-128-CBC" in deviating["11.3.2"]
    assert "11.3.3" in deviating
