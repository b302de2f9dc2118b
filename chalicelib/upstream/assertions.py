"""What the upstream may trust: ES256 JWTs (RFC 7519, RFC 7518) and the keys that prove them.

A rotation fails no verification, whoever promotes the new key and however long it waited. Every
container publishes all three versions of the secret and reads them at least every CACHE_SECONDS,
AWSPENDING first, so that no promotion in between hides one. Under whichever label, a key is thus in
every key set CACHE_SECONDS after it was created, and in every verifier's copy KEY_SET_LIFE later.
The current key signs once it is OVERLAP old, which is longer; before that AWSPREVIOUS signs.
AWSPREVIOUS stays published until the next rotation, since nothing tells when the last one was.
(Rotations must be OVERLAP apart: Secrets Manager keeps no version before AWSPREVIOUS.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as ECKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm

from chalicelib.deadlines import Clock, Deadline
from chalicelib.errors import Misconfigured
from chalicelib.identity import Identity
from chalicelib.network.secrets import Secrets, Version

ISSUER = "wxgate"
DATA_LIFE = 300  # seconds for which the assertion of opened data is valid
OVERLAP = 900.0  # seconds from a key's creation to its first signature, if there is one before it


@dataclass(frozen=True)
class SigningKey:
    """A P-256 private key, its name, and the epoch second of its creation."""

    kid: str
    private: ECKey
    created_at: float

    @classmethod
    def parse(cls, version: Version) -> "SigningKey":
        """Read `{"kid", "private_key"}` (PEM), or raise Misconfigured."""
        pem = version.text("private_key")
        try:
            private = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # from None: the cause may quote the key.
            raise Misconfigured(reason="private_key is not PEM", secret=version.name) from None
        if not isinstance(private, ECKey) or not isinstance(private.curve, SECP256R1):
            raise Misconfigured(reason="private_key is not P-256", secret=version.name)
        return cls(version.text("kid"), private, version.created_at)

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as a JWK (RFC 7517, RFC 7518 6.2)."""
        public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": "ES256"}


class Assertions:
    """Signs assertions for one audience and gives the key set.

    Every method raises Misconfigured or SecretsUnavailable if there is no usable signing key; a
    pending or previous key that cannot be read is only left out.
    """

    def __init__(self, secrets: Secrets, name: str, audience: str, clock: Clock) -> None:
        self._secrets, self._name = secrets, name
        self._audience, self._clock = audience, clock

    def warm(self, deadline: Deadline) -> None:
        """Read the keys ahead, and sign once: the first signature loads cryptography's backend."""
        if deadline.remaining() > 0:
            self.sign({}, DATA_LIFE)

    def ensure_key(self) -> None:
        """Make sure of the signing key, before what cannot be had twice is spent."""
        self._keys()

    def sign(self, claims: Mapping[str, Any], life: int) -> str:
        """Sign claims for `life` seconds; iss, aud, iat and exp are ours."""
        _, key, previous = self._keys()
        now = self._clock()
        if previous and now - key.created_at < OVERLAP:
            key = previous
        times = {"iat": int(now), "exp": int(now) + life}
        everything = {**claims, "iss": ISSUER, "aud": self._audience, **times}
        return jwt.encode(everything, key.private, algorithm="ES256", headers={"kid": key.kid})

    def for_data(self, who: Identity, kind: str, data: Mapping[str, Any]) -> str:
        """Sign opened data of a user, so that the business server may trust it."""
        claims = {"sub": who.openid, "appid": who.appid, "kind": kind, "data": data}
        return self.sign(claims, DATA_LIFE)

    def key_set(self) -> dict[str, Any]:
        """Give each public key that verifiers need once (RFC 7517 section 5)."""
        pending, current, previous = self._keys()
        jwks = [key.jwk for key in (current, previous, pending) if key]
        return {"keys": [jwk for place, jwk in enumerate(jwks) if jwk not in jwks[:place]]}

    def _keys(self) -> tuple[SigningKey | None, SigningKey, SigningKey | None]:
        """Give the keys that are pending, current and previous."""
        return self._secrets.stages(self._name, SigningKey.parse)
