"""`python -m fuzz [--seconds N] [--jobs N] [target…]`: look for inputs that break a promise.

Needs atheris (`pip install atheris`), which guides the inputs by coverage. What it finds
interesting is kept in build/fuzz/<target>, so a later run goes on from there; an input that
breaks a promise is written to build/fuzz/<target>-crash-…, and becomes a test, and a seed, by
being copied into tests/corpus/fuzz/<target>.
"""

import argparse
import importlib.util
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fuzz import KEPT, guided

TARGETS = ("login_body", "path", "headers", "decrypt")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the gate.")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (1)")
    parser.add_argument("--must", action="store_true", help="fail where atheris is missing")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if options.jobs < 1 or options.seconds < 1:
        parser.error("--jobs and --seconds are at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen targets, all of them without a name; give the exit status."""
    options = _arguments(arguments)
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("Not fuzzed: atheris is missing (pip install atheris).\n")
        return int(options.must)
    names = options.targets or TARGETS
    with ThreadPoolExecutor(options.jobs) as jobs:
        broke = jobs.map(_run, names, [options.seconds] * len(names))
        broken = [name for name, broke_it in zip(names, broke, strict=True) if broke_it]
    if broken:
        sys.stderr.write(f"Broken: {', '.join(broken)}. Keep each input as a test:\n")
        sys.stderr.writelines(f"  cp {guided.FOLDER}/{name}-* {KEPT}/{name}/\n" for name in broken)
    return int(bool(broken))


def _run(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own, which atheris ends; tell whether it broke."""
    process = multiprocessing.get_context("spawn").Process(target=guided.fuzz, args=(name, seconds))
    process.start()
    process.join()
    return process.exitcode != 0


if __name__ == "__main__":
    sys.exit(main())
