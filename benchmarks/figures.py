"""Figures: samples become median, minimum and maximum, and a table."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "≤": operator.le,
    "≥": operator.ge,
}


@dataclass(frozen=True)
class Goal:
    """What the median shall be: `Goal("≤", 15)`, in the unit of its figure."""

    relation: str
    limit: float

    def is_met(self, value: float) -> bool:
        """Tell whether a value reaches the goal."""
        return _HOLDS[self.relation](value, self.limit)

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One measured quantity: its samples, one per run, in `unit`."""

    name: str
    unit: str
    samples: Sequence[float]
    goal: Goal | None = None

    @property
    def median(self) -> float:
        """The median of the runs."""
        return median(self.samples)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None where there is no goal."""
        return None if self.goal is None else self.goal.is_met(self.median)

    def to_dict(self) -> dict[str, Any]:
        """Give the figure as JSON members."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.samples),
            "max": max(self.samples),
            "goal": None if self.goal is None else str(self.goal),
            "met": self.met,
        }


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Divide pair by pair: the two samples of a pair were taken in the same moment.

    Raises:
        ValueError: if there are not as many of one as of the other.
    """
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def differences(wholes: Sequence[float], parts: Sequence[float]) -> list[float]:
    """Subtract pair by pair, for the same reason.

    Raises:
        ValueError: if there are not as many of one as of the other.
    """
    return [a - b for a, b in zip(wholes, parts, strict=True)]


def percentile(values: Iterable[float], share: float) -> float:
    """Give the smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def interleaved(
    actions: Mapping[str, Callable[[], float]], runs: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Take a sample of each action in turn (A B C, A B C, …); the first rounds do not count."""
    samples: dict[str, list[float]] = {name: [] for name in actions}
    for run in range(-warm_up, runs):
        for name, action in actions.items():
            sample = action()
            if run >= 0:
                samples[name].append(sample)
    return samples


_MET = {True: "yes", False: "NO", None: ""}
_HEAD = ("figure", "unit", "median", "min", "max", "goal", "met")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(figure: Figure) -> tuple[str, ...]:
    numbers = (figure.median, min(figure.samples), max(figure.samples))
    goal = "" if figure.goal is None else str(figure.goal)
    return (figure.name, figure.unit, *map(_number, numbers), goal, _MET[figure.met])


def table(figures: Sequence[Figure]) -> str:
    """Draw a Markdown table, aligned for terminals too."""
    rows = [_HEAD, *map(_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
