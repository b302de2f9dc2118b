"""Proxy: a request with a token goes upstream with the user's proven identity."""

from typing import TYPE_CHECKING

from chalicelib import __version__
from chalicelib.errors import InvalidToken, UpstreamTooLarge
from chalicelib.front.request import Request
from chalicelib.front.response import MAX_ANSWER, Answer, AnswerTooLarge, json_answer
from chalicelib.network.connections import Pairs
from chalicelib.upstream.paths import checked_path, prefix_of
from chalicelib.upstream.upstream import Outgoing, Upstream

if TYPE_CHECKING:
    from chalicelib.sessions.sessions import Session, Sessions
    from chalicelib.upstream.assertions import Assertions

# Seconds that the assertion of a request holds, and that a verifier may keep the key set.
REQUEST_LIFE, KEY_SET_LIFE = 60, 300


def proxy(
    request: Request, *, sessions: "Sessions", upstream: Upstream, assertions: "Assertions"
) -> Answer:
    """Forward a request below /api/ and pass the answer on; one read of the store, no write.

    Raises:
        InvalidPath: before anything else.
        InvalidToken: without a live token, unless the path is public.
        UpstreamTooLarge: the answer does not fit into Lambda's.
        What Sessions.find, Assertions.sign and Upstream.forward raise.
    """
    subpath = checked_path(request.path, request.parameter("proxy") or None)
    method = _method(request)
    identity: Pairs = []
    try:
        session = sessions.find(request.token())
    except InvalidToken:
        if not upstream.is_public(subpath):
            raise
        if request.values("authorization"):
            # Not for a cache: the next reader's token may be alive.
            request.answer_headers |= {"X-Wxgate-Token": "dead", "Cache-Control": "no-store"}
    else:
        identity = _identity(session, method, upstream.url(subpath), assertions)
    outgoing = _outgoing(request, method, subpath, identity)
    reply = upstream.forward(outgoing, request.deadline, max_bytes=MAX_ANSWER)
    try:
        return Answer(reply.body, dict(reply.headers), reply.status)
    except AnswerTooLarge:
        raise UpstreamTooLarge(reason="encoded") from None


def _method(request: Request) -> str:
    """Give the method for the upstream: wx.request has no PATCH, so a POST may stand for one.

    Methods are case-sensitive (RFC 9110, 9.1), so only PATCH, written so and once, is one.
    """
    override = request.values("x-http-method-override")
    return "PATCH" if (request.method, override) == ("POST", ["PATCH"]) else request.method


def _identity(session: "Session", method: str, url: str, assertions: "Assertions") -> Pairs:
    """Say whose request it is, by the headers of WeChat Cloud Hosting (微信云托管), and sign it."""
    identity = [("X-WX-OPENID", session.openid), ("X-WX-APPID", session.appid)]
    claims = {"sub": session.openid, "appid": session.appid, "htm": method, "htu": url}
    if session.unionid:
        identity.append(("X-WX-UNIONID", session.unionid))
        claims["unionid"] = session.unionid
    return [*identity, ("X-WX-ASSERTION", assertions.sign(claims, REQUEST_LIFE))]


def _outgoing(request: Request, method: str, subpath: str, identity: Pairs) -> Outgoing:
    return Outgoing(
        method=method,
        subpath=subpath,
        query=request.query,
        headers=request.headers,
        body=request.body,
        request_id=request.id,
        trace_id=request.trace_id,
        forwarded_for=request.forwarded_for,
        source_ip=request.source_ip,
        identity=identity,
        prefix=prefix_of(str(request.context.get("path", "")), subpath),
    )


def health(_request: Request) -> Answer:
    """Tell that this function runs; no I/O."""
    return json_answer({"status": "ok", "version": __version__})


def key_set(_request: Request, *, assertions: "Assertions") -> Answer:
    """Publish the public keys behind `assertion` (RFC 7517)."""
    headers = {"Cache-Control": f"public, max-age={KEY_SET_LIFE}"}
    return json_answer(assertions.key_set(), headers=headers)
