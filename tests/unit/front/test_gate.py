"""The gate: any event in, an answer in the contract's shape out, one log line each."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.app import BadRequestError, Response

from chalicelib import logs
from chalicelib.errors import DecryptFailed, Misconfigured
from chalicelib.front.gate import Gate
from chalicelib.front.request import Request
from chalicelib.front.response import Answer, json_answer
from simulator.gateway import Context, event_of

CANARY = "canary0secret"
METHODS = ["GET", "POST"]


@pytest.fixture(autouse=True)
def _log() -> None:
    logs.configure("INFO")


View = Callable[[Request], object]
Log = Callable[[], list[dict[str, Any]]]


def gate(view: View, fault: str | None = None) -> Gate:
    """A gate whose only route, /view, answers what `view` gives or raises."""
    app = Gate("wxgate", fault)
    app.route("/view", methods=METHODS)(view)
    return app


def raising(error: BaseException) -> View:
    def view(_request: Request) -> object:
        raise error

    return view


def ok(_request: Request) -> Answer:
    return json_answer({"ok": True})


def giving(value: object) -> View:
    return lambda _request: value


def send(
    app: Gate, method: str = "GET", target: str = "/view", *headers: tuple[str, str]
) -> dict[str, Any]:
    return app(event_of(method, target, list(headers), None, app.routes), Context())


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Log:
    """What was logged since the last look."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def is_refusal(answer: dict[str, Any], status: int, code: str) -> bool:
    """Whether an answer has the one shape of refusals, in all its parts."""
    headers, body = answer["headers"], json.loads(answer["body"])
    own = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Wxgate-Error": code}
    return bool(
        answer["statusCode"] == status
        and body.keys() == {"Code", "Message"}
        and body["Code"] == code
        and own.items() <= headers.items()
        and headers["X-Request-Id"]
        and headers["Content-Type"] == "application/json; charset=utf-8"
    )


def test_every_answer_carries_api_gateways_request_id() -> None:
    app = gate(giving(json_answer({}, headers={"X-Request-Id": "from-upstream"})))
    for method, target in (("GET", "/view"), ("PUT", "/view"), ("GET", "/nowhere")):
        event = event_of(method, target, [("X-Request-Id", "forged-by-client")], None, app.routes)
        answer = app(event, Context())
        assert answer["headers"]["X-Request-Id"] == event["requestContext"]["requestId"]


@pytest.mark.parametrize("error", [None, DecryptFailed(), RuntimeError()])
def test_what_a_view_says_of_the_request_is_on_its_answer_and_its_line(
    error: Exception | None, log: Log
) -> None:
    def view(request: Request) -> Answer:
        request.answer_headers["X-Wxgate-Token"] = "dead"
        request.log_fields["user"] = "abc"
        if error:
            raise error
        return ok(request)

    assert send(gate(view))["headers"]["X-Wxgate-Token"] == "dead"
    assert log()[-1]["user"] == "abc"


def test_api_gateway_passes_every_body_through_as_it_came() -> None:
    assert gate(ok).api.binary_types == ["*/*"]


@pytest.mark.parametrize("name", ["Accept", "Content-Type"])
@pytest.mark.parametrize("value", ["text/html", "", "nonsense"])
def test_no_media_type_keeps_a_request_from_its_view_or_its_answer(name: str, value: str) -> None:
    app = gate(giving(Answer(b"\xff", {"Content-Type": "image/png"}, 200)))
    answer = send(app, "POST", "/view", (name, value))
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (200, "/w==", True)


def test_a_view_knows_when_lambda_ends_the_invocation() -> None:
    app = gate(lambda request: json_answer(request.deadline.remaining()))
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000)
    answer = app(event_of("GET", "/view", [], None, app.routes), context)
    assert 899.5 < float(answer["body"]) <= 900


@pytest.mark.parametrize("target", ["/nowhere", "/", "/view/", "/VIEW", "/view/x", "/%76iew"])
def test_an_unknown_route_is_not_found(target: str) -> None:
    assert is_refusal(send(gate(ok), "GET", target), 404, "NotFound")


@pytest.mark.parametrize(
    "method", ["PUT", "OPTIONS", "TRACE", "get", "G\nT", "", None, 1, [], {}, ["GET"]]
)
def test_a_wrong_method_is_answered_with_the_right_ones(method: object) -> None:
    context = {"resourcePath": "/view", "httpMethod": method}
    answer = gate(ok)({"requestContext": context}, None)
    assert is_refusal(answer, 405, "MethodNotAllowed")
    assert answer["headers"]["Allow"] == "GET, POST"
    assert not method or str(method) not in answer["body"]


BUGS = [
    *(RuntimeError(CANARY), RecursionError(CANARY), MemoryError(CANARY), BadRequestError(CANARY)),
    UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
]
NO_ANSWERS: list[object] = [{"a": 1}, CANARY, None, Response(CANARY)]


@pytest.mark.parametrize("view", [*map(raising, BUGS), *map(giving, NO_ANSWERS)])
def test_a_bug_in_a_view_is_an_internal_error_without_details(view: View, log: Log) -> None:
    answer = send(gate(view))
    assert is_refusal(answer, 500, "InternalError")
    assert CANARY not in str(answer) + str(log())


def test_a_bug_is_one_line_with_its_place_beside_the_requests_own(log: Log) -> None:
    send(gate(raising(RuntimeError(CANARY))))
    bug, request = log()
    assert (bug["event"], bug["level"]) == ("unhandled", "ERROR")
    assert bug["exception"] == "RuntimeError"
    assert bug["at"][-1].startswith("test_gate.py:")
    assert (request["event"], request["status"], request["level"]) == ("request", 500, "ERROR")
    assert request["code"] == "InternalError"
    assert "exception" not in request


@pytest.mark.parametrize(
    "event",
    [
        *(None, [], "x", 7, {}, {"key1": "value1", "key2": "value2"}, {"requestContext": None}),
        *({"requestContext": []}, {"requestContext": {}}),
        *({"requestContext": {"resourcePath": odd}} for odd in (None, 1, ["/view"])),
        {"version": "2.0", "rawPath": "/view", "requestContext": {"http": {"method": "GET"}}},
        {"Records": [{"eventSource": "aws:sqs"}]},
    ],
    ids=str,
)
def test_an_event_that_api_gateway_never_made_is_an_invalid_request(event: Any, log: Log) -> None:
    for context in (None, Context(), object()):
        assert is_refusal(gate(ok)(event, context), 400, "InvalidRequest")
    assert all(line["status"] == 400 for line in log())


def test_a_faulty_environment_refuses_every_request(log: Log) -> None:
    app = gate(raising(AssertionError("the view ran")), "WX_APPIDS is missing.")
    answers = [send(app), send(app, "POST"), send(app, "PUT")]
    assert all(is_refusal(answer, 500, "Misconfigured") for answer in answers)
    assert not any("WX_APPIDS" in str(answer) for answer in answers)
    lines = log()
    assert [(line["event"], line["reason"]) for line in lines] == [("request", "environment")] * 3


def test_a_request_is_one_line(log: Log) -> None:
    times = iter([100.0, 100.01234])
    app = Gate("wxgate", None, lambda: next(times))
    app.route("/view")(ok)
    event = event_of("GET", f"/view?q={CANARY}", [("X-Y", CANARY)], CANARY, app.routes)
    app(event, Context())
    (line,) = log()
    assert line.pop("time")
    assert line.pop("request_id") == event["requestContext"]["requestId"]
    seen = {"level": "INFO", "event": "request", "route": "/view", "method": "GET", "status": 200}
    assert line == {**seen, "ms": 12.3}


def test_a_refusal_has_its_evidence_in_the_line_and_not_in_the_answer(log: Log) -> None:
    answer = send(gate(raising(Misconfigured(errcode=40013, rid=None, reason=CANARY))))
    assert is_refusal(answer, 500, "Misconfigured")
    assert CANARY not in str(answer)
    (line,) = log()
    assert (line["code"], line["errcode"], line["reason"]) == ("Misconfigured", 40013, CANARY)
    assert line["level"] == "ERROR"
    assert "rid" not in line


@pytest.mark.parametrize(("status", "level"), [(500, "ERROR"), (422, "INFO"), (503, "INFO")])
def test_only_what_an_operator_must_fix_is_an_error(status: int, level: str, log: Log) -> None:
    send(gate(giving(json_answer({}, status=status))))
    assert log()[0]["level"] == level


def test_only_an_error_is_counted_and_by_its_code(log: Log) -> None:
    logs.configure("INFO", "wxgate-prod-Login")
    for target in ("/nowhere", "/view"):
        send(gate(ok), "GET", target)
    refused, served = log()
    assert (refused["Refusals"], refused["FunctionName"]) == (1, "wxgate-prod-Login")
    assert refused["Code"] == refused["code"] == "NotFound"
    assert not {"_aws", "Refusals", "Code"} & served.keys()


def test_evidence_by_any_name_breaks_no_line(log: Log) -> None:
    names = ("level", "event", "fields", "exc_info", "status", "method", "route", "request_id")
    error = Misconfigured()
    error.evidence = dict.fromkeys(names, "strange")
    answer = send(gate(raising(error)))
    assert is_refusal(answer, 500, "Misconfigured")
    (line,) = log()
    assert (line["status"], line["method"], line["route"]) == (500, "GET", "/view")


@pytest.mark.parametrize("made_up", ["GET\n{}", "x" * 1000, "G ET", "VERSIONED", ""])
def test_what_a_client_made_up_is_not_in_the_line(made_up: str, log: Log) -> None:
    app = gate(ok)
    send(app, "PROPFIND", f"/{made_up}")
    send(app, made_up)
    first, second = log()
    assert (first["method"], first["route"]) == ("PROPFIND", None)
    assert (second["method"], second["route"]) == (None, "/view")


def test_threads_do_not_mix_their_requests() -> None:
    """Two requests meet inside the view; each must still be its own before and after."""
    barrier = threading.Barrier(2, timeout=5)

    def view(request: Request) -> Answer:
        before = request.values("x-user")
        barrier.wait()
        return json_answer([before, request.values("x-user"), request.id])

    app = gate(view)
    with ThreadPoolExecutor(2) as threads:
        users = ["alice", "bob"]
        answers = list(threads.map(lambda u: send(app, "GET", "/view", ("X-User", u)), users))
    for user, answer in zip(users, answers, strict=True):
        assert json.loads(answer["body"]) == [[user], [user], answer["headers"]["X-Request-Id"]]
