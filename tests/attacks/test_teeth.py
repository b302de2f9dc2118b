"""A control that is switched off is missed: the corpus is no corpus if nothing then fails."""

from contextlib import nullcontext

import pytest

from tests.attacks import corpus
from tests.attacks import weakened as weak
from tests.attacks.events import MERCIFUL, MERCILESS, Mode
from tests.attacks.runner import Runner
from tests.attacks.weakened import Weakness, decrypting, sessions_of, upstream_of
from tests.attacks.world import World

CONTROLS = {
    "the path check": (Weakness(handlers={"proxy": weak.any_path}), "PATH-004", "status 200"),
    "the path check's decoding": (
        Weakness(handlers={"proxy": weak.any_path}),
        "PATH-015",
        "upstream_calls: 1",
    ),
    "the header allowlist": (
        Weakness(services=upstream_of(weak.EveryHeader)),
        "HDR-001",
        "identity upstream",
    ),
    "the folding of header names": (
        Weakness(services=upstream_of(weak.ExactNames)),
        "HDR-004",
        "identity upstream",
    ),
    "the stripping of addresses": (
        Weakness(services=upstream_of(weak.ExactNames)),
        "HDR-025",
        "X-Forwarded-For upstream",
    ),
    "the stripping of cookies": (
        Weakness(services=upstream_of(weak.ExactNames)),
        "HDR-055",
        "cookie is upstream",
    ),
    "the stripping of the bearer": (
        Weakness(services=upstream_of(weak.EveryHeader)),
        "HDR-054",
        "the bearer is upstream",
    ),
    "the stripping of hop-by-hop headers": (
        Weakness(services=upstream_of(weak.ExactNames)),
        "HDR-068",
        "upgrade is upstream",
    ),
    "the framing": (
        Weakness(services=upstream_of(weak.FramingToo)),
        "HDR-059",
        "framing upstream",
    ),
    "the encoding of the query": (
        Weakness(services=upstream_of(weak.RawQuery)),
        "PATH-067",
        "the query upstream is",
    ),
    "the refusal of redirects": (
        Weakness(services=upstream_of(transport=weak.Following)),
        "BODY-014",
        "looked up ['127.0.0.1', 'evil.test']",
    ),
    "the allowlist of answer headers": (
        Weakness(services=upstream_of(weak.EveryAnswerHeader)),
        "HDR-089",
        "reaches the client",
    ),
    "the privacy of answers": (
        Weakness(services=upstream_of(weak.SharedCaches)),
        "HDR-092",
        "a shared cache may keep",
    ),
    "strict base64 of bodies": (
        Weakness(request=weak.LooseBase64),
        "BODY-004",
        "our rule is",
    ),
    "strict JSON": (Weakness(request=weak.LooseJson), "LOGIN-048", "status 200"),
    "the media type": (Weakness(request=weak.AnyMediaType), "LOGIN-052", "status 200"),
    "the size cap": (Weakness(request=weak.NoCap), "LOGIN-042", "status 200"),
    "the charset of codes": (
        Weakness(handlers={"login": weak.any_code}),
        "LOGIN-024",
        "wechat_calls: 1",
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
    "one bearer only": (Weakness(request=weak.FirstBearer), "TOK-064", "status 200"),
    "the checksum": (Weakness(request=weak.NoChecksum), "TOK-036", "store_reads: 1"),
    "one answer for every token": (Weakness(request=weak.TalkativeRefusal), "TOK-003", "g11"),
    "expiry": (Weakness(services=sessions_of(weak.NoExpiry)), "TOK-039", "status 200"),
    "expiry to the second": (Weakness(services=sessions_of(weak.NoExpiry)), "TOK-040", "status"),
    "the app of a session": (Weakness(services=sessions_of(weak.AnyApp)), "TOK-046", "status 200"),
    "the check of items": (Weakness(services=sessions_of(weak.AnyItem)), "TOK-055", "status 200"),
    "consistent reads": (
        Weakness(services=sessions_of(weak.StaleReads)),
        "TOK-044",
        "without ConsistentRead",
    ),
    "the failure counter": (
        Weakness(services=sessions_of(weak.NoCount)),
        "DEC-045",
        "not the store operations",
    ),
    "the age of open data": (Weakness(options={"max_age": 10.0**9}), "DEC-017", "status 200"),
    "the watermark": (
        Weakness(handlers={"decrypt": decrypting(weak.no_watermark)}),
        "DEC-007",
        "status 200",
    ),
    "the schema of a kind": (
        Weakness(handlers={"decrypt": decrypting(weak.no_schema)}),
        "DEC-070",
        "status 200",
    ),
    "the openId of the session": (
        Weakness(handlers={"decrypt": decrypting(weak.no_schema)}),
        "DEC-071",
        "status 200",
    ),
    "one answer for every failure": (
        Weakness(handlers={"decrypt": decrypting(weak.distinct_errors)}),
        "DEC-039",
        "g11",
    ),
    "a log without headers": (
        Weakness(gate=weak.LoggingHeaders),
        "TOK-001",
        "the log holds: token",
    ),
    "a log of escaped lines": (
        Weakness(logs=weak.raw_lines),
        "LOGIN-001",
        "a log line is no event",
    ),
    "silent libraries": (
        Weakness(logs=weak.talkative_libraries),
        "LOGIN-001",
        "the log holds: openid",
    ),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_that_is_switched_off_is_missed(
    runner: Runner, world: World, control: str
) -> None:
    weakness, identifier, symptom = CONTROLS[control]
    entry, mode = corpus.entry(identifier), _mode(identifier)
    assert runner.run(entry, mode) == []
    door = weak.open_door(world, weakness)
    with weakness.logs() if weakness.logs else nullcontext():
        found = runner.run(entry, mode, door)
    assert any(symptom in text for text in found), found


def test_sessions_kept_in_memory_would_outlive_their_end(world: World) -> None:
    door = weak.open_door(world, Weakness(services=sessions_of(weak.Remembering)))
    token = door.login()
    assert world.door.send("POST", "/logout", token=token).answer.status == 204
    assert world.door.send("GET", "/api/echo", token=token).answer.code == "InvalidToken"
    assert door.send("GET", "/api/echo", token=token).answer.status == 200


def _mode(identifier: str) -> Mode:
    """Headers that API Gateway drops reach the app only without its mercy."""
    return MERCILESS if identifier.startswith("HDR") else MERCIFUL
