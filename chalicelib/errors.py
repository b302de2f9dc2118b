"""Every error of the gate: the class name is the Code on the wire, the class says the rest.

4xx  InvalidRequest InvalidPath UnknownApp InvalidCode InvalidToken UserBlocked NotFound
     MethodNotAllowed RequestTooLarge UnsupportedMediaType DecryptFailed TooManyRequests
5xx  Misconfigured InternalError WeChatBadResponse WeChatUnavailable WeChatBusy WeChatTimeout
     UpstreamUnreachable UpstreamBadResponse UpstreamTooLarge UpstreamTimeout
     SecretsUnavailable StoreUnavailable DeadlineExceeded
"""

from typing import ClassVar

from chalice.app import ChaliceUnhandledError


class GateError(ChaliceUnhandledError):
    """An error that the client gets as `{"Code", "Message"}`, with `headers`.

    `message` is shown to the client, so it never holds a value that came from outside.
    `evidence` goes to the log line only: short facts without secrets, such as WeChat's errcode.
    Chalice lets errors of its base class through to the middleware, and gate.py answers them.
    """

    status = 500
    message = "The gate failed. Try again later."
    retry_after: int | None = None
    own_headers: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str = "", *, retry_after: int = 0, **evidence: object) -> None:
        self.code = type(self).__name__
        self.message = message or type(self).message
        self.evidence = evidence
        seconds = retry_after or type(self).retry_after
        self.headers = self.own_headers | ({"Retry-After": str(seconds)} if seconds else {})
        super().__init__(self.message)


class InvalidRequest(GateError):
    """The request is malformed."""

    status = 400
    message = "The request is malformed. See the routes in the README."


class InvalidPath(GateError):
    """The path below /api/ is not already canonical."""

    status = 400
    message = "The path is not canonical. Send no dot segments, empty segments or encoded slashes."


class UnknownApp(GateError):
    """The appid is not one of WX_APPIDS."""

    status = 400
    message = "This appid is not served here. Check the appid, or WX_APPIDS of the gate."


class InvalidCode(GateError):
    """WeChat rejected the one-time code (errcodes 40029, 40163)."""

    status = 401
    message = "WeChat rejected the code. Get a new code and try once more."


class InvalidToken(GateError):
    """The bearer is missing, malformed, unknown, expired or revoked: one and the same answer."""

    status = 401
    message = "The token is not valid. Log in again, then repeat the request once."
    own_headers: ClassVar = {"WWW-Authenticate": "Bearer"}  # RFC 6750 3, without a cause


class UserBlocked(GateError):
    """WeChat rates this user as a high risk (errcode 40226)."""

    status = 403
    message = "WeChat blocks this user as a high risk. Do not retry."


class NotFound(GateError):
    """No such route."""

    status = 404
    message = "There is no such route. See the routes in the README."


class MethodNotAllowed(GateError):
    """The route exists, the method does not."""

    status = 405
    message = "This route does not support this method. See Allow."

    def __init__(self, allow: str) -> None:
        super().__init__()
        self.headers = {"Allow": allow}  # RFC 9110 15.5.6


class RequestTooLarge(GateError):
    """The body is over the limit of its route."""

    status = 413
    message = "The body is too large."


class UnsupportedMediaType(GateError):
    """A JSON route got another media type."""

    status = 415
    message = "Send application/json in UTF-8, without a Content-Encoding."


class DecryptFailed(GateError):
    """The data does not decrypt to exactly what kind allows; one answer for every cause."""

    status = 422
    message = (
        "The data cannot be decrypted. Check kind, then log in again and let the user tap again."
    )


class TooManyRequests(GateError):
    """Too many failed decryptions of this user, or WeChat's minute quota (errcode 45011)."""

    status = 429
    message = "Too many requests. Wait for Retry-After seconds."
    retry_after = 60


class Misconfigured(GateError):
    """The operator's fault; the log line says what to fix."""

    message = "The gate is misconfigured. Its operator can find the cause in the log."


class InternalError(GateError):
    """A bug of ours, never with details."""

    message = "The gate failed. Report the X-Request-Id."


class WeChatBadResponse(GateError):
    """WeChat's response is malformed."""

    status = 502
    message = "WeChat sent an invalid response. Get a new code and try again."


class WeChatUnavailable(GateError):
    """WeChat could not be reached, or failed."""

    status = 503
    message = "WeChat is unavailable. Wait, get a new code, and try again."
    retry_after = 3


class WeChatBusy(GateError):
    """WeChat says it is busy or over its daily quota (errcodes -1, 45009)."""

    status = 503
    message = "WeChat is busy. Wait, get a new code, and try again."
    retry_after = 3


class WeChatTimeout(GateError):
    """WeChat did not respond in time; the code may be spent."""

    status = 504
    message = "WeChat did not respond in time. Get a new code and try again."


class UpstreamUnreachable(GateError):
    """No connection to the upstream: nothing was sent."""

    status = 502
    message = "The business API cannot be reached. Try again later."


class UpstreamBadResponse(GateError):
    """The upstream's response is malformed HTTP."""

    status = 502
    message = "The business API sent an invalid response."


class UpstreamTooLarge(GateError):
    """The upstream's response is larger than a Lambda answer may be."""

    status = 502
    message = "The response of the business API is too large. Use paging or a presigned URL."


class UpstreamTimeout(GateError):
    """The upstream did not respond in time."""

    status = 504
    message = "The business API did not respond in time."


class SecretsUnavailable(GateError):
    """Secrets Manager did not respond and no value is cached; no code was spent."""

    status = 503
    message = "The gate cannot read its secrets. Wait, then try again."
    retry_after = 3


class StoreUnavailable(GateError):
    """DynamoDB did not respond."""

    status = 503
    message = "The gate cannot reach its session store. Wait, then try again."
    retry_after = 3


class DeadlineExceeded(GateError):
    """Too little of the Lambda invocation is left to finish what would be started."""

    status = 503
    message = "The gate ran out of time. Try again, with a new code if you sent one."
    retry_after = 1
