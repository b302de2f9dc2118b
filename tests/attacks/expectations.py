"""What single entries expect beyond the invariants, by the words of their `invariant`."""

import gzip
import json
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from chalicelib.sessions.tokens import Token
from tests.attacks.corpus import expanded
from tests.attacks.events import SOURCE_IP
from tests.attacks.invariants import Breaches, Case, folded
from tests.attacks.world import APPID
from tests.support.wechat import APPSECRET, USERS

Check = Callable[[Case], Breaches]


def never(wrong: Callable[[Case], object], breach: str) -> Check:
    """Check that something is never so."""

    def check(case: Case) -> Breaches:
        if wrong(case):
            yield f"{breach}: {case.status} {case.code}"

    return check


def all_of(*checks: Check) -> Check:
    return lambda case: (breach for check in checks for breach in check(case))


def invariants_suffice(_case: Case) -> Breaches:
    """Nothing more to ask: status, counts and G1 to G12 say it all."""
    return iter(())


# --- login ---------------------------------------------------------------------------------------


def has_documented_fields(case: Case) -> Breaches:
    answer = case.exchange.answer.json
    if set(answer) != {"token", "expires_in"} or answer["expires_in"] != 604_800:
        yield f"fields {sorted(answer)}"
    Token.parse(answer["token"])


def asks_wechat_exactly(case: Case) -> Breaches:
    """Refused, or one query with our appid and secret, once each, and the code as one value."""
    for call in case.exchange.wechat:
        parts = urlsplit(call.target)
        wanted = {"appid": APPID, "secret": APPSECRET, "grant_type": "authorization_code"}
        query = parse_qsl(parts.query, keep_blank_values=True)
        if parts.path != "/sns/jscode2session" or len(query) != 4:
            yield "another call to WeChat"
        if any(dict(query)[name] != value for name, value in wanted.items()):
            yield "another appid, secret or grant_type"


def logs_in_as_a(case: Case) -> Breaches:
    if case.status == 200:
        token = Token.parse(case.exchange.answer.json["token"])
        if token.user != Token.parse(case.tokens.user("A")).user:
            yield "the session is not of A"
        if token.text in (case.tokens.user("A"), case.tokens.user("B")):
            yield "the token is not new"
    if "Set-Cookie" in case.exchange.answer.headers:
        yield "a cookie is set"
    yield from names_no_foreign_origin(case)


# --- proxy: the path and the query ---------------------------------------------------------------


def _target(case: Case) -> str:
    return case.sent.target if case.sent else ""


def same_path(case: Case) -> Breaches:
    """The bytes below /api/ are the bytes below the base path."""
    if case.sent is None:
        return
    path = case.exchange.event["path"].removeprefix("/api/")
    if _target(case).partition("?")[0] != f"/base/{path}":
        yield "the path upstream is another one"


def _query(case: Case) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(_target(case)).query, keep_blank_values=True)


def _has_query(*wanted: tuple[str, str]) -> Check:
    return never(lambda case: case.sent and _query(case) != list(wanted), "another query upstream")


def same_segments(case: Case) -> Breaches:
    if unquote(_target(case)) != "/base/" + unquote(case.entry.path.removeprefix("/api/")):
        yield "other segments upstream"


def same_bytes(case: Case) -> Breaches:
    body = expanded(case.entry.request["body"])
    wanted = body.encode() if isinstance(body, str) else body or b""
    if case.sent is not None and case.sent.body != wanted:
        yield "another body upstream"
    yield from same_path(case)


# --- proxy: headers ------------------------------------------------------------------------------


def drops_what_was_forged(case: Case) -> Breaches:
    """No header upstream has the forged name or value; X-Forwarded-For is API Gateway's word."""
    if case.sent is None:
        return
    ours = {"x-forwarded-for": [SOURCE_IP], "x-request-id": case.sent.values("x-request-id")}
    for name, value in case.entry.request["headers"]:
        if name == "Authorization" or folded(name).startswith("x-wx-"):  # the latter is G7's
            continue
        found = [v for k, v in case.sent.headers if folded(k) == folded(name)]
        if found != ours.get(folded(name), []) or value in found:
            yield f"{name} upstream: {found}"
        if len(value) > 9 and value in case.sent.raw.decode("latin-1"):
            yield f"the value of {name} is upstream"


def drops_the_bearer(case: Case) -> Breaches:
    if case.sent is None:
        return
    token = Token.parse(case.tokens.user("A"))
    raw = case.sent.raw.decode("latin-1")
    if token.text in raw or token.item.hex() in raw or "authorization" in raw.lower():
        yield "the bearer is upstream"


def drops_all(*names: str) -> Check:
    def check(case: Case) -> Breaches:
        if case.sent is None:
            return
        sent = dict(case.entry.request["headers"])
        for name in names:
            found = case.sent.values(name)
            # How our own connection is kept is ours to say; nothing of the client's goes there.
            own = name == "connection" and found in (["close"], ["keep-alive"])
            if found and (not own or sent.get("Connection") in found):
                yield f"{name} is upstream: {found}"

    return check


def frames_once(case: Case) -> Breaches:
    """One request, one Content-Length, the length of the body, and nothing chunked."""
    if case.sent is None:
        return
    lengths = case.sent.values("content-length")
    wanted = [str(len(case.sent.body))] if case.sent.body else []
    if case.sent.values("transfer-encoding") or (lengths or ["0"]) != (wanted or ["0"]):
        yield f"framing upstream: {lengths}"
    if len(case.exchange.upstream) != 1:
        yield "more than one request upstream"
    yield from same_bytes(case)


def strips_the_answer(case: Case) -> Breaches:
    lost = ("x-wx-", "server", "set-cookie", "connection", "x-a", "access-control-")
    for name in case.exchange.answer.headers:
        if name.lower().startswith(lost):
            yield f"{name} reaches the client"


def fits_lambda(case: Case) -> Breaches:
    if len(json.dumps(case.exchange.result)) > 6_291_456:
        yield "Lambda cannot carry the answer"
    if _body_is_not(case, b"\x01" * 1_100_000):
        yield "bytes were lost"


# --- decrypt and tokens --------------------------------------------------------------------------


def opens_the_phone(case: Case) -> Breaches:
    fields = {"phoneNumber": "13900000001", "purePhoneNumber": "13900000001", "countryCode": "86"}
    if case.status == 200 and case.exchange.answer.json["data"] != fields:
        yield "other data than the phone of A"


def opens_the_user(case: Case) -> Breaches:
    data = case.exchange.answer.json["data"]
    if data["openId"] != USERS["A"]["openid"] or "watermark" in data or data["nickName"] != "Band":
        yield f"other data than the profile of A: {sorted(data)}"


def alerts_once(case: Case) -> Breaches:
    """Another version is another release's, and no alarm; any other flaw is one."""
    events = case.exchange.seen.events
    if not all(event.get("reason") for event in events if event["event"] == "request"):
        yield "the log gives no reason"
    alarms = sum("alert" in event for event in events)
    if alarms != (0 if "schema version" in case.entry.title else 1):
        yield f"{alarms} alarms for a malformed item"


def _header(case: Case, name: str) -> str:
    return case.exchange.answer.headers.get(name, "")


def _body_is_not(case: Case, wanted: bytes) -> bool:
    return case.status == 200 and case.exchange.answer.body != wanted


def sends(name: str, value: str) -> Check:
    """A header goes upstream with this value alone."""
    return never(lambda case: case.sent and case.sent.values(name) != [value], f"{name} upstream")


def refuses_with(code: str) -> Check:
    """The corpus leaves the Code open; ours is this one."""
    return never(lambda case: case.code != code, f"not {code}")


names_no_foreign_origin = never(
    lambda case: "evil.test" in case.answered or "access-control" in case.answered.lower(),
    "the answer names a foreign origin",
)
touches_no_key = never(lambda case: case.exchange.store, "a malformed request reads the store")
says_bearer_alone = never(
    lambda case: _header(case, "WWW-Authenticate") != "Bearer", "WWW-Authenticate is not Bearer"
)
reads_consistently = never(
    lambda case: not all(read.parameters.get("ConsistentRead") for read in case.exchange.reads),
    "a read without ConsistentRead",
)
reads_once_like_a_hit = never(
    lambda case: [done.name for done in case.exchange.store] != ["GetItem"],
    "another store path than a hit's",
)
_HOP_BY_HOP = drops_all("upgrade", "te", "trailer", "keep-alive", "http2-settings", "connection")
_SMUGGLED = "x\r\nX-WX-OPENID: oB7zyQ2mXk8sVtRwLp5cNdHgJf3A"

_ROWS: list[tuple[Check, str]] = [
    (all_of(has_documented_fields, logs_in_as_a, asks_wechat_exactly), "body has exactly the"),
    (
        touches_no_key,
        "refused before any outside|refused$|refused before the key|bounded (WeChat payloads are",
    ),
    (
        asks_wechat_exactly,
        "either refused (charset) or|refused, or the grant_type|never part of the|"
        "never evaluated; no lookup",
    ),
    (
        invariants_suffice,
        "no Unicode folding onto|refused; the log line|refused; no second log|no code in URLs$|"
        "WeChat errmsg and rid|after the configured number|limit is keyed on|no stack trace, no|"
        "refused; upstream, evil.test and|bounded; no 500$|a token in the|upstream Host is the|"
        "as above$|clear code, not the|byte-identical answer (except request|"
        "same failure; the client|kind is required, or|openId differs from the|"
        "openId must equal the|over 5000 crafted (iv,|scheme is case-insensitive$|accepted$",
    ),
    (
        logs_in_as_a,
        "no attribute setting from|media types are case-insensitive|query is ignored: the|"
        "no Set-Cookie in the|token is never taken|no absolute URL in",
    ),
    (refuses_with("InvalidRequest"), "one fixed rule; never|one log event per|strict decode$"),
    (logs_in_as_a, "of 20 parallel sends"),
    (names_no_foreign_origin, "no Access-Control-Allow-Origin that names|our layer adds no"),
    (never(lambda case: _target(case) != "/base/orders/7?x=1", "target"), "upstream sees GET"),
    (all_of(same_segments, same_path), "upstream path decodes to"),
    (
        same_bytes,
        "same bytes upstream$|same 256 bytes upstream,|the proxy does not|"
        "body untouched; identity only|body is not re-sent$",
    ),
    (same_path, "the only host contacted|no 500$|goes upstream as any"),
    (refuses_with("NotFound"), "authority of the target"),
    (refuses_with("InvalidPath"), "goes to the base|one rule: refuse, or"),
    (_has_query(("a", "1&admin=true")), "upstream sees one parameter a"),
    (_has_query(("a", "x#y"), ("b", "2")), 'upstream sees a="x#y" and'),
    (_has_query(("a", _SMUGGLED)), "upstream sees one parameter,"),
    (_has_query(("id", "1"), ("id", "2"), ("id", "3")), "upstream sees all three"),
    (
        never(lambda case: case.sent and len(_query(case)) != 2000, "parameters were lost"),
        "bounded$",
    ),
    (
        refuses_with("MethodNotAllowed"),
        "upstream sees nothing$|methods are case-sensitive; not|no personal data in",
    ),
    (all_of(_HOP_BY_HOP, same_bytes), "upstream sees X-WX-OPENID exactly"),
    (drops_what_was_forged, "upstream sees the forged"),
    (drops_the_bearer, "upstream sees neither the"),
    (drops_all("cookie"), "cookies are dropped by"),
    (frames_once, "upstream gets one request|upstream counts exactly one|body dropped or passed"),
    (all_of(frames_once, drops_all("expect")), "dropped; no hang$"),
    (_HOP_BY_HOP, "no upgrade is passed;|dropped$"),
    (drops_all(""), "dropped or refused$"),
    (
        never(lambda case: case.sent and USERS["B"]["openid"].encode() in case.sent.raw, "B"),
        "single and multi maps",
    ),
    (sends("accept-encoding", "br, gzip;q=0"), "the answer is decodable"),
    (sends("if-none-match", '"x"'), "304 is passed without"),
    (strips_the_answer, "X-WX-* names in the|one documented rule: pass"),
    (
        never(lambda case: _header(case, "Cache-Control") != "private, no-store", "not private"),
        "Cache-Control: private, no-store is",
    ),
    (refuses_with("RequestTooLarge"), "413 from us or"),
    (
        never(
            lambda case: f"127.0.0.1:{case.world.upstream.port}" in _header(case, "Location"),
            "the upstream's address reaches the client",
        ),
        "never followed; identity headers",
    ),
    (
        never(
            lambda case: len(gzip.decompress(case.exchange.answer.body)) > 1_000_000,
            "the bomb was not passed as it came",
        ),
        "peak memory bounded; 590",
    ),
    (fits_lambda, "the cap is measured"),
    (
        never(lambda case: _body_is_not(case, b"\xff\xfe\x00bad"), "mangled"),
        "bytes intact (base64 path),",
    ),
    (
        opens_the_phone,
        "returns only the documented|field refused or ignored;|as above; user is|"
        "documented: allowed while fresh,",
    ),
    (opens_the_user, "returns only documented fields;"),
    (reads_consistently, "one store read, one|a token just returned"),
    (says_bearer_alone, "401 with WWW-Authenticate: Bearer|same 401 body as"),
    (
        reads_once_like_a_hit,
        "expiry is compared in|exp <= now is|refused within the documented|"
        "unknown, expired and revoked",
    ),
    # Each login is a session of its own, and ends no other unless it `replaces` it.
    (never(lambda case: case.status != 200, "it ended"), "one documented rule; session"),
    (alerts_once, "fail closed; one alert"),
    (refuses_with("InvalidToken"), "refused: never first-wins here"),
]
"""Checks, and how the sentences of the corpus that ask for them begin; `$` is a sentence's end."""

_CHECKS = {start: check for check, starts in _ROWS for start in starts.split("|")}


def check_of(sentence: str) -> Check:
    """Give the check of a sentence.

    Raises:
        ValueError: unless exactly one is known.
    """
    [check] = [check for start, check in _CHECKS.items() if f"{sentence}$".startswith(start)]
    return check
