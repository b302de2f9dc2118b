"""What mutmut found, from the files that it keeps beside the mutants: <module>.py.meta, .spans.

Source of their shapes: mutmut 3.8.1, mutmut/mutation/data.py, mutmut/stats.py.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PACKAGE = "chalicelib"


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"
    UNTESTED = "not covered"
    ODD = "odd"
    UNTRIED = "not tried"


VERDICTS: Mapping[int | None, Verdict] = {
    None: Verdict.UNTRIED,
    2: Verdict.UNTRIED,  # interrupted
    0: Verdict.SURVIVED,
    1: Verdict.KILLED,
    5: Verdict.UNTESTED,
    33: Verdict.UNTESTED,
    36: Verdict.TIMEOUT,  # pacing.TIMEOUT
    24: Verdict.TIMEOUT,
    -24: Verdict.TIMEOUT,  # SIGXCPU
    152: Verdict.TIMEOUT,
}
"""Exit status of a mutant's run → verdict; any other is odd. mutmut takes 255 for a timeout, but it
comes of a test that pytest does not find by its name, and then nothing was tried."""

DEAD = {Verdict.KILLED, Verdict.TIMEOUT}


_OWN_NAME = re.compile(r"\bxǁ?\w+__mutmut_(?:orig|[0-9]+)\b")


@dataclass(frozen=True)
class Change:
    """What a mutant changes: the function, the lines that go and those that come, on one line."""

    function: str
    removed: str
    added: str


@dataclass(frozen=True)
class Mutant:
    """One mutant: its name for mutmut, its module below chalicelib, its change and its fate."""

    name: str
    module: str
    change: Change
    verdict: Verdict


def function_of(key: str) -> str:
    """Give `tokens.Token.parse` for `chalicelib.tokens.xǁTokenǁparse__mutmut_3`."""
    module, _, mangled = key.partition("__mutmut_")[0].rpartition(".")
    name = mangled[1:].strip("ǁ").replace("ǁ", ".") if mangled.startswith("xǁ") else mangled[2:]
    return f"{module.removeprefix(f'{PACKAGE}.')}.{name}"


def change_of(function: str, before: str, after: str) -> Change:
    """Compare two versions of a function's source; the name that mutmut gave each is no change."""
    old, new = (_OWN_NAME.sub("_", text).splitlines() for text in (before, after))
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
    removed, added = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return Change(function, removed, added)


def mutants(folder: Path) -> Iterator[Mutant]:
    """Read all that mutmut made and found below its folder `mutants`."""
    for meta in sorted(folder.glob(f"{PACKAGE}/**/*.py.meta")):
        file = meta.with_suffix("")
        statuses = json.loads(meta.read_text())["exit_code_by_key"]
        spans = json.loads(file.with_suffix(".py.spans").read_text())["spans"]
        lines = file.read_text().splitlines()
        sources = {name: "\n".join(lines[start - 1 : end]) for name, (start, end) in spans.items()}
        module = ".".join(file.relative_to(folder / PACKAGE).with_suffix("").parts)
        for key, status in statuses.items():
            mangled = key.rpartition(".")[2]
            original = sources[f"{mangled.partition('__mutmut_')[0]}__mutmut_orig"]
            change = change_of(function_of(key), original, sources[mangled])
            yield Mutant(key, module, change, VERDICTS.get(status, Verdict.ODD))
