"""Assertions: verified by a stranger through the published key set, also across a rotation."""

import base64
import itertools
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt import PyJWKSet

from chalicelib.deadlines import Deadline
from chalicelib.errors import Misconfigured, SecretsUnavailable
from chalicelib.handlers.proxy import KEY_SET_LIFE
from chalicelib.identity import Identity
from chalicelib.network.secrets import CACHE_SECONDS, Secrets
from chalicelib.upstream.assertions import DATA_LIFE, ISSUER, OVERLAP, Assertions
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, client_error, told_by

NAME = "wxgate/signing"
AUDIENCE = "https://api.example.com/base"
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
DAY = 86_400


def pem(
    key: PrivateKeyTypes,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption = NoEncryption(),
) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption).decode()


KEYS = [pem(ec.generate_private_key(ec.SECP256R1())) for _ in range(3)]


def secret(number: int) -> dict[str, str]:
    return {"kid": f"k{number}", "private_key": KEYS[number]}


class Signer:
    """A container that signs with what Secrets Manager has: at first a key that is two days old."""

    def __init__(self, clock: Clock) -> None:
        clock.advance(-2 * DAY)
        self.clock, self.manager = clock, SecretsManager(clock)
        self.manager.put(NAME, secret(1))
        clock.advance(2 * DAY)
        self.assertions = container(self.manager, clock)

    def put(self, value: object, stage: str = "AWSCURRENT") -> None:
        self.manager.put(NAME, value, stage)

    def kids(self) -> tuple[list[str], object]:
        return published(self.assertions), signing(self.assertions)


def container(manager: SecretsManager, clock: Clock) -> Assertions:
    return Assertions(Secrets(manager, clock, Alerts()), NAME, AUDIENCE, clock)


@pytest.fixture
def signer(clock: Clock) -> Signer:
    return Signer(clock)


def verified(token: str, key_set: dict[str, Any], now: float) -> dict[str, Any]:
    """Verify as the business server would: with the key set alone, by PyJWT."""
    kid = jwt.get_unverified_header(token)["kid"]
    # PyJWT has no clock to set: the times are compared below.
    claims: dict[str, Any] = jwt.decode(
        token,
        PyJWKSet.from_dict(key_set)[kid],
        algorithms=["ES256"],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub"]},
    )
    assert claims["iat"] <= now < claims["exp"]
    return claims


def signing(assertions: Assertions) -> object:
    return jwt.get_unverified_header(assertions.sign({}, 60))["kid"]


def published(assertions: Assertions) -> list[str]:
    return [key["kid"] for key in assertions.key_set()["keys"]]


def test_opened_data_is_proven_to_a_stranger(signer: Signer) -> None:
    data = {"phoneNumber": "13580006666"}
    token = signer.assertions.for_data(Identity("wx1", OPENID, None), "phone", data)
    claims = verified(token, signer.assertions.key_set(), signer.clock())
    given = {"sub": OPENID, "appid": "wx1", "kind": "phone", "data": data}
    assert claims == {**given, "iss": "wxgate", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300}
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "k1", "typ": "JWT"}


def test_no_claim_of_a_caller_replaces_ours_and_a_life_is_whole_seconds(signer: Signer) -> None:
    signer.clock.advance(0.9)
    forged = {"sub": "u", "iss": "evil", "aud": "evil", "iat": 0, "exp": 2**40}
    token = signer.assertions.sign(forged, 60)
    claims = verified(token, signer.assertions.key_set(), signer.clock())
    assert claims == {"sub": "u", "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 60}


def test_the_key_set_holds_public_halves_alone(signer: Signer) -> None:
    (key,) = signer.assertions.key_set()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    expected = {"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256"}
    assert expected.items() <= key.items()
    assert [len(base64.urlsafe_b64decode(key[part] + "=")) for part in "xy"] == [32, 32]


def test_a_key_that_is_put_at_once_is_published_before_it_signs(signer: Signer) -> None:
    signer.put(secret(2))
    for passed, kid in ((0, "k1"), (OVERLAP - 1, "k1"), (1, "k2")):
        signer.clock.advance(passed)
        assert signer.kids() == (["k2", "k1"], kid)


def test_the_old_key_is_published_until_the_next_rotation(signer: Signer) -> None:
    signer.put(secret(2))
    signer.clock.advance(30 * DAY)
    assert signer.kids() == (["k2", "k1"], "k2")
    signer.put(secret(0))
    signer.clock.advance(CACHE_SECONDS)
    assert signer.kids() == (["k0", "k2"], "k2")


MINUTE, CREATED = 60, 1200
WAITS = [0, 60, 300, 600, 840, 900, 960, 7200, 2 * DAY]
"""Seconds from createSecret to finishSecret, the two of the four steps that change anything."""


@pytest.mark.parametrize("waits", WAITS)
def test_no_verification_fails_in_a_rotation(signer: Signer, waits: int) -> None:
    """Five containers, whose caches expire at each minute of five, and all that verifiers may hold.

    Without a wait it is one call, as `make secrets ROTATE_SIGNING_KEY=1` makes it.
    """
    clock, manager = signer.clock, signer.manager
    containers = [container(manager, clock) for _ in range(int(CACHE_SECONDS) // MINUTE)]
    held: dict[tuple[int, int], list[str]] = {}  # by container and minute: fetched 300 s ago
    alive: dict[tuple[int, int], object] = {}  # by container and minute: signed 300 s ago
    start, kids = clock(), set()
    around = (range(second - 1200, second + 1800, MINUTE) for second in (CREATED, CREATED + waits))
    for second in sorted({*itertools.chain(*around)}):
        clock.now = start + second
        if second == CREATED:
            manager.put(NAME, secret(2), "AWSPENDING" if waits else "AWSCURRENT")
        elif second == CREATED + waits:
            manager.promote(NAME)
        for number, each in enumerate(containers[: second // MINUTE + 1]):
            held[number, second % KEY_SET_LIFE] = published(each)
            alive[number, second % DATA_LIFE] = signing(each)
        kids |= {*alive.values()}
        assert all(kid in key_set for kid in alive.values() for key_set in held.values())
    assert kids == {"k1", "k2"}


class Promoting(SecretsManager):
    """Promotes the pending version just before a stage is read."""

    before: str

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, object]:
        if VersionStage == self.before:
            self.promote(SecretId)
        return super().get_secret_value(SecretId=SecretId, VersionStage=VersionStage)


@pytest.mark.parametrize("stage", ["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"])
def test_a_container_that_starts_at_the_promotion_publishes_both_keys(
    clock: Clock, stage: str
) -> None:
    manager = Promoting(clock)
    manager.before = stage
    manager.put(NAME, secret(1))
    manager.put(NAME, secret(2), "AWSPENDING")
    clock.advance(DAY)
    assert set(published(container(manager, clock))) == {"k1", "k2"}


@pytest.mark.parametrize("pending", [True, False])
def test_another_version_that_is_no_key_stops_nothing(clock: Clock, pending: bool) -> None:
    manager, no_key = SecretsManager(clock), {"kid": "k0", "private_key": "none"}
    for value in (secret(1), no_key) if pending else (no_key, secret(1)):
        manager.put(NAME, value, "AWSPENDING" if pending and value == no_key else "AWSCURRENT")
    assertions = container(manager, clock)
    assert (published(assertions), signing(assertions)) == (["k1"], "k1")


def test_a_key_of_two_versions_is_published_once(signer: Signer) -> None:
    signer.put(secret(1))
    signer.put(secret(1), "AWSPENDING")
    assert published(signer.assertions) == ["k1"]


CANARY = "canary0private0key"
P256 = ec.generate_private_key(ec.SECP256R1())
PUBLIC = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
WRONG_KEYS = {
    "garbage": CANARY,
    "garbage in PEM": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
    "PEM cut off": KEYS[0][:120],
    "unknown PEM": f"-----BEGIN {CANARY}-----\nAAAA\n-----END {CANARY}-----\n",
    "public half": PUBLIC.decode(),
    "encrypted": pem(P256, encryption=BestAvailableEncryption(b"secret")),
    "P-384": pem(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": pem(ec.generate_private_key(ec.SECP256K1())),
    "RSA": pem(rsa.generate_private_key(65537, 2048)),
    "Ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
}
OTHER_KEYS = {"P-384", "secp256k1", "RSA", "Ed25519"}
WRONG = [
    *((key, f"private_key is not {'P-256' if key in OTHER_KEYS else 'PEM'}") for key in WRONG_KEYS),
    *((member, f"{member} is missing or malformed") for member in ("kid", "private_key")),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
def test_a_secret_without_a_p_256_key_is_misconfigured_and_never_told(
    signer: Signer, wrong: str, reason: str
) -> None:
    key = WRONG_KEYS.get(wrong, "")
    signer.put({"kid": "k2", "private_key": key} if key else {**secret(2), wrong: ""})
    with pytest.raises(Misconfigured) as caught:
        signer.assertions.ensure_key()
    told = told_by(caught.value)
    assert CANARY not in told
    assert not any(line in told for line in key.splitlines()[1:-1])
    assert caught.value.evidence == {"reason": reason, "secret": NAME}


def test_a_key_in_traditional_pem_is_taken(signer: Signer) -> None:
    traditional = pem(P256, PrivateFormat.TraditionalOpenSSL)
    signer.put({"kid": "k2", "private_key": traditional})
    assert "k2" in published(signer.assertions)


def test_a_key_that_was_made_sure_of_is_there(signer: Signer) -> None:
    assertions, manager = signer.assertions, signer.manager
    manager.failure = client_error("ThrottlingException")
    with pytest.raises(SecretsUnavailable):
        assertions.ensure_key()
    manager.failure = None
    reads = len(manager.calls)
    assertions.warm(Deadline(0.0, lambda: 0.0))
    assert len(manager.calls) == reads
    assertions.warm(Deadline(1.0, lambda: 0.0))
    assertions.ensure_key()
    manager.failure = client_error("ThrottlingException")
    assert signing(assertions) == "k1"
    assert "PRIVATE" not in repr(vars(assertions))
