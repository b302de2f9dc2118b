"""The audit of libraries: a vulnerability fails it, and silence is never taken for a clean bill."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployment import audit

CLEAN = {"name": "urllib3", "version": "2.8.0", "vulns": []}
SKIPPED = {"name": "urllib3", "skip_reason": "could not be audited"}
BAD = {
    "name": "chalice",
    "version": "1.34.0",
    "vulns": [{"id": "PYSEC-2026-7", "fix_versions": ["1.34.1"]}],
}


def audited(folder: Path, *libraries: dict[str, Any], flags: tuple[str, ...] = ()) -> int:
    """Audit with a tool that says these things of whatever it is asked."""
    said = folder / "said.json"
    said.write_text(json.dumps({"dependencies": libraries}))
    tool = folder / "pip-audit"
    tool.write_text(f"#!/bin/sh\ncat {said}\n")
    tool.chmod(0o700)
    return audit.main(["--tool", str(tool), *flags])


def test_libraries_without_a_known_vulnerability_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(tmp_path, CLEAN, flags=("--must",)) == 0
    assert capsys.readouterr().out == "1 libraries, no known vulnerability\n"


def test_a_known_vulnerability_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(tmp_path, CLEAN, BAD) == 1
    assert capsys.readouterr().out == "chalice 1.34.0: PYSEC-2026-7, fixed in 1.34.1\n"


@pytest.mark.parametrize(("flags", "status"), [((), 0), (("--must",), 1)])
def test_a_library_that_nobody_looked_up_is_not_called_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], status: int
) -> None:
    assert audited(tmp_path, SKIPPED, flags=flags) == status
    assert capsys.readouterr().out.startswith("Not audited")


@pytest.mark.parametrize(("flags", "status"), [((), 0), (("--must",), 1)])
def test_a_missing_tool_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], status: int
) -> None:
    assert audit.main(["--tool", str(tmp_path / "nothing"), *flags]) == status
    assert capsys.readouterr().out.startswith("Not audited")


def test_a_vulnerability_counts_also_where_another_library_was_not_looked_up(
    tmp_path: Path,
) -> None:
    assert audited(tmp_path, SKIPPED, BAD) == 1
