"""The gate as a Chalice app: an event comes in, an answer in the contract's shape goes out."""

import logging
import time
from typing import Any

from chalice.app import Chalice

from chalicelib import errors, logs
from chalicelib.deadlines import Clock
from chalicelib.front.request import Request, deadline_of
from chalicelib.front.response import Answer, refusal


class Gate(Chalice):
    """Chalice's table of routes, whose views are functions of a Request that give an Answer.

    Chalice's own dispatch would share the request among threads, and let Accept and Content-Type
    decide what goes through. Every answer carries X-Request-Id, every error X-Wxgate-Error, and
    each request is one log line.
    `fault` is what is wrong with the environment: then every request is Misconfigured.
    `monotonic` is the clock that times requests, in seconds.
    """

    def __init__(self, name: str, fault: str | None, monotonic: Clock = time.perf_counter) -> None:
        super().__init__(name, configure_logs=False)
        self.api.binary_types = ["*/*"]  # API Gateway passes every body through as it came
        self._fault = fault
        self._monotonic = monotonic

    def __call__(self, event: object, context: object) -> dict[str, Any]:
        """Serve one API Gateway REST proxy event; never raises."""
        started = self._monotonic()
        request = Request(event, deadline_of(context))
        try:
            answer = self._answer(request)
        except errors.GateError as error:
            answer = _refuse(request, error)
        except Exception:  # noqa: BLE001 - the last resort of the process
            # Never show the traceback to the client or the exception message to the log.
            logs.write(logging.ERROR, "unhandled", {}, exc_info=True)
            answer = _refuse(request, errors.InternalError())
        answer.headers |= {**request.answer_headers, "X-Request-Id": request.id}
        self._log(request, answer.status_code, self._monotonic() - started)
        return answer.to_dict()

    def _answer(self, request: Request) -> Answer:
        if not request.resource:  # API Gateway always names one: this event came from elsewhere
            raise errors.InvalidRequest
        views = self.routes.get(request.resource)
        if not views:
            raise errors.NotFound
        if self._fault:
            raise errors.Misconfigured(reason="environment")
        if request.method not in views:
            request.answer_headers["Allow"] = ", ".join(views)  # RFC 9110 15.5.6
            raise errors.MethodNotAllowed
        answer = views[request.method].view_function(request)
        if not isinstance(answer, Answer):
            raise TypeError
        return answer

    def _log(self, request: Request, status: int, seconds: float) -> None:
        method, code = request.method, request.log_fields.get("code")
        fields = {
            "request_id": request.id,
            "route": request.resource if request.resource in self.routes else None,
            "method": method if method.isalpha() and len(method) < 9 else None,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        level = logging.ERROR if status == 500 else logging.INFO
        count = ("Refusals", {"Code": str(code)}) if code else None
        logs.write(level, "request", request.log_fields | fields, count=count)


def _refuse(request: Request, error: errors.GateError) -> Answer:
    """Answer an error, and add its code and evidence to the request's log line."""
    evidence = {name: value for name, value in error.evidence.items() if value is not None}
    request.log_fields |= {**evidence, "code": error.code}
    return refusal(error)
