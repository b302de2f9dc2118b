"""Fuzz targets: each says, for any bytes, what must come of them. `python -m fuzz` runs them."""


class Breach(AssertionError):
    """What a target promises does not hold for some input."""


def demand(holds: object, sentence: str) -> None:
    """Raise Breach with a sentence unless it holds."""
    if not holds:
        raise Breach(sentence)
