"""In-memory doubles that tests hand over by argument."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.deadlines import Deadline
from chalicelib.network.connections import Connections, Origin, Reply
from chalicelib.network.exchange_errors import TransportError

NOW = 1_900_000_000


@dataclass
class Clock:
    """A clock that stands still until a test moves it (epoch seconds)."""

    now: float = float(NOW)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Alerts:
    """Takes alerts in place of Services.alert; `told` lists (what, facts)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []

    def __call__(self, what: str, **facts: str) -> None:
        self.told.append((what, facts))


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "refused"}}, "GetSecretValue")


class SecretsManager:
    """Secrets Manager in memory, in place of boto3's client.

    `put` and `promote` move the labels as the service does. While `failure` is set, every call
    raises it; those for one stage raise what `failing` says. `calls` lists (name, stage).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stages: dict[str, dict[str, dict[str, object]]] = {}
        self.failure: Exception | None = None
        self.failing: dict[str, Exception] = {}
        self.calls: list[tuple[str, str]] = []

    def put(self, name: str, value: object, stage: str = "AWSCURRENT") -> None:
        made = datetime.fromtimestamp(self._clock(), UTC)
        kind = "SecretBinary" if isinstance(value, bytes) else "SecretString"
        held = value if isinstance(value, bytes | str) else json.dumps(value)
        version: dict[str, object] = {"Name": name, "CreatedDate": made, kind: held}
        self._stages.setdefault(name, {})["AWSPENDING"] = version
        if stage == "AWSCURRENT":
            self.promote(name)

    def promote(self, name: str) -> None:
        stages = self._stages[name]
        if "AWSCURRENT" in stages:
            stages["AWSPREVIOUS"] = stages["AWSCURRENT"]
        stages["AWSCURRENT"] = stages.pop("AWSPENDING")

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, object]:
        self.calls.append((SecretId, VersionStage))
        if failure := self.failure or self.failing.get(VersionStage):
            raise failure
        if (version := self._stages.get(SecretId, {}).get(VersionStage)) is not None:
            return version
        raise client_error("ResourceNotFoundException")

    def count(self, stage: str = "AWSCURRENT") -> int:
        return sum(asked == stage for _, asked in self.calls)


def told_by(error: BaseException) -> str:
    behind = filter(None, (error.__cause__, error.__context__))
    return "\n".join([str(error), repr(error), repr(vars(error)), *map(told_by, behind)])


@dataclass(frozen=True)
class Exchanged:
    """What the connections were given."""

    origin: Origin
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float
    max_bytes: int
    retry_on: tuple[type[TransportError], ...] = ()


class Wire(Connections):
    """Connections without a network: records what it is given, and replies or fails as scripted.

    The last outcome repeats. A failure in `retry_on` takes the next outcome at once.
    """

    def __init__(self, *outcomes: Reply | TransportError) -> None:
        super().__init__(allow_private=False, connect_timeout=1.0)
        self._outcomes = list(outcomes) or [Reply(200, [], b"")]
        self.exchanged: list[Exchanged] = []

    def exchange(self, origin: Any, message: Any, deadline: Deadline, **options: Any) -> Reply:
        exchanged = Exchanged(origin, *message, **{"seconds": deadline.remaining(), **options})
        self.exchanged.append(exchanged)
        for again in (exchanged.retry_on, ()):
            outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
            if not isinstance(outcome, again):
                break
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome
