"""The gate: any event in, an answer in the contract's shape out, one log line each."""

import io
import json
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.app import BadRequestError, Response

from chalicelib import logs
from chalicelib.errors import DecryptFailed, GateError, InvalidToken, Misconfigured
from chalicelib.front.gate import Gate
from chalicelib.front.response import Answer, json_answer
from simulator.gateway import Context, event_of

CANARY = "canary0secret"
METHODS = ["GET", "POST"]


@pytest.fixture(autouse=True)
def _log() -> None:
    logs.configure("INFO")


def gate(view: Callable[[], object], fault: str | None = None) -> Gate:
    """A gate whose only route, /view, answers what `view` gives or raises."""
    app = Gate("wxgate", fault)
    app.route("/view", methods=METHODS)(view)
    return app


def raising(error: BaseException) -> Callable[[], object]:
    def view() -> object:
        raise error

    return view


def ok() -> Answer:
    return json_answer({"ok": True})


def send(
    app: Gate, method: str = "GET", target: str = "/view", *headers: tuple[str, str]
) -> dict[str, Any]:
    return app(event_of(method, target, list(headers), None, app.routes), Context())


def log_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


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


# --- answers ---


def test_a_view_chooses_status_and_headers() -> None:
    answer = send(gate(lambda: json_answer({"a": 1}, status=201, headers={"X-Y": "z"})))
    assert (answer["statusCode"], answer["body"]) == (201, '{"a":1}')
    assert answer["headers"]["X-Y"] == "z"
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"


def test_every_answer_carries_api_gateways_request_id() -> None:
    app = gate(ok)
    for method, target in (("GET", "/view"), ("PUT", "/view"), ("GET", "/nowhere")):
        event = event_of(method, target, [("X-Request-Id", "forged-by-client")], None, app.routes)
        answer = app(event, Context())
        assert answer["headers"]["X-Request-Id"] == event["requestContext"]["requestId"]


def test_a_view_cannot_answer_with_another_request_id() -> None:
    app = gate(lambda: json_answer({}, headers={"X-Request-Id": "from-upstream"}))
    assert send(app)["headers"]["X-Request-Id"] != "from-upstream"


@pytest.mark.parametrize("accept", [[], [("Accept", "text/html")], [("Accept", "")]])
def test_a_binary_answer_needs_no_accept_header(accept: list[tuple[str, str]]) -> None:
    app = gate(lambda: Answer(b"\xff", {"Content-Type": "image/png"}, 200))
    answer = send(app, "GET", "/view", *accept)
    assert (answer["statusCode"], answer["body"]) == (200, "/w==")
    assert answer["isBase64Encoded"]


def test_api_gateway_passes_every_body_through_as_it_came() -> None:
    app = gate(ok)
    assert app.api.binary_types == ["*/*"]
    assert [app.routes["/view"][method].content_types for method in METHODS] == [["*/*"]] * 2


def test_chalice_sees_nothing_that_it_could_act_on() -> None:
    app, shown = gate(ok), list[Any]()

    @app.middleware("http")
    def look(request: Any, get_response: Callable[[Any], Any]) -> Any:
        shown.append(request)
        return get_response(request)

    event = event_of("POST", "/view?q=1", [("Content-Type", "text/plain")], "body", app.routes)
    app(event, Context())
    nothing = ("multiValueQueryStringParameters", "stageVariables", "body")
    expected = {**event, **dict.fromkeys(nothing), "headers": {"accept": "*/*"}}
    expected["pathParameters"] = {}
    assert (shown[0].to_original_event(), shown[0].lambda_context) == (expected, None)


def test_a_lambda_function_may_hand_its_event_over() -> None:
    app = gate(ok)
    function = app.lambda_function(name="login")(app.__call__)
    event = event_of("GET", "/view", [], None, app.routes)
    assert function(event, Context())["statusCode"] == 200


def test_a_view_knows_when_lambda_ends_the_invocation() -> None:
    app = gate(lambda: json_answer(app.request.deadline.remaining()))
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 1500)
    answer = app(event_of("GET", "/view", [], None, app.routes), context)
    assert 1.4 < float(answer["body"]) <= 1.5


@pytest.mark.parametrize("media_type", ["text/plain", "", "nonsense", "application/json"])
def test_any_media_type_reaches_the_view(media_type: str) -> None:
    assert send(gate(ok), "POST", "/view", ("Content-Type", media_type))["statusCode"] == 200


# --- refusals ---


def test_a_refusal_of_a_view_becomes_an_answer() -> None:
    assert is_refusal(send(gate(raising(DecryptFailed()))), 422, "DecryptFailed")
    answer = send(gate(raising(InvalidToken(reason=CANARY))))
    assert is_refusal(answer, 401, "InvalidToken")
    assert answer["headers"]["WWW-Authenticate"] == "Bearer"
    assert CANARY not in str(answer)


@pytest.mark.parametrize("target", ["/nowhere", "/", "/view/", "/VIEW", "/view/x", "/%76iew"])
def test_an_unknown_route_is_not_found(target: str) -> None:
    assert is_refusal(send(gate(ok), "GET", target), 404, "NotFound")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "get", "G\nT", ""])
def test_a_wrong_method_is_answered_with_the_right_ones(method: str) -> None:
    answer = send(gate(ok), method)
    assert is_refusal(answer, 405, "MethodNotAllowed")
    assert answer["headers"]["Allow"] == "GET, POST"
    assert not method or method not in answer["body"]


# --- bugs ---


@pytest.mark.parametrize(
    "error",
    [
        *(RuntimeError(CANARY), KeyError(CANARY)),
        *(UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), RecursionError(CANARY)),
        *(BadRequestError(CANARY), MemoryError(CANARY)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_in_a_view_is_an_internal_error_without_details(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = send(gate(raising(error)))
    assert is_refusal(answer, 500, "InternalError")
    assert CANARY not in str(answer)
    assert CANARY not in capsys.readouterr().out


def test_a_bug_is_one_line_with_its_place_beside_the_requests_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    send(gate(raising(RuntimeError(CANARY))))
    bug, request = log_of(capsys)
    assert (bug["level"], bug["exception"]) == ("ERROR", "RuntimeError")
    assert bug["at"][-1].startswith("test_gate.py:")
    assert (request["event"], request["status"], request["level"]) == ("request", 500, "ERROR")
    assert request["code"] == "InternalError"


class Unwritable(Answer):
    """An answer that fails after the view and the middleware are through."""

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:
        raise RuntimeError(CANARY, binary_types)


def test_the_last_resort_catches_what_chalice_lets_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = send(gate(lambda: Unwritable("", {}, 200)))
    assert is_refusal(answer, 500, "InternalError")
    assert CANARY not in str(answer)
    bug, request = log_of(capsys)
    assert (bug["event"], bug["exception"]) == ("unhandled", "RuntimeError")
    assert request["status"] == 500


@pytest.mark.parametrize(
    "value", [{"a": 1}, "text", None, Response(CANARY), Response(CANARY, {}, 418)]
)
def test_a_value_that_is_not_an_answer_is_not_sent(value: object) -> None:
    answer = send(gate(lambda: value))
    assert is_refusal(answer, 500, "InternalError")
    assert CANARY not in str(answer)


def test_a_header_with_a_line_break_is_not_sent() -> None:
    answer = send(gate(lambda: json_answer({}, headers={"X": f"a\nSet-Cookie: {CANARY}"})))
    assert is_refusal(answer, 500, "InternalError")
    assert CANARY not in str(answer)


# --- events that API Gateway never made ---


@pytest.mark.parametrize(
    "event",
    [
        *(None, [], "x", 7, {}, {"key1": "value1", "key2": "value2"}, {"requestContext": None}),
        *({"requestContext": []}, {"requestContext": {}}),
        *({"requestContext": {"resourcePath": None}}, {"requestContext": {"resourcePath": 1}}),
        {"requestContext": {"resourcePath": ["/view"]}},
        {"version": "2.0", "rawPath": "/view", "requestContext": {"http": {"method": "GET"}}},
        {"Records": [{"eventSource": "aws:sqs"}]},
    ],
    ids=str,
)
def test_an_event_that_api_gateway_never_made_is_an_invalid_request(
    event: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for context in (None, Context(), object()):
        assert is_refusal(gate(ok)(event, context), 400, "InvalidRequest")
    assert all(line["status"] == 400 for line in log_of(capsys))


@pytest.mark.parametrize("method", [None, 1, [], {}, ["GET"]], ids=repr)
def test_an_event_without_a_method_is_a_wrong_method(method: object) -> None:
    context = {"resourcePath": "/view", "httpMethod": method}
    assert is_refusal(gate(ok)({"requestContext": context}, None), 405, "MethodNotAllowed")


# --- a faulty environment ---


def test_a_faulty_environment_refuses_every_request(capsys: pytest.CaptureFixture[str]) -> None:
    app = gate(raising(AssertionError("the view ran")), "WX_APPIDS is missing.")
    answers = [send(app), send(app, "POST"), send(app, "PUT")]
    assert all(is_refusal(answer, 500, "Misconfigured") for answer in answers)
    assert not any("WX_APPIDS" in str(answer) for answer in answers)
    lines = log_of(capsys)
    assert [(line["event"], line["reason"]) for line in lines] == [("request", "environment")] * 3


# --- the log line ---


def test_a_request_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    app = gate(ok)
    event = event_of("GET", f"/view?q={CANARY}", [("X-Y", CANARY)], CANARY, app.routes)
    app(event, Context())
    (line,) = log_of(capsys)
    assert line.pop("ms") >= 0
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "event": "request",
        "request_id": event["requestContext"]["requestId"],
        "route": "/view",
        "method": "GET",
        "status": 200,
    }


def test_a_refusal_leaves_its_code_and_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    send(gate(raising(Misconfigured(errcode=40013, rid=None, reason="appid"))))
    (line,) = log_of(capsys)
    assert (line["code"], line["errcode"], line["reason"]) == ("Misconfigured", 40013, "appid")
    assert line["level"] == "ERROR"
    assert "rid" not in line


@pytest.mark.parametrize(
    ("error", "level"), [(Misconfigured(), "ERROR"), (DecryptFailed(), "INFO")]
)
def test_only_what_an_operator_must_fix_is_an_error(
    error: GateError, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    send(gate(raising(error)))
    assert log_of(capsys)[0]["level"] == level


@pytest.mark.parametrize("status", [501, 502, 503, 504])
def test_another_status_of_the_upstream_is_no_error_of_ours(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    send(gate(lambda: json_answer({}, status=status)))
    assert log_of(capsys)[0]["level"] == "INFO"


def test_a_line_says_in_tenths_of_milliseconds_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([100.0, 100.01234])
    app = Gate("wxgate", monotonic=lambda: next(times))
    app.route("/view")(ok)
    send(app)
    assert log_of(capsys)[0]["ms"] == 12.3


def test_only_an_error_is_counted_and_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "wxgate-prod-Login")
    for target in ("/nowhere", "/view"):
        send(gate(ok), "GET", target)
    refused, served = log_of(capsys)
    assert (refused["Refusals"], refused["FunctionName"]) == (1, "wxgate-prod-Login")
    assert refused["Code"] == refused["code"] == "NotFound"
    assert not {"_aws", "Refusals", "Code"} & served.keys()


def test_a_line_shows_no_exception_but_the_requests_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        raising(RuntimeError(CANARY))()
    except RuntimeError:
        send(gate(ok))
    assert "exception" not in log_of(capsys)[0]


def test_a_view_can_add_to_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    def view() -> Answer:
        app.request.log_fields["user"] = "abc"
        return ok()

    app = gate(view)
    send(app)
    assert log_of(capsys)[0]["user"] == "abc"


def test_evidence_by_any_name_breaks_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        *("level", "event", "fields", "exc_info", "status", "method", "route", "request_id", "ms"),
    )
    error = Misconfigured()
    error.evidence = dict.fromkeys(names, "strange")
    answer = send(gate(raising(error)))
    assert is_refusal(answer, 500, "Misconfigured")
    (line,) = log_of(capsys)
    assert (line["status"], line["method"], line["route"]) == (500, "GET", "/view")


@pytest.mark.parametrize("odd", ["GET\n{}", "x" * 1000, "G ET", ""])
def test_what_a_client_made_up_is_not_in_the_line(
    odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = gate(ok)
    send(app, odd)
    send(app, "GET", f"/{odd}")
    first, second = log_of(capsys)
    assert first["method"] is None
    assert second["route"] is None


@pytest.mark.parametrize(("method", "logged"), [("PROPFIND", "PROPFIND"), ("VERSIONED", None)])
def test_a_method_of_eight_letters_is_in_the_line_and_a_longer_one_is_not(
    method: str, logged: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    send(gate(ok), method)
    assert log_of(capsys)[0]["method"] == logged


@pytest.mark.parametrize("view", [ok, raising(DecryptFailed()), raising(RuntimeError())])
def test_a_failing_output_breaks_no_request(view: Callable[[], object]) -> None:
    app, closed = gate(view), io.StringIO()
    expected = send(app)["statusCode"]
    closed.close()
    with redirect_stdout(closed):
        assert send(app)["statusCode"] == expected


# --- threads ---


def test_threads_do_not_mix_their_requests() -> None:
    """Two requests meet inside the view; each must still be its own before and after."""
    barrier = threading.Barrier(2, timeout=5)
    answers: dict[str, dict[str, Any]] = {}

    def view() -> Answer:
        before = app.request.values("x-user")
        barrier.wait()
        return json_answer([before, app.request.values("x-user"), app.request.id])

    app = gate(view)

    def serve(user: str) -> None:
        answers[user] = send(app, "GET", "/view", ("X-User", user))

    threads = [threading.Thread(target=serve, args=(user,)) for user in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for user, answer in answers.items():
        assert json.loads(answer["body"]) == [[user], [user], answer["headers"]["X-Request-Id"]]
    assert len(answers) == 2


def test_no_request_is_left_behind() -> None:
    app = gate(ok)
    send(app, "GET", "/view", ("Authorization", CANARY))
    assert app.current_request is None
    with pytest.raises(LookupError):
        _ = app.request
