"""The environment: one table of variables, read once into one frozen value.

The README's table and the checks of a deployment's parameters derive from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from chalicelib import rules
from chalicelib.rules import Rule

MIN_TTL, MAX_TTL = 300, 2_592_000  # seconds that a token may live: five minutes to thirty days

FUNCTIONS = ("login", "proxy", "decrypt", "events", "deliver")  # as WXGATE_FUNCTION names them
SIGNERS = ("proxy", "decrypt", "deliver")  # of assertions, whose audience is the upstream
STORES = ("login", "proxy", "decrypt", "events")  # use sessions, of the mini-programs served
_SDK = "the AWS SDK's own"

_T = TypeVar("_T")


class BadEnvironment(ValueError):
    """One sentence per variable that is missing or malformed; values are not quoted."""


class Variable(NamedTuple):
    """One row. `default` None: empty unless set, and required by these `functions`."""

    rule: Rule[Any]
    default: str | None
    meaning: str
    functions: tuple[str, ...]


def _row(rule: Rule[_T], default: str | None, meaning: str, functions: tuple[str, ...] = ()) -> _T:
    declared: _T = field(metadata={"variable": Variable(rule, default, meaning, functions)})
    return declared


@dataclass(frozen=True)
class Settings:
    """Every variable that the gate reads. Times in seconds; header patterns in lower case."""

    wx_appids: tuple[str, ...] = _row(rules.appids, None, "the mini-programs served", STORES)
    sessions_table: str = _row(rules.table_name, None, "the DynamoDB table", STORES)
    secret_prefix: str = _row(rules.secret_prefix, None, "before names of secrets", FUNCTIONS)
    upstream_allow_private: bool = _row(rules.boolean, "false", "permit http, private addresses")
    upstream_url: str = _row(rules.url, None, "scheme, host, base path", SIGNERS)
    upstream_timeout: float = _row(rules.number(float, 0.1, 29, "seconds"), "20", "of an exchange")
    public_paths: tuple[str, ...] = _row(rules.globs, "", "globs below /api/ that need no login")
    token_ttl: int = _row(rules.number(int, MIN_TTL, MAX_TTL), "604800", "seconds a token lives")
    decrypt_max_age: int = _row(rules.number(int, 1, 2**40), "300", "seconds of a watermark")
    wechat_api_url: str = _row(rules.url, "https://api.weixin.qq.com", "WeChat's server API")
    forward_request_headers: tuple[str, ...] = _row(rules.headers, "", "more headers upstream")
    forward_answer_headers: tuple[str, ...] = _row(rules.headers, "", "more headers to the client")
    trusted_hops: int = _row(rules.number(int, 0, 5, "a number"), "0", "proxies before API Gateway")
    events_path: str = _row(rules.path, None, "where events go, below UPSTREAM_URL")
    events_queue_url: str = _row(rules.url, None, "the SQS queue of events")
    log_level: str = _row(rules.level, "INFO", "least severe level that is logged")
    aws_region: str = _row(str, "", _SDK)
    aws_default_region: str = _row(str, "", _SDK)
    # The SDK would reject these late, after a code has been spent.
    aws_endpoint_url: str = _row(rules.url, None, _SDK)
    aws_endpoint_url_dynamodb: str = _row(rules.url, None, _SDK)
    aws_endpoint_url_secrets_manager: str = _row(rules.url, None, _SDK)
    aws_endpoint_url_sqs: str = _row(rules.url, None, _SDK)

    @property
    def region(self) -> str | None:
        """The AWS region; one is invented only for an engine that needs none."""
        invented = "us-east-1" if self.aws_endpoint_url else None
        return self.aws_region or self.aws_default_region or invented


VARIABLES: dict[str, Variable] = {f.name.upper(): f.metadata["variable"] for f in fields(Settings)}


def read(environ: Mapping[str, str], function: str | None = None) -> Settings:
    """Read the environment of one Lambda function, or of all; BadEnvironment names every fault."""
    served = {function} if function in FUNCTIONS else {*FUNCTIONS}
    faults: list[str] = []
    values: dict[str, Any] = {}
    for name, (rule, default, _, functions) in VARIABLES.items():
        text = environ.get(name, "").strip() or default
        if text is None and served.intersection(functions):
            faults.append(f"{name} is missing.")
            continue
        strict = name == "UPSTREAM_URL" and not values.get("upstream_allow_private")
        try:
            checked = rules.public_https_url if strict else rule
            values[name.lower()] = "" if text is None else checked(text)
        except ValueError as error:
            faults.append(f"{name} is malformed: {error}.")
    if values.get("events_path") and values.get("events_queue_url") == "":
        faults.append("EVENTS_QUEUE_URL is missing.")
    if faults:
        raise BadEnvironment(" ".join(faults))
    return Settings(**values)
