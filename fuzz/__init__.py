"""Fuzz targets: each says, for any bytes, what must come of them. `python -m fuzz` runs them."""

from collections.abc import Iterator
from pathlib import Path

KEPT = Path(__file__).parents[1] / "tests/corpus/fuzz"
"""Inputs that are kept for good, in one folder per target; among them each that broke one."""


class Breach(AssertionError):
    """What a target promises does not hold for some input."""


def demand(holds: object, sentence: str) -> None:
    """Raise Breach with a sentence unless it holds."""
    if not holds:
        raise Breach(sentence)


def kept(target: str) -> Iterator[bytes]:
    """Give the inputs that are kept of a target, in the order of their names."""
    for file in sorted((KEPT / target).iterdir()):
        yield file.read_bytes()
