"""What was measured, where it is kept: build/bench.json, and the tables of docs/benchmarks.md."""

import functools
import json
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.figures import Figure, table


@functools.cache
def circumstances() -> dict[str, str]:
    """Give the commit, the machine, the Python and the day, as they are when first asked for.

    The tables that a run writes make the tree dirty.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "commit": done.stdout.strip() or "unknown",
        "machine": f"{platform.system()} {platform.machine()}, {_processors()}",
        "python": platform.python_version(),
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processors() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "processors unknown"
    names = re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return f"{len(names)} × {names[0].strip()}" if names else "processors unknown"


def write(name: str, figures: Sequence[Figure], *, output: Path, page: Path) -> None:
    """Replace one benchmark's figures in the JSON file and its table in the page."""
    about = circumstances()
    everything: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    everything[name] = {**about, "figures": [figure.to_dict() for figure in figures]}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(everything, ensure_ascii=False, indent=2) + "\n")
    page.write_text(replaced(page.read_text(), name, figures, about))


def replaced(text: str, name: str, figures: Sequence[Figure], about: dict[str, str]) -> str:
    """Give the page with a new table between the markers of `name`.

    Raises:
        ValueError: if the page has no such markers.
    """
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"The page has no markers for {name}.")
    caption = "Commit {commit}, {day}, Python {python}, {machine}.".format(**about)
    return f"{before}{start}\n{caption}\n\n{table(figures)}\n{end}{after}"
