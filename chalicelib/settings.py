"""The environment: one table of variables, read once into one frozen value.

The README's table and the checks of a deployment's parameters derive from VARIABLES; nothing above
the ground floor is imported here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from chalicelib import rules

MIN_TTL, MAX_TTL = 300, 2_592_000
"""Seconds that a token may live: five minutes to thirty days."""

FUNCTIONS = ("login", "proxy", "decrypt", "events", "deliver")
"""The Lambda functions, as WXGATE_FUNCTION names them."""

SIGNERS = ("proxy", "decrypt", "deliver")
"""Those that sign assertions, whose audience is the upstream."""

STORES = ("login", "proxy", "decrypt", "events")
"""Those that use sessions, of the mini-programs that are served."""


class BadEnvironment(ValueError):
    """One sentence per variable that is missing or malformed; values are not quoted."""


@dataclass(frozen=True)
class Settings:
    """The environment as values. Times in seconds; header patterns in lower case."""

    appids: tuple[str, ...]
    sessions_table: str
    secret_prefix: str
    upstream_url: str
    upstream_allow_private: bool
    upstream_timeout: float
    public_paths: tuple[str, ...]
    token_ttl: int
    decrypt_max_age: int
    wechat_api_url: str
    forward_request_headers: tuple[str, ...]
    forward_answer_headers: tuple[str, ...]
    trusted_hops: int
    events_path: str
    events_queue_url: str
    log_level: str
    region: str | None


class Variable(NamedTuple):
    """One row. `default` None: empty unless set, and required by these `functions`."""

    default: str | None
    rule: Callable[[str], Any]
    meaning: str
    functions: tuple[str, ...] = ()


VARIABLES = {
    "WX_APPIDS": Variable(None, rules.appids, "the mini-programs served", STORES),
    "SESSIONS_TABLE": Variable(None, rules.table_name, "the DynamoDB table", STORES),
    "SECRET_PREFIX": Variable(None, rules.secret_prefix, "before names of secrets", FUNCTIONS),
    "UPSTREAM_URL": Variable(None, rules.url, "scheme, host, base path", SIGNERS),
    "UPSTREAM_ALLOW_PRIVATE": Variable("false", rules.boolean, "permit http, private addresses"),
    "UPSTREAM_TIMEOUT": Variable("20", rules.number(0.1, 29), "seconds of one exchange"),
    "PUBLIC_PATHS": Variable("", rules.globs, "globs below /api/ that need no login"),
    "TOKEN_TTL": Variable("604800", rules.integer(MIN_TTL, MAX_TTL), "seconds a token lives"),
    "DECRYPT_MAX_AGE": Variable("300", rules.integer(1, 2**40), "seconds a watermark may be old"),
    "WECHAT_API_URL": Variable("https://api.weixin.qq.com", rules.url, "WeChat's server API"),
    "FORWARD_REQUEST_HEADERS": Variable("", rules.headers, "more headers to the upstream"),
    "FORWARD_ANSWER_HEADERS": Variable("", rules.headers, "more headers to the client"),
    "TRUSTED_HOPS": Variable("0", rules.integer(0, 5, "a number"), "proxies before API Gateway"),
    "EVENTS_PATH": Variable(None, rules.path, "where events go, below UPSTREAM_URL"),
    "EVENTS_QUEUE_URL": Variable(None, rules.url, "the SQS queue of events"),
    "LOG_LEVEL": Variable("INFO", rules.level, "least severe level that is logged"),
    "AWS_REGION": Variable("", str, "the AWS SDK's own"),
    "AWS_DEFAULT_REGION": Variable("", str, "the AWS SDK's own"),
    # The SDK would reject these late, after a code has been spent.
    "AWS_ENDPOINT_URL": Variable(None, rules.url, "the AWS SDK's own"),
    "AWS_ENDPOINT_URL_DYNAMODB": Variable(None, rules.url, "the AWS SDK's own"),
    "AWS_ENDPOINT_URL_SECRETS_MANAGER": Variable(None, rules.url, "the AWS SDK's own"),
    "AWS_ENDPOINT_URL_SQS": Variable(None, rules.url, "the AWS SDK's own"),
}
"""Every variable that the gate reads."""


def check(name: str, text: str) -> str | None:
    """Give the sentence that says what is wrong with the text of one variable, or None."""
    try:
        _value(name, text)
    except ValueError as error:
        return f"{name} is malformed: {error}."
    return None


def _value(name: str, text: str) -> Any:
    filled = text.strip() or VARIABLES[name].default
    return "" if filled is None else VARIABLES[name].rule(filled)


def _is_required(name: str, function: str | None) -> bool:
    functions = VARIABLES[name].functions
    return function in functions if function in FUNCTIONS else bool(functions)


def read(environ: Mapping[str, str], function: str | None = None) -> Settings:
    """Read the environment of one Lambda function, or of all of them.

    Raises:
        BadEnvironment: naming every variable at fault.
    """
    faults: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name in VARIABLES:
        text = environ.get(name, "")
        if not text.strip() and _is_required(name, function):
            faults[name] = f"{name} is missing."
        elif fault := check(name, text):
            faults[name] = fault
        else:
            values[name.removeprefix("WX_").lower()] = _value(name, text)
    if values.get("upstream_url") and not values.get("upstream_allow_private"):
        try:
            rules.public_https_url(values["upstream_url"])
        except ValueError as error:
            faults["UPSTREAM_URL"] = f"UPSTREAM_URL is malformed: {error}."
    if values.get("events_path") and values.get("events_queue_url") == "":
        faults["EVENTS_QUEUE_URL"] = "EVENTS_QUEUE_URL is missing."
    if faults:
        raise BadEnvironment(" ".join(faults.values()))
    # A region is invented only for an engine that needs none.
    invented = "us-east-1" if values["aws_endpoint_url"] else None
    values["region"] = values["aws_region"] or values["aws_default_region"] or invented
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})
