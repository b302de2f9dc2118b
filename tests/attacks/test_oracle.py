"""The decryption oracle: thousands of crafted queries get one answer, and forge nothing."""

import hashlib
import json
import os
from collections import Counter

from tests.attacks.oracle import PHONE, PROFILE, Attacker, Query, message, xor
from tests.attacks.runner import Runner, comparable
from tests.attacks.world import World
from tests.support.aws_proxy import replaying
from tests.support.wechat import USERS

QUERIES = Attacker().queries()
SENT = QUERIES if os.environ.get("CI") == "true" else QUERIES[::16]
"""5,000 and a few take half a minute; on a desk every sixteenth is enough."""


def test_there_are_five_thousand_queries_of_five_families() -> None:
    families = Counter(query.family for query in QUERIES)
    assert len(QUERIES) >= 5000
    assert set(families) == {"padding", "noise", "splice", "flip", "garbled"}
    assert {query.family for query in SENT} == set(families)


def test_all_queries_get_one_answer_one_log_line_and_the_same_operations(
    runner: Runner, world: World
) -> None:
    token, model = runner.tokens.user("A"), comparable(runner.model("decrypt-failure"))
    varying = ("request_id", "ms", "time")
    lines = set()
    # The engine's first answers serve all: quicker, and the failures do not add up.
    with (
        world.aws.failing("BatchGetItem", replaying()),
        world.aws.failing("UpdateItem", replaying()),
    ):
        for query in SENT:
            exchange = world.door.send("POST", "/decrypt", token=token, json_body=query.body)
            assert comparable(exchange) == model, query
            assert [done.name for done in exchange.store] == ["BatchGetItem", "UpdateItem"]
            [line] = exchange.seen.events
            lines.add(str({k: v for k, v in line.items() if k not in varying}))
    world.forget_failures()
    assert len(lines) == 1


def test_honest_messages_open(runner: Runner, world: World) -> None:
    for fields, kind in ((PHONE, "phone"), (PROFILE, "user")):
        assert opened(runner, world, message(fields, bytes(16)).query("honest", kind))


def opened(runner: Runner, world: World, query: Query) -> dict[str, object] | None:
    """Send a query for user A; give the data, None if they do not open."""
    token = runner.tokens.user("A")
    exchange = world.door.send("POST", "/decrypt", token=token, json_body=query.body)
    world.forget_failures()
    data: dict[str, object] | None = exchange.answer.json.get("data")
    assert (exchange.answer.status, exchange.answer.code) in {(200, None), (422, "DecryptFailed")}
    return data


# --- what the format leaves open: nothing authenticates the head of a message --------------------


def test_a_client_may_change_his_own_nickname_and_nothing_else(
    runner: Runner, world: World
) -> None:
    data = opened(runner, world, _respliced_profile()) or {}
    rest = {name: value for name, value in PROFILE.items() if name not in ("openId", "nickName")}
    assert str(data.pop("nickName")).startswith("Bosx")
    assert data == rest


def test_wechats_signature_closes_that_too(runner: Runner, world: World) -> None:
    raw = json.dumps({name: value for name, value in PROFILE.items() if name != "openId"})
    key = USERS["A"]["session_key"]
    signature = hashlib.sha1(f"{raw}{key}".encode(), usedforsecurity=False).hexdigest()
    body = _respliced_profile().body | {"rawData": raw, "signature": signature}
    token = runner.tokens.user("A")
    exchange = world.door.send("POST", "/decrypt", token=token, json_body=body)
    world.forget_failures()
    assert exchange.answer.status == 422


def test_the_first_letters_of_a_group_id_are_the_clients_to_change(
    runner: Runner, world: World
) -> None:
    shared = message({"openGId": "tGDZGV0qFFjBSwJKVAjhaTa_L0Ic"}, bytes(16))
    iv = xor(shared.opened(0), b'{"openGId":"uGDZ')
    data = opened(runner, world, Query("flip", "share", iv, b"".join(shared.blocks)))
    assert data == {"openGId": "uGDZGV0qFFjBSwJKVAjhaTa_L0Ic"}  # so it proves no membership


def _respliced_profile() -> Query:
    """The client's own profile from inside the nickname on, under a head of his choice."""
    original = message(PROFILE, bytes(16))
    start = original.text.index(b"x" * 32) // 16 + 1
    iv = xor(original.opened(start), b'{"nickName":"Bos')
    return Query("splice", "user", iv, b"".join(original.blocks[start:]))
