"""The twelve invariants of the corpus, each as a check that tells every breach in a sentence.

G11 stands in runner.py, since it compares answers of several entries.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt

from tests.attacks import watch
from tests.attacks.corpus import CAPS, Entry
from tests.attacks.decisions import decision
from tests.attacks.events import Mode, Tokens
from tests.attacks.world import APPID, Exchange, World
from tests.support.loopback import Request
from tests.support.wechat import USERS

SECONDS = 2.0
MEMORY = 200 * 1024 * 1024
ASSERTION_LIFE = 60
HEAD = 10_000
"""Characters of a body that are looked for elsewhere; some are megabytes."""

JSON = "application/json; charset=utf-8"

_INSIDES = re.compile(
    r"Traceback|\.py\b|File \"|chalice|python/|boto|urllib3|/var/task|/usr/", re.IGNORECASE
)
REFLECTING = ("Location", "Set-Cookie", "Content-Disposition", "Refresh", "Link")
"""Headers in which an answer might repeat what was sent; the others are fixed words."""

_HEADER = re.compile(r"[A-Za-z0-9-]+")
_BROUGHT = re.compile(r"""\b(code|encryptedData|iv)["']?[\s:=\[]*["']?([\w+/=-]{6,})""")
"""What a client brings, in a query, a form, or JSON that is broken or has a name twice."""


SOURCE = "".join(path.read_text() for path in Path("chalicelib").rglob("*.py"))
"""Every sentence that the gate may say stands here; a word of it is no reflection of the input."""


@dataclass(frozen=True)
class Case:
    """One entry in one mode, and what came of it.

    `sends` requests were served while `exchange` was watched; memory grew by `peak` bytes.
    """

    world: World
    tokens: Tokens
    entry: Entry
    mode: Mode
    exchange: Exchange
    sends: int = 1
    peak: int = 0

    @property
    def status(self) -> int:
        """The answer's status."""
        return self.exchange.answer.status

    @property
    def code(self) -> str | None:
        """The gate's error Code, None where the gate did not refuse."""
        return self.exchange.answer.code

    @property
    def sent(self) -> Request | None:
        """What the upstream received, None where it was not called."""
        return self.exchange.upstream[0] if self.exchange.upstream else None

    @cached_property
    def body_text(self) -> str:
        """The body that was sent, as the most lenient reader would take it for text."""
        body = str(self.exchange.event["body"] or "")
        if not self.exchange.event["isBase64Encoded"]:
            return body
        try:
            raw = base64.b64decode(body)
        except ValueError:
            return body
        return raw.decode(json.detect_encoding(raw), errors="replace")

    @cached_property
    def owner(self) -> dict[str, Any]:
        """The user whose bearer the request carries; nobody but B is B."""
        single = self.exchange.event.get("headers") or {}
        bearer = next((v for k, v in single.items() if k.lower() == "authorization"), "")
        return USERS["B" if self.tokens.user("B") in bearer else "A"]

    @cached_property
    def answered(self) -> str:
        """The answer as text: headers and body."""
        headers = [f"{name}: {value}" for name, value in self.exchange.answer.headers.items()]
        return "\n".join([*headers, self.exchange.answer.body.decode("latin-1")])

    @property
    def is_ours(self) -> bool:
        """Whether the gate itself made the answer."""
        return self.sent is None or self.code is not None


Breaches = Iterator[str]


def expected(case: Case) -> Breaches:
    """Status, Code and call counts are those of the entry."""
    expect, exchange = case.entry.expect, case.exchange
    if case.status not in expect["status"]:
        yield f"status {case.status} {case.code}, not one of {expect['status']}"
    codes = expect["code"] if isinstance(expect["code"], list) else [expect["code"]]
    if case.status >= 400 and case.is_ours and expect["code"] and case.code not in codes:
        yield f"Code {case.code}, not one of {codes}"
    if case.status < 400 and case.code:
        yield f"a good answer with Code {case.code}"
    ours = decision(case.entry, case.mode) if case.sends == 1 else None
    if ours and ours != (case.status, case.code):
        yield f"{case.status} {case.code}, where our decision is {ours}"
    counts = {
        "upstream_calls": len(exchange.upstream),
        "wechat_calls": len(exchange.wechat),
        "store_reads": len(exchange.reads),
        "store_writes": len(exchange.writes),
    }
    wanted = {**expect, "upstream_calls": case.entry.calls_to_upstream}
    for name, count in counts.items():
        if name in wanted and not _fits(count, wanted[name]):
            yield f"{name}: {count}, not {wanted[name]}"


def _fits(count: int, wanted: Any) -> bool:
    match wanted:
        case int():
            return count == wanted
        case [int(least), int(most)]:
            return least <= count <= most
        case _:
            return count <= CAPS[wanted]


def g1_never_fails(case: Case) -> Breaches:
    """G1: status is never 500."""
    if case.status == 500 or not 200 <= case.status <= 599:
        yield f"status {case.status}"


def g2_well_formed(case: Case) -> Breaches:
    """G2: an answer of ours is JSON with a Code, a request id and the headers that protect it."""
    headers = case.exchange.answer.headers
    if headers.get("X-Request-Id") != case.exchange.event["requestContext"]["requestId"]:
        yield "X-Request-Id is missing or not the request's"
    if headers.get("X-Content-Type-Options") != "nosniff":
        yield "nosniff is missing"
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not str(value).isprintable():
            yield f"header {name!r} cannot be sent"
    if not case.is_ours:
        return
    if headers.get("Cache-Control") != "no-store":
        yield "no-store is missing"
    if case.status != 204:
        yield from _is_json(case)
    elif case.exchange.answer.body or "Content-Type" in headers:
        yield "a body where there is none"


def _is_json(case: Case) -> Breaches:
    if case.exchange.answer.headers.get("Content-Type") != JSON:
        yield "an answer of ours that is not called JSON in UTF-8"
    try:
        body = json.loads(case.exchange.answer.body.decode())
    except ValueError:
        yield "an answer of ours that is no JSON in UTF-8"
        return
    if case.status >= 400 and (
        set(body) != {"Code", "Message"} or body["Code"] != case.code or not body["Message"]
    ):
        yield f"a refusal of another shape: {sorted(body)}"


def _input(case: Case) -> dict[str, Iterable[str]]:
    """What of the entry's own input must not be said: the code, the ciphertext and its iv.

    A body that came in base64 says them too.
    """
    found = _BROUGHT.findall(f"{case.entry.path}\n{case.body_text}")
    with suppress(ValueError, RecursionError):
        body = json.loads(case.body_text)
        found += body.items() if isinstance(body, dict) else []
    brought: dict[str, Iterable[str]] = {}
    for name in ("code", "encryptedData", "iv"):
        texts = {text for known, text in found if known == name and isinstance(text, str)}
        brought[name] = {text for text in texts if len(text) > 5}
    if any(brought.values()) and case.exchange.event["isBase64Encoded"]:
        brought["body"] = {str(case.exchange.event["body"])[:HEAD]}
    return brought


def g3_answer_keeps_secrets(case: Case) -> Breaches:
    """G3: no answer holds a secret; a login's own token, and opened data, aside."""
    secrets: dict[str, Iterable[str]] = dict(case.world.secrets)
    if case.status == 200 and case.entry.group == "login":
        secrets["token"] = case.world.secrets["token"] - {case.exchange.answer.json["token"]}
    if case.is_ours and case.status >= 400:
        secrets |= case.world.personal | _input(case)
        if _INSIDES.search(case.answered):
            yield "an answer tells of our insides"
    yield from (f"the answer holds: {name}" for name in watch.leaks(case.answered, secrets))


def g4_log_keeps_secrets(case: Case) -> Breaches:
    """G4: no log line, no exception holds a secret; a request is one event, an event one line."""
    seen = case.exchange.seen
    secrets = {**case.world.secrets, **case.world.personal, **_input(case)}
    yield from (f"the log holds: {name}" for name in watch.leaks(seen.said, secrets))
    try:
        events = [event["event"] for event in seen.events]
    except (ValueError, TypeError, KeyError):
        yield f"a log line is no event: {seen.lines}"
        return
    if events.count("request") != case.sends:
        yield f"not one event for one request: {events}"


def g5_calls_known_addresses(case: Case) -> Breaches:
    """G5: nobody but WeChat, the upstream and AWS is contacted, or looked up: no `evil_calls`."""
    seen = case.exchange.seen
    foreign = set(seen.addresses) - case.world.configured
    calls = len(foreign) + len(seen.names - {"127.0.0.1"})
    if not _fits(calls, case.entry.expect.get("evil_calls", 0)):
        yield f"contacted {sorted(foreign)}, looked up {sorted(seen.names)}"


def g6_upstream_needs_a_session(case: Case) -> Breaches:
    """G6: what reaches the upstream proves for a minute who it is for, signed by us."""
    if case.sent is None:
        return
    keys = jwt.PyJWKSet.from_dict(case.world.key_set)
    audience = f"{case.world.upstream.url}/base"
    try:
        claims = jwt.decode(
            case.sent.values("x-wx-assertion")[0],
            keys.keys[0].key,
            algorithms=["ES256"],
            audience=audience,
            options={"verify_exp": False, "verify_iat": False},
        )
    except (jwt.InvalidTokenError, IndexError) as error:
        yield f"no proof of a session: {type(error).__name__}"
        return
    htu = f"{case.world.upstream.url}{case.sent.target.partition('?')[0]}"
    now = int(case.world.clock())
    proven = {"sub": case.owner["openid"], "appid": APPID, "htm": case.sent.method, "htu": htu}
    proven |= {"iat": now, "exp": now + ASSERTION_LIFE}
    yield from (
        f"the assertion's {name} is wrong"
        for name, value in proven.items()
        if claims.get(name) != value
    )


def folded(name: str) -> str:
    """Fold a header name as servers behind us may: case, underscores, dots, doubled dashes."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")
    return plain.replace("openi-d", "openid")


def g7_identity_is_the_owners(case: Case) -> Breaches:
    """G7: the identity headers upstream are exactly the owner's, each once."""
    if case.sent is None:
        return
    owner = case.owner
    wanted = [("X-WX-OPENID", owner["openid"]), ("X-WX-APPID", APPID)]
    wanted += [("X-WX-UNIONID", owner["unionid"])] if owner["unionid"] else []
    found = [(k, v) for k, v in case.sent.headers if folded(k).startswith("x-wx-")]
    if sorted(pair for pair in found if pair[0] != "X-WX-ASSERTION") != sorted(wanted):
        yield f"identity upstream: {[name for name, _ in found]}"
    if len(found) != len(wanted) + 1:
        yield "identity upstream is more or less than ours"
    hosts = case.sent.values("host")
    if hosts != [f"127.0.0.1:{case.world.upstream.port}"]:
        yield f"Host upstream is {hosts}"
    if not case.sent.target.startswith("/base/"):
        yield "a path outside the base path"


def g8_follows_nothing(case: Case) -> Breaches:
    """G8: one request in, at most one request upstream."""
    calls = case.exchange.seen.addresses.count(("127.0.0.1", case.world.upstream.port))
    if max(calls, len(case.exchange.upstream)) > 1:
        yield f"{calls} connections, {len(case.exchange.upstream)} requests upstream"


def g9_is_quick(case: Case) -> Breaches:
    """G9: an answer comes within two seconds, and takes less than 200 MB."""
    if case.exchange.own_seconds > SECONDS:
        yield f"took {case.exchange.own_seconds:.1f} s"
    if case.peak > MEMORY:
        yield f"{case.peak >> 20} MiB at the peak"


def g10_writes_are_expected(case: Case) -> Breaches:
    """G10: only a login and a failed decryption write, once; what they write expires."""
    allowed = 1 if case.code == "DecryptFailed" else 0
    if case.entry.group == "login" and case.status == 200:
        allowed = 1
    writes = case.exchange.writes
    # Of many requests at once nobody can tell which one wrote.
    if case.sends == 1 and len(writes) != allowed:
        yield f"{[write.name for write in writes]} where {allowed} writes are right"
    for write in writes:
        if "expires_at" not in json.dumps(write.parameters):
            yield f"{write.name} without an expiry"


def g12_reflects_nothing(case: Case) -> Breaches:
    """G12: no text of the input is in a refusal."""
    if not case.is_ours or case.status < 400:
        return
    told = [case.exchange.answer.body.decode()]
    told += [v for k, v in case.exchange.answer.headers.items() if k in REFLECTING]
    for piece in _pieces(case):
        if any(piece in text for text in told):
            yield f"input is reflected: {piece[:40]!r}"
            return


def _pieces(case: Case) -> Iterator[str]:
    event = case.exchange.event
    texts = re.split(r"[/?&=]", str(case.entry.path))
    texts += [value for values in (event["multiValueHeaders"] or {}).values() for value in values]
    texts = [text for text in texts if text != "application/json"]
    for body in (str(event["body"] or ""), case.body_text):
        texts += re.split(r"[\"\s]", body[:HEAD])
    return (text for text in texts if len(text) >= 4 and text not in SOURCE)


INVARIANTS = (
    expected,
    g1_never_fails,
    g2_well_formed,
    g3_answer_keeps_secrets,
    g4_log_keeps_secrets,
    g5_calls_known_addresses,
    g6_upstream_needs_a_session,
    g7_identity_is_the_owners,
    g8_follows_nothing,
    g9_is_quick,
    g10_writes_are_expected,
    g12_reflects_nothing,
)


def breaches(case: Case) -> list[str]:
    """Tell every breach of the entry's expectation and of the invariants."""
    return [f"{check.__name__}: {text}" for check in INVARIANTS for text in check(case)]
