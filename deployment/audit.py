"""`python -m deployment.audit`: ask for known vulnerabilities of every library that ships.

Needs pip-audit, in an environment of its own (`make audit`). Without a network there is nothing to
ask: pip-audit then counts a library that it could not look up as clean; here that is told apart.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "build/auditor/bin/pip-audit"
"""Where `make audit` installs it."""

LISTS = ("requirements.txt", "deployment/wheels.txt")
SECONDS = 120


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployment.audit", description=__doc__)
    parser.add_argument("--tool", default=str(TOOL))
    parser.add_argument("--must", action="store_true", help="fail where nobody could be asked")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is known against our libraries; 1 if anything is, else 0."""
    options = _arguments(arguments)
    if not Path(options.tool).exists():
        sys.stdout.write("Not audited: pip-audit is missing (make audit installs it)\n")
        return int(options.must)
    # Two calls: pip-audit takes no list with hashes beside one without.
    answers = [library for name in LISTS for library in _asked(options.tool, ROOT / name)]
    libraries = list({library["name"]: library for library in answers}.values())
    known = [line for library in libraries for line in _known(library)]
    unheard = [library["name"] for library in libraries if "skip_reason" in library]
    sys.stdout.writelines(f"{line}\n" for line in known)
    if unheard or not libraries:
        names = ", ".join(unheard) or "all"
        sys.stdout.write(f"Not audited, no answer from the vulnerability service: {names}\n")
    elif not known:
        sys.stdout.write(f"{len(libraries)} libraries, no known vulnerability\n")
    return int(bool(known) or (options.must and (bool(unheard) or not libraries)))


def _asked(tool: str, pinned: Path) -> list[dict[str, Any]]:
    """What pip-audit says of each library of a list; nothing where it could not run, or ask."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "-fjson"]
    command = [tool, "-r", str(pinned), *options]
    try:
        run = subprocess.run(  # noqa: S603 - the operator's own tool
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        libraries: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return libraries


def _known(library: dict[str, Any]) -> list[str]:
    return [
        f"{library['name']} {library['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version yet'}"
        for found in library.get("vulns", ())
    ]


if __name__ == "__main__":
    sys.exit(main())
