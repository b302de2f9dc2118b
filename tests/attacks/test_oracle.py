"""The decryption oracle: thousands of crafted queries get one answer, and forge nothing."""

import hashlib
import json
import os

from tests.attacks.oracle import FAMILIES, PROFILE, Query, body_of, message, xor
from tests.attacks.runner import Runner, comparable
from tests.attacks.world import World
from tests.support.aws_proxy import replaying
from tests.support.wechat import USERS

STEP = 1 if os.environ.get("CI") == "true" else 16
"""All queries take half a minute; on a desk every sixteenth is enough."""


def test_all_queries_get_one_answer_one_log_line_and_the_same_operations(
    runner: Runner, world: World
) -> None:
    queries = [query for family in FAMILIES.values() for query in family]
    assert len(queries) >= 5000
    token, model = runner.tokens.user("A"), comparable(runner.model("decrypt-failure"))
    varying = ("request_id", "ms", "time")
    lines = set()
    # The engine's first answers serve all: quicker, and the failures do not add up.
    with (
        world.aws.failing("BatchGetItem", replaying()),
        world.aws.failing("UpdateItem", replaying()),
    ):
        for query in queries[::STEP]:
            exchange = world.door.send("POST", "/decrypt", token=token, json_body=body_of(*query))
            assert comparable(exchange) == model, query
            assert [done.name for done in exchange.store] == ["BatchGetItem", "UpdateItem"]
            [line] = exchange.seen.events
            lines.add(str({k: v for k, v in line.items() if k not in varying}))
    world.forget_failures()
    assert len(lines) == 1


def opened(runner: Runner, world: World, query: Query, **signed: str) -> dict[str, object]:
    """Send a query for user A; give the data, empty if they do not open."""
    token, body = runner.tokens.user("A"), body_of(*query) | signed
    exchange = world.door.send("POST", "/decrypt", token=token, json_body=body)
    world.forget_failures()
    data: dict[str, object] = exchange.answer.json.get("data", {})
    assert exchange.answer.code == (None if data else "DecryptFailed")
    return data


def _respliced_profile() -> Query:
    """The client's own profile from inside the nickname on, under a head of his choice."""
    original = message(PROFILE)
    start = original.text.index(b"x" * 32) // 16 + 1
    return "user", xor(original.opened(start), b'{"nickName":"Bos'), original.blocks[start:]


def test_a_client_may_change_his_own_nickname_and_nothing_else(
    runner: Runner, world: World
) -> None:
    data = opened(runner, world, _respliced_profile())
    rest = {name: value for name, value in PROFILE.items() if name not in ("openId", "nickName")}
    assert str(data.pop("nickName")).startswith("Bosx")
    assert data == rest


def test_wechats_signature_closes_that_too(runner: Runner, world: World) -> None:
    raw = json.dumps({name: value for name, value in PROFILE.items() if name != "openId"})
    key = USERS["A"]["session_key"]
    signature = hashlib.sha1(f"{raw}{key}".encode(), usedforsecurity=False).hexdigest()
    assert opened(runner, world, _respliced_profile(), rawData=raw, signature=signature) == {}


def test_the_first_letters_of_a_group_id_are_the_clients_to_change(
    runner: Runner, world: World
) -> None:
    shared = message({"openGId": "tGDZGV0qFFjBSwJKVAjhaTa_L0Ic"})
    iv = xor(shared.opened(0), b'{"openGId":"uGDZ')
    data = opened(runner, world, ("share", iv, shared.blocks))
    assert data == {"openGId": "uGDZGV0qFFjBSwJKVAjhaTa_L0Ic"}  # so it proves no membership
