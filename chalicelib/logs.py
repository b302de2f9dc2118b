"""One JSON line per request on standard output, counts for CloudWatch, and quiet libraries."""

import json
import logging
import sys
import time
import traceback
from typing import Any, TextIO

NAME = "wxgate"
_logger = logging.getLogger(NAME)
# At DEBUG these write whole requests: URLs with the appsecret, items, plain secrets. urllib3 logs
# URLs at WARNING too.
_TALKATIVE = ("boto3", "botocore", "pynamodb", "requests", "s3transfer", "urllib3")

Fields = dict[str, Any]
# A metric that counts one, and its dimensions besides FunctionName.
Count = tuple[str, dict[str, str]]
_encoded = json.JSONEncoder(default=lambda value: type(value).__name__).encode


class JsonFormatter(logging.Formatter):
    """A record as one line of ASCII JSON, so that no value can forge a line.

    Of an exception it shows the type and the places, never the text, which may hold a secret.
    A record's `count` becomes a CloudWatch metric of the Lambda function, if it runs in one.
    """

    def __init__(self, function_name: str | None = None) -> None:
        super().__init__()
        self._function_name = function_name

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, event, and the record's `fields`."""
        line: Fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        count: Count | None = getattr(record, "count", None)
        if count and self._function_name:
            line |= _metric(*count, self._function_name, record.created)
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])[-4:]
            places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
            line |= {"exception": record.exc_info[0].__name__, "at": places}
        return _encoded(line)


def _metric(name: str, more: dict[str, str], function: str, created: float) -> Fields:
    """Give the members that CloudWatch Logs reads off a line (AWS, embedded metric format)."""
    dimensions = {"FunctionName": function, **more}
    metrics = [{"Name": name, "Unit": "Count"}]
    declared = {"Namespace": NAME, "Dimensions": [list(dimensions)], "Metrics": metrics}
    embedded = {"Timestamp": int(created * 1000), "CloudWatchMetrics": [declared]}
    return {"_aws": embedded, **dimensions, name: 1}


class _Output(logging.StreamHandler[TextIO]):
    """Writes to standard output as it is now, and never lets a failing log break a request."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        return


def configure(level: str, function_name: str | None = None) -> None:
    """Set up the gate's logger and silence the libraries' own; `function_name` is Lambda's."""
    output = _Output()
    output.setFormatter(JsonFormatter(function_name))
    _logger.handlers = [output]
    _logger.propagate = False  # Lambda's runtime has a root handler: it would write each line twice
    _logger.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def write(
    level: int, event: str, fields: Fields, *, count: Count | None = None, exc_info: bool = False
) -> None:
    """Write one line; `fields` hold no secret and nothing that a client made up."""
    if _logger.isEnabledFor(level):  # not log(): it looks for the caller, which no line shows
        info, extra = sys.exc_info() if exc_info else None, {"fields": fields, "count": count}
        _logger.handle(_logger.makeRecord(NAME, level, "", 0, event, (), info, extra=extra))


def alert(what: str, **facts: str) -> None:
    """Alert the operator to a problem that does not fail requests; facts hold no secret."""
    write(logging.WARNING, "alert", {"alert": what, **facts}, count=("Alerts", {}))
