"""Secrets stay in: canaries through every route and fault, and a look at all that came out."""

import base64
import json
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from chalicelib.sessions.tokens import Token
from tests.attacks import watch
from tests.attacks.oracle import PHONE, message
from tests.attacks.world import Exchange, World
from tests.support import aws_proxy
from tests.support.aws_proxy import refusing
from tests.support.loopback import resets, says
from tests.support.wechat import ACCESS_TOKEN, APPSECRET, refusal, said, session_of

CODE = "canary-code-4hVq8"
GOOD = session_of("C")
SEALED = message(PHONE, bytes(16), GOOD["session_key"])
OPENED = {
    "kind": "phone",
    "iv": base64.b64encode(SEALED.iv).decode(),
    "encryptedData": base64.b64encode(b"".join(SEALED.blocks)).decode(),
}
BROUGHT = {"code": {CODE}, "encryptedData": {OPENED["encryptedData"]}}
"""What the phone brings, and nobody else may see."""


@pytest.fixture(scope="module")
def exchanges(world: World) -> Iterator[list[Exchange]]:
    """A user's whole life, then everything that can fail, by an app that starts cold."""
    world.wechat.codes[CODE] = "openid C"
    world.forget_failures()
    door = world.open_door()
    token = door.login(CODE)
    found = [
        door.send("GET", "/health"),
        door.send("GET", "/.well-known/jwks.json"),
        door.send("POST", "/login", json_body={"code": CODE}),
        door.send("GET", "/api/orders?x=1", token=token),
        door.send("POST", "/api/orders", token=token, json_body={"a": 1}),
        door.send("GET", "/session", token=token),
        door.send("POST", "/decrypt", token=token, json_body=OPENED),
        door.send("POST", "/decrypt", token=token, json_body={**OPENED, "kind": "user"}),
        door.send("POST", "/phone", token=token, json_body={"code": CODE}),
        door.send("POST", "/login", json_body={"code": f"{CODE} "}),
        door.send("POST", "/login", json_body={"code": CODE, "replaces": token}),
    ]
    for body in ({**GOOD, "openid": ""}, refusal(40029), refusal(40013), b'{"session_key":"'):
        with world.wechat.scripted(said(body)):
            found.append(door.send("POST", "/login", json_body={"code": CODE}))
    for script in (resets(), says(b"HTTP/1.1 200 OK\r\n\r\n" + APPSECRET.encode())):
        with world.wechat.scripted(script):
            found.append(door.send("POST", "/login", json_body={"code": CODE}))
    for operation in ("PutItem", "GetItem", "BatchGetItem"):
        for fault in (refusing("AccessDeniedException"), refusing("Unheard-of"), aws_proxy.dead):
            with world.aws.failing(operation, fault):
                found.append(door.send("POST", "/login", json_body={"code": CODE}))
                found.append(door.send("GET", "/api/orders", token=token))
                found.append(door.send("POST", "/decrypt", token=token, json_body=OPENED))
    found += [
        door.send("GET", "/api/orders", token=token),
        door.send("POST", "/logout", token=door.login(CODE), json_body={"everywhere": True}),
    ]
    yield found
    world.forget_failures()


def test_the_run_met_every_kind_of_outcome(exchanges: list[Exchange]) -> None:
    statuses = {exchange.answer.status for exchange in exchanges}
    assert statuses == {200, 204, 400, 401, 422, 500, 502, 503}


def test_no_log_line_and_no_exception_holds_a_secret(
    world: World, exchanges: list[Exchange]
) -> None:
    secrets = {**world.secrets, **world.personal, **BROUGHT}
    for exchange in exchanges:
        assert watch.leaks(exchange.seen.said, secrets) == [], exchange.seen.said


def test_no_answer_holds_a_secret_but_a_login_its_token(
    world: World, exchanges: list[Exchange]
) -> None:
    for exchange in exchanges:
        answer = exchange.answer
        own = {answer.json["token"]} if b'"token"' in answer.body else set()
        secrets = {**world.secrets, **BROUGHT, "token": world.secrets["token"] - own}
        assert watch.leaks(f"{answer.headers}{answer.body!r}", secrets) == []


def test_no_refusal_names_the_user(world: World, exchanges: list[Exchange]) -> None:
    refusals = [exchange.answer for exchange in exchanges if exchange.answer.code]
    assert len(refusals) > 10
    for answer in refusals:
        assert watch.leaks(f"{answer.headers}{answer.body!r}", world.personal) == []


def test_the_upstream_gets_no_secret(world: World, exchanges: list[Exchange]) -> None:
    received = [call.raw.decode("latin-1") for exchange in exchanges for call in exchange.upstream]
    assert received
    assert watch.leaks("\n".join(received), {**world.secrets, **BROUGHT}) == []


def test_a_dump_of_the_table_yields_no_token_and_no_key(
    world: World, exchanges: list[Exchange]
) -> None:
    assert exchanges
    world.door.login(CODE)
    world.fill_table()
    stored = Counter(attribute for item in world.items() for attribute in item)
    assert stored["sealed_key"] >= 2
    assert stored["previous_key"] >= 1
    assert watch.leaks(world.dump(), {**world.unstored, **BROUGHT}) == []


def test_a_dump_with_one_token_yields_that_tokens_key_alone(
    world: World, exchanges: list[Exchange]
) -> None:
    assert exchanges
    own, other = world.door.login(CODE), world.door.login("code-B")
    sealed = {
        bytes(item["item"]["B"]): item["sealed_key"]["B"]
        for item in world.items()
        if "sealed_key" in item
    }
    mine, theirs = Token.parse(own), Token.parse(other)
    assert mine.unseal(sealed[mine.item], "current") == GOOD["session_key"]
    with pytest.raises(Exception, match="not valid"):
        mine.unseal(sealed[theirs.item], "current")


def test_the_store_is_told_no_secret(world: World, exchanges: list[Exchange]) -> None:
    told = [json.dumps(done.parameters) for exchange in exchanges for done in exchange.store]
    assert watch.leaks("\n".join(told), {**world.unstored, **BROUGHT}) == []


def test_only_the_configured_addresses_are_contacted_and_all_of_them(
    world: World, exchanges: list[Exchange]
) -> None:
    contacted = {address for exchange in exchanges for address in exchange.seen.addresses}
    names = {name for exchange in exchanges for name in exchange.seen.names}
    assert contacted == world.configured
    assert names == {"127.0.0.1"}


# --- the scanners see what they look for ---------------------------------------------------------


@pytest.mark.parametrize("form", sorted(watch.forms(APPSECRET + "/+=")))
def test_a_planted_secret_is_found_in_each_of_its_spellings(form: str) -> None:
    text = f"GET /sns/jscode2session?secret={form}&grant_type=x"
    assert watch.leaks(text, {"appsecret": {APPSECRET + "/+="}}) == ["appsecret"]


def test_the_canaries_were_in_play(world: World, exchanges: list[Exchange]) -> None:
    targets = [call.target for exchange in exchanges for call in exchange.wechat]
    assert any(APPSECRET in target and CODE in target for target in targets)
    assert any(ACCESS_TOKEN in target for target in targets)
    assert any(OPENED["encryptedData"] in str(exchange.event["body"]) for exchange in exchanges)


def test_a_call_to_a_foreign_address_is_seen(world: World) -> None:
    with watch.watching() as seen, socket.socket() as sock:
        sock.connect_ex(("127.0.0.1", world.wechat.port))
    assert seen.addresses == [("127.0.0.1", world.wechat.port)]
