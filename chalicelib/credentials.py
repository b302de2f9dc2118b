"""Secrets Manager: the appsecrets and the signing key, kept for minutes, fetched afresh on doubt.

Secrets: `<prefix>app/<appid>` = `{"appsecret": "…"}`, `<prefix>signing` = `{"kid",
"private_key"}` (PEM, P-256). No value, and no error that may carry one, reaches a log line.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import strict_json
from chalicelib.errors import AWS_OPERATORS_FAULTS, Misconfigured, SecretsUnavailable

KEEP = 300.0
"""Seconds that a value is used without asking again."""

STALE = 3600.0
"""Seconds that a value is used while Secrets Manager does not answer: stale beats down."""

REREAD = 30.0
"""Seconds between two fresh reads of one secret: a wrong secret must not become a bill."""

TRIES = 2

_OPERATORS_FAULTS = AWS_OPERATORS_FAULTS | {
    "DecryptionFailure",
    "InvalidParameterException",
    "InvalidRequestException",
}


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
    version: Version
    read_at: float


class Secrets:
    """Reads secrets and keeps them in this container; safe to share among threads."""

    def __init__(self, client: Callable[[], SecretsClient], clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._reread_at: dict[str, float] = {}
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
            if kept and 0 <= now - kept.read_at < KEEP:
                return kept.version
            try:
                return self._read(name, now)
            except SecretsUnavailable:
                if kept and KEEP <= now - kept.read_at < STALE:
                    return kept.version
                raise

    def afresh(self, name: str) -> Version | None:
        """Read the current version anew, or give None if that was done REREAD seconds ago.

        Raises:
            Misconfigured, SecretsUnavailable: as `current`, but without a fallback.
        """
        with self._lock:
            now = self._clock()
            if 0 <= now - self._reread_at.get(name, float("-inf")) < REREAD:
                return None
            self._reread_at[name] = now
            return self._read(name, now)

    def previous(self, name: str) -> Version | None:
        """Give the version before the last rotation (AWSPREVIOUS), None where there is none."""
        try:
            return self._fetch(name, "AWSPREVIOUS")
        except (Misconfigured, SecretsUnavailable):
            return None

    def prefer(self, name: str, version: Version) -> None:
        """Use a version that was seen to work in place of the current one, for KEEP seconds."""
        with self._lock:
            self._kept[name] = _Kept(version, self._clock())

    def forget(self, name: str) -> None:
        """Read a secret anew when it is next asked for: a repaired one works at once."""
        with self._lock:
            self._kept.pop(name, None)

    def _read(self, name: str, now: float) -> Version:
        version = self._fetch(name, "AWSCURRENT")
        self._kept[name] = _Kept(version, now)
        return version

    def _fetch(self, name: str, stage: str) -> Version:
        answer = self._ask(name, stage)
        try:
            # Half a surrogate pair is for the parser to refuse: the codec's error quotes the text.
            document = answer["SecretString"].encode(errors="surrogatepass")
            fields = strict_json.load_object(document)
        except (strict_json.NotStrictJson, KeyError, AttributeError):
            raise Misconfigured(reason="secret is not a JSON object", secret=name) from None
        created = answer.get("CreatedDate")
        return Version(fields, created.timestamp() if created else 0.0)

    def _ask(self, name: str, stage: str) -> Any:
        for _ in range(TRIES):
            try:
                return self._client().get_secret_value(SecretId=name, VersionStage=stage)
            except (BotoCoreError, ClientError) as error:
                reason = _reason(error)
                if reason in _OPERATORS_FAULTS:
                    raise Misconfigured(reason=reason, secret=name) from error
        raise SecretsUnavailable(reason=reason, secret=name)


def _reason(error: BotoCoreError | ClientError) -> str:
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
        if not (appsecret.isascii() and appsecret.isprintable()) or len(appsecret) > 128:
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

        First what Secrets Manager now calls current, then what it called so before the last
        rotation: WeChat and Secrets Manager never change in the same instant.

        Raises:
            Misconfigured, SecretsUnavailable: as Secrets.afresh.
        """
        name = self._name(appid)
        kept = self._appsecret(appid, self._secrets.current(name))
        if kept != refused:  # another thread has found it meanwhile
            return kept
        fresh = self._secrets.afresh(name)
        if fresh is None:
            return None
        appsecret = self._appsecret(appid, fresh)
        if appsecret != refused:
            return appsecret
        previous = self._secrets.previous(name)
        if previous is None:
            return None
        # A previous version that never was an appsecret is none to try.
        with suppress(Misconfigured):
            older = self._appsecret(appid, previous)
            if older != refused:
                self._secrets.prefer(name, previous)
                return older
        return None
