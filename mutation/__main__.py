"""`python -m mutation [--fresh] [--judge] [pattern…]`: change the code, and see who notices.

Without a pattern every security module is tried and judged, going on from where the last run
ended; `chalicelib.tokens*` tries these mutants again and shows which of them live. Needs mutmut
3.8.1; `make mutants` installs it in an environment of its own. What is mutated and which tests
judge is said in pyproject.toml; the mutants are kept in build/mutants.
"""

import argparse
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from mutation import judge
from mutation.plain import without_decorators
from mutation.verdicts import DEAD, VERDICTS, Verdict, mutants

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build/mutants"
PAGE = ROOT / "docs/mutants.md"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutation", description="Try mutants.")
    parser.add_argument("patterns", nargs="*", metavar="pattern", help="of mutants' names")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    parser.add_argument("--judge", action="store_true", help="judge what was found, try nothing")
    return parser.parse_args(arguments)


def _lay_out() -> None:
    """Make the folder that mutmut works in: the code to change, plain, and links to the rest."""
    WORK.mkdir(parents=True, exist_ok=True)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    for file in (file for name in settings["source_paths"] for file in (ROOT / name).rglob("*.py")):
        copy, text = WORK / file.relative_to(ROOT), without_decorators(file.read_text())
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.read_text() != text:
            copy.write_text(text)
    for name in ("pyproject.toml", "tests", *settings["also_copy"]):
        if not (WORK / name).is_symlink():
            (WORK / name).symlink_to(ROOT / name)


def _forget_what_has_aged() -> None:
    """Where a source or test has changed, find anew which test runs what, and try the living again.

    So are timeouts, which a busy machine makes too. mutmut itself tries again each mutant of a
    function that has changed; what stands outside of functions it does not see: --fresh.
    """
    last = WORK / "last-run"
    changed = max(
        path.stat().st_mtime
        for name in ("chalicelib", "tests", "simulator")
        for path in (ROOT / name).rglob("*.py")
    )
    if not last.exists() or last.stat().st_mtime < changed:
        (WORK / "mutants/mutmut-stats.json").unlink(missing_ok=True)
        for meta in WORK.glob("mutants/**/*.py.meta"):
            _forget_all_but_the_killed(meta)
    last.touch()


def _forget_all_but_the_killed(meta: Path) -> None:
    kept = json.loads(meta.read_text())
    kept["exit_code_by_key"] = {
        key: status if VERDICTS.get(status) is Verdict.KILLED else None
        for key, status in kept["exit_code_by_key"].items()
    }
    meta.write_text(json.dumps(kept))


def _try(patterns: Sequence[str]) -> bool:
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    command = [mutmut, "run", "--max-children", str(os.cpu_count() or 2), *patterns]
    done = subprocess.run(command, cwd=WORK, check=False)  # noqa: S603 - our own environment's tool
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, show and judge; give the exit status."""
    options = _arguments(arguments)
    if options.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    _lay_out()
    if not options.judge:
        _forget_what_has_aged()
        if not _try(options.patterns):
            return 1
    found = list(mutants(WORK / "mutants"))
    if options.patterns:
        found = [m for m in found if any(fnmatch.fnmatch(m.name, p) for p in options.patterns)]
        for mutant in found:
            if mutant.verdict not in DEAD:
                print(f"{mutant.name}: {mutant.verdict}\n{judge.row(mutant.change, '…')}")
        return 0
    print(judge.table(found))
    faults = list(judge.faults(found, {change for change, _ in judge.explained(PAGE.read_text())}))
    print(*faults, sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
