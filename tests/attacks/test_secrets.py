"""Secrets stay in: what the table holds; and the scanners see what they look for."""

import json
import socket

from tests.attacks import watch
from tests.attacks.world import World
from tests.support.wechat import APPSECRET


def test_a_dump_of_the_table_yields_no_token_and_no_key(world: World) -> None:
    assert world.secrets_in_table() == []
    calls = json.dumps([done.parameters for done in world.aws.operations])
    assert watch.leaks(calls, world.secrets) == []


def test_a_planted_secret_is_found_in_each_of_its_spellings() -> None:
    for form in watch.forms(APPSECRET + "/+="):
        text = f"GET /sns/jscode2session?secret={form}&grant_type=x"
        assert watch.leaks(text, {"appsecret": {APPSECRET + "/+="}}) == ["appsecret"], form


def test_a_call_to_a_foreign_address_is_seen_and_the_canaries_are_in_play(world: World) -> None:
    with watch.watching() as seen, socket.socket() as sock:
        sock.connect_ex(("127.0.0.1", world.wechat.port))
    assert seen.addresses == [("127.0.0.1", world.wechat.port)]
    world.open_door().send("GET", "/session", token=world.door.login())
    sent = "".join(call.raw.decode() for call in world.wechat.requests)
    assert set(watch.leaks(sent, world.secrets)) == {"appsecret", "access_token"}
