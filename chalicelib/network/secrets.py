"""Secrets Manager: cached for minutes, stale while it is down, read again if WeChat doubts it.

No value, and no error that may carry one, reaches a log line.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from chalicelib import strict_json
from chalicelib.errors import Misconfigured, SecretsUnavailable
from chalicelib.network.aws_errors import OPERATOR_FAULTS, reason

CACHE_SECONDS = 300.0
"""Seconds that a value is used without asking again."""

STALE_IF_ERROR = 3600.0
"""Seconds that a value is used while Secrets Manager does not answer (as in RFC 5861)."""

REFRESH_INTERVAL = 30.0
"""Seconds between two reads that a refused secret causes: each read costs money."""

COOL_DOWN = 10.0
"""Seconds after a failure in which a stale value is used at once, without asking."""

_T = TypeVar("_T")


@dataclass(frozen=True, repr=False)
class Version:
    """One version of a secret: its name, its JSON members, the epoch second of its creation."""

    name: str
    fields: dict[str, Any]
    created_at: float

    def text(self, member: str) -> str:
        """Give one text member.

        Raises:
            Misconfigured: if it is missing, empty or no text; the member is named, never its value.
        """
        value = self.fields.get(member)
        if not isinstance(value, str) or not value:
            raise Misconfigured(reason=f"{member} is missing or malformed", secret=self.name)
        return value


Parse = Callable[[Version], _T]
"""Makes a value of a version; raises Misconfigured if that is malformed."""


class Secrets:
    """Reads secrets and caches what they are parsed to; safe to share among threads.

    `client` is boto3's; `alert` tells the operator that a stale value is used. What is malformed is
    not cached, so a repaired secret works at once. Misconfigured is raised if a secret is missing,
    forbidden or malformed, SecretsUnavailable if the service fails and no value is young enough.
    """

    def __init__(self, client: Any, clock: Callable[[], float], alert: Callable[..., None]) -> None:
        self._client = client
        self._clock = clock
        self._alert = alert
        self._cache: dict[str, tuple[Any, float]] = {}
        self._candidates: dict[str, tuple[list[Any], float]] = {}
        self._failed_at = -math.inf
        self._lock = threading.Lock()

    def current(self, name: str, parse: Parse[_T]) -> _T:
        """Give the current version, at most CACHE_SECONDS old while the service answers."""
        return self._cached(name, lambda: parse(self._fetch(name, "AWSCURRENT")))

    def stages(
        self, name: str, parse: Parse[_T], max_age: float = CACHE_SECONDS
    ) -> tuple[_T | None, _T, _T | None]:
        """Give AWSPENDING, AWSCURRENT and AWSPREVIOUS, read in this order and cached together.

        Of the outer two, what is missing, forbidden or malformed is None. `max_age` is how many
        seconds old they may be while the service answers.
        """
        return self._cached(
            name,
            lambda: (
                self._usable(name, "AWSPENDING", parse),
                parse(self._fetch(name, "AWSCURRENT")),
                self._usable(name, "AWSPREVIOUS", parse),
            ),
            max_age,
        )

    def alternative_to(self, name: str, refused: _T, parse: Parse[_T]) -> _T | None:
        """Give, and cache, a value other than a refused one; None if there is none.

        It is the version that is current by now, or else the one before the last rotation. The
        service is asked once in REFRESH_INTERVAL; no stale value is used if it fails.
        """
        with self._lock:
            now = self._clock()
            cached: tuple[_T, float] = self._cache.pop(name, (refused, now))
            if cached[0] != refused:  # another thread has found it
                self._cache[name] = cached
                return cached[0]
            values, read_at = self._candidates.get(name, ([], -math.inf))
            if not 0 <= now - read_at < REFRESH_INTERVAL:
                values = self._read_again(name, refused, parse)
                self._candidates[name] = values, now
            found: _T | None = next((value for value in values if value != refused), None)
            self._cache[name] = refused if found is None else found, now
            return found

    def _read_again(self, name: str, refused: _T, parse: Parse[_T]) -> list[_T]:
        current = parse(self._fetch(name, "AWSCURRENT"))
        previous = self._usable(name, "AWSPREVIOUS", parse) if current == refused else None
        return [current] if previous is None else [current, previous]

    def _cached(self, name: str, read: Callable[[], _T], max_age: float = CACHE_SECONDS) -> _T:
        with self._lock:
            now = self._clock()
            value: _T
            value, read_at = self._cache.get(name, (None, -math.inf))
            stale = now - read_at < STALE_IF_ERROR
            cooling = stale and 0 <= now - self._failed_at < COOL_DOWN
            # A clock that was set back makes no value young.
            if cooling or 0 <= now - read_at < max_age:
                return value
            try:
                value = read()
            except SecretsUnavailable as error:
                if not stale:
                    raise
                self._alert("StaleSecret", secret=name, reason=error.evidence["reason"])
                return value
            self._cache[name] = value, now
            return value

    def _usable(self, name: str, stage: str, parse: Parse[_T]) -> _T | None:
        try:
            return parse(self._fetch(name, stage))
        except Misconfigured:
            return None

    def _fetch(self, name: str, stage: str) -> Version:
        try:
            answer = self._client.get_secret_value(SecretId=name, VersionStage=stage)
            if answer.keys().isdisjoint(("SecretString", "SecretBinary")):
                # To botocore an answer that breaks off is an empty one.
                raise IncompleteReadError(actual_bytes=0, expected_bytes=1)
        except (BotoCoreError, ClientError) as error:
            if reason(error) in OPERATOR_FAULTS:
                raise Misconfigured(reason=reason(error), secret=name) from error
            self._failed_at = self._clock()
            raise SecretsUnavailable(reason=reason(error), secret=name) from error
        try:
            # A lone surrogate is for the parser to refuse: the codec's error quotes the text.
            document = answer["SecretString"].encode(errors="surrogatepass")
            fields = strict_json.load_object(document)
        except (strict_json.NotStrictJson, KeyError):
            raise Misconfigured(reason="secret is not a JSON object", secret=name) from None
        created = answer.get("CreatedDate")
        return Version(name, fields, created.timestamp() if created else 0.0)
