"""The log: JSON lines that nothing can forge, metrics, and silent libraries."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest

from chalicelib import logs

TALKATIVE = ["boto3", "botocore", "pynamodb", "requests", "s3transfer", "urllib3"]
SECRET = "appsecret-canary"


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Put the loggers' levels back."""
    loggers = [logging.getLogger(name) for name in [logs.NAME, *TALKATIVE]]
    before = [logger.level for logger in loggers]
    logs.configure("INFO")
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


class Ear(logging.Handler):
    """A handler on the root logger at DEBUG, as a debugging operator would hang one there."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record)


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear, root = Ear(), logging.getLogger()
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    yield ear
    root.setLevel(level)
    root.removeHandler(ear)


def lines(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    (found,) = lines(capsys.readouterr().out)
    return found


# --- lines ---


def test_a_line_has_time_level_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.write(logging.INFO, "request", {"status": 200, "route": "/login"})
    found = line(capsys)
    assert str(found.pop("time")).endswith("Z")
    assert found == {"level": "INFO", "event": "request", "status": 200, "route": "/login"}


def test_the_time_is_utc_to_the_second() -> None:
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": 1_900_000_000.9})
    assert json.loads(logs.JsonFormatter().format(record))["time"] == "2030-03-17T17:46:40Z"


FORGED = {
    "line feed": "a\nb",
    "both ends of a line": "a\r\n{}",
    "line separator": "\u2028",
    "terminal": "\x1b[2J",
    "nul": "\0",
    "Chinese": "昵称😀",
    "end of JSON": '"}',
    "half a pair": "\ud800",
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED)
def test_no_value_can_forge_a_line(capsys: pytest.CaptureFixture[str], text: str) -> None:
    event = text.encode(errors="replace").decode()  # xdist cannot report a message with half a pair
    logs.write(logging.INFO, event, {"value": text})
    output = capsys.readouterr().out
    assert output.isascii()
    assert output.count("\n") == 1
    assert [(found["event"], found["value"]) for found in lines(output)] == [(event, text)]


def test_a_value_that_json_cannot_express_shows_its_type_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = {"value": SECRET.encode(), "error": ValueError(SECRET)}
    logs.write(logging.INFO, "x", fields)
    found = line(capsys)
    assert (found["value"], found["error"]) == ("bytes", "ValueError")


def deep(calls: int) -> None:
    """Fail below so many calls of itself."""
    if calls == 0:
        raise ValueError(SECRET)
    deep(calls - 1)


def test_an_exception_shows_its_type_and_last_four_places_but_never_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        deep(9)
    except ValueError:
        logs.write(logging.ERROR, "x", {}, exc_info=True)
    output = capsys.readouterr().out
    (found,) = lines(output)
    raised, called = deep.__code__.co_firstlineno + 3, deep.__code__.co_firstlineno + 4
    assert found["exception"] == "ValueError"
    assert found["at"] == [f"test_logs.py:{n}" for n in (called, called, called, raised)]
    assert SECRET not in output


# --- levels ---


@pytest.mark.parametrize(
    ("level", "seen"), [("DEBUG", 4), ("INFO", 3), ("ERROR", 2), ("CRITICAL", 1)]
)
def test_the_level_is_configured(capsys: pytest.CaptureFixture[str], level: str, seen: int) -> None:
    logs.configure(level)
    for severity in (logging.DEBUG, logging.INFO, logging.ERROR, logging.CRITICAL):
        logs.write(severity, "x", {})
    assert len(lines(capsys.readouterr().out)) == seen


# --- a failing output ---


class Broken(io.StringIO):
    """A standard output whose reader has gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("output", [Broken(), None])
def test_a_failing_output_raises_nothing(
    output: io.StringIO | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with redirect_stdout(output):
        logs.write(logging.ERROR, "lost", {})
    assert capsys.readouterr().err == ""
    logs.write(logging.INFO, "after", {})
    assert line(capsys)["event"] == "after"


def test_a_line_that_cannot_be_written_as_json_raises_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    circle: list[object] = []
    circle.append(circle)
    logs.write(logging.INFO, "x", {"circle": circle})
    assert capsys.readouterr() == ("", "")


# --- the libraries ---


def test_neither_lambdas_root_handler_nor_a_library_writes_a_line_beside_ours(
    ear: Ear, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("DEBUG")
    for name in TALKATIVE:
        for child in ("", ".connectionpool", ".retryhandler.deep"):
            logging.getLogger(name + child).error(SECRET)
    logging.getLogger("other").debug("theirs")
    logs.write(logging.DEBUG, "ours", {})
    assert [record.msg for record in ear.heard] == ["theirs"]
    assert line(capsys)["event"] == "ours"


# --- metrics ---


def test_an_alert_is_a_warning_that_cloudwatch_counts(capsys: pytest.CaptureFixture[str]) -> None:
    logs.alert("StaleSecret")
    assert not {"_aws", "Alerts", "FunctionName"} & line(capsys).keys()  # outside Lambda
    logs.configure("INFO", "wxgate-prod-Login")
    logs.alert("StaleSecret", secret="wxgate/signing")
    found = line(capsys)
    shown = {"level": "WARNING", "event": "alert", "alert": "StaleSecret", "Alerts": 1}
    assert shown.items() <= found.items()
    assert (found["secret"], found["FunctionName"]) == ("wxgate/signing", "wxgate-prod-Login")


def test_every_declared_dimension_and_metric_is_a_member_of_the_line() -> None:
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": 1_900_000_000.25})
    record.count = ("Refusals", {"Code": "InvalidCode"})
    found = json.loads(logs.JsonFormatter("Login").format(record))
    assert found["_aws"]["Timestamp"] == 1_900_000_000_250
    assert found["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "wxgate",
            "Dimensions": [["FunctionName", "Code"]],
            "Metrics": [{"Name": "Refusals", "Unit": "Count"}],
        }
    ]
    assert (found["FunctionName"], found["Code"], found["Refusals"]) == ("Login", "InvalidCode", 1)
