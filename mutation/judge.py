"""What is asked of the mutants: how many must die, which must all die, which may live and why."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from mutation.verdicts import DEAD, Change, Mutant, Verdict

LEAST = 0.90
"""Of all mutants, killed or stopped."""

WHOLE = {
    "header stripping": (
        "request._pairs",
        "request.has_control_characters",
        "upstream.forwarded_headers",
        "upstream._named_by_connection",
        "upstream._is_latin1",
        "upstream.Identity.headers",
        "upstream.Upstream._headers",
        "transport._send",
        "upstream.Upstream._passed_on",
        "upstream._answer_headers",
        "upstream._private",
    ),
    "path check": (
        "paths.checked_path",
        "paths._check_segment",
        "paths._decoded",
        "paths._refuse_dots",
    ),
    "expiry": (
        "sessions.Sessions._item",
        "sessions.Sessions._session",
        "sessions.Sessions._is_whole",
        "sessions.Sessions._session_keys",
        "sessions.Sessions._inherited",
        "sessions.Sessions._failures",
        "sessions.Sessions._is_window",
        "sessions.Failures.seconds_left",
        "sessions.Sessions.count_failure",
        "assertions.Assertions.sign",
        "assertions.Assertions._signing_key",
        "assertions.Assertions._keys",
        "assertions.Assertions._age",
        "assertions.Assertions._previous_keys",
        "credentials.Secrets.current",
        "credentials.Secrets.instead",
        "credentials.Secrets._keep",
        "opendata._check_watermark",
    ),
    "padding": (
        "opendata.decode",
        "opendata.key_bytes",
        "opendata.ciphertext",
        "opendata.decrypt",
        "opendata.unpad",
        "opendata.open_with",
    ),
    "schema": (
        "opendata.read",
        "opendata._string",
        "opendata._integer",
        "opendata._optional",
        "opendata._user",
        "opendata.phone",
        "opendata._phone",
        "opendata._werun",
        "opendata._share",
        "opendata._group_text",
        "opendata._group",
        "opendata.Signed.agreeing",
    ),
}
"""What is checked → the functions of which no mutant may live."""

_ROW = re.compile(r"^\| `([^`]+)` \| (`[^`]+`|nothing) \| (`[^`]+`|nothing) \| (.+) \|$")


def row(change: Change, reason: str) -> str:
    """Write a row of the page of those that may live."""
    cells = [f"`{change.function}`", _cell(change.removed), _cell(change.added), reason]
    return f"| {' | '.join(cells)} |"


def _cell(code: str) -> str:
    return "`{}`".format(code.replace("|", "\\|")) if code else "nothing"


def _code(cell: str) -> str:
    return "" if cell == "nothing" else cell.strip("`").replace("\\|", "|")


def explained(page: str) -> Iterator[tuple[Change, str]]:
    """Read the page's rows as (change, reason)."""
    for line in page.splitlines():
        if found := _ROW.match(line):
            function, removed, added, reason = found.groups()
            yield Change(function, _code(removed), _code(added)), reason


def score(found: Collection[Mutant]) -> float:
    """Give the part of the mutants that is dead."""
    return sum(mutant.verdict in DEAD for mutant in found) / len(found) if found else 0.0


def table(found: Sequence[Mutant]) -> str:
    """Write one line per module, and the sums."""
    modules = sorted({mutant.module for mutant in found})
    lines = [("module", "mutants", *(str(verdict) for verdict in Verdict), "score")]
    for module in [*modules, "all"]:
        own = [mutant for mutant in found if module in (mutant.module, "all")]
        counts = Counter(mutant.verdict for mutant in own)
        numbers = [str(counts[verdict]) for verdict in Verdict]
        lines.append((module, str(len(own)), *numbers, f"{score(own):.1%}"))
    return "\n".join(
        f"{line[0]:<18}" + "".join(f"{cell:>12}" for cell in line[1:]) for line in lines
    )


def faults(found: Sequence[Mutant], page: Collection[Change]) -> Iterator[str]:
    """Say all that is wrong, a sentence each; nothing where all is well."""
    if score(found) < LEAST:
        yield f"Only {score(found):.1%} of the mutants are dead; {LEAST:.0%} must be."
    untried = [mutant.name for mutant in found if mutant.verdict is Verdict.UNTRIED]
    if untried:
        yield f"{len(untried)} mutants were not tried."
    odd = [mutant.name for mutant in found if mutant.verdict is Verdict.ODD]
    if odd:
        yield f"The tests went wrong with: {', '.join(odd)}."
    living = {
        mutant.change: mutant.name
        for mutant in found
        if mutant.verdict in (Verdict.SURVIVED, Verdict.UNTESTED)
    }
    whole = {function: check for check, functions in WHOLE.items() for function in functions}
    for mutant in found:
        if mutant.verdict is Verdict.TIMEOUT and mutant.change.function in whole:
            check = whole[mutant.change.function]
            yield f"{mutant.name} was stopped, not killed, in what guards the {check}."
    for change, name in living.items():
        if change.function in whole:
            yield f"{name} lives, in what guards the {whole[change.function]}:\n{row(change, '…')}"
        elif change not in page:
            yield f"{name} lives, unexplained:\n{row(change, '…')}"
    for change in set(page) - living.keys():
        yield f"The page explains what does not live:\n{row(change, '…')}"
