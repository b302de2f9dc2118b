"""The gate as a Chalice app: an event comes in, an answer in the contract's shape goes out."""

import time
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
from chalicelib.services import Services

_REQUEST: ContextVar[Request] = ContextVar("request")


class Gate(Chalice):
    """Chalice routes; what it would answer in its own words is answered in ours.

    Every answer carries X-Request-Id, every refusal X-Wxgate-Error, and each request is one log
    line. Nothing that a request holds is kept on the object: threads of the desk share it.
    `monotonic` is the clock by which requests are timed, in seconds.
    """

    def __init__(
        self,
        name: str,
        services: Services,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(name, configure_logs=False)
        self.api.binary_types = ["*/*"]  # API Gateway hands every body over as it came
        self.register_middleware(self._shape, "http")
        self._services = services
        self._monotonic = monotonic
        self.log = logs.configure(services.log_level)
        if services.fault:
            self._line("error", "misconfigured", {"reason": services.fault})

    def route(self, path: str, **options: Any) -> Callable[..., Any]:
        """Bind a view; the media type is the view's own affair (Chalice would answer 415)."""
        decorator: Callable[..., Any] = super().route(path, content_types=["*/*"], **options)
        return decorator

    @property
    def request(self) -> Request:
        """The request of this thread."""
        return _REQUEST.get()

    # Chalice writes these at each request; one attribute for all threads would mix users.
    @property
    def current_request(self) -> None:
        """Not kept: `request` is ours."""

    @current_request.setter
    def current_request(self, value: object) -> None:
        pass

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Serve one API Gateway REST proxy event; never raises."""
        started = self._monotonic()
        request = Request.from_event(event, context)
        token = _REQUEST.set(request)
        try:
            answer = self._answer(request)
        except Exception:  # noqa: BLE001 - the last resort of the process
            # Not one line of what failed may reach the client, nor its text the log.
            self._line("error", "unhandled", {}, exc_info=True)
            answer = self._refused(request, InternalError())
        finally:
            _REQUEST.reset(token)
        answer["headers"]["X-Request-Id"] = request.id
        self._report(request, answer["statusCode"], started)
        return answer

    def _answer(self, request: Request) -> dict[str, Any]:
        if request.resource not in self.routes:
            # API Gateway names a resource; an event without one was made by another hand.
            return self._refused(request, NotFound() if request.resource else InvalidRequest())
        # Lambda's context is Request's to read; Chalice would keep it for all threads.
        answer: dict[str, Any] = super().__call__(_complete(request), None)
        return answer

    def _shape(self, _request: object, get_response: Callable[[Any], Any]) -> Answer:
        """Chalice middleware: refusals and Chalice's own errors become answers of ours."""
        request = self.request
        try:
            if self._services.fault:
                raise Misconfigured(reason="environment")
            response = get_response(_request)
        except GateError as error:
            return self._refusal(request, error)
        if isinstance(response, Answer):
            return response
        return self._refusal(request, _framework_error(response))

    def _refused(self, request: Request, error: GateError) -> dict[str, Any]:
        return self._refusal(request, error).to_dict()

    @staticmethod
    def _refusal(request: Request, error: GateError) -> Answer:
        request.notes["code"] = error.code
        request.notes.update({k: v for k, v in error.evidence.items() if v is not None})
        return refusal(error)

    def _report(self, request: Request, status: int, started: float) -> None:
        level = "error" if status == 500 else "info"
        method = request.method if request.method.isalpha() and len(request.method) < 9 else None
        fields = {
            "request_id": request.id,
            "route": request.resource if request.resource in self.routes else None,
            "method": method,
            "status": status,
            "ms": round((self._monotonic() - started) * 1000, 1),
        }
        code = request.notes.get("code")
        counted = self._services.count("Refusals", Code=code) if code else {}
        self._line(level, "request", request.notes | fields | counted)

    def _line(
        self, level: str, event: str, fields: dict[str, Any], *, exc_info: bool = False
    ) -> None:
        getattr(self.log, level)(event, exc_info=exc_info, extra={"fields": fields})


def _complete(request: Request) -> dict[str, Any]:
    """Give Chalice an event with all that it indexes without asking."""
    return {
        **request.event,
        "requestContext": {**request.context, "httpMethod": request.method},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": None,  # read by Request alone
        # Without Accept, Chalice refuses a binary answer after the view has run.
        "headers": {"accept": "*/*"},
    }


def _framework_error(response: Response) -> GateError:
    if response.status_code == 405:
        return MethodNotAllowed(allow=str(response.headers["Allow"]))
    return InternalError()
