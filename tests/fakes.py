"""In-memory doubles that tests hand over by argument."""

from dataclasses import dataclass

NOW = 1_900_000_000


@dataclass
class Clock:
    """A clock that stands still until a test moves it (epoch seconds)."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on, or back."""
        self.now += seconds
