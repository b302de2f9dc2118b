"""`python -m benchmarks [--quick] [name…]`: measure, print a table, write build/bench.json."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import ROOT, desk, memory, opendata, overhead
from benchmarks.figures import Figure, table, write

OUTPUT = ROOT / "build/bench.json"

BENCHMARKS: dict[str, Callable[..., list[Figure]]] = {
    "opendata": opendata.measure,
    "overhead": overhead.measure,
    "desk": desk.measure,
    "memory": memory.measure,
}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure wxgate.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="few short runs: does it work at all?")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: build/bench.json")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks, all of them without a name; give the exit status, always 0.

    A goal that is missed is told, and fails nothing: on a busy machine it may be the machine.
    """
    options = _arguments(arguments)
    figures: list[Figure] = []
    for name in options.names or BENCHMARKS:
        print(f"Measuring {name} …", file=sys.stderr, flush=True)
        figures += BENCHMARKS[name](quick=options.quick)
    print(table(figures))
    write(options.output, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
