"""The gate as a Chalice app: an event comes in, an answer in the contract's shape goes out."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from chalice.app import Chalice, Response

from chalicelib import logs
from chalicelib.errors import (
    GateError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    Misconfigured,
    NotFound,
)
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, refusal

_REQUEST: ContextVar[Request] = ContextVar("request")


class Gate(Chalice):
    """Chalice's routes, with every error answered in the contract's shape.

    Every answer carries X-Request-Id, every error X-Wxgate-Error, and each request is one log
    line. Nothing of a request is stored on the object, which the threads of the desk share.
    `fault` is what is wrong with the environment: then every request is Misconfigured.
    `monotonic` is the clock that times requests, in seconds.
    """

    def __init__(
        self,
        name: str,
        fault: str | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(name, configure_logs=False)
        self.api.binary_types = ["*/*"]  # API Gateway passes every body through as it came
        self.register_middleware(self._translate, "http")
        self._fault = fault
        self._monotonic = monotonic

    def route(self, path: str, **options: Any) -> Callable[..., Any]:
        """Bind a view to any media type: handlers check it themselves."""
        decorator: Callable[..., Any] = super().route(path, content_types=["*/*"], **options)
        return decorator

    @property
    def request(self) -> Request:
        """The request of this thread."""
        return _REQUEST.get()

    # Chalice sets this at each request; one attribute for all threads would mix users.
    @property
    def current_request(self) -> None:
        """Unused: see `request`."""

    @current_request.setter
    def current_request(self, value: object) -> None:
        pass

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Serve one API Gateway REST proxy event; never raises."""
        started = self._monotonic()
        request = Request.from_event(event, context)
        token = _REQUEST.set(request)
        try:
            answer = self._dispatch(request)
        except Exception:  # noqa: BLE001 - the last resort of the process
            # Never show the traceback to the client or the exception message to the log.
            logs.write(logging.ERROR, "unhandled", {}, exc_info=True)
            answer = _refuse(request, InternalError()).to_dict()
        finally:
            _REQUEST.reset(token)
        answer["headers"]["X-Request-Id"] = request.id
        self._log(request, answer["statusCode"], self._monotonic() - started)
        return answer

    def _dispatch(self, request: Request) -> dict[str, Any]:
        if request.resource not in self.routes:
            # API Gateway always names a resource; an event without one came from elsewhere.
            return _refuse(request, NotFound() if request.resource else InvalidRequest()).to_dict()
        # Request has read Lambda's context; Chalice would store it for all threads.
        answer: dict[str, Any] = super().__call__(_event_for_chalice(request), None)
        return answer

    def _translate(self, _request: object, get_response: Callable[[Any], Any]) -> Answer:
        """Chalice middleware: turn its own errors and ours into answers of the gate."""
        request = self.request
        try:
            if self._fault:
                raise Misconfigured(reason="environment")
            response = get_response(_request)
        except GateError as error:
            return _refuse(request, error)
        if isinstance(response, Answer):
            return response
        return _refuse(request, _framework_error(response))

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


def _refuse(request: Request, error: GateError) -> Answer:
    """Answer an error, and add its code and evidence to the request's log line."""
    evidence = {name: value for name, value in error.evidence.items() if value is not None}
    request.log_fields |= {**evidence, "code": error.code}
    return refusal(error)


def _event_for_chalice(request: Request) -> dict[str, Any]:
    """Give Chalice the event with every member that it reads, and nothing to act on."""
    return {
        **request.event,
        "requestContext": {**request.context, "httpMethod": request.method},
        "multiValueQueryStringParameters": None,
        "pathParameters": defaultdict(str, request.path_parameters),  # API Gateway gives them all
        "stageVariables": None,
        "body": None,
        # Without Accept, Chalice rejects a binary answer after the view has run.
        "headers": {"accept": "*/*"},
    }


def _framework_error(response: Response) -> GateError:
    if response.status_code == 405:
        return MethodNotAllowed(allow=str(response.headers["Allow"]))
    return InternalError()
