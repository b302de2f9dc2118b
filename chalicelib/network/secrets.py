"""Secrets Manager: cached for minutes, stale while it is down, read again if WeChat doubts it.

No value, and no error that may carry one, reaches a log line.
"""

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import strict_json
from chalicelib.deadlines import Clock
from chalicelib.errors import Misconfigured, SecretsUnavailable
from chalicelib.network.aws_errors import translated

# Seconds
CACHE_SECONDS = 300.0  # that a value is used without asking again
STALE_IF_ERROR = 3600.0  # that it is used while Secrets Manager does not answer (as in RFC 5861)
REFRESH_INTERVAL = 30.0  # between two reads that a refused value causes: each costs money
COOL_DOWN = 10.0  # after a failure, in which a stale value is used without asking

_T = TypeVar("_T")


@dataclass(frozen=True, repr=False)
class Version:
    """One version of a secret: its name, its JSON members, the epoch second of its creation."""

    name: str
    fields: dict[str, Any]
    created_at: float

    def text(self, member: str) -> str:
        """Give one text member, or raise Misconfigured, which names the member, not its value."""
        value = self.fields.get(member)
        if not isinstance(value, str) or not value:
            raise Misconfigured(reason=f"{member} is missing or malformed", secret=self.name)
        return value


Parse = Callable[[Version], _T]  # makes a value of a version, or raises Misconfigured


class Secrets:
    """Reads secrets and caches what they are parsed to; safe to share among threads.

    `client` is boto3's; `alert` tells the operator that a stale value is used. What is malformed is
    not cached, so a repaired secret works at once. Misconfigured is raised if a secret is missing,
    forbidden or malformed, SecretsUnavailable if the service fails and no value is young enough.
    """

    def __init__(self, client: Any, clock: Clock, alert: Callable[..., None]) -> None:
        self._client, self._clock, self._alert = client, clock, alert
        self._cache: dict[str, tuple[Any, float]] = {}
        self._candidates: dict[str, tuple[list[Any], float]] = {}
        self._failed_at = -math.inf
        self._lock = threading.Lock()

    def current(self, name: str, parse: Parse[_T]) -> _T:
        """Give the current version, at most CACHE_SECONDS old while the service answers."""
        return self._cached(name, lambda: self._fetch(name, parse))

    def stages(
        self, name: str, parse: Parse[_T], max_age: float = CACHE_SECONDS
    ) -> tuple[_T | None, _T, _T | None]:
        """Give AWSPENDING, AWSCURRENT and AWSPREVIOUS, read in this order and cached together.

        Of the outer two, what is missing, forbidden or malformed is None. They are at most
        `max_age` seconds old while the service answers.
        """

        def read() -> tuple[_T | None, _T, _T | None]:
            pending = self._usable(name, parse, "AWSPENDING")
            return pending, self._fetch(name, parse), self._usable(name, parse, "AWSPREVIOUS")

        return self._cached(name, read, max_age)

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
            candidates, read_at = self._candidates.get(name, ([], -math.inf))
            if not 0 <= now - read_at < REFRESH_INTERVAL:
                candidates = [self._fetch(name, parse)]
                if candidates == [refused]:
                    candidates.append(self._usable(name, parse, "AWSPREVIOUS"))
                self._candidates[name] = candidates, now
            found: _T | None = next((c for c in candidates if c not in (None, refused)), None)
            self._cache[name] = refused if found is None else found, now
            return found

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
                self._failed_at = self._clock()
                if not stale:
                    raise
                self._alert("StaleSecret", secret=name, reason=error.evidence["reason"])
                return value
            self._cache[name] = value, now
            return value

    def _usable(self, name: str, parse: Parse[_T], stage: str) -> _T | None:
        with suppress(Misconfigured):
            return self._fetch(name, parse, stage)
        return None

    def _fetch(self, name: str, parse: Parse[_T], stage: str = "AWSCURRENT") -> _T:
        try:
            answer = self._client.get_secret_value(SecretId=name, VersionStage=stage)
        except (BotoCoreError, ClientError) as error:
            raise translated(error, SecretsUnavailable, secret=name) from error
        if "Name" not in answer:  # to botocore an answer that breaks off is an empty one
            raise SecretsUnavailable(reason="answer is incomplete", secret=name)
        try:
            # A lone surrogate is for the parser to refuse: the codec's error quotes the text.
            fields = strict_json.load_object(answer["SecretString"].encode(errors="surrogatepass"))
        except (strict_json.NotStrictJson, KeyError):
            raise Misconfigured(reason="secret is not a JSON object", secret=name) from None
        created = answer.get("CreatedDate")
        return parse(Version(name, fields, created.timestamp() if created else 0.0))
