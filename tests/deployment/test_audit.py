"""The audit of libraries: a vulnerability fails it, and silence is never taken for a clean bill."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployment import audit

ROOT = Path(__file__).parents[2]

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
    assert capsys.readouterr().out.startswith("Not audited: pip-audit is missing")


def test_a_tool_that_does_not_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tool := tmp_path / "pip-audit").write_text("no program")
    assert audit.main(["--tool", str(tool), "--must"]) == 1
    assert capsys.readouterr().out.startswith("Not audited, no answer")


# --- make ----------------------------------------------------------------------------------------


def made(folder: Path, target: str, installs: int) -> subprocess.CompletedProcess[str]:
    """Make a target elsewhere, with a Python whose pip gives this exit status."""
    python = folder / "python"
    python.write_text(f"""#!/bin/sh
mkdir -p $3/bin
printf '#!/bin/sh\\nexit {installs}\\n' > $3/bin/python
chmod +x $3/bin/python
""")
    python.chmod(0o700)
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    (folder / "requirements.txt").touch()
    line = ["make", "-s", f"PYTHON={python}", target]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def test_make_installs_the_tool_where_it_is_looked_for() -> None:
    python = audit.TOOL.relative_to(ROOT).with_name("python")
    assert re.search(rf"{python} -m pip install .* pip-audit==", (ROOT / "Makefile").read_text())


@pytest.mark.parametrize("tool", ["auditor", "fuzzer"])
def test_what_does_not_install_fails_nothing_and_is_tried_again(tmp_path: Path, tool: str) -> None:
    installed = f"build/{tool}/installed"
    assert made(tmp_path, installed, installs=1).returncode == 0
    assert not (tmp_path / installed).exists()
    assert made(tmp_path, installed, installs=0).returncode == 0
    assert (tmp_path / installed).exists()


def test_a_vulnerability_counts_also_where_another_library_was_not_looked_up(
    tmp_path: Path,
) -> None:
    assert audited(tmp_path, SKIPPED, BAD) == 1
