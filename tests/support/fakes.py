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
        """Move on, or back."""
        self.now += seconds


class Alerts:
    """Takes alerts in place of Services.alert; `told` lists (what, facts)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []

    def __call__(self, what: str, **facts: str) -> None:
        self.told.append((what, facts))


def client_error(code: str) -> ClientError:
    """What botocore raises for an error answer of AWS."""
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
        """Store a new version: a text as it is, bytes as SecretBinary, all else as JSON."""
        made = datetime.fromtimestamp(self._clock(), UTC)
        version: dict[str, object] = {"Name": name, "CreatedDate": made}
        if isinstance(value, bytes):
            version["SecretBinary"] = value
        else:
            version["SecretString"] = value if isinstance(value, str) else json.dumps(value)
        self._stages.setdefault(name, {})["AWSPENDING"] = version
        if stage == "AWSCURRENT":
            self.promote(name)

    def promote(self, name: str) -> None:
        """Make the pending version AWSCURRENT, and the current one AWSPREVIOUS."""
        stages = self._stages[name]
        if "AWSCURRENT" in stages:
            stages["AWSPREVIOUS"] = stages["AWSCURRENT"]
        stages["AWSCURRENT"] = stages.pop("AWSPENDING")

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, object]:
        """Give one version as the service does."""
        self.calls.append((SecretId, VersionStage))
        failure = self.failure or self.failing.get(VersionStage)
        if failure is not None:
            raise failure
        version = self._stages.get(SecretId, {}).get(VersionStage)
        if version is None:
            raise client_error("ResourceNotFoundException")
        return version

    def count(self, stage: str = "AWSCURRENT") -> int:
        """How many calls asked for a stage."""
        return sum(asked == stage for _, asked in self.calls)


def told_by(error: BaseException) -> str:
    """All that an error, and those behind it, could print."""
    texts: list[str] = []
    behind: list[BaseException | None] = [error]
    while behind:
        found = behind.pop()
        if found is not None:
            texts += [str(found), repr(found), repr(vars(found))]
            behind += [found.__cause__, found.__context__]
    return "\n".join(texts)


# --- the network ---------------------------------------------------------------------------------


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

    def exchange(self, *given: Any, deadline: Deadline, **options: Any) -> Reply:
        """Give the next outcome."""
        exchanged = Exchanged(*given, **{"seconds": deadline.remaining(), **options})
        self.exchanged.append(exchanged)
        outcome = self._next()
        if isinstance(outcome, exchanged.retry_on):
            outcome = self._next()
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    def _next(self) -> Reply | TransportError:
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
