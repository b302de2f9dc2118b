"""Every error of the gate. The class name is the Code on the wire, the docstring its Message.

docs/errors.md says when each one occurs and what the client does then.
"""

from collections.abc import Mapping


class GateError(Exception):
    """The gate failed. Try again later.

    A message is shown to the client, so it never holds a value that came from outside.
    `evidence` goes to the log line only: short facts without secrets, such as WeChat's errcode.
    """

    status: int
    message: str
    retry_after: int
    headers: Mapping[str, str]

    def __init_subclass__(
        cls, status: int, retry_after: int = 0, headers: Mapping[str, str] = {}
    ) -> None:
        cls.status, cls.message = status, str(cls.__doc__)
        cls.retry_after, cls.headers = retry_after, headers

    def __init__(self, message: str = "", *, retry_after: int = 0, **evidence: object) -> None:
        super().__init__(message or self.message)
        self.code, self.message, self.evidence = type(self).__name__, str(self), evidence
        if seconds := retry_after or self.retry_after:
            self.headers = {"Retry-After": str(seconds)}


class InvalidRequest(GateError, status=400):
    """The request is malformed. See the routes in the README."""


class InvalidPath(GateError, status=400):
    """The path is not canonical. Send no dot segments, empty segments or encoded slashes."""


class UnknownApp(GateError, status=400):
    """The appid is not served here. Check the appid, or WX_APPIDS of the gate."""


class InvalidCode(GateError, status=401):
    """WeChat rejected the code. Get a new code and try once more."""


# RFC 6750 3; without an error attribute, which would tell one cause from another.
class InvalidToken(GateError, status=401, headers={"WWW-Authenticate": "Bearer"}):
    """The token is not valid. Log in again, then repeat the request once."""


class UserBlocked(GateError, status=403):
    """WeChat blocks this user as a high risk. Do not retry."""


class PushRefused(GateError, status=403):
    """Forbidden."""


class NotFound(GateError, status=404):
    """There is no such route. See the routes in the README."""


class MethodNotAllowed(GateError, status=405):
    """The route does not support this method. See Allow."""


class RequestTooLarge(GateError, status=413):
    """The body is too large."""


class UnsupportedMediaType(GateError, status=415):
    """Send application/json in UTF-8, without a Content-Encoding."""


class DecryptFailed(GateError, status=422):
    """The data cannot be decrypted. Check kind, then log in again and let the user tap again."""


class TooManyRequests(GateError, status=429, retry_after=60):
    """Too many requests. Wait for Retry-After seconds."""


class Misconfigured(GateError, status=500):
    """The gate is misconfigured. Its operator can find the cause in the log."""


class InternalError(GateError, status=500):
    """The gate failed. Report the X-Request-Id."""


class WeChatBadResponse(GateError, status=502):
    """WeChat sent an invalid response. Get a new code and try again."""


class WeChatUnavailable(GateError, status=503, retry_after=3):
    """WeChat is unavailable. Wait, get a new code, and try again."""


class WeChatBusy(GateError, status=503, retry_after=3):
    """WeChat is busy. Wait, get a new code, and try again."""


class WeChatTimeout(GateError, status=504):
    """WeChat did not respond in time. Get a new code and try again."""


class UpstreamUnreachable(GateError, status=502):
    """The business API cannot be reached. Try again later."""


class UpstreamBadResponse(GateError, status=502):
    """The business API sent an invalid response."""


class UpstreamTooLarge(GateError, status=502):
    """The response of the business API is too large. Use paging or a presigned URL."""


class UpstreamTimeout(GateError, status=504):
    """The business API did not respond in time."""


class SecretsUnavailable(GateError, status=503, retry_after=3):
    """The gate cannot read its secrets. Wait, then try again."""


class StoreUnavailable(GateError, status=503, retry_after=3):
    """The gate cannot reach its session store. Wait, then try again."""


class QueueUnavailable(GateError, status=503, retry_after=3):
    """The gate cannot queue the message. Wait, then send it again."""


class DeadlineExceeded(GateError, status=503, retry_after=1):
    """The gate ran out of time. Try again, with a new code if you sent one."""
