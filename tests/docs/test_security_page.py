"""The page of security tells the truth: its proofs exist, its lists are whole."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.attacks import corpus as attacks
from tests.attacks.test_attacks import CASES
from tests.faults import corpus as faults

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
POLICY = (ROOT / "SECURITY.md").read_text()

PROOF = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
CLIENTS_PROOF = re.compile(r"`([\w/]+\.test\.js)::([^`]+)`")
LINE = re.compile(r"^\| (\d+\.\d+\.\d+)( \(L3\))? \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)

# Levels 1 and 2 of ASVS 5.0: chapter → how many requirements each of its sections has; in these
# sections those of level 3 come last.
ASVS = {
    2: (3, 3, 4, 1),
    4: (3, 1, 2, 4),
    6: (3, 12, 4, 4, 5, 3, 0, 4),
    7: (3, 4, 2, 5, 2, 2),
    8: (2, 3, 1, 1),
    10: (2, 2, 4, 11, 5, 2, 3),
    11: (2, 3, 3, 4, 1, 1),
    13: (1, 5, 2, 5),
    14: (2, 4, 3),
    15: (3, 3, 7),
    16: (1, 5, 4, 3, 3),
}

UNSHOWN = {
    "4.1.2",  # API Gateway has no port for plain HTTP
    "6.1.1",  # the page itself is what is asked for
    "6.5.5",  # the life of WeChat's codes is WeChat's
    "6.8.4",  # the page itself
    "13.2.5",  # refers to 13.2.4
}
"""What holds without a test of ours: there is nothing of ours to test."""


@cache
def functions_in(file: str) -> set[str]:
    """The names of the test functions of a file below tests/."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), sorted(set(PROOF.findall(PAGE))))
def test_a_proof_exists(file: str, name: str) -> None:
    assert name in functions_in(file)


@pytest.mark.parametrize(("file", "title"), sorted(set(CLIENTS_PROOF.findall(PAGE))))
def test_a_proof_of_the_clients_exists(file: str, title: str) -> None:
    assert f"test('{title}'" in (ROOT / "miniprogram/test" / file).read_text()


def test_every_proof_is_read() -> None:
    """Guards the two tests above: a proof in another spelling would pass unseen."""
    assert len(PROOF.findall(PAGE)) + len(CLIENTS_PROOF.findall(PAGE)) == PAGE.count("::")


def test_every_control_has_a_proof() -> None:
    controls = PAGE.partition("## By asset")[2].partition("## What was tried")[0]
    rows = [row for row in controls.splitlines() if row.startswith("| ")]
    heads = [row for row in rows if row.endswith("| proof |") or row.startswith("| ---")]
    assert [row for row in rows if row not in heads and not PROOF.search(row)] == []


@pytest.mark.parametrize(
    "entry", sorted({*attacks.CONTRADICTIONS, *faults.CONTRADICTIONS, *faults.DOCUMENTED})
)
def test_an_exception_from_the_corpora_is_told(entry: str) -> None:
    section = PAGE.partition("## Where the corpora say otherwise")[2].partition("\n## ")[0]
    cells = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| ")]
    assert sum(entry in re.findall(r"[A-Z]+-\d+", cell) for cell in cells) == 1


def test_no_other_exception_is_told() -> None:
    section = PAGE.partition("## Where the corpora say otherwise")[2].partition("\n## ")[0]
    known = {*attacks.CONTRADICTIONS, *faults.CONTRADICTIONS, *faults.DOCUMENTED}
    assert set(re.findall(r"\b[A-Z]+-\d+\b", section)) == known


def test_the_figures_that_can_be_counted_are_counted() -> None:
    given = [text.count("\n@given(") for text in _texts("tests/**/test_*.py")]
    assert f"| {len(attacks.ENTRIES)} entries, {len(CASES)} runs |" in PAGE
    assert f"| {len(faults.FAULTS)} entries |" in PAGE
    assert f"| properties, hypothesis | {sum(given)}: " in PAGE


def test_no_figure_is_left_open() -> None:
    table = PAGE.partition("## What was tried")[2].partition("\n## ")[0]
    assert not re.findall(r"\| [A-Z]+ \|", table)


def _texts(pattern: str) -> Iterator[str]:
    return (path.read_text() for path in ROOT.glob(pattern))


def test_every_requirement_of_levels_1_and_2_stands_once() -> None:
    wanted = [
        f"{chapter}.{section}.{number}"
        for chapter, counts in ASVS.items()
        for section, count in enumerate(counts, 1)
        for number in range(1, count + 1)
    ]
    assert [number for number, third, *_ in LINE.findall(PAGE) if not third] == wanted


def test_every_line_is_read() -> None:
    section = PAGE.partition("## OWASP ASVS")[2]
    rows = [row for row in section.splitlines() if row.startswith("| ")]
    assert len(LINE.findall(section)) == len(rows) - 2  # the head and the line below it


def test_a_requirement_holds_or_does_not_or_is_not_ours() -> None:
    assert {state for *_, state, _ in LINE.findall(PAGE)} == {"holds", "n/a", "deviation"}


def test_what_holds_is_shown_by_a_test_or_a_page_but_for_the_platforms_part() -> None:
    shown = re.compile(r"::test_|\.test\.js::|\]\(|«")
    lines = [
        (number, reason) for number, _, _, state, reason in LINE.findall(PAGE) if state == "holds"
    ]
    assert {number for number, reason in lines if not shown.search(reason)} == UNSHOWN


def test_cbc_is_a_written_deviation() -> None:
    lines = {number: (state, reason) for number, _, _, state, reason in LINE.findall(PAGE)}
    assert lines["11.3.2"][0] == lines["11.3.3"][0] == "deviation"
    assert "AES-128-CBC" in lines["11.3.2"][1]


def test_the_policy_says_how_soon_a_hole_is_mended() -> None:
    days = re.findall(r"^\| (critical|high|medium|low) \|.*\| (\d+) days \|$", POLICY, re.MULTILINE)
    assert days == [("critical", "14"), ("high", "30"), ("medium", "90"), ("low", "180")]


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/security.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []
