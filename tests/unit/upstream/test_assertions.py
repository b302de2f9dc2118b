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


def pem(key: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


KEYS = [pem(ec.generate_private_key(ec.SECP256R1())) for _ in range(3)]


def secret(number: int) -> dict[str, str]:
    return {"kid": f"k{number}", "private_key": KEYS[number]}


@pytest.fixture
def manager(clock: Clock) -> SecretsManager:
    """Secrets Manager with a key that is two days old."""
    clock.advance(-2 * DAY)
    manager = SecretsManager(clock)
    manager.put(NAME, secret(1))
    clock.advance(2 * DAY)
    return manager


def container(manager: SecretsManager, clock: Clock) -> Assertions:
    return Assertions(Secrets(manager, clock, Alerts()), NAME, AUDIENCE, clock)


@pytest.fixture
def assertions(manager: SecretsManager, clock: Clock) -> Assertions:
    return container(manager, clock)


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


# --- what it says --------------------------------------------------------------------------------


def test_opened_data_is_proven_to_a_stranger(assertions: Assertions, clock: Clock) -> None:
    data = {"phoneNumber": "13580006666"}
    token = assertions.for_data(Identity("wx1", OPENID, None), "phone", data)
    assert verified(token, assertions.key_set(), clock()) == {
        "iss": "wxgate",
        "aud": AUDIENCE,
        "sub": OPENID,
        "appid": "wx1",
        "kind": "phone",
        "data": data,
        "iat": NOW,
        "exp": NOW + 300,
    }
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "k1", "typ": "JWT"}


def test_no_claim_of_a_caller_replaces_ours_and_a_life_is_whole_seconds(
    assertions: Assertions, clock: Clock
) -> None:
    clock.advance(0.9)
    forged = {"sub": "u", "iss": "evil", "aud": "evil", "iat": 0, "exp": 2**40}
    claims = verified(assertions.sign(forged, 60), assertions.key_set(), clock())
    assert claims == {"sub": "u", "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 60}


def test_the_key_set_holds_public_halves_alone(assertions: Assertions) -> None:
    (key,) = assertions.key_set()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    expected = {"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256"}
    assert expected.items() <= key.items()
    assert [len(base64.urlsafe_b64decode(key[part] + "=")) for part in "xy"] == [32, 32]


# --- rotation ------------------------------------------------------------------------------------


def test_a_key_that_is_put_at_once_is_published_before_it_signs(
    assertions: Assertions, manager: SecretsManager, clock: Clock
) -> None:
    manager.put(NAME, secret(2))
    assert (published(assertions), signing(assertions)) == (["k2", "k1"], "k1")
    clock.advance(OVERLAP - 1)
    assert signing(assertions) == "k1"
    clock.advance(1)
    assert (published(assertions), signing(assertions)) == (["k2", "k1"], "k2")


def test_a_pending_key_is_published_and_signs_once_promoted(
    assertions: Assertions, manager: SecretsManager, clock: Clock
) -> None:
    manager.put(NAME, secret(2), "AWSPENDING")
    clock.advance(OVERLAP)
    assert (published(assertions), signing(assertions)) == (["k1", "k2"], "k1")
    manager.promote(NAME)
    clock.advance(CACHE_SECONDS)
    assert (published(assertions), signing(assertions)) == (["k2", "k1"], "k2")


def test_the_old_key_is_published_until_the_next_rotation(
    assertions: Assertions, manager: SecretsManager, clock: Clock
) -> None:
    manager.put(NAME, secret(2))
    clock.advance(30 * DAY)
    assert published(assertions) == ["k2", "k1"]
    manager.put(NAME, secret(0))
    clock.advance(CACHE_SECONDS)
    assert published(assertions) == ["k0", "k2"]


MINUTE, CREATED = 60, 1200
WAITS = [0, 60, 300, 600, 840, 900, 960, 7200, 2 * DAY]
"""Seconds from createSecret to finishSecret, the two of the four steps that change anything."""


@pytest.mark.parametrize("waits", WAITS)
def test_no_verification_fails_in_a_rotation(
    manager: SecretsManager, clock: Clock, waits: int
) -> None:
    """Five containers, whose caches expire at each minute of five, and all that verifiers may hold.

    Without a wait it is one call, as `make secrets ROTATE_SIGNING_KEY=1` makes it.
    """
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


def test_the_overlap_outlasts_every_cache_of_the_old_key_set() -> None:
    assert CACHE_SECONDS + KEY_SET_LIFE < OVERLAP
    assert DATA_LIFE <= OVERLAP


@pytest.mark.parametrize("stage", ["AWSPENDING", "AWSPREVIOUS"])
def test_another_version_that_is_no_key_stops_nothing(clock: Clock, stage: str) -> None:
    manager = SecretsManager(clock)
    no_key = {"kid": "k0", "private_key": "none"}
    manager.put(NAME, secret(1) if stage == "AWSPENDING" else no_key)
    manager.put(NAME, no_key if stage == "AWSPENDING" else secret(1), "AWSPENDING")
    if stage == "AWSPREVIOUS":
        manager.promote(NAME)
    assertions = container(manager, clock)
    assert (published(assertions), signing(assertions)) == (["k1"], "k1")


def test_a_key_of_two_versions_is_published_once(manager: SecretsManager, clock: Clock) -> None:
    manager.put(NAME, secret(1))
    manager.put(NAME, secret(1), "AWSPENDING")
    assert published(container(manager, clock)) == ["k1"]


# --- what an operator can get wrong --------------------------------------------------------------

CANARY = "canary0private0key"
P256 = ec.generate_private_key(ec.SECP256R1())
WRONG_KEYS = {
    "garbage": CANARY,
    "garbage in PEM": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
    "PEM cut off": KEYS[0][:120],
    "unknown PEM": f"-----BEGIN {CANARY}-----\nAAAA\n-----END {CANARY}-----\n",
    "public half": P256.public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode(),
    "encrypted": P256.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    ).decode(),
    "P-384": pem(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": pem(ec.generate_private_key(ec.SECP256K1())),
    "RSA": pem(rsa.generate_private_key(65537, 2048)),
    "Ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
}
OTHER_KEYS = {"P-384", "secp256k1", "RSA", "Ed25519"}


@pytest.mark.parametrize("wrong", WRONG_KEYS)
def test_a_key_that_is_no_p_256_key_is_misconfigured_and_never_told(
    assertions: Assertions, manager: SecretsManager, wrong: str
) -> None:
    manager.put(NAME, {"kid": "k2", "private_key": WRONG_KEYS[wrong]})
    with pytest.raises(Misconfigured) as caught:
        assertions.ensure_key()
    told = told_by(caught.value)
    assert CANARY not in told
    assert not any(line in told for line in WRONG_KEYS[wrong].splitlines()[1:-1])
    form = "P-256" if wrong in OTHER_KEYS else "PEM"
    assert caught.value.evidence == {"reason": f"private_key is not {form}", "secret": NAME}


@pytest.mark.parametrize("member", ["kid", "private_key"])
def test_a_signing_secret_needs_its_members(
    assertions: Assertions, manager: SecretsManager, member: str
) -> None:
    manager.put(NAME, {**secret(2), member: ""})
    with pytest.raises(Misconfigured) as caught:
        assertions.key_set()
    reason = f"{member} is missing or malformed"
    assert caught.value.evidence == {"reason": reason, "secret": NAME}


def test_a_key_in_traditional_pem_is_taken(assertions: Assertions, manager: SecretsManager) -> None:
    traditional = pem(P256, PrivateFormat.TraditionalOpenSSL)
    manager.put(NAME, {"kid": "k2", "private_key": traditional})
    assert "k2" in published(assertions)


def test_a_key_that_was_made_sure_of_is_there(
    assertions: Assertions, manager: SecretsManager
) -> None:
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
