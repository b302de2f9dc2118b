"""What the upstream may trust: ES256 JWTs (RFC 7519, RFC 7518) and the keys that prove them.

A rotation must fail no verification. A key is published before it signs: for OVERLAP seconds
after a rotation the previous key goes on signing while the key set already shows the new one.
The old public key then stays in the set for RETIRE seconds.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm

from chalicelib.errors import Misconfigured, SecretsUnavailable
from chalicelib.network.secrets import Secrets, Version, text

ISSUER = "wxgate"

DATA_LIFE = 300
"""Seconds that the assertion of opened data holds."""

OVERLAP = 900.0
"""Seconds: longer than a container keeps its secrets (300) and a client the key set (300)."""

RETIRE = 86_400.0
"""Seconds that an old public key stays in the key set."""


@dataclass(frozen=True)
class SigningKey:
    """A P-256 private key and its name."""

    kid: str
    private: EllipticCurvePrivateKey

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as a JWK (RFC 7517, RFC 7518 6.2)."""
        public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": "ES256"}


class Assertions:
    """Signs assertions for one audience and gives the key set."""

    def __init__(
        self, secrets: Secrets, name: str, audience: str, clock: Callable[[], float]
    ) -> None:
        self._secrets = secrets
        self._name = name
        self._audience = audience
        self._clock = clock
        self._loaded: tuple[Version, list[SigningKey]] | None = None

    def ensure_key(self) -> None:
        """Make sure of the signing key, before what cannot be had twice is spent.

        Raises:
            Misconfigured, SecretsUnavailable: if there is no usable signing key.
        """
        self._signing_key()

    def sign(self, claims: Mapping[str, Any], life: int) -> str:
        """Sign claims for `life` seconds; iss, aud, iat and exp are ours.

        Raises:
            Misconfigured, SecretsUnavailable: if there is no usable signing key.
        """
        now = int(self._clock())
        key = self._signing_key()
        everything = {
            **claims,
            "iss": ISSUER,
            "aud": self._audience,
            "iat": now,
            "exp": now + life,
        }
        return jwt.encode(everything, key.private, algorithm="ES256", headers={"kid": key.kid})

    def for_data(self, *, openid: str, appid: str, kind: str, data: Mapping[str, Any]) -> str:
        """Sign opened data of a user, so that the business server may trust it."""
        claims = {"sub": openid, "appid": appid, "kind": kind, "data": data}
        return self.sign(claims, DATA_LIFE)

    def key_set(self) -> dict[str, Any]:
        """Give the public keys that verifiers need now (RFC 7517 section 5)."""
        _, keys = self._keys(OVERLAP + DATA_LIFE)
        return {"keys": [key.jwk for key in keys]}

    def _signing_key(self) -> SigningKey:
        version, keys = self._keys(OVERLAP)
        return keys[-1] if self._age(version) < OVERLAP else keys[0]

    def _age(self, version: Version) -> float:
        return self._clock() - version.created_at

    def _keys(self, needed: float) -> tuple[Version, list[SigningKey]]:
        """The current version, its key first, and the previous key until RETIRE.

        `needed` seconds after a rotation the previous key can be done without, if must be.
        """
        version = self._secrets.current(self._name)
        if self._loaded is None or self._loaded[0] is not version:
            keys = [self._current_key(version)]
            try:
                keys += self._previous_keys(version)
            except (Misconfigured, SecretsUnavailable):
                if self._loaded is None or self._loaded[0] != version:
                    if self._age(version) < needed:
                        raise
                    return version, keys  # not kept: the next request asks again
                keys = self._loaded[1]  # the same version, read anew: what was told still holds
            self._loaded = (version, keys)
        return self._loaded

    def _current_key(self, version: Version) -> SigningKey:
        try:
            return self._key(version)
        except Misconfigured:
            self._secrets.forget(self._name)
            raise

    def _previous_keys(self, current: Version) -> list[SigningKey]:
        if self._age(current) >= RETIRE:
            return []
        previous = self._secrets.previous(self._name)
        # A previous version that never was a key must not stop the current one.
        with suppress(Misconfigured):
            if previous is not None and previous.fields != current.fields:
                return [self._key(previous)]
        return []

    def _key(self, version: Version) -> SigningKey:
        pem = text(version, "private_key", self._name)
        try:
            private = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # from None: the cause may quote the key.
            raise Misconfigured(reason="private_key is not PEM", secret=self._name) from None
        if not (
            isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1)
        ):
            raise Misconfigured(reason="private_key is not P-256", secret=self._name)
        return SigningKey(text(version, "kid", self._name), private)
