"""Attacks that the corpus leaves out, as entries of its own shape."""

import json
from dataclasses import replace
from typing import Any

from tests.attacks.corpus import Entry, filled
from tests.attacks.oracle import BAD_PADDINGS, PHONE, PROFILE, Message, message, sealed, text_of
from tests.attacks.world import World

JSON = ("Content-Type", "application/json")
BEARER = ("Authorization", "Bearer {{TOKEN_A}}")

Headers = list[tuple[str, str]]


def sibling(
    group: str,
    request: tuple[str, Any, Headers, Any],
    status: int,
    code: str | None = None,
    **expect: Any,
) -> Entry:
    """Make an entry: `request` is method, target, headers, body."""
    method, path, headers, body = request
    pairs = [list(pair) for pair in headers]
    sent = {"method": method, "path": path, "headers": pairs, "body": body}
    expected = {"status": [status], "code": code, "invariant": "accepted", **expect}
    return Entry("sibling", group, str(path), "same cause", sent, expected, {})


def of_world(entry: Entry, world: World) -> Entry:
    """Fill in what only a running world knows: its upstream's address."""
    known = {"UPSTREAM": world.upstream.url}
    return replace(entry, extra=filled(entry.extra, lambda name: known[name]))


def _refused(kind: str, forged: Message) -> Entry:
    body = json.dumps(forged.query("sibling", kind).body)
    request = ("POST", "/decrypt", [JSON, BEARER], body)
    return sibling("decrypt", request, 422, "DecryptFailed", uniform_group="decrypt-failure")


def _answered(script: dict[str, Any], status: int, code: str | None, **expect: Any) -> Entry:
    """The upstream answers by this script."""
    entry = sibling("proxy-body", ("GET", "/api/echo", [BEARER], None), status, code, **expect)
    return replace(entry, extra={"fake_upstream": script})


def _redirected(location: str) -> Entry:
    script = {"status": 302, "headers": [["Location", location]]}
    return _answered(script, 302, None, invariant=_REDIRECT)


def _touched(oddity: str) -> Entry:
    """A foreign hand changed the stored item of the token."""
    bearer = ("Authorization", f"Bearer {{{{TOKEN_ITEM:{oddity}}}}}")
    request = ("GET", "/api/echo", [bearer], None)
    return sibling("token", request, 401, "InvalidToken", upstream_calls=0, invariant=_ODD_ITEM)


_REDIRECT = (
    "never followed; identity headers go nowhere else; an absolute Location naming the upstream "
    "host is rewritten or removed"
)
_ODD_ITEM = "fail closed; one alert event; no 500, no empty X-WX-OPENID upstream"

_NOISY = message(PROFILE, bytes(16)).text.replace(b"Guangzhou", b"Guang\xffhou")
_SPLICED = message({"openGId": "tGDZGV0qFFjBSwJKVAjhaTa_L0Ic", **PROFILE}, bytes(16))
_ESCAPE = {"headers": [["ETag", '"\x1b[2J"']]}


def _path(below: str) -> Entry:
    request = ("GET", f"/api/{below}", [BEARER], None)
    return sibling("proxy-path", request, 400, "InvalidPath", upstream_calls=0)


_TWICE = ("GET", "/api/echo", [BEARER, ("Content-Type", "a/b"), ("content-type", "c/d")], None)

_ATTACKS = {
    "path: a slash that a mark hides": _path("a%252f%CC%87b"),
    "path: dots with a soft hyphen between": _path(".%C2%AD./admin"),
    "headers: a type twice": sibling("proxy-headers", _TWICE, 400, "InvalidRequest"),
    "answer: Location by backslashes": _redirected("\\\\{{UPSTREAM}}/admin"),
    **{
        f"padding: {fault}": _refused("phone", sealed(pad(text_of(PHONE)), bytes(16)))
        for fault, pad in BAD_PADDINGS.items()
    },
    "text: a byte that is not UTF-8": _refused("user", sealed(_NOISY, bytes(16))),
    "schema: members of two kinds": _refused("share", _SPLICED),
    "answer: Location at the upstream": _redirected("{{UPSTREAM}}/base/orders/8"),
    "answer: Location beside the base": _redirected("{{UPSTREAM}}/admin"),
    "answer: an escape in a header": _answered(_ESCAPE, 502, "UpstreamBadResponse"),
    **{
        f"item: {oddity}": _touched(oddity)
        for oddity in ("openid of B", "unionid with CRLF", "exp in ms")
    },
}

SIBLINGS = {name: replace(entry, id=name, title=name) for name, entry in _ATTACKS.items()}
"""The entries by their id, which says what is tried."""
