"""`python -m benchmarks [--quick] [name…]`: measure, print tables, update docs/benchmarks.md."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import ROOT, report
from benchmarks.figures import Figure, table

OUTPUT = ROOT / "build/bench.json"
PAGE = ROOT / "docs/benchmarks.md"

NAMES = ("cold", "trips", "cpu", "growth", "memory", "desk", "opendata")
"""Each a module with `measure(*, quick: bool) -> list[Figure]`."""


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure wxgate.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--quick", action="store_true", help="few short runs, nothing written: does it work?"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return options


def measure(name: str, *, quick: bool) -> list[Figure]:
    """Run one benchmark."""
    measured: Callable[..., list[Figure]] = import_module(f"benchmarks.{name}").measure
    return measured(quick=quick)


def main(arguments: Sequence[str] | None = None, output: Path = OUTPUT, page: Path = PAGE) -> int:
    """Run the chosen benchmarks, all of them without a name; give the exit status, always 0.

    A missed goal is reported and fails nothing: on a busy machine it may be the machine.
    """
    options = _arguments(arguments)
    report.circumstances()
    for name in options.names or NAMES:
        print(f"Measuring {name} …", file=sys.stderr, flush=True)
        figures = measure(name, quick=options.quick)
        print(table(figures), flush=True)
        if not options.quick:
            report.write(name, figures, output=output, page=page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
