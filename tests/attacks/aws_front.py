"""A door before the embedded AWS: it counts each operation, and makes one fail where told so."""

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.attacks.loopback import Loopback, Received, answer

READS = ("GetItem", "BatchGetItem", "Query")
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")

TEXT = "canary-aws-text: arn:aws:iam::123456789012:role/x is not authorized"
"""What AWS says to a refusal; it names accounts, roles and tables."""


@dataclass(frozen=True)
class Operation:
    """One call of the SDK: `DynamoDB` or `secretsmanager`, the operation, its parameters."""

    service: str
    name: str
    parameters: dict[str, Any]


Forward = Callable[[], bytes]
"""Does the operation and gives the engine's answer, whole."""

Fault = Callable[[socket.socket, Operation, Forward], None]
"""Answers in place of the engine."""


def refusing(code: str, *, status: int = 400, **fields: object) -> Fault:
    """Fault: the operation is refused with an AWS error code, and not done."""
    body = json.dumps(
        {"__type": f"aws#{code}", "message": TEXT, "Message": TEXT, **fields}
    ).encode()

    def fault(connection: socket.socket, _operation: Operation, _forward: Forward) -> None:
        connection.sendall(answer(status, [("Content-Type", "application/x-amz-json-1.0")], body))

    return fault


def answering(fields: dict[str, object]) -> Fault:
    """Fault: another answer than the engine's."""
    body = json.dumps(fields).encode()

    def fault(connection: socket.socket, _operation: Operation, _forward: Forward) -> None:
        connection.sendall(answer(200, [("Content-Type", "application/x-amz-json-1.0")], body))

    return fault


def never_answering(connection: socket.socket, _operation: Operation, _forward: Forward) -> None:
    """Fault: the operation is not done, and no answer comes."""
    with contextlib.suppress(OSError):
        connection.recv(1)


def done_but_unanswered(connection: socket.socket, _operation: Operation, forward: Forward) -> None:
    """Fault: the operation is done, and its answer is lost."""
    forward()
    with contextlib.suppress(OSError):
        connection.recv(1)


def dead(connection: socket.socket, _operation: Operation, _forward: Forward) -> None:
    """Fault: the connection dies under the request, which is not done."""
    connection.close()


def breaking_off(connection: socket.socket, _operation: Operation, _forward: Forward) -> None:
    """Fault: the operation is not done, and what begins as an answer breaks off."""
    connection.sendall(answer(200, [("Content-Length", "100")], b'{"Item": {'))
    connection.shutdown(socket.SHUT_RDWR)


def dripping(connection: socket.socket, _operation: Operation, forward: Forward) -> None:
    """Fault: the operation is done, and its answer comes byte by byte."""
    connection.settimeout(0.2)
    for byte in forward():
        connection.sendall(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            connection.recv(1)


class AwsFront:
    """Stands before an engine; `operations` holds every call in the order of arrival."""

    def __init__(self, engine_url: str) -> None:
        self._engine = urlsplit(engine_url).netloc
        self._faults: dict[str, tuple[Fault, int]] = {}
        self.operations: list[Operation] = []
        self._server = Loopback(self._serve)
        self.url = self._server.url
        self.port = self._server.port

    def close(self) -> None:
        """End it."""
        self._server.close()

    @contextlib.contextmanager
    def failing(self, name: str, fault: Fault, times: int = 1_000_000) -> Iterator[None]:
        """Let the next operations of a name fail, `times` of them."""
        self._faults[name] = (fault, times)
        try:
            yield
        finally:
            self._faults.pop(name, None)

    def _serve(self, connection: socket.socket, received: Received) -> None:
        service, _, name = received.values("x-amz-target")[0].partition(".")
        operation = Operation(service.partition("_")[0], name, json.loads(received.body))
        self.operations.append(operation)
        self._server.received.clear()
        fault, times = self._faults.get(name, (None, 0))
        if fault is None or times == 0:
            connection.sendall(self._forward(received))
            return
        self._faults[name] = (fault, times - 1)
        fault(connection, operation, lambda: self._forward(received))

    def _forward(self, received: Received) -> bytes:
        engine = http.client.HTTPConnection(self._engine, timeout=10)
        try:
            engine.request("POST", received.target, received.body, dict(received.headers))
            reply = engine.getresponse()
            body = reply.read()
            kept = ("content-type", "x-amzn-requestid")
            headers = [(k, v) for k, v in reply.getheaders() if k.lower() in kept]
            return answer(reply.status, headers, body)
        finally:
            engine.close()
