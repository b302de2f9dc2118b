"""What single entries demand beyond the invariants, by the words of their `invariant`."""

import gzip
import json
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from chalicelib.sessions.tokens import Token
from tests.attacks.corpus import expanded
from tests.attacks.events import SOURCE_IP
from tests.attacks.invariants import Breaches, Case, folded
from tests.attacks.wechat import APPSECRET, USERS
from tests.attacks.world import APPID

Check = Callable[[Case], Breaches]


def held_by_invariants(_case: Case) -> Breaches:
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


def names_no_foreign_origin(case: Case) -> Breaches:
    if "evil.test" in case.answered or "access-control" in case.answered.lower():
        yield "the answer names a foreign origin"


def answers_one_login_at_most(case: Case) -> Breaches:
    """The parallel sends are test_attacks.py's; this one send logs A in or is refused."""
    yield from logs_in_as_a(case)


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


def _has_query(*wanted: tuple[str, str]) -> Check:
    def check(case: Case) -> Breaches:
        query = parse_qsl(urlsplit(_target(case)).query, keep_blank_values=True)
        if case.sent is not None and query != list(wanted):
            yield f"the query upstream is {query}"

    return check


def has_many_parameters(case: Case) -> Breaches:
    if case.sent and len(parse_qsl(urlsplit(_target(case)).query)) != 2000:
        yield "parameters were lost"


def plain_target(case: Case) -> Breaches:
    if _target(case) != "/base/orders/7?x=1":
        yield f"the target upstream is {_target(case)}"


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
        for name in names:
            if case.sent.values(name):
                yield f"{name} is upstream: {case.sent.values(name)}"

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


def asks_for_plain_bytes(case: Case) -> Breaches:
    if case.sent and case.sent.values("accept-encoding") != ["br, gzip;q=0"]:
        yield "an encoding is asked for that not every client unpacks"


def passes_the_condition(case: Case) -> Breaches:
    if case.sent and case.sent.values("if-none-match") != ['"x"']:
        yield "the condition is lost"


def acts_as_a_or_nobody(case: Case) -> Breaches:
    if case.sent and USERS["B"]["openid"] in case.sent.raw.decode("latin-1"):
        yield "B is upstream"


def strips_the_answer(case: Case) -> Breaches:
    lost = ("x-wx-", "server", "set-cookie", "connection", "x-a", "access-control-")
    for name in case.exchange.answer.headers:
        if name.lower().startswith(lost):
            yield f"{name} reaches the client"


def is_private(case: Case) -> Breaches:
    if case.exchange.answer.headers.get("Cache-Control") != "private, no-store":
        yield "a shared cache may keep the answer"


# --- proxy: answers ------------------------------------------------------------------------------


def keeps_the_upstream_hidden(case: Case) -> Breaches:
    location = case.exchange.answer.headers.get("Location", "")
    if f"127.0.0.1:{case.world.upstream.port}" in location:
        yield "the upstream's address reaches the client"


def passes_packed_bytes(case: Case) -> Breaches:
    """What is packed stays packed: one megabyte of it at most, never 256."""
    if case.status == 200 and len(gzip.decompress(case.exchange.answer.body)) > 1_000_000:
        yield "the bomb was not passed as it came"


def fits_lambda(case: Case) -> Breaches:
    if len(json.dumps(case.exchange.result)) > 6_291_456:
        yield "Lambda cannot carry the answer"
    if case.status == 200 and case.exchange.answer.body != b"\x01" * 1_100_000:
        yield "bytes were lost"


def keeps_bytes(case: Case) -> Breaches:
    if case.status == 200 and case.exchange.answer.body != b"\xff\xfe\x00bad":
        yield "bytes were mangled"


# --- decrypt and tokens --------------------------------------------------------------------------


def opens_the_phone(case: Case) -> Breaches:
    fields = {"phoneNumber": "13900000001", "purePhoneNumber": "13900000001", "countryCode": "86"}
    if case.status == 200 and case.exchange.answer.json["data"] != fields:
        yield "other data than the phone of A"


def opens_the_user(case: Case) -> Breaches:
    data = case.exchange.answer.json["data"]
    if data["openId"] != USERS["A"]["openid"] or "watermark" in data or data["nickName"] != "Band":
        yield f"other data than the profile of A: {sorted(data)}"


def touches_no_key(case: Case) -> Breaches:
    """A malformed field is refused before the store is asked for a session_key."""
    if case.exchange.store:
        yield f"{[done.name for done in case.exchange.store]} for a malformed request"


def says_bearer_alone(case: Case) -> Breaches:
    if case.exchange.answer.headers.get("WWW-Authenticate") != "Bearer":
        yield "WWW-Authenticate is missing, or says more than Bearer"


def reads_consistently(case: Case) -> Breaches:
    for read in case.exchange.reads:
        if not read.parameters.get("ConsistentRead"):
            yield f"{read.name} without ConsistentRead"


def reads_once_like_a_hit(case: Case) -> Breaches:
    names = [done.name for done in case.exchange.store]
    if names != ["GetItem"]:
        yield f"another store path than a hit's: {names}"


def alerts_once(case: Case) -> Breaches:
    events = case.exchange.seen.events
    reasons = [event.get("reason") for event in events if event["event"] == "request"]
    if reasons != ["item is malformed"]:
        yield f"no reason for an odd item: {reasons}"
    if sum("alert" in event for event in events) > 1:
        yield "more than one alarm for an odd item"


def follows_one_rule_for_old_tokens(case: Case) -> Breaches:
    """Our rule: each login is a session of its own, and ends no other unless it `replaces` it."""
    if case.status != 200:
        yield "an older session ended by itself"


def refuses_pointedly(*codes: str) -> Check:
    """Where the corpus leaves a choice, ours is this one."""

    def check(case: Case) -> Breaches:
        if case.code not in codes:
            yield f"our rule is {codes}, not {case.code}"

    return check


def all_of(*checks: Check) -> Check:
    def check(case: Case) -> Iterator[str]:
        for one in checks:
            yield from one(case)

    return check


_SPOOF = (
    "upstream sees X-WX-OPENID exactly once with the openid of A, X-WX-APPID once with ours, and "
    "no name that folds (lower case, _ or . to -) onto any x-wx-* name besides ours"
)
_FORGED = (
    "upstream sees the forged value nowhere; address headers, if sent, are built from "
    "requestContext.identity.sourceIp alone"
)
_DECRYPT_FAILURE = (
    "byte-identical answer (except request id) to every other decrypt failure; same number and "
    "kind of store operations"
)
_HOP_BY_HOP = drops_all("upgrade", "te", "trailer", "keep-alive", "http2-settings", "connection")

PARTICULARS: dict[str, Check] = {
    "body has exactly the documented fields; token matches the documented format; no session_key, "
    "no appsecret, no raw WeChat field anywhere; Cache-Control: no-store": all_of(
        has_documented_fields, logs_in_as_a, asks_wechat_exactly
    ),
    "refused before any outside call": touches_no_key,
    "either refused (charset) or sent percent-encoded as one js_code value; appid and secret seen "
    "by the fake WeChat are ours, once each": asks_wechat_exactly,
    "refused, or the grant_type parameter still arrives": asks_wechat_exactly,
    "no Unicode folding onto another code": held_by_invariants,
    "refused; the log line holds the characters escaped, one event is one line": held_by_invariants,
    "refused; no second log event appears": held_by_invariants,
    "never part of the path to WeChat": asks_wechat_exactly,
    "never evaluated; no lookup of evil.test": asks_wechat_exactly,
    "no attribute setting from input": logs_in_as_a,
    "one fixed rule; never 500": refuses_pointedly("InvalidRequest"),
    "media types are case-insensitive (RFC 9110 8.3.1): must work, not crash": logs_in_as_a,
    "no code in URLs": held_by_invariants,
    "query is ignored: the session is A": logs_in_as_a,
    "no Set-Cookie in the answer, cookie ignored": logs_in_as_a,
    "token is never taken from the client": logs_in_as_a,
    "WeChat errmsg and rid are not passed to the client": held_by_invariants,
    "of 20 parallel sends at most one returns a token, or all tokens belong to the same openid "
    "and are counted against the session limit": answers_one_login_at_most,
    "after the configured number per source in a minute: 429 with Retry-After, no further WeChat "
    "calls; a good login from another source still works": held_by_invariants,
    "limit is keyed on requestContext.identity.sourceIp, the forged header changes nothing": (
        held_by_invariants
    ),
    "no Access-Control-Allow-Origin that names evil.test; never * together with credentials": (
        names_no_foreign_origin
    ),
    "no absolute URL in the answer is built from Host": logs_in_as_a,
    "no stack trace, no versions, no file paths": held_by_invariants,
    "upstream sees GET /base/orders/7?x=1 on the configured host": plain_target,
    "upstream path decodes to the same segments": all_of(same_segments, same_path),
    "same bytes upstream": same_bytes,
    "refused; upstream, evil.test and 169.254.169.254 see nothing": held_by_invariants,
    "the only host contacted is the configured upstream, and only under its base path; refusing "
    "with InvalidPath is the preferred outcome": same_path,
    "authority of the target is not used for routing": refuses_pointedly("NotFound"),
    "goes to the base path or is refused; never to another route": refuses_pointedly("InvalidPath"),
    "one rule: refuse, or merge and forward the merged form; the checked form is the forwarded "
    "form": refuses_pointedly("InvalidPath"),
    "bounded; no 500": held_by_invariants,
    'upstream sees one parameter a with value "1&admin=true"': _has_query(("a", "1&admin=true")),
    'upstream sees a="x#y" and b="2"': _has_query(("a", "x#y"), ("b", "2")),
    "upstream sees one parameter, no extra header": _has_query(
        ("a", "x\r\nX-WX-OPENID: oB7zyQ2mXk8sVtRwLp5cNdHgJf3A")
    ),
    "upstream sees all three in order": _has_query(("id", "1"), ("id", "2"), ("id", "3")),
    "a token in the URL is not a credential": held_by_invariants,
    "bounded": has_many_parameters,
    "no 500": same_path,
    "goes upstream as any path; own handlers are not reachable through it": same_path,
    "upstream sees nothing": refuses_pointedly("MethodNotAllowed"),
    "methods are case-sensitive; not treated as GET": refuses_pointedly("MethodNotAllowed"),
    _SPOOF: all_of(_HOP_BY_HOP, same_bytes),
    _FORGED: drops_what_was_forged,
    "upstream sees neither the bearer token nor its hash, in any header, path or body": (
        drops_the_bearer
    ),
    "cookies are dropped by default": drops_all("cookie"),
    "upstream Host is the configured one; SNI and Host agree": held_by_invariants,
    "as above": held_by_invariants,
    "upstream gets one request with one correct framing header made by our client library": (
        frames_once
    ),
    "upstream counts exactly one request": frames_once,
    "dropped; no hang": all_of(frames_once, drops_all("expect")),
    "no upgrade is passed; plain answer": _HOP_BY_HOP,
    "dropped": _HOP_BY_HOP,
    "dropped or refused": drops_all(""),
    "single and multi maps disagree: the request acts as one of A or nobody, never as B": (
        acts_as_a_or_nobody
    ),
    "one log event per request; value escaped": refuses_pointedly("InvalidRequest"),
    "the answer is decodable by the client or identity; declared and real encoding agree": (
        asks_for_plain_bytes
    ),
    "304 is passed without a body": passes_the_condition,
    "our layer adds no allow-origin for it": names_no_foreign_origin,
    "X-WX-* names in the upstream answer are not passed to the client; nor are hop-by-hop names, "
    "Server, Set-Cookie": strips_the_answer,
    "one documented rule: pass or strip; never * with credentials": strips_the_answer,
    "Cache-Control: private, no-store is added when upstream gave none; public is not passed for "
    "authenticated answers": is_private,
    "same 256 bytes upstream, or refused; never mangled": same_bytes,
    "strict decode": refuses_pointedly("InvalidRequest"),
    "413 from us or the platform; no 500, no partial forward": refuses_pointedly("RequestTooLarge"),
    "body dropped or passed with right framing; one request upstream": frames_once,
    "the proxy does not parse bodies": same_bytes,
    "body untouched; identity only in headers": same_bytes,
    "never followed; identity headers go nowhere else; an absolute Location naming the upstream "
    "host is rewritten or removed": keeps_the_upstream_hidden,
    "body is not re-sent": same_bytes,
    "peak memory bounded; 590 bytes of double gzip became 256 MiB in both clients": (
        passes_packed_bytes
    ),
    "clear code, not the platform 502; read stops at the cap": held_by_invariants,
    "the cap is measured on the serialised answer: 1.1 MB of control bytes is 6.6 MB of JSON": (
        fits_lambda
    ),
    "bytes intact (base64 path), no UnicodeDecodeError 500": keeps_bytes,
    "returns only the documented phone fields; no watermark needed, no session_key": (
        opens_the_phone
    ),
    "returns only documented fields; openId equals the session openid": opens_the_user,
    _DECRYPT_FAILURE: held_by_invariants,
    "same failure; the client is told by documentation to wx.login and ask again": (
        held_by_invariants
    ),
    "kind is required, or inferred only by an exact key set": held_by_invariants,
    "openId differs from the session openid": held_by_invariants,
    "openId must equal the session openid": held_by_invariants,
    "refused": touches_no_key,
    "refused before the key is used": touches_no_key,
    "bounded (WeChat payloads are a few KiB)": touches_no_key,
    "field refused or ignored; the stored key is used": opens_the_phone,
    "as above; user is the token owner": opens_the_phone,
    "no personal data in URLs": refuses_pointedly("MethodNotAllowed"),
    "documented: allowed while fresh, or single use; state after n sends equals state after one": (
        opens_the_phone
    ),
    "over 5000 crafted (iv, block) pairs the answers fall into ONE class per status; failures are "
    "counted per OPENID and answer 429 after the cap, surviving a new login": held_by_invariants,
    "one store read, one upstream call": reads_consistently,
    "scheme is case-insensitive": held_by_invariants,
    "401 with WWW-Authenticate: Bearer and no error attribute": says_bearer_alone,
    "same 401 body as every other token failure; upstream untouched": says_bearer_alone,
    "expiry is compared in code on every read": reads_once_like_a_hit,
    "exp <= now is expired": reads_once_like_a_hit,
    "accepted": held_by_invariants,
    "refused within the documented bound; with no in-memory session cache the bound is 0 s": (
        reads_once_like_a_hit
    ),
    "a token just returned works at once: ConsistentRead": reads_consistently,
    "one documented rule; session limit per openid is enforced": follows_one_rule_for_old_tokens,
    "fail closed; one alert event; no 500, no empty X-WX-OPENID upstream": alerts_once,
    "refused: never first-wins here and last-wins there": refuses_pointedly("InvalidToken"),
    "unknown, expired and revoked take the same store path": reads_once_like_a_hit,
}
"""Each sentence of the corpus and the check that it asks for."""
