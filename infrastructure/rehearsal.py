"""The stack without AWS: the package's functions as processes, wired as the template says.

AWS, WeChat and the upstream are the desk's. What differs from the cloud is the machine.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infrastructure import template
from infrastructure.intrinsics import environment
from infrastructure.parts import Template
from simulator import aws, gateway, upstream
from simulator.parts import DEFAULT_APP, LOOPBACK
from simulator.runtime_api import Function
from simulator.wechat import WeChat, appsecret_of, push_secret_of
from simulator.wechat import serve as serve_wechat

STACK = "wxgate-rehearsal"

# The desk's engine takes any, but the SDK signs with some.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}

_FUNCTION = re.compile(r"functions/\$\{(\w+)Alias\}")


@dataclass(frozen=True)
class Surroundings:
    """What the functions call, by address, and the table that they share."""

    aws_url: str
    wechat_url: str
    upstream_url: str
    table: str
    queue: str = ""


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Start the desk's AWS, WeChat and upstream; make the table and the secrets of a stack."""
    for name, value in _CREDENTIALS.items():
        os.environ.setdefault(name, value)
    with ExitStack() as stack:
        engine = aws.start(LOOPBACK, 0)
        stack.callback(engine.close)
        wechat = serve_wechat(WeChat({DEFAULT_APP: appsecret_of(DEFAULT_APP)}), LOOPBACK, 0)
        stack.callback(wechat.close)
        echo = upstream.start(LOOPBACK, 0)
        stack.callback(echo.close)
        table = f"{STACK}-SessionsTable"
        with closing(aws.client("dynamodb", engine.url)) as dynamodb:
            aws.make_table(dynamodb, table)
        with closing(aws.client("secretsmanager", engine.url)) as manager:
            pushes = {DEFAULT_APP: push_secret_of(DEFAULT_APP)}
            appsecrets = {DEFAULT_APP: appsecret_of(DEFAULT_APP)}
            aws.make_secrets(manager, f"{STACK}/", appsecrets, pushes)
        with closing(aws.client("sqs", engine.url)) as sqs:
            queue = aws.make_queue(sqs, f"{STACK}-EventQueue")
        yield Surroundings(engine.url, wechat.url, echo.url, table, queue)


def parameters(around: Surroundings) -> dict[str, str]:
    """Give values for the parameters without a default, and for what the stack would create."""
    return {
        "AWS::StackName": STACK,
        "AppIds": DEFAULT_APP,
        "SessionsTable": around.table,
        "EventsPath": "/wxgate/events",
        "EventQueue": around.queue,
        "UpstreamUrl": around.upstream_url,
        "UpstreamAllowPrivate": "true",
        "WeChatApiUrl": around.wechat_url,
    }


def routes(sam: Template) -> dict[str, str]:
    """Give the function of each path, as the template wires it.

    Raises:
        ValueError: if a path's methods lead to several functions, or to none.
    """
    paths = sam["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    wired = {}
    for path, methods in paths.items():
        found = set(_FUNCTION.findall(json.dumps(methods)))
        (wired[path],) = found
    return wired


class Rehearsal:
    """The function processes behind API Gateway's event shape."""

    def __init__(self, sam: Template, package: Path, client: Path, around: Surroundings) -> None:
        self._routes = routes(sam)
        self.functions = {
            name: start(sam, name, package, client, around) for name in template.functions(sam)
        }

    def send(
        self, method: str, target: str, headers: gateway.Headers, body: bytes | str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request to the function of its path; give status, headers and body.

        Raises:
            simulator.runtime_api.FunctionError: if the function fails.
        """
        event = gateway.event_of(method, target, headers, body, self._routes)
        function = self.functions[self._routes[event["resource"]]]
        status, answered, data = gateway.answer_of(function.invoke(event))
        return status, dict(answered), data

    def close(self) -> None:
        """End the functions."""
        for function in self.functions.values():
            function.close()


def start(sam: Template, name: str, package: Path, client: Path, around: Surroundings) -> Function:
    """Start one function of the template with its own environment alone."""
    properties = template.functions(sam)[name]["Properties"]
    return Function(
        f"{STACK}-{name.lower()}",
        properties["Handler"],
        package,
        client,
        # Where the desk's AWS is; the SDK's own variable, and the one that no template sets.
        {**environment(sam, name, parameters(around)), "AWS_ENDPOINT_URL": around.aws_url},
        seconds=float(properties["Timeout"]),
    )
