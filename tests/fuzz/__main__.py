"""`python -m tests.fuzz [--seconds N] [WORD …]`: run the unit tests' properties under atheris.

Each property whose name holds one of the words gets its part of the seconds. Inputs that reached
new code stay in build/fuzz for the next run. `make unit` then fails with the input that broke a
property, in Hypothesis's words: make it an `@example` of the property.
"""

import argparse
import importlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PROPERTY = re.compile(r"^@given\(.*?^def (test_\w+)\(", re.MULTILINE | re.DOTALL)


def properties() -> list[str]:
    """Name every property of the unit tests, as module:function."""
    return [
        f"{'.'.join(file.relative_to(ROOT).with_suffix('').parts)}:{name}"
        for file in sorted((ROOT / "tests/unit").rglob("test_*.py"))
        for name in _PROPERTY.findall(file.read_text())
    ]


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one property; libFuzzer ends the process, whose exit status tells whether it broke."""
    import atheris  # noqa: PLC0415 - not to be had for every platform

    module, _, function = name.partition(":")
    with atheris.instrument_imports(include=["chalicelib"]):
        test = getattr(importlib.import_module(module), function)
    folder = ROOT / "build/fuzz" / function
    folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={folder}-", "-print_final_stats=1"]
    atheris.Setup([name, *options, str(folder)], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


def broken(name: str, seconds: int) -> bool:
    """Fuzz one property in a process of its own; tell whether it broke."""
    call = f"from tests.fuzz.__main__ import fuzz; fuzz({name!r}, {seconds})"
    done = subprocess.run(
        [sys.executable, "-c", call], check=False, cwd=ROOT, capture_output=True, text=True
    )
    inputs = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    if done.returncode or not inputs:
        print(done.stdout, done.stderr, f"BROKEN: {name}", sep="\n", flush=True)
        return True
    print(f"{inputs[1]:>10} inputs  {name}", flush=True)
    return False


def main() -> int:
    """Fuzz the properties that were named, or all; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a property's name")
    parser.add_argument("--seconds", type=int, default=300, help="for all of them together (300)")
    options = parser.parse_args()
    if not find_spec("atheris"):
        print("atheris has no wheel for this Python or platform: nothing is fuzzed.")
        return int(os.environ.get("CI") == "true")
    names = [name for name in properties() if any(word in name for word in options.words or [""])]
    jobs = os.cpu_count() or 1
    if not names:
        parser.error("no property has such a name")
    each = max(1, min(options.seconds, options.seconds * jobs // len(names)))
    print(f"Fuzzing {len(names)} of the properties, {each} seconds each …", flush=True)
    with ThreadPoolExecutor(jobs) as pool:
        return int(any(list(pool.map(broken, names, [each] * len(names)))))


if __name__ == "__main__":
    sys.exit(main())
