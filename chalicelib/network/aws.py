"""AWS's SDK, held to one deadline per attempt and to whole answers.

The timeouts of botocore bound one read, so a peer that drips holds it for ever. And it takes a
body that breaks off for the whole one, and a body that is no JSON for an empty answer: a session
would not be there (401), a write would be done (200).
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from botocore.exceptions import HTTPClientError, ReadTimeoutError

from chalicelib import strict_json

_Result = TypeVar("_Result")


def within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Do what nothing else can bound in a thread of its own; what comes later is not waited for.

    Raises:
        TimeoutError: if the work is not done in time; else whatever the work raises.
    """
    done: Future[_Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(seconds)


class BrokenAnswer(HTTPClientError):
    """The answer is not one whole JSON object; to the SDK a passing fault, as a lost one is."""

    fmt = "The answer is broken."


def held(client: Any, seconds: float) -> Any:
    """Hold a client of a JSON service, once: each attempt to `seconds`, each answer to its form.

    Its calls raise ReadTimeoutError and BrokenAnswer (both BotoCoreError) where it does not.
    """
    endpoint = client._endpoint
    if not isinstance(endpoint.http_session, _Held):
        endpoint.http_session = _Held(endpoint.http_session, seconds)
    return client


class _Held:
    """What an endpoint of botocore's uses of an HTTP session."""

    def __init__(self, session: Any, seconds: float) -> None:
        self._session = session
        self._seconds = seconds
        self.close = session.close

    def send(self, request: Any) -> Any:
        try:
            return _whole(within(self._seconds, lambda: self._session.send(request)))
        except TimeoutError:
            raise ReadTimeoutError(endpoint_url=request.url) from None


def _whole(answer: Any) -> Any:
    """Give the answer back: 200 or an error, and only an error may come without a body."""
    if answer.status_code < 400 and answer.status_code != 200:
        raise BrokenAnswer  # the SDK takes 300 for success, whatever the body says
    if answer.content or answer.status_code < 400:
        try:
            strict_json.load_object(answer.content)
        except strict_json.NotStrictJson:
            raise BrokenAnswer from None
    return answer
