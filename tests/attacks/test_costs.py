"""What each honest or worthless request costs, in operations and calls; and it leaks nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.attacks import watch
from tests.attacks.oracle import PHONE, body_of, message
from tests.attacks.world import JUNK, KEYS, Door, Exchange, World
from tests.support.wechat import said, session_of

Send = Callable[[Door, str], Exchange]
OPENS = body_of("phone", bytes(16), message(PHONE).blocks)


def login(**fields: Any) -> Send:
    return lambda door, _token: door.send("POST", "/login", json_body={"code": "code-A", **fields})


def post(path: str, **body: Any) -> Send:
    return lambda door, token: door.send("POST", path, token=token, json_body=body)


def ask(method: str, path: str, token: str | None = None) -> Send:
    return lambda door, own: door.send(method, path, token=own if token is None else token or None)


def after(first: Send, second: Send) -> Send:
    return lambda door, token: [first(door, token), second(door, token)][-1]


def cold(send: Send) -> Send:
    return lambda door, token: send(door.world.open_door(), token)


SESSION = ask("GET", "/session")
EXCHANGED = ["jscode2session"]

Cost = tuple[Send, list[str], list[str]]
"""A request, the operations of the store that it takes, and the calls to WeChat."""

COSTS: dict[str, Cost] = {
    "a login": (cold(login()), ["PutItem"], EXCHANGED),
    "a login that replaces": (
        lambda door, token: login(replaces=door.login())(door, token),
        ["GetItem", "TransactWriteItems"],
        EXCHANGED,
    ),
    "a login that replaces another's": (
        lambda door, token: login(replaces=token)(door, token),
        ["PutItem"],
        EXCHANGED,
    ),
    **{
        f"replaces {it!r}": (login(replaces=it), ["PutItem"], EXCHANGED) for it in ("junk", 5, None)
    },
    "a refused code": (login(code="code-bad"), [], EXCHANGED),
    **{f"code {it!r}": (login(code=it), [], []) for it in ("", 7, "a&secret=b")},
    "an unknown appid": (login(appid="wxunknown"), [], []),
    **{
        f"a proxied {method}": (ask(method, "/api/orders"), ["GetItem"], [])
        for method in ("GET", "HEAD", "POST", "DELETE")
    },
    **{
        f"{path} with the token {token!r}": (ask(method, path, token), [], [])
        for method, path in (
            *(("POST", "/logout"), ("GET", "/session"), ("POST", "/decrypt")),
            *(("POST", "/phone"), ("POST", "/sign"), ("GET", "/api/orders")),
        )
        for token in ("", "junk", "wxg_junk", "wxg_" + "A" * 72)
    },
    "a token that ended": (after(post("/logout"), ask("GET", "/api/orders")), ["GetItem"], []),
    **{path: (ask("GET", path, ""), [], []) for path in ("/health", KEYS, "/nowhere")},
    "data that open": (post("/decrypt", **OPENS), ["BatchGetItem"], []),
    "data that do not open": (post("/decrypt", **JUNK), ["BatchGetItem", "UpdateItem"], []),
    "malformed data": (post("/decrypt", **{**JUNK, "iv": "AAAA"}), [], []),
    "a check of the session": (cold(SESSION), ["BatchGetItem"], ["stable_token", "checksession"]),
    "the next check": (after(SESSION, SESSION), ["BatchGetItem"], ["checksession"]),
    "a phone code": (after(SESSION, post("/phone", code="c")), ["GetItem"], ["getuserphonenumber"]),
    "a signature": (post("/sign", data="x"), ["BatchGetItem"], []),
    "a logout": (post("/logout"), ["DeleteItem"], []),
    "everywhere": (post("/logout", everywhere=True), ["Query", "BatchWriteItem", "DeleteItem"], []),
}


@pytest.mark.parametrize("request_", COSTS)
def test_a_request_costs_what_it_must_and_no_more(world: World, request_: str) -> None:
    send, operations, calls = COSTS[request_]
    someone = {**session_of("A"), "openid": f"oSomeone{list(COSTS).index(request_)}"}
    with world.wechat.scripted(said(someone)):
        _, token = world.door.login(), world.door.login()
    exchange = send(world.door, token)
    own = {exchange.answer.json["token"]} if b'"token"' in exchange.answer.body else set()
    secrets = {**world.secrets, "token": world.secrets["token"] - own}
    sent = "".join(call.raw.decode("latin-1") for call in exchange.upstream)
    assert watch.leaks(f"{exchange.answer}{sent}", secrets) == []
    assert watch.leaks(exchange.seen.said, {**world.secrets, **world.personal}) == []
    assert [done.name for done in exchange.store] == operations
    assert [call.target.partition("?")[0].rpartition("/")[2] for call in exchange.wechat] == calls
