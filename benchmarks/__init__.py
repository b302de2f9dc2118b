"""How fast and how big wxgate is: `make bench`. Ratios of one run count, not the machine's mood."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
