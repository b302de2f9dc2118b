"""Our documented decision wherever the corpus leaves one open: else a gate that refuses all passes.

Served is what an honest client may send too, once it is harmless; all else is refused.
"""

from tests.attacks.corpus import Entry
from tests.attacks.events import MERGED, Mode

Decision = tuple[int, str | None]
"""A status, and our Code where the gate refuses."""

SERVED: Decision = (200, None)

_ROWS: list[tuple[Decision, str]] = [
    # An unknown member, parameter, cookie or Host takes nothing from an honest login.
    (SERVED, "LOGIN 037 061 066 071 076"),
    ((400, "InvalidRequest"), "LOGIN 051"),
    ((401, "InvalidCode"), "LOGIN 072 073"),
    ((405, "MethodNotAllowed"), "LOGIN 060 074"),
    ((415, "UnsupportedMediaType"), "LOGIN 056 059"),
    # "@me", ".well-known" and any query are honest; below our own base path they lead nowhere else.
    (SERVED, "PATH 046 048 069 075 076"),
    ((400, "InvalidPath"), "PATH 042 043 044 045 049 050 051 053 057 059 061 065"),
    ((404, "NotFound"), "PATH 058"),
    ((405, "MethodNotAllowed"), "PATH 081 082 083 084"),
    # What is not on the allowlist is dropped, the request served: the client's network and its
    # library add headers that it knows nothing of.
    (SERVED, "HDR 001 004 005 006 007 008 012 013 014 016 017 018 019 020 021 022 023"),
    (SERVED, "HDR 025 026 027 029 030 031 032 034 035 036 037 039 041 044 047 050 051"),
    (SERVED, "HDR 055 056 057 058 059 060 061 064 066 067 068 069 070 078 080 086 087 088"),
    ((400, "InvalidRequest"), "HDR 085"),
    ((401, "InvalidToken"), "HDR 084"),
    # Bodies are the upstream's affair, and so are its answers that Lambda can carry.
    (SERVED, "BODY 002 006 008 011 020 022 023"),
    ((302, None), "BODY 014 016 017"),
    ((307, None), "BODY 019"),
    ((400, "InvalidRequest"), "BODY 004"),
    ((413, "RequestTooLarge"), "BODY 007"),
    (SERVED, "DEC 095 096 100"),
    ((400, "InvalidRequest"), "DEC 074 078 079 080 081 083 084 085 087 089 090 091 092 098"),
    ((405, "MethodNotAllowed"), "DEC 099"),
    ((413, "RequestTooLarge"), "DEC 094"),
    ((422, "DecryptFailed"), "DEC 004 005 007 008 010 011 012 013 014 016 017 022 023 031 032 035"),
    ((422, "DecryptFailed"), "DEC 036 038 039 040 041 042 043 045 047 048 049 051 052 053 056 057"),
    ((422, "DecryptFailed"), "DEC 058 059 060 063 064 065 066 070 071 072 073 101"),
    (SERVED, "TOK 045"),
    ((401, "InvalidToken"), "TOK 064"),
]

DECISIONS = {
    f"{row.split()[0]}-{number}": decision for decision, row in _ROWS for number in row.split()[1:]
}

# Once the slashes are merged nothing is left of the disguise.
_WHEN_MERGED = {"PATH-044": SERVED, "PATH-045": SERVED}


def decision(entry: Entry, mode: Mode) -> Decision | None:
    """Give our decision for an entry, None where the corpus leaves none."""
    merged = _WHEN_MERGED if mode is MERGED else {}
    return merged.get(entry.id) or DECISIONS.get(entry.id)


def leaves_a_decision(entry: Entry) -> bool:
    """Tell whether an entry allows several statuses, or a refusal by any Code or by several."""
    statuses = entry.expect["status"]
    return len(statuses) > 1 or (statuses[0] >= 400 and not isinstance(entry.expect["code"], str))


def allows(entry: Entry, made: Decision) -> bool:
    """Tell whether a decision is one that an entry leaves."""
    (status, code), allowed = made, entry.expect["code"]
    codes = allowed if isinstance(allowed, list) else [allowed]
    fits = code is None if status < 400 else bool(code) and (allowed is None or code in codes)
    return status in entry.expect["status"] and fits
