"""The decryption oracle: thousands of crafted queries get one answer, and forge nothing."""

import hashlib
import json
from collections import Counter
from typing import Any

from simulator.gateway import event_of
from tests.attacks import watch
from tests.attacks import weakened as weak
from tests.attacks.oracle import (
    BAD_PADDINGS,
    PHONE,
    PROFILE,
    Attacker,
    CountedSessions,
    Query,
    message,
    sealed,
    text_of,
    xor,
)
from tests.attacks.runner import Runner, told
from tests.attacks.weakened import Weakness, decrypting
from tests.attacks.wechat import USERS
from tests.attacks.world import Door, World

QUERIES = Attacker().queries()
Result = tuple[Query, dict[str, Any], tuple[str, ...]]


def _door(world: World, sessions: CountedSessions, **weakness: Any) -> Door:
    services = {"sessions": lambda _services: sessions}
    return weak.open_door(world, Weakness(services=services, **weakness))


def _asked(world: World, queries: list[Query], **weakness: Any) -> list[Result]:
    """Ask every query; give the Lambda answers and what each asked of the store."""
    sessions = CountedSessions()
    door = _door(world, sessions, **weakness)
    results = []
    for query in queries:
        event = _event(door, sessions.token.text, query.body)
        result = door.app(event, None)
        results.append((query, result, tuple(sessions.done)))
        sessions.done.clear()
    return results


def _event(door: Door, token: str, body: dict[str, str]) -> dict[str, Any]:
    headers = [("Content-Type", "application/json"), ("Authorization", f"Bearer {token}")]
    return event_of("POST", "/decrypt", headers, json.dumps(body), door.app.routes)


def _class_of(result: dict[str, Any]) -> tuple[int, str, str]:
    headers = {k: v for k, v in result["headers"].items() if k != "X-Request-Id"}
    return result["statusCode"], str(headers), result["body"]


def test_there_are_five_thousand_queries_of_five_families() -> None:
    families = Counter(query.family for query in QUERIES)
    assert len(QUERIES) >= 5000
    assert set(families) == {"padding", "noise", "splice", "flip", "garbled"}


def test_all_queries_get_one_answer_and_ask_the_store_alike(world: World) -> None:
    results = _asked(world, QUERIES)
    assert Counter(_class_of(result)[0] for _, result, _ in results) == {422: len(QUERIES)}
    assert len({_class_of(result) for _, result, _ in results}) == 1
    assert {done for _, _, done in results} == {("find_with_keys", "count_failure")}


def test_the_log_does_not_tell_them_apart(world: World) -> None:
    with watch.watching() as seen:
        _asked(world, QUERIES[::10])
    changing = ("request_id", "ms", "time", "user")
    lines = {str({k: v for k, v in event.items() if k not in changing}) for event in seen.events}
    assert len(lines) == 1


def test_the_real_store_is_asked_alike_too(runner: Runner, world: World) -> None:
    token, model = runner.tokens.user("A"), runner.model("decrypt-failure")
    for number, query in enumerate(QUERIES[::60]):
        if number % 9 == 0:
            world.forget_failures()
        exchange = world.door.send("POST", "/decrypt", token=token, json_body=query.body)
        assert told(exchange) == told(model), query
        assert [done.name for done in exchange.store] == ["BatchGetItem", "UpdateItem"]
    world.forget_failures()


def test_honest_messages_open(world: World) -> None:
    honest = [
        message(PHONE, bytes(16)).query("honest", "phone"),
        message(PROFILE, bytes(16)).query("honest", "user"),
    ]
    assert [result["statusCode"] for _, result, _ in _asked(world, honest)] == [200, 200]


# --- what the format leaves open: no seal covers the head of a message ---------------------------


def test_a_client_may_change_his_own_nickname_and_nothing_else(world: World) -> None:
    data, iv = _respliced_profile()
    query = Query("splice", "user", iv, data)
    [(_, result, _)] = _asked(world, [query])
    opened = json.loads(result["body"])["data"]
    rest = {name: value for name, value in PROFILE.items() if name not in ("openId", "nickName")}
    assert opened.pop("nickName").startswith("Bosx")
    assert opened == rest


def test_wechats_signature_closes_that_too(world: World) -> None:
    data, iv = _respliced_profile()
    raw = json.dumps({name: value for name, value in PROFILE.items() if name != "openId"})
    key = USERS["A"]["session_key"]
    signature = hashlib.sha1(f"{raw}{key}".encode(), usedforsecurity=False).hexdigest()
    body = Query("splice", "user", iv, data).body | {"rawData": raw, "signature": signature}
    sessions = CountedSessions()
    door = _door(world, sessions)
    assert door.app(_event(door, sessions.token.text, body), None)["statusCode"] == 422


def test_the_first_letters_of_a_group_id_are_the_clients_to_change(world: World) -> None:
    shared = message({"openGId": "tGDZGV0qFFjBSwJKVAjhaTa_L0Ic"}, bytes(16))
    iv = xor(shared.opened(0), b'{"openGId":"uGDZ')
    [(_, result, _)] = _asked(world, [Query("flip", "share", iv, b"".join(shared.blocks))])
    data = json.loads(result["body"])["data"]
    assert data == {"openGId": "uGDZGV0qFFjBSwJKVAjhaTa_L0Ic"}  # so it proves no membership


def _respliced_profile() -> tuple[bytes, bytes]:
    """The client's own profile from inside the nickname on, under a head of his choice."""
    original = message(PROFILE, bytes(16))
    start = original.text.index(b"x" * 32) // 16 + 1
    return b"".join(original.blocks[start:]), xor(original.opened(start), b'{"nickName":"Bos')


# --- what each rule of the format stops ----------------------------------------------------------


def _statuses(world: World, handler: weak.Opener, family: str) -> set[int]:
    queries = [query for query in QUERIES if query.family == family]
    results = _asked(world, queries, handlers={"decrypt": decrypting(handler)})
    return {result["statusCode"] for _, result, _ in results}


def test_without_a_schema_splices_would_forge(world: World) -> None:
    assert 200 in _statuses(world, weak.no_schema, "splice")


def test_with_lenient_text_noise_would_pass_for_a_nickname(world: World) -> None:
    assert 200 in _statuses(world, weak.lenient_text, "garbled")


def test_with_two_answers_the_padding_would_show(world: World) -> None:
    assert _statuses(world, weak.distinct_errors, "padding") == {400, 422}


def test_without_the_padding_check_it_would_open(world: World) -> None:
    bad = BAD_PADDINGS["the bytes before the last differ"]
    query = sealed(bad(text_of(PHONE)), bytes(16)).query("padding", "phone")
    handler = decrypting(weak.last_byte_padding)
    asked = _asked(world, [query], handlers={"decrypt": handler})
    assert [result["statusCode"] for _, result, _ in asked] == [200]
