"""A proxy before the embedded AWS: it counts each operation, and makes one fail on demand."""

import http.client
import json
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.loopback import Loopback, Peer, Request, whole

READS = ("GetItem", "BatchGetItem", "Query")
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")

TEXT = "canary-aws-text: arn:aws:iam::123456789012:role/x is not authorized"
"""The message of every refusal; AWS's own name accounts, roles and tables."""

JSON = [("Content-Type", "application/x-amz-json-1.0")]


@dataclass(frozen=True)
class Operation:
    """One call of the SDK: `DynamoDB` or `secretsmanager`, the operation, its parameters."""

    service: str
    name: str
    parameters: dict[str, Any]


Forward = Callable[[], bytes]
"""Does the operation; returns the engine's complete answer."""

Fault = Callable[[Peer, Operation, Forward], None]
"""Answers in place of the engine."""


def answering(body: object, *, status: int = 200) -> Fault:
    """Fault: the operation is not done, and this JSON is the answer."""
    data = whole(json.dumps(body).encode(), status=status, headers=JSON)
    return lambda peer, _operation, _forward: peer.send(data)


def refusing(code: str, *, status: int = 400, **fields: object) -> Fault:
    """Fault: the operation is refused with an AWS error code, and not done."""
    return answering(
        {"__type": f"aws#{code}", "message": TEXT, "Message": TEXT, **fields}, status=status
    )


def cancelling(*codes: str) -> Fault:
    """Fault: a transaction is cancelled, with one reason per item."""
    reasons = [{"Code": code, "Message": code} for code in codes]
    return refusing("TransactionCanceledException", CancellationReasons=reasons)


def let_through(peer: Peer, _operation: Operation, forward: Forward) -> None:
    """No fault: the engine's answer."""
    peer.send(forward())


def never_answering(peer: Peer, _operation: Operation, _forward: Forward) -> None:
    """Fault: the operation is not done, and no answer comes."""
    peer.read_to_the_end()


def done_but_unanswered(peer: Peer, _operation: Operation, forward: Forward) -> None:
    """Fault: the operation is done, and its answer is lost."""
    forward()
    peer.read_to_the_end()


def done_but_cut(peer: Peer, _operation: Operation, forward: Forward) -> None:
    """Fault: the operation is done, and the connection ends before its answer."""
    forward()
    peer.sock.close()


def answering_then_closing(peer: Peer, _operation: Operation, forward: Forward) -> None:
    """Fault after the answer: the connection ends unannounced, as during a freeze."""
    peer.send(forward())
    peer.sock.close()


def dead(peer: Peer, _operation: Operation, _forward: Forward) -> None:
    """Fault: the connection ends under the request, which is not done."""
    peer.sock.close()


def breaking_off(peer: Peer, _operation: Operation, _forward: Forward) -> None:
    """Fault: the operation is not done, and what begins as an answer breaks off."""
    peer.send(whole(b'{"Item": {', headers=[("Content-Length", "100")]))
    peer.sock.shutdown(socket.SHUT_RDWR)


def replaying() -> Fault:
    """No fault: the engine answers once, and every later operation gets the same answer."""
    recorded: list[bytes] = []

    def fault(peer: Peer, _operation: Operation, forward: Forward) -> None:
        if not recorded:
            recorded.append(forward())
        peer.send(recorded[0])

    return fault


def page(peer: Peer, _operation: Operation, _forward: Forward) -> None:
    """Fault: a proxy in between answers, with success and a page."""
    peer.send(whole(b"<html>busy</html>", headers=[("Content-Type", "text/html")]))


def after(happens: Callable[[], object]) -> Fault:
    """No fault: something happens just before the engine gets the request."""

    def fault(peer: Peer, _operation: Operation, forward: Forward) -> None:
        happens()
        peer.send(forward())

    return fault


class AwsProxy(Loopback):
    """Stands before an engine; `operations` holds every call in the order of arrival."""

    def __init__(self, engine_url: str) -> None:
        self.operations: list[Operation] = []
        self.faults: deque[Fault] = deque()
        self._engine = urlsplit(engine_url).netloc
        self._failing: dict[str, tuple[Fault, int]] = {}
        super().__init__(self._exchange)

    def then(self, *faults: Fault) -> None:
        """Let the next operations, whatever their name, meet these faults."""
        self.faults.extend(faults)

    def taken(self) -> list[str]:
        """The names of the operations since the last look."""
        names = [done.name for done in self.operations]
        self.operations.clear()
        return names

    @contextmanager
    def failing(self, name: str, fault: Fault, times: int = 1_000_000) -> Iterator[None]:
        """Let the next operations of a name fail, `times` of them."""
        self._failing[name] = (fault, times)
        try:
            yield
        finally:
            self._failing.pop(name, None)

    def _exchange(self, peer: Peer) -> None:
        request = peer.read_request()
        peer.received.clear()
        self.requests.clear()
        service, _, name = request.values("x-amz-target")[0].partition(".")
        operation = Operation(service.partition("_")[0], name, json.loads(request.body))
        self.operations.append(operation)
        self._fault(name)(peer, operation, lambda: self._forward(request))

    def _fault(self, name: str) -> Fault:
        if self.faults:
            return self.faults.popleft()
        fault, times = self._failing.get(name, (let_through, 0))
        if times == 0:
            return let_through
        self._failing[name] = (fault, times - 1)
        return fault

    def _forward(self, request: Request) -> bytes:
        with closing(http.client.HTTPConnection(self._engine, timeout=10)) as engine:
            engine.request("POST", request.target, request.body, dict(request.headers))
            reply = engine.getresponse()
            kept = ("content-type", "x-amzn-requestid", "x-amz-crc32")
            headers = [(k, v) for k, v in reply.getheaders() if k.lower() in kept]
            return whole(reply.read(), status=reply.status, headers=headers)
