"""What single entries expect beyond the invariants, and our decision where they leave one open."""

import json
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from chalicelib.sessions.tokens import Token
from tests.attacks.corpus import ENTRIES, SOURCE_IP, Entry, bomb
from tests.attacks.events import MERGED, Mode
from tests.attacks.invariants import Case, folded
from tests.attacks.world import APPID
from tests.support.wechat import APPSECRET, USERS

Decision = tuple[int, str | None]
"""A status, and our Code where the gate refuses."""

SERVED: Decision = (200, None)

_DECIDED: list[tuple[Decision, str]] = [
    ((400, "InvalidRequest"), "LOGIN 051"),
    ((401, "InvalidCode"), "LOGIN 072 073"),
    ((405, "MethodNotAllowed"), "LOGIN 060 074"),
    ((415, "UnsupportedMediaType"), "LOGIN 056 059"),
    ((400, "InvalidPath"), "PATH 042 043 044 045 049 050 051 053 057 059 061 065"),
    ((404, "NotFound"), "PATH 058"),
    ((405, "MethodNotAllowed"), "PATH 081 082 083 084"),
    ((400, "InvalidRequest"), "HDR 085"),
    ((401, "InvalidToken"), "HDR 084"),
    ((302, None), "BODY 014 016 017"),
    ((307, None), "BODY 019"),
    ((400, "InvalidRequest"), "BODY 004"),
    ((413, "RequestTooLarge"), "BODY 007"),
    ((400, "InvalidRequest"), "DEC 074 078 079 080 081 083 084 085 087 089 090 091 092 098"),
    ((405, "MethodNotAllowed"), "DEC 099"),
    ((413, "RequestTooLarge"), "DEC 094"),
    ((422, "DecryptFailed"), "DEC 004 005 007 008 010 011 012 013 014 016 017 022 023 031 032 035"),
    ((422, "DecryptFailed"), "DEC 036 038 039 040 041 042 043 045 047 048 049 051 052 053 056 057"),
    ((422, "DecryptFailed"), "DEC 058 059 060 063 064 065 066 070 071 072 073 101"),
    ((401, "InvalidToken"), "TOK 064"),
]
"""What is not served. All else that the corpus leaves open is: an honest client may send it too,
once it is harmless, as what is not on an allowlist is dropped; bodies are the upstream's affair."""

# Once the slashes are merged nothing is left of the disguise.
_WHEN_MERGED = {"PATH-044": SERVED, "PATH-045": SERVED}


def leaves_a_choice(entry: Entry) -> bool:
    statuses, codes = entry.expect.status, entry.expect.codes
    return len(statuses) > 1 or (statuses[0] >= 400 and len(codes) != 1)


DECISIONS = {entry.id: SERVED for entry in ENTRIES if leaves_a_choice(entry)}
for _made, _row in _DECIDED:
    _group, *_numbers = _row.split()
    DECISIONS |= {f"{_group}-{number}": _made for number in _numbers}


def decision(entry: Entry, mode: Mode) -> Decision | None:
    merged = _WHEN_MERGED.get(entry.id) if mode is MERGED else None
    return merged or DECISIONS.get(entry.id)


Check = Callable[[Case], None]


def holds(condition: Callable[[Case], object]) -> Check:

    def check(case: Case) -> None:
        assert condition(case), (case.status, case.code, case.sent)

    return check


def holds_upstream(condition: Callable[[Case], object]) -> Check:
    """Check a condition if anything was sent upstream."""
    return holds(lambda case: case.exchange.upstream == [] or condition(case))


def all_of(*checks: Check) -> Check:
    return lambda case: [check(case) for check in checks].clear()


invariants_suffice = all_of()
"""Nothing more to ask: status, counts, our decision and G1 to G12 say it all."""


def has_documented_fields(case: Case) -> None:
    answer = case.exchange.answer.json
    assert set(answer) == {"token", "expires_in"}
    assert answer["expires_in"] == 604_800


def asks_wechat_exactly(case: Case) -> None:
    """Refused, or one query with our appid and secret, once each, and the code as one value."""
    for call in case.exchange.wechat:
        parts = urlsplit(call.target)
        query = parse_qsl(parts.query, keep_blank_values=True)
        ours = {"appid": APPID, "secret": APPSECRET, "grant_type": "authorization_code"}
        assert (parts.path, len(query)) == ("/sns/jscode2session", 4)
        assert dict(query) | ours == dict(query)


def logs_in_as_a(case: Case) -> None:
    names_no_foreign_origin(case)
    assert "Set-Cookie" not in case.exchange.answer.headers
    if case.status == 200:
        token = Token.parse(case.exchange.answer.json["token"])
        assert token.user == Token.parse(case.tokens.user("A")).user
        assert token.text not in (case.tokens.user("A"), case.tokens.user("B"))


def _target(case: Case) -> str:
    return case.sent.target if case.sent else ""


def _query(case: Case) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(_target(case)).query, keep_blank_values=True)


def _has_query(*wanted: tuple[str, str]) -> Check:
    return holds_upstream(lambda case: _query(case) == list(wanted))


def same_path(case: Case) -> None:
    """The bytes below /api/ are the bytes below the base path."""
    if case.sent:
        path = case.exchange.event["path"].removeprefix("/api/")
        assert _target(case).partition("?")[0] == f"/base/{path}"


def same_bytes(case: Case) -> None:
    body = case.request.body
    if case.sent:
        assert case.sent.body == (body.encode() if isinstance(body, str) else body or b"")
    same_path(case)


def drops_what_was_forged(case: Case) -> None:
    """No header upstream has the forged name or value; X-Forwarded-For is API Gateway's word."""
    if case.sent is None:
        return
    ours = {"x-forwarded-for": [SOURCE_IP], "x-request-id": case.sent.values("x-request-id")}
    for name, value in case.request.headers:
        if name != "Authorization" and not folded(name).startswith("x-wx-"):  # the latter is G7's
            found = [v for k, v in case.sent.headers if folded(k) == folded(name)]
            assert found == ours.get(folded(name), []), name
            assert value not in found, name
            assert len(value) < 10 or value not in case.sent.raw.decode("latin-1"), name


def drops_the_bearer(case: Case) -> None:
    if case.sent:
        token, raw = Token.parse(case.tokens.user("A")), case.sent.raw.decode("latin-1")
        assert not any(text in raw for text in (token.text, token.item.hex()))
        assert "authorization" not in raw.lower()


def drops_all(*names: str) -> Check:
    def check(case: Case) -> None:
        for name in names if case.sent else ():
            found = case.sent.values(name) if case.sent else []
            # How our own connection is kept is ours to say; nothing of the client's goes there.
            own = name == "connection" and found in (["close"], ["keep-alive"])
            assert not found or (own and dict(case.request.headers).get("Connection") not in found)

    return check


def frames_once(case: Case) -> None:
    """One request, one Content-Length, the length of the body, and nothing chunked."""
    if case.sent:
        assert case.sent.values("transfer-encoding") == []
        assert (case.sent.values("content-length") or ["0"]) == [str(len(case.sent.body))]
    same_bytes(case)


def strips_the_answer(case: Case) -> None:
    lost = ("x-wx-", "server", "set-cookie", "connection", "x-a", "access-control-")
    assert [n for n in case.exchange.answer.headers if n.lower().startswith(lost)] == []


def answers_bytes(body: bytes) -> Check:
    return holds(lambda case: case.status != 200 or case.exchange.answer.body == body)


def opens_the_phone(case: Case) -> None:
    fields = {"phoneNumber": "13900000001", "purePhoneNumber": "13900000001", "countryCode": "86"}
    assert case.status != 200 or case.exchange.answer.json["data"] == fields


def opens_the_user(case: Case) -> None:
    data = case.exchange.answer.json["data"]
    assert (data["openId"], data["nickName"]) == (USERS["A"]["openid"], "Band")
    assert "watermark" not in data


def alerts_once(case: Case) -> None:
    """Another version is another release's, and no alarm; any other flaw is one."""
    events = case.exchange.seen.events
    assert all(event.get("reason") for event in events if event["event"] == "request")
    alarms = sum("alert" in event for event in events)
    assert alarms == (0 if "schema version" in case.entry.title else 1)


def header(name: str, value: str) -> Check:
    return holds(lambda case: case.exchange.answer.headers.get(name) == value)


def sends(name: str, value: str) -> Check:
    return holds_upstream(lambda case: case.sent and case.sent.values(name) == [value])


names_no_foreign_origin = holds(
    lambda case: "evil.test" not in case.answered and "access-control" not in case.answered.lower()
)
touches_no_key = holds(lambda case: case.exchange.store == [])
same_segments = holds(
    lambda case: (
        unquote(_target(case)) == "/base/" + unquote(case.request.path.removeprefix("/api/"))
    )
)
reads_consistently = holds(
    lambda case: all(read.parameters.get("ConsistentRead") for read in case.exchange.reads)
)
reads_once_like_a_hit = holds(lambda case: [op.name for op in case.exchange.store] == ["GetItem"])
fits_lambda = holds(lambda case: len(json.dumps(case.exchange.result)) <= 6_291_456)
hides_the_upstream = holds(
    lambda case: (
        f":{case.world.upstream.port}" not in case.exchange.answer.headers.get("Location", "")
    )
)
_HOP_BY_HOP = drops_all("upgrade", "te", "trailer", "keep-alive", "http2-settings", "connection")
_SMUGGLED = "x\r\nX-WX-OPENID: oB7zyQ2mXk8sVtRwLp5cNdHgJf3A"

_ROWS: list[tuple[Check, str]] = [
    (all_of(has_documented_fields, logs_in_as_a, asks_wechat_exactly), "body has"),
    (touches_no_key, "refused before any|refused$|refused before the|bounded (WeChat"),
    (asks_wechat_exactly, "either refused|refused, or|never part|never evaluated"),
    (
        invariants_suffice,
        "no Unicode folding onto|refused; the log line|refused; no second log|no code in URLs$|"
        "WeChat errmsg and rid|after the configured number|limit is keyed on|no stack trace, no|"
        "refused; upstream, evil.test and|bounded; no 500$|a token in the|upstream Host is the|"
        "as above$|clear code, not the|byte-identical answer (except request|"
        "same failure; the client|kind is required, or|openId differs from the|dropped or refused$|"
        "openId must equal the|over 5000 crafted (iv,|scheme is case-insensitive$|accepted$|"
        "one fixed|one log|strict decode$|authority of|goes to|one rule:|upstream sees nothing$|"
        "methods are|no personal|413 from|refused: never",
    ),
    (logs_in_as_a, "no attribute|media types|query is|no Set-Cookie|token is|no absolute|of 20"),
    (names_no_foreign_origin, "no Access-Control-Allow-Origin|our layer"),
    (holds(lambda case: _target(case) == "/base/orders/7?x=1"), "upstream sees GET"),
    (all_of(same_segments, same_path), "upstream path"),
    (same_bytes, "same bytes|same 256|the proxy|body untouched|body is"),
    (same_path, "the only|no 500$|goes upstream"),
    (_has_query(("a", "1&admin=true")), "upstream sees one parameter a"),
    (_has_query(("a", "x#y"), ("b", "2")), 'upstream sees a="x#y"'),
    (_has_query(("a", _SMUGGLED)), "upstream sees one parameter,"),
    (_has_query(("id", "1"), ("id", "2"), ("id", "3")), "upstream sees all"),
    (holds_upstream(lambda case: len(_query(case)) == 2000), "bounded$"),
    (all_of(_HOP_BY_HOP, same_bytes), "upstream sees X-WX-OPENID"),
    (drops_what_was_forged, "upstream sees the"),
    (drops_the_bearer, "upstream sees neither"),
    (drops_all("cookie"), "cookies are"),
    (frames_once, "upstream gets|upstream counts|body dropped"),
    (all_of(frames_once, drops_all("expect")), "dropped; no"),
    (_HOP_BY_HOP, "no upgrade|dropped$"),
    (holds_upstream(lambda case: USERS["B"]["openid"] not in str(case.sent)), "single and"),
    (sends("accept-encoding", "br, gzip;q=0"), "the answer"),
    (sends("if-none-match", '"x"'), "304 is"),
    (strips_the_answer, "X-WX-* names|one documented rule:"),
    (header("Cache-Control", "private, no-store"), "Cache-Control: private"),
    (hides_the_upstream, "never followed"),
    (holds(lambda case: case.exchange.answer.body == bomb()), "peak memory"),
    (all_of(fits_lambda, answers_bytes(b"\x01" * 1_100_000)), "the cap"),
    (answers_bytes(b"\xff\xfe\x00bad"), "bytes intact"),
    (opens_the_phone, "returns only the|field refused|as above; user is|documented: allowed"),
    (opens_the_user, "returns only documented"),
    (reads_consistently, "one store|a token just"),
    (header("WWW-Authenticate", "Bearer"), "401 with|same 401"),
    (reads_once_like_a_hit, "expiry is|exp <=|refused within|unknown, expired"),
    # Each login is a session of its own, and ends no other unless it `replaces` it.
    (holds(lambda case: case.status == 200), "one documented rule; session"),
    (alerts_once, "fail closed"),
]
"""Checks, and how the sentences of the corpus that ask for them begin; `$` is a sentence's end."""

_CHECKS = {start: check for check, starts in _ROWS for start in starts.split("|")}


def check_of(sentence: str) -> Check:
    """Give the one check of a sentence; ValueError where none or two are known."""
    [check] = [check for start, check in _CHECKS.items() if f"{sentence}$".startswith(start)]
    return check
