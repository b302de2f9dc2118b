"""Events: WeChat's message push is verified, acted on where it must be, and queued."""

from typing import TYPE_CHECKING

from chalicelib import logs
from chalicelib.errors import InvalidRequest, PushRefused
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, text_answer

if TYPE_CHECKING:
    from chalicelib.network.queue import Queue
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.wechat.push import Push


def check(request: Request, *, push: "Push") -> Answer:
    """Answer WeChat's check of the push URL with its echostr.

    Raises:
        What Push.echo raises.
    """
    return text_answer(push.echo(request.parameter("appid"), request.query))


def receive(request: Request, *, push: "Push", sessions: "Sessions", queue: "Queue") -> Answer:
    """Queue a message and answer `success`; if its user is gone, so are all sessions of him.

    Whatever fails, WeChat sends the message again (three times in all, after five seconds each).

    Raises:
        RequestTooLarge, PushRefused, UnknownApp: nothing is queued.
        StoreUnavailable: a session may be alive, and nothing is queued.
        QueueUnavailable: nothing is known to be queued.
        Misconfigured, SecretsUnavailable: as Push, Sessions and Queue do.
    """
    appid = request.parameter("appid")
    try:
        body = request.body
    except InvalidRequest:
        raise PushRefused(reason="body") from None
    message = push.open(appid, request.query, body)
    request.log_fields["event_id"] = message.id
    if message.is_cancellation and message.openid:
        sessions.end_user(appid, message.openid)
    elif message.is_cancellation:
        logs.alert("CancellationWithoutOpenID", appid=appid, event_id=message.id)
    identity = {"openid": message.openid} if message.openid else {}
    queue.send(message.body, {"appid": appid, "id": message.id, **identity})
    return text_answer("success")
