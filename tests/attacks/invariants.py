"""The invariants of the corpus, and the counts of an entry, each as a check that asserts.

G8 is a count too; G11 stands in runner.py, since it compares answers of several entries.
"""

import base64
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt

from tests.attacks import watch
from tests.attacks.corpus import Entry, Request
from tests.attacks.events import Mode, Tokens
from tests.attacks.world import APPID, Exchange, World
from tests.support.loopback import Request as Received
from tests.support.wechat import USERS

SECONDS = 2.0
MEMORY = 200 * 1024 * 1024
ASSERTION_LIFE = 60
HEAD = 10_000
"""Characters of a body that are looked for elsewhere; some are megabytes."""

CAPS = {"<= configured cap": 1}
"""Counts in words: the most that one send may make. We configure no cap; one send is one call."""

JSON = "application/json; charset=utf-8"

_INSIDES = re.compile(
    r"Traceback|\.py\b|File \"|chalice|python/|boto|urllib3|/var/task|/usr/", re.IGNORECASE
)
FIXED = ("Content-Type", "X-Request-Id", "Cache-Control", "Retry-After", "Allow")
"""Headers of an answer that are words of ours; any other might repeat what was sent."""

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
        return self.exchange.answer.status

    @property
    def code(self) -> str | None:
        return self.exchange.answer.code

    @property
    def sent(self) -> Received | None:
        return self.exchange.upstream[0] if self.exchange.upstream else None

    @property
    def is_ours(self) -> bool:
        return self.sent is None or self.code is not None

    @cached_property
    def request(self) -> Request:
        """What the entry sends, written out but for the tokens."""
        return self.entry.request.filled(lambda name: f"{{{{{name}}}}}")

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
    def input(self) -> set[str]:
        event = self.exchange.event
        texts = re.split(r"[/?&=]", str(self.request.path))
        texts += [v for values in (event["multiValueHeaders"] or {}).values() for v in values]
        for body in (str(event["body"] or ""), self.body_text):
            texts += re.split(r"[\"\s]", body[:HEAD])
        return {text for text in texts if len(text) >= 4 and text not in SOURCE}

    @cached_property
    def owner(self) -> dict[str, Any]:
        """The user whose bearer the request carries; nobody but B is B."""
        single = self.exchange.event.get("headers") or {}
        bearer = next((v for k, v in single.items() if k.lower() == "authorization"), "")
        return USERS["B" if self.tokens.user("B") in bearer else "A"]

    @cached_property
    def answered(self) -> str:
        headers = [f"{name}: {value}" for name, value in self.exchange.answer.headers.items()]
        return "\n".join([*headers, self.exchange.answer.body.decode("latin-1")])


def status_and_code(case: Case) -> None:
    expect = case.entry.expect
    assert case.status in expect.status, case.code
    if case.status < 400:
        assert case.code is None
    elif case.is_ours and expect.codes:
        assert case.code in expect.codes


def counts(case: Case) -> None:
    """G5, G8: as many calls as the entry says, one at most upstream, and none to strangers."""
    expect, exchange, seen = case.entry.expect, case.exchange, case.exchange.seen
    places = [*(set(seen.addresses) - case.world.configured), *(set(seen.lookups) - {"127.0.0.1"})]
    upstream = len(exchange.upstream)
    for count, wanted in [
        (upstream, expect.upstream_calls),
        (len(exchange.wechat), expect.wechat_calls),
        (len(exchange.reads), expect.store_reads),
        (len(exchange.writes), expect.store_writes),
        (len(places), expect.evil_calls),
    ]:
        match wanted:
            case None:
                continue
            case [least, most]:
                assert least <= count <= most, (expect, places)
            case _:
                assert count == wanted or count <= CAPS.get(wanted, -1), (expect, places)
    assert max(upstream, seen.addresses.count(("127.0.0.1", case.world.upstream.port))) <= 1


def g1_never_fails(case: Case) -> None:
    assert case.status != 500
    assert 200 <= case.status <= 599


def g2_well_formed(case: Case) -> None:
    """G2: an answer of ours is JSON with a Code, a request id and the headers that protect it."""
    answer, headers = case.exchange.answer, case.exchange.answer.headers
    assert headers["X-Request-Id"] == case.exchange.event["requestContext"]["requestId"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert all(re.fullmatch("[A-Za-z0-9-]+", name) for name in headers)
    assert all(str(value).isprintable() for value in headers.values())
    if case.is_ours:
        assert headers["Cache-Control"] == "no-store"
        if case.status == 204:
            assert (answer.body, headers.get("Content-Type")) == (b"", None)
        else:
            assert headers["Content-Type"] == JSON
            body = json.loads(answer.body.decode())
            assert case.status < 400 or body == {"Code": case.code, "Message": body["Message"]}
            assert case.status < 400 or body["Message"]


def g3_g12_answer_keeps_secrets(case: Case) -> None:
    """G3: no answer holds a secret; a login's own token, and opened data, aside.

    G12: nor is any text of the input in a refusal.
    """
    secrets = dict(case.world.secrets)
    if case.status == 200 and case.entry.group == "login":
        secrets["token"] = case.world.secrets["token"] - {case.exchange.answer.json["token"]}
    if case.is_ours and case.status >= 400:
        secrets |= case.world.personal
        assert not _INSIDES.search(case.answered)
        said = [case.exchange.answer.body.decode()]
        said += [v for k, v in case.exchange.answer.headers.items() if k not in FIXED]
        assert [piece for piece in case.input if any(piece in text for text in said)] == []
    assert watch.leaks(case.answered, secrets) == []


def g4_log_keeps_secrets(case: Case) -> None:
    """G4: no log line, no exception holds a secret or input; a request is one event and line."""
    seen = case.exchange.seen
    told = {text for text in case.input if len(text) > 5}
    secrets = {**case.world.secrets, **case.world.personal, "input": told}
    assert watch.leaks(seen.said, secrets) == []
    assert [event["event"] for event in seen.events].count("request") == case.sends


def g6_upstream_needs_a_session(case: Case) -> None:
    """G6: what reaches the upstream proves for a minute who it is for, signed by us."""
    if case.sent is None:
        return
    keys = jwt.PyJWKSet.from_dict(case.world.key_set)
    now, url = int(case.world.clock()), case.world.upstream.url
    claims = jwt.decode(
        case.sent.values("x-wx-assertion")[0],
        keys.keys[0].key,
        algorithms=["ES256"],
        audience=f"{url}/base",
        options={"verify_exp": False, "verify_iat": False},
    )
    proven = {"sub": case.owner["openid"], "appid": APPID, "htm": case.sent.method}
    proven |= {"htu": f"{url}{case.sent.target.partition('?')[0]}"}
    assert claims == claims | proven | {"iat": now, "exp": now + ASSERTION_LIFE}


def folded(name: str) -> str:
    """Fold a header name as servers behind us may: case, underscores, dots, doubled dashes."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")
    return plain.replace("openi-d", "openid")


def g7_identity_is_the_owners(case: Case) -> None:
    """G7: the identity headers upstream are exactly the owner's, each once."""
    if case.sent is None:
        return
    owner = case.owner
    wanted = [("X-WX-OPENID", owner["openid"]), ("X-WX-APPID", APPID)]
    wanted += [("X-WX-UNIONID", owner["unionid"])] if owner["unionid"] else []
    found = [(k, v) for k, v in case.sent.headers if folded(k).startswith("x-wx-")]
    assert sorted(pair for pair in found if pair[0] != "X-WX-ASSERTION") == sorted(wanted)
    assert len(found) == len(wanted) + 1
    assert case.sent.values("host") == [f"127.0.0.1:{case.world.upstream.port}"]
    assert case.sent.target.startswith("/base/")


def g9_is_quick_and_small(case: Case) -> None:
    """G9: an answer comes within two seconds of our own, and takes less than 200 MB."""
    assert case.exchange.own_seconds < SECONDS
    assert case.peak < MEMORY


def g10_writes_are_expected(case: Case) -> None:
    """G10: only a login and a failed decryption write, once; what they write expires."""
    login = case.entry.group == "login" and case.status == 200
    writes = case.exchange.writes
    # Of many requests at once nobody can tell which one wrote.
    assert case.sends > 1 or len(writes) == (login or case.code == "DecryptFailed")
    assert all("expires_at" in json.dumps(write.parameters) for write in writes)


INVARIANTS = (
    status_and_code,
    counts,
    g1_never_fails,
    g2_well_formed,
    g3_g12_answer_keeps_secrets,
    g4_log_keeps_secrets,
    g6_upstream_needs_a_session,
    g7_identity_is_the_owners,
    g9_is_quick_and_small,
    g10_writes_are_expected,
)
