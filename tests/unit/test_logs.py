"""The log: JSON lines that nothing can forge, metrics, and silent libraries."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest

from chalicelib import logs

Line = Callable[[], Any]
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


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    """The one line that was written since the last look."""
    return lambda: json.loads(capsys.readouterr().out)


def test_a_line_has_time_level_event_and_fields(line: Line) -> None:
    logs.write(logging.INFO, "request", {"status": 200, "route": "/login"})
    found = line()
    assert str(found.pop("time")).endswith("Z")
    assert found == {"level": "INFO", "event": "request", "status": 200, "route": "/login"}


def test_the_time_is_utc_to_the_second() -> None:
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": 1_900_000_000.9})
    assert json.loads(logs.JsonFormatter().format(record))["time"] == "2030-03-17T17:46:40Z"


def test_no_value_can_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("a\nb", "a\r\n{}", "\u2028", "\x1b[2J", "\0", "昵称😀", '"}', "\ud800"):
        event = text.encode(errors="replace").decode()
        logs.write(logging.INFO, event, {"value": text})
        output = capsys.readouterr().out
        assert output.isascii()
        assert output.count("\n") == 1
        assert json.loads(output).items() >= {"event": event, "value": text}.items()


def test_a_value_that_json_cannot_express_shows_its_type_only(line: Line) -> None:
    logs.write(logging.INFO, "x", {"value": SECRET.encode(), "error": ValueError(SECRET)})
    assert line().items() >= {"value": "bytes", "error": "ValueError"}.items()


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
        logs.write(logging.INFO, "x", {})
    output = capsys.readouterr().out
    found, without = map(json.loads, output.splitlines())
    assert "exception" not in without
    raised, called = deep.__code__.co_firstlineno + 3, deep.__code__.co_firstlineno + 4
    assert found["exception"] == "ValueError"
    assert found["at"] == [f"test_logs.py:{n}" for n in (called, called, called, raised)]
    assert SECRET not in output


@pytest.mark.parametrize(
    ("level", "seen"), [("DEBUG", 4), ("INFO", 3), ("ERROR", 2), ("CRITICAL", 1)]
)
def test_the_level_is_configured(capsys: pytest.CaptureFixture[str], level: str, seen: int) -> None:
    logs.configure(level)
    for severity in (logging.DEBUG, logging.INFO, logging.ERROR, logging.CRITICAL):
        logs.write(severity, "x", {})
    assert capsys.readouterr().out.count("\n") == seen


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
    assert json.loads(capsys.readouterr().out)["event"] == "after"


def test_a_line_that_cannot_be_written_as_json_raises_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    circle: list[object] = []
    circle.append(circle)
    logs.write(logging.INFO, "x", {"circle": circle})
    assert capsys.readouterr() == ("", "")


def test_neither_lambdas_root_handler_nor_a_library_writes_a_line_beside_ours(
    caplog: pytest.LogCaptureFixture, line: Line
) -> None:
    caplog.set_level(logging.DEBUG)  # on the root, as a debugging operator would
    logs.configure("DEBUG")
    for name in TALKATIVE:
        for child in ("", ".connectionpool", ".retryhandler.deep"):
            logging.getLogger(name + child).error(SECRET)
    logging.getLogger("other").debug("theirs")
    logs.write(logging.DEBUG, "ours", {})
    assert caplog.messages == ["theirs"]
    assert line()["event"] == "ours"


def test_an_alert_is_a_warning_that_cloudwatch_counts(line: Line) -> None:
    logs.alert("StaleSecret")
    assert not {"_aws", "Alerts", "FunctionName"} & line().keys()  # outside Lambda
    logs.configure("INFO", "wxgate-prod-Login")
    logs.alert("StaleSecret", secret="wxgate/signing")
    found = line()
    shown = {"level": "WARNING", "event": "alert", "alert": "StaleSecret", "Alerts": 1}
    assert shown.items() <= found.items()
    assert (found["secret"], found["FunctionName"]) == ("wxgate/signing", "wxgate-prod-Login")


def test_every_declared_dimension_and_metric_is_a_member_of_the_line() -> None:
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": 1_900_000_000.25})
    record.count = ("Refusals", {"Code": "InvalidCode"})
    found = json.loads(logs.JsonFormatter("Login").format(record))
    dimensions, metrics = [["FunctionName", "Code"]], [{"Name": "Refusals", "Unit": "Count"}]
    declared = {"Namespace": "wxgate", "Dimensions": dimensions, "Metrics": metrics}
    assert found["_aws"] == {"Timestamp": 1_900_000_000_250, "CloudWatchMetrics": [declared]}
    assert (found["FunctionName"], found["Code"], found["Refusals"]) == ("Login", "InvalidCode", 1)
