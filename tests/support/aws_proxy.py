"""A proxy before the embedded AWS: it counts each operation, and makes one fail on demand."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3

from tests.support.loopback import Act, Loopback, Peer, Request, kept, whole

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


def acting(
    *, done: bool = False, answered: bool = False, ending: Act = Peer.read_to_the_end
) -> Fault:
    """Let the operation be done or not, answered or not, and something happen after it."""

    def fault(peer: Peer, _operation: Operation, forward: Forward) -> None:
        answer = forward() if done else b""
        peer.send(answer if answered else b"")
        ending(peer)

    return fault


never_answering = acting()
done_but_unanswered = acting(done=True)
done_but_cut = acting(done=True, ending=Peer.cut)
answering_then_closing = acting(done=True, answered=True, ending=Peer.cut)  # as during a freeze
dead = acting(ending=Peer.cut)
let_through = acting(done=True, answered=True, ending=kept)


def sending(data: bytes, ending: Act = kept) -> Fault:
    """Fault: the operation is not done, and these bytes are the answer."""

    def fault(peer: Peer, _operation: Operation, _forward: Forward) -> None:
        peer.send(data)
        ending(peer)

    return fault


# Half of an answer, and the page of a proxy in between, with success.
breaking_off = sending(whole(b'{"Item": {', headers=[("Content-Length", "100")]), Peer.end)
page = sending(whole(b"<html>busy</html>", headers=[("Content-Type", "text/html")]))


def answering(body: object, *, status: int = 200) -> Fault:
    """Fault: the operation is not done, and this JSON is the answer."""
    return sending(whole(json.dumps(body).encode(), status=status, headers=JSON))


def refusing(code: str, *, status: int = 400, **fields: object) -> Fault:
    """Fault: the operation is refused with an AWS error code, and not done."""
    said = {"__type": f"aws#{code}", "message": TEXT, "Message": TEXT}
    return answering({**said, **fields}, status=status)


def cancelling(*codes: str) -> Fault:
    """Fault: a transaction is cancelled, with one reason per item."""
    reasons = [{"Code": code, "Message": code} for code in codes]
    return refusing("TransactionCanceledException", CancellationReasons=reasons)


def replaying() -> Fault:
    """No fault: the engine answers once, and every later operation gets the same answer."""
    recorded: list[bytes] = []

    def fault(peer: Peer, _operation: Operation, forward: Forward) -> None:
        recorded.append(recorded[0] if recorded else forward())
        peer.send(recorded[0])

    return fault


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
        self._engine = urllib3.connection_from_url(engine_url, maxsize=32)
        self._failing: dict[str, tuple[Fault, int]] = {}
        super().__init__(self._exchange)

    def close(self) -> None:
        super().close()
        self._engine.close()

    def then(self, *faults: Fault) -> None:
        self.faults.extend(faults)

    def taken(self) -> list[str]:
        """The names of the operations since the last look."""
        names = [done.name for done in self.operations]
        self.operations.clear()
        return names

    @contextmanager
    def failing(self, name: str, fault: Fault, times: int = 1_000_000) -> Iterator[None]:
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
        sent = dict(request.headers)
        reply = self._engine.urlopen("POST", request.target, request.body, sent, retries=False)
        passed = ("content-type", "x-amzn-requestid", "x-amz-crc32")
        headers = [(k, v) for k, v in reply.headers.items() if k.lower() in passed]
        return whole(reply.data, status=reply.status, headers=headers)
