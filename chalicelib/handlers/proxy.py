"""Proxy: a request with a token goes upstream with the user's proven identity."""

from typing import TYPE_CHECKING

from chalicelib import __version__
from chalicelib.errors import InvalidToken
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, json_answer
from chalicelib.upstream.paths import checked_path
from chalicelib.upstream.upstream import Identity, Upstream

if TYPE_CHECKING:
    from chalicelib.sessions.sessions import Session, Sessions
    from chalicelib.upstream.assertions import Assertions

REQUEST_LIFE = 60
"""Seconds that the assertion of one proxied request holds."""

KEY_SET_LIFE = 300
"""Seconds that a verifier may keep the key set."""


def proxy(
    request: Request, *, sessions: "Sessions", upstream: Upstream, assertions: "Assertions"
) -> Answer:
    """Forward a request below /api/ and pass the answer on; one read of the store, no write.

    Raises:
        InvalidPath: before anything else.
        InvalidToken: without a live token, unless the path is public.
        What Sessions.find, Assertions.sign and Upstream.forward raise.
    """
    below = checked_path(request.path)
    try:
        session = sessions.find(request.token())
    except InvalidToken:
        if not upstream.is_public(below):
            raise
        return upstream.forward(request, below, None)
    identity = _identity(session, request.method, upstream.url(below), assertions)
    return upstream.forward(request, below, identity)


def _identity(session: "Session", method: str, url: str, assertions: "Assertions") -> Identity:
    claims = {"sub": session.openid, "appid": session.appid, "htm": method, "htu": url}
    if session.unionid:
        claims["unionid"] = session.unionid
    assertion = assertions.sign(claims, REQUEST_LIFE)
    return Identity(session.openid, session.appid, session.unionid, assertion)


def health() -> Answer:
    """Tell that this function runs; no I/O."""
    return json_answer({"status": "ok", "version": __version__})


def key_set(*, assertions: "Assertions") -> Answer:
    """Publish the public keys behind `assertion` (RFC 7517)."""
    headers = {"Cache-Control": f"public, max-age={KEY_SET_LIFE}"}
    return json_answer(assertions.key_set(), headers=headers)
