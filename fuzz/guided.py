"""One target under atheris, in a process of its own: libFuzzer ends the process when it is done."""

import importlib
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "build/fuzz"
"""Inputs that reached new code, in one folder per target; beside these, inputs that broke it."""

MAX_INPUT = 4096
"""Bytes; what is longer is refused by size, which needs no fuzzer."""


def fuzz(name: str, seconds: int) -> None:
    """Fuzz a target for some seconds; does not return, the exit status tells whether it broke."""
    atheris = importlib.import_module("atheris")
    # Imported here, since only what is imported under atheris's eyes shows its coverage.
    with atheris.instrument_imports(include=["chalicelib"]):
        target = importlib.import_module(f"fuzz.{name}")
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT}",
        f"-artifact_prefix={folder}-",
        "-timeout=5",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([f"fuzz.{name}", *options, str(folder)], target.check)
    atheris.Fuzz()
