"""A control that is switched off is missed: the corpus is no corpus if nothing then fails."""

from contextlib import nullcontext

import pytest

from chalicelib.errors import DecryptFailed, GateError, InvalidPath, InvalidRequest
from chalicelib.sessions.sessions import VERSION, Sessions
from chalicelib.upstream.paths import checked_path
from tests.attacks import corpus
from tests.attacks import weakened as weak
from tests.attacks.choices import ours
from tests.attacks.corpus import META, Entry
from tests.attacks.events import MERCIFUL, MERCILESS, Mode
from tests.attacks.runner import Runner
from tests.attacks.siblings import SIBLINGS, of_world
from tests.attacks.weakened import (
    Weakness,
    decrypting,
    letting,
    overlooking,
    proxying,
    sessions_of,
    upstream_of,
)
from tests.attacks.world import World
from tests.support.fakes import NOW


def _opening(opener: weak.Opener) -> Weakness:
    return Weakness(handlers={"decrypt": decrypting(opener)})


CONTROLS = {
    # --- the path and the query
    "the path check": (
        Weakness(handlers={"proxy": proxying(weak.any_path)}),
        "PATH-004",
        "status 200",
    ),
    "the path check's decoding": (
        Weakness(handlers={"proxy": proxying(weak.undecoded_path)}),
        "PATH-015",
        "upstream_calls: 1",
    ),
    "the path check's narrow CR and LF": (
        Weakness(handlers={"proxy": proxying(weak.wide_path)}),
        "PATH-031",
        "upstream_calls: 1",
    ),
    "the path check's unfolded text": (
        Weakness(handlers={"proxy": proxying(weak.folded_path)}),
        "path: a slash that a mark hides",
        "status 200",
    ),
    "the encoding of the query": (
        Weakness(services=upstream_of(weak.RawQuery)),
        "PATH-067",
        "the query upstream is",
    ),
    # --- headers on their way up
    "the stripping of identity": (
        Weakness(services=upstream_of(letting("x-wx-openid"))),
        "HDR-001",
        "identity upstream",
    ),
    "the stripping of what folds to identity": (
        Weakness(services=upstream_of(letting("x_wx_openid"))),
        "HDR-004",
        "identity upstream",
    ),
    "the stripping of addresses": (
        Weakness(services=upstream_of(letting("x-forwarded-for"))),
        "HDR-025",
        "X-Forwarded-For upstream",
    ),
    "the stripping of overrides": (
        Weakness(services=upstream_of(letting("x-method-override"))),
        "HDR-044",
        "X-Method-Override upstream",
    ),
    "the stripping of cookies": (
        Weakness(services=upstream_of(letting("cookie"))),
        "HDR-055",
        "cookie is upstream",
    ),
    "the stripping of the bearer": (
        Weakness(services=upstream_of(letting("authorization"))),
        "HDR-054",
        "the bearer is upstream",
    ),
    "the stripping of hop-by-hop headers": (
        Weakness(services=upstream_of(letting("upgrade"))),
        "HDR-068",
        "upgrade is upstream",
    ),
    "identity set last": (
        Weakness(services=upstream_of(weak.IdentityFirst)),
        "HDR-019",
        "identity upstream is more or less than ours",
    ),
    "the framing": (
        Weakness(services=upstream_of(letting("content-length", "transfer-encoding"))),
        "HDR-059",
        "framing upstream",
    ),
    "the wish for plain bytes": (
        Weakness(services=upstream_of(letting("accept-encoding"))),
        "HDR-086",
        "an encoding that we do not read",
    ),
    "control characters in a request's headers": (
        Weakness(services=upstream_of(weak.AnyValue)),
        "HDR-085",
        "status 502",
    ),
    "one value where one is allowed": (
        Weakness(services=upstream_of(weak.AnyValue)),
        "headers: a type twice",
        "status 200",
    ),
    # --- answers on their way down
    "the refusal of redirects": (
        Weakness(services=upstream_of(transport=weak.Following)),
        "BODY-014",
        "looked up ['127.0.0.1', 'evil.test']",
    ),
    "the rewriting of redirects": (
        Weakness(services=upstream_of(weak.ShownLocation)),
        "answer: Location at the upstream",
        "the upstream's address reaches the client",
    ),
    "the allowlist of answer headers": (
        Weakness(services=upstream_of(weak.EveryAnswerHeader)),
        "HDR-089",
        "reaches the client",
    ),
    "control characters in an answer's headers": (
        Weakness(services=upstream_of(weak.AnyAnswerValue)),
        "answer: an escape in a header",
        "cannot be sent",
    ),
    "the privacy of answers": (
        Weakness(services=upstream_of(weak.SharedCaches)),
        "HDR-092",
        "a shared cache may keep",
    ),
    "the cap on the serialised answer": (
        Weakness(services=upstream_of(weak.UnmeasuredText)),
        "BODY-022",
        "Lambda cannot carry the answer",
    ),
    # --- bodies
    "strict base64 of bodies": (Weakness(request=weak.LooseBase64), "BODY-004", "our choice is"),
    "strict JSON": (Weakness(request=weak.LooseJson), "LOGIN-048", "status 200"),
    "the media type": (Weakness(request=weak.AnyMediaType), "LOGIN-052", "status 200"),
    "the cap on JSON": (Weakness(request=weak.NoJsonCap), "LOGIN-042", "status 200"),
    "the cap on bodies": (Weakness(request=weak.NoCap), "BODY-007", "our choice is"),
    # --- login
    "the charset of codes": (
        Weakness(handlers={"login": weak.any_code}),
        "LOGIN-024",
        "wechat_calls: 1",
    ),
    "a code sent once": (
        Weakness(services={"wechat": weak.asking_twice}),
        "LOGIN-068",
        "wechat_calls: 2",
    ),
    "messages without input": (
        Weakness(handlers={"login": weak.reflecting}),
        "LOGIN-068",
        "input is reflected",
    ),
    "answers without keys": (
        Weakness(handlers={"login": weak.raw_fields}),
        "LOGIN-001",
        "the answer holds: session_key",
    ),
    # --- tokens and sessions
    "one bearer only": (Weakness(request=weak.LastBearer), "TOK-064", "status 200"),
    "the agreement of the header maps": (
        Weakness(request=weak.OneMap),
        "HDR-084",
        "B is upstream",
    ),
    "the checksum": (Weakness(request=weak.NoChecksum), "TOK-036", "store_reads: 1"),
    "one answer for every token": (Weakness(request=weak.TalkativeRefusal), "TOK-003", "g11"),
    "expiry": (Weakness(services=sessions_of(weak.NoExpiry)), "TOK-039", "status 200"),
    "expiry to the second": (
        Weakness(services=sessions_of(weak.ExpiringLate)),
        "TOK-040",
        "status 200",
    ),
    "the app of a session": (
        Weakness(services=sessions_of(Sessions, META["appid_other"])),
        "TOK-046",
        "status 200",
    ),
    "the version of an item": (
        Weakness(services=sessions_of(overlooking(version=VERSION))),
        "TOK-055",
        "status 200",
    ),
    "the owner of an item": (
        Weakness(services=sessions_of(weak.AnyOwner)),
        "item: openid of B",
        "status 200",
    ),
    "the ids of an item": (
        Weakness(services=sessions_of(overlooking(unionid=None))),
        "item: unionid with CRLF",
        "status 502",
    ),
    "the longest life of an item": (
        Weakness(services=sessions_of(overlooking(expires_at=NOW))),
        "item: exp in ms",
        "status 200",
    ),
    "consistent reads": (
        Weakness(services=sessions_of(weak.StaleReads)),
        "TOK-044",
        "without ConsistentRead",
    ),
    # --- decrypt
    "the failure counter": (
        Weakness(services=sessions_of(weak.NoCount)),
        "DEC-045",
        "not the store operations",
    ),
    "the padding check": (
        _opening(weak.last_byte_padding),
        "padding: the bytes before the last differ",
        "status 200",
    ),
    "strict text": (
        _opening(weak.lenient_text),
        "text: a byte that is not UTF-8",
        "status 200",
    ),
    "the age of open data": (Weakness(options={"max_age": 10.0**9}), "DEC-017", "status 200"),
    "the origin of open data": (_opening(weak.any_origin), "DEC-011", "status 200"),
    "the schema of a kind": (_opening(weak.no_schema), "DEC-070", "status 200"),
    "the members of another kind": (
        _opening(weak.foreign_members),
        "schema: members of two kinds",
        "status 200",
    ),
    "the openId of the session": (_opening(weak.any_openid), "DEC-071", "status 200"),
    "one answer for every failure": (_opening(weak.distinct_errors), "DEC-039", "g11"),
    # --- every answer, and the log
    "no-store": (Weakness(gate=weak.without("Cache-Control")), "LOGIN-068", "no-store is missing"),
    "nosniff": (
        Weakness(gate=weak.without("X-Content-Type-Options")),
        "LOGIN-068",
        "nosniff is missing",
    ),
    "a log without headers": (
        Weakness(gate=weak.LoggingHeaders),
        "TOK-001",
        "the log holds: token",
    ),
    "a log of escaped lines": (
        Weakness(logs=lambda: weak.formatted(weak.RawLines())),
        "LOGIN-001",
        "a log line is no event",
    ),
    "silent libraries": (
        Weakness(logs=weak.talkative_libraries),
        "LOGIN-001",
        "the log holds: openid",
    ),
}
"""Control → how it is switched off, the entry that then fails, and a word of how."""


def _entry(identifier: str, world: World) -> Entry:
    known = SIBLINGS.get(identifier)
    return of_world(known, world) if known else corpus.entry(identifier)


def _mode(entry: Entry) -> Mode:
    """Headers that API Gateway drops reach the app only without its mercy."""
    return MERCILESS if entry.group == "proxy-headers" else MERCIFUL


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_that_is_switched_off_is_missed(
    runner: Runner, world: World, control: str
) -> None:
    weakness, identifier, symptom = CONTROLS[control]
    entry = _entry(identifier, world)
    door = weak.open_door(world, weakness)
    with weakness.logs() if weakness.logs else nullcontext():
        found = runner.run(entry, _mode(entry), door)
    assert any(symptom in text for text in found), found


HONEST = {
    "the app's handlers": Weakness(),
    "ours, with every check": Weakness(
        handlers={"proxy": proxying(checked_path), "decrypt": decrypting(weak.strictly)}
    ),
}


@pytest.mark.parametrize("identifier", sorted({entry for _, entry, _ in CONTROLS.values()}))
@pytest.mark.parametrize("honest", HONEST)
def test_a_door_without_a_weakness_is_clean(
    runner: Runner, world: World, honest: str, identifier: str
) -> None:
    entry = _entry(identifier, world)
    assert runner.run(entry, _mode(entry), weak.open_door(world, HONEST[honest])) == []


def test_a_gate_that_refuses_everything_is_missed_wherever_ours_serves(
    runner: Runner, world: World
) -> None:
    no: dict[str, GateError] = {
        "login": InvalidRequest(),
        "proxy": InvalidPath(),
        "decrypt": DecryptFailed(),
    }
    door = weak.open_door(
        world, Weakness(handlers={name: weak.refusing(error) for name, error in no.items()})
    )
    served = [entry for entry in corpus.entries() if _is_served(entry)]
    assert len(served) > 90
    assert [entry.id for entry in served if runner.run(entry, _mode(entry), door) == []] == []


def _is_served(entry: Entry) -> bool:
    status, _ = ours(entry, _mode(entry)) or (entry.expect["status"][0], None)
    return status < 400
