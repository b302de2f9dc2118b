"""Every refusal of the gate: the class name is the wire Code, the class says the rest.

GateError
├── 4xx  InvalidRequest InvalidPath UnknownApp InvalidCode InvalidToken UserBlocked NotFound
│        MethodNotAllowed RequestTooLarge UnsupportedMediaType DecryptFailed TooManyRequests
├── 500  Misconfigured InternalError
└── 5xx  WeChatBadResponse WeChatUnavailable WeChatBusy WeChatTimeout
         UpstreamUnreachable UpstreamBadResponse UpstreamTooLarge UpstreamTimeout
         SecretsUnavailable StoreUnavailable DeadlineExceeded
"""

from chalice.app import ChaliceUnhandledError


class GateError(ChaliceUnhandledError):
    """A refusal that the client gets as `{"Code", "Message"}`.

    `message` is shown to the client, so it never holds a value that came from outside.
    `evidence` goes to the log line alone: short, secret-free facts such as WeChat's errcode.
    `headers` go out with the answer.

    The base is Chalice's for "let it through to the middleware": gate.py writes the answer.
    """

    status = 500
    message = "The gate failed. Try again later."
    retry_after: int | None = None

    def __init__(
        self, message: str | None = None, *, retry_after: int | None = None, **evidence: object
    ) -> None:
        self.message = message or type(self).message
        self.retry_after = retry_after or type(self).retry_after
        self.evidence = evidence
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """The wire Code."""
        return type(self).__name__

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to this refusal."""
        return {"Retry-After": str(self.retry_after)} if self.retry_after else {}


class InvalidRequest(GateError):
    """The request is malformed."""

    status = 400
    message = "The request is malformed. See the routes in the README."


class InvalidPath(GateError):
    """The path below /api/ is not already canonical."""

    status = 400
    message = "The path is not canonical. Send it without dot segments and encoded delimiters."


class UnknownApp(GateError):
    """The appid is not one of WX_APPIDS."""

    status = 400
    message = "This appid is not served here. Check appid, or WX_APPIDS of the gate."


class InvalidCode(GateError):
    """WeChat refused the one-time code (errcodes 40029, 40163)."""

    status = 401
    message = "WeChat refused the code. Get a new one and try once more."


class InvalidToken(GateError):
    """The bearer is missing, malformed, unknown, expired or revoked: one and the same answer."""

    status = 401
    message = "The token is not valid. Log in again, then repeat the request once."

    @property
    def headers(self) -> dict[str, str]:
        """RFC 6750 section 3: no error attribute, since it would tell one cause from another."""
        return {"WWW-Authenticate": "Bearer"}


class UserBlocked(GateError):
    """WeChat holds this user for high risk (errcode 40226)."""

    status = 403
    message = "WeChat blocks this user. Do not try again."


class NotFound(GateError):
    """No such route."""

    status = 404
    message = "There is no such route. See the routes in the README."


class MethodNotAllowed(GateError):
    """The route exists, the method does not."""

    status = 405
    message = "This route does not take this method."

    def __init__(self, allow: str) -> None:
        super().__init__()
        self.allow = allow

    @property
    def headers(self) -> dict[str, str]:
        """RFC 9110 section 15.5.6 demands Allow."""
        return {"Allow": self.allow}


class RequestTooLarge(GateError):
    """The body is over the cap of its route."""

    status = 413
    message = "The body is too large."


class UnsupportedMediaType(GateError):
    """A JSON route got something else."""

    status = 415
    message = "Send application/json in UTF-8, without a Content-Encoding."


class DecryptFailed(GateError):
    """The data does not open to exactly what kind allows; one answer for every cause."""

    status = 422
    message = "The data does not open. Check kind; then log in again and let the user tap again."


class TooManyRequests(GateError):
    """Too many failed decryptions of this user, or WeChat's minute quota (errcode 45011)."""

    status = 429
    message = "Too many requests. Wait for Retry-After seconds."
    retry_after = 60


class Misconfigured(GateError):
    """The operator's fault; the log line says what to repair."""

    status = 500
    message = "The gate is misconfigured. Its operator finds the cause in the log."


class InternalError(GateError):
    """A bug of ours, never with details."""

    status = 500
    message = "The gate failed. Report the X-Request-Id."


class WeChatBadResponse(GateError):
    """WeChat answered something that is not an answer."""

    status = 502
    message = "WeChat gave no usable answer. Get a new code and try again."


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
    """WeChat did not answer in time; the code may be spent."""

    status = 504
    message = "WeChat did not answer in time. Get a new code and try again."


class UpstreamUnreachable(GateError):
    """No connection to the upstream: nothing was sent."""

    status = 502
    message = "The business API cannot be reached. Try again later."


class UpstreamBadResponse(GateError):
    """The upstream's answer is broken HTTP."""

    status = 502
    message = "The business API gave a broken answer."


class UpstreamTooLarge(GateError):
    """The upstream's answer does not fit what Lambda can carry."""

    status = 502
    message = "The answer of the business API is too large. Use paging, or a signed URL."


class UpstreamTimeout(GateError):
    """The upstream did not answer in time."""

    status = 504
    message = "The business API did not answer in time."


class SecretsUnavailable(GateError):
    """Secrets Manager did not answer and no warm value is left; no code was spent."""

    status = 503
    message = "The gate cannot work now. Wait, then try again."
    retry_after = 3


class StoreUnavailable(GateError):
    """DynamoDB did not answer."""

    status = 503
    message = "The gate cannot reach its store. Wait, then try again."
    retry_after = 3


class DeadlineExceeded(GateError):
    """The Lambda function has too little time left to finish what it would begin."""

    status = 503
    message = "The gate ran out of time. Get a new code where one was sent, and try again."
    retry_after = 1
