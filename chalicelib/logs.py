"""One JSON line per request on standard output, and silence from libraries that know secrets."""

import json
import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Any, TextIO

NAME = "wxgate"

# At DEBUG these write whole requests: URLs with the appsecret, items, secrets in clear; urllib3
# writes URLs at WARNING too.
_TALKATIVE = ("boto3", "botocore", "pynamodb", "requests", "s3transfer", "urllib3")


class JsonFormatter(logging.Formatter):
    """A record as one line of ASCII JSON, so no value can forge a line.

    Of an exception it shows the type and the places, never the text, which may hold a secret.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, event, and what the record carries as `fields`."""
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "event": record.getMessage(),
        }
        fields.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__
            fields["at"] = _places(record.exc_info[2])
        return json.dumps(fields, default=lambda value: type(value).__name__)


def _places(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-4:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]


class _Output(logging.StreamHandler[TextIO]):
    """Writes to standard output as it is now, and never lets a failing log break a request."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        return


def configure(level: str) -> logging.Logger:
    """Set up the gate's logger, once; hold the libraries' loggers to errors."""
    logger = logging.getLogger(NAME)
    if not any(isinstance(handler, _Output) for handler in logger.handlers):
        logger.handlers = [_Output()]
    # Lambda's runtime has a root handler of its own: it would write each line twice.
    logger.propagate = False
    logger.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return logger
