"""Secrets Manager: the appsecrets and the signing key, kept for minutes, fetched afresh on doubt.

Secrets: `<prefix>app/<appid>` = `{"appsecret": "…"}`, `<prefix>signing` = `{"kid",
"private_key"}` (PEM, P-256). No value, and no error that may carry one, reaches a log line.
"""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import strict_json
from chalicelib.errors import Misconfigured, SecretsUnavailable
from chalicelib.network.aws_errors import OPERATOR_FAULTS

KEEP = 300.0
"""Seconds that a value is used without asking again."""

STALE = 3600.0
"""Seconds that a value is used while Secrets Manager does not answer: stale beats down."""

REREAD = 30.0
"""Seconds between two fresh reads of one secret: a wrong secret must not become a bill."""

PAUSE = 10.0
"""Seconds that a service in trouble is spared: no second try, no new one where a value is kept."""

_OPERATORS_FAULTS = OPERATOR_FAULTS | {
    "DecryptionFailure",
    "InvalidParameterException",
    "InvalidRequestException",
}
# The last six: the SDK stumbles over an answer of another shape (CreatedDate a text, say).
_FAILURES = (
    *(BotoCoreError, ClientError),
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
)

_NO_OBJECT = "secret is not a JSON object"
_APPSECRET = re.compile(r"[!-~]{1,128}")


class SecretsClient(Protocol):
    """What we use of botocore's Secrets Manager client."""

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> Any:  # noqa: N803 - AWS's names
        """Give `{"SecretString", "CreatedDate", …}` of one version."""


@dataclass(frozen=True)
class Version:
    """One version of a secret: its JSON members and the epoch second of its making."""

    fields: dict[str, Any]
    created_at: float

    def __repr__(self) -> str:
        return "Version(…)"


@dataclass
class _Kept:
    """A version, when it was read, when it was last asked for, and how long that is enough."""

    version: Version
    read_at: float
    asked_at: float
    enough: float = KEEP


class Secrets:
    """Reads secrets and keeps them in this container; safe to share among threads.

    `alert` tells the operator that a stale value is used.
    """

    def __init__(
        self,
        client: Callable[[], SecretsClient],
        clock: Callable[[], float],
        alert: Callable[..., None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._alert = alert
        self._kept: dict[str, _Kept] = {}
        self._fresh: dict[str, tuple[list[Version], float]] = {}
        self._retried_at: float | None = None
        self._lock = threading.Lock()

    def current(self, name: str) -> Version:
        """Give the current version, at most KEEP seconds old where the service answers.

        Raises:
            Misconfigured: if the secret is missing, forbidden or no JSON object.
            SecretsUnavailable: if the service does not answer and no value is younger than STALE.
        """
        with self._lock:
            now = self._clock()
            kept = self._kept.get(name)
            if kept and 0 <= now - kept.asked_at < kept.enough:
                return kept.version
            try:
                return self._keep(name, self._fetch(name, "AWSCURRENT"), now)
            except SecretsUnavailable as error:
                if kept is None or now - kept.read_at >= STALE:
                    raise
                self._alert("StaleSecret", secret=name, reason=error.evidence["reason"])
                kept.asked_at, kept.enough = now, min(PAUSE, kept.read_at + STALE - now)
                return kept.version

    def instead(self, name: str, is_refused: Callable[[Version], bool]) -> Version | None:
        """Keep, and give, a version other than a refused one; None where there is none.

        First what the service now calls current, then what it called so before the last
        rotation. What it said is used for REREAD seconds before it is asked again.

        Raises:
            Misconfigured, SecretsUnavailable: as `current`, but without a fallback; then the
                next refusal asks again.
        """
        with self._lock:
            now = self._clock()
            fresh = self._fresh.get(name)
            if fresh is None or not 0 <= now - fresh[1] < REREAD:
                fresh = self._fresh[name] = self._reread(name, is_refused), now
            found = next((each for each in fresh[0] if not is_refused(each)), None)
            return found and self._keep(name, found, now)

    def previous(self, name: str) -> Version | None:
        """Give the version before the last rotation (AWSPREVIOUS), None where there is none.

        Raises:
            Misconfigured, SecretsUnavailable: if the service does not tell.
        """
        try:
            return self._fetch(name, "AWSPREVIOUS")
        except Misconfigured as error:
            if error.evidence["reason"] in ("ResourceNotFoundException", _NO_OBJECT):
                return None
            raise

    def forget(self, name: str) -> None:
        """Read a secret anew when it is next asked for: a repaired one works at once."""
        with self._lock:
            self._kept.pop(name, None)

    def _keep(self, name: str, version: Version, now: float) -> Version:
        self._kept[name] = _Kept(version, read_at=now, asked_at=now)
        return version

    def _reread(self, name: str, is_refused: Callable[[Version], bool]) -> list[Version]:
        current = self._fetch(name, "AWSCURRENT")
        if not is_refused(current):
            return [current]
        previous = self.previous(name)
        # A previous version that never was a usable secret is none to try.
        with suppress(Misconfigured):
            if previous is not None and not is_refused(previous):
                return [current, previous]
        return [current]

    def _fetch(self, name: str, stage: str) -> Version:
        answer = self._ask(name, stage)
        try:
            # Half a surrogate pair is for the parser to refuse: the codec's error quotes the text.
            document = answer["SecretString"].encode(errors="surrogatepass")
            fields = strict_json.load_object(document)
        except (strict_json.NotStrictJson, KeyError, AttributeError):
            raise Misconfigured(reason=_NO_OBJECT, secret=name) from None
        created = answer.get("CreatedDate")
        return Version(fields, created.timestamp() if created else 0.0)

    def _ask(self, name: str, stage: str) -> Any:
        try:
            return self._try(name, stage)
        except SecretsUnavailable:
            # A request may need several secrets: it waits in vain for two tries, not for all.
            now = self._clock()
            if self._retried_at is not None and 0 <= now - self._retried_at < PAUSE:
                raise
            self._retried_at = now
            return self._try(name, stage)

    def _try(self, name: str, stage: str) -> Any:
        try:
            return self._client().get_secret_value(SecretId=name, VersionStage=stage)
        except _FAILURES as error:
            reason = _reason(error)
            fault = Misconfigured if reason in _OPERATORS_FAULTS else SecretsUnavailable
            raise fault(reason=reason, secret=name) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return type(error).__name__


def text(version: Version, member: str, name: str) -> str:
    """Give one text member of a secret.

    Raises:
        Misconfigured: if it is missing, empty or no text; the member is named, never its value.
    """
    value = version.fields.get(member)
    if not isinstance(value, str) or not value:
        raise Misconfigured(reason=f"{member} is missing or malformed", secret=name)
    return value


class AppSecrets:
    """The appsecret of each mini-program."""

    def __init__(self, secrets: Secrets, prefix: str) -> None:
        self._secrets = secrets
        self._prefix = prefix

    def _name(self, appid: str) -> str:
        return f"{self._prefix}app/{appid}"

    def _appsecret(self, appid: str, version: Version) -> str:
        # A secret may say whose it is; then it must be right: never a call with a mixed pair.
        if version.fields.get("appid", appid) != appid:
            raise Misconfigured(reason="appid differs", secret=self._name(appid))
        appsecret = text(version, "appsecret", self._name(appid))
        if not _APPSECRET.fullmatch(appsecret):
            raise Misconfigured(reason="appsecret is malformed", secret=self._name(appid))
        return appsecret

    def current(self, appid: str) -> str:
        """Give the appsecret in use.

        Raises:
            Misconfigured, SecretsUnavailable: as Secrets.current.
        """
        name = self._name(appid)
        try:
            return self._appsecret(appid, self._secrets.current(name))
        except Misconfigured:
            self._secrets.forget(name)
            raise

    def after_refusal(self, appid: str, refused: str) -> str | None:
        """Give another appsecret after WeChat refused one (errcode 40125), or None.

        WeChat and Secrets Manager never change in the same instant, so it may be a newer one or
        the one before.

        Raises:
            Misconfigured, SecretsUnavailable: as Secrets.instead.
        """
        kept = self.current(appid)
        if kept != refused:  # another thread has found it meanwhile
            return kept
        name = self._name(appid)

        def is_refused(version: Version) -> bool:
            return self._appsecret(appid, version) == refused

        try:
            found = self._secrets.instead(name, is_refused)
        except Misconfigured:
            self._secrets.forget(name)
            raise
        return self._appsecret(appid, found) if found else None
