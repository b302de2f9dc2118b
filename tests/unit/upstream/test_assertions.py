"""Assertions: verified by a stranger through the published key set, also across a rotation."""

import base64
import json
from typing import Any

import jwt
import pytest
from botocore.exceptions import ReadTimeoutError
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

from chalicelib.errors import GateError, Misconfigured, SecretsUnavailable
from chalicelib.handlers.proxy import KEY_SET_LIFE
from chalicelib.network.secrets import KEEP, Secrets
from chalicelib.upstream.assertions import DATA_LIFE, ISSUER, OVERLAP, RETIRE, Assertions
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, client_error, told_by

NAME = "wxgate/signing"
AUDIENCE = "https://api.example.com/base"
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"


def pem(key: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def p256() -> str:
    return pem(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def manager(clock: Clock) -> SecretsManager:
    clock.advance(-2 * RETIRE)
    manager = SecretsManager(clock)
    manager.put(NAME, {"kid": "k1", "private_key": p256()})
    clock.advance(2 * RETIRE)
    return manager


@pytest.fixture
def assertions(manager: SecretsManager, clock: Clock) -> Assertions:
    return Assertions(Secrets(lambda: manager, clock, Alerts()), NAME, AUDIENCE, clock)


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


def kid_of(token: str) -> object:
    return jwt.get_unverified_header(token)["kid"]


def kids(key_set: dict[str, Any]) -> list[str]:
    return [key["kid"] for key in key_set["keys"]]


# --- what it says ---


def test_opened_data_is_proven_to_a_stranger(assertions: Assertions, clock: Clock) -> None:
    data = {"phoneNumber": "13580006666"}
    token = assertions.for_data(openid=OPENID, appid="wx1", kind="phone", data=data)
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
    assert DATA_LIFE == 300


def test_the_header_names_algorithm_and_key(assertions: Assertions) -> None:
    header = jwt.get_unverified_header(assertions.sign({}, 60))
    assert header == {"alg": "ES256", "kid": "k1", "typ": "JWT"}


def test_a_life_is_counted_in_whole_seconds(assertions: Assertions, clock: Clock) -> None:
    clock.advance(0.9)
    claims = verified(assertions.sign({"sub": "u"}, 60), assertions.key_set(), clock())
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 60)


def test_no_claim_of_a_caller_replaces_ours(assertions: Assertions, clock: Clock) -> None:
    forged = {"sub": "u", "iss": "evil", "aud": "evil", "iat": 0, "exp": 2**40}
    claims = verified(assertions.sign(forged, 60), assertions.key_set(), clock())
    assert claims == {"sub": "u", "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 60}


def test_a_changed_assertion_does_not_verify(assertions: Assertions, clock: Clock) -> None:
    header, _, signature = assertions.sign({"sub": "u"}, 60).split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"sub": "other"}).encode()).decode().rstrip("=")
    with pytest.raises(jwt.InvalidSignatureError):
        verified(f"{header}.{forged}.{signature}", assertions.key_set(), clock())


def test_an_assertion_for_another_audience_does_not_verify(
    manager: SecretsManager, clock: Clock
) -> None:
    other = Assertions(
        Secrets(lambda: manager, clock, Alerts()), NAME, "https://other.example.com", clock
    )
    with pytest.raises(jwt.InvalidAudienceError):
        verified(other.sign({"sub": "u"}, 60), other.key_set(), clock())


# --- the key set ---


def test_the_key_set_holds_public_halves_alone(assertions: Assertions) -> None:
    (key,) = assertions.key_set()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    expected = {"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256"}
    assert expected.items() <= key.items()
    assert [len(base64.urlsafe_b64decode(key[part] + "=")) for part in "xy"] == [32, 32]


# --- rotation ---


@pytest.fixture
def rotated(assertions: Assertions, manager: SecretsManager) -> Assertions:
    """Assertions of a container that starts in the second of a rotation from k1 to k2."""
    manager.put(NAME, {"kid": "k2", "private_key": p256()})
    return assertions


def test_keys_are_loaded_once(rotated: Assertions, manager: SecretsManager) -> None:
    for _ in range(5):
        rotated.sign({}, 60)
        rotated.key_set()
    assert manager.calls == [(NAME, "AWSCURRENT"), (NAME, "AWSPREVIOUS")]


def test_a_new_key_is_published_before_it_signs(rotated: Assertions, clock: Clock) -> None:
    assert kids(rotated.key_set()) == ["k2", "k1"]
    assert kid_of(rotated.sign({}, 60)) == "k1"
    clock.advance(OVERLAP - 1)
    assert kid_of(rotated.sign({}, 60)) == "k1"
    clock.advance(1)
    assert kid_of(rotated.sign({}, 60)) == "k2"


def test_the_overlap_outlasts_every_cache_of_the_old_key_set() -> None:
    assert KEEP + KEY_SET_LIFE < OVERLAP


def test_the_old_key_stays_published_for_a_day(rotated: Assertions, clock: Clock) -> None:
    clock.advance(RETIRE - 1)
    assert kids(rotated.key_set()) == ["k2", "k1"]
    clock.advance(1 + KEEP)
    assert kids(rotated.key_set()) == ["k2"]


def test_a_container_that_starts_a_day_later_asks_for_no_old_key(
    rotated: Assertions, manager: SecretsManager, clock: Clock
) -> None:
    clock.advance(RETIRE)
    assert kids(rotated.key_set()) == ["k2"]
    assert manager.calls == [(NAME, "AWSCURRENT")]


def test_no_assertion_fails_in_a_rotation(
    assertions: Assertions, manager: SecretsManager, clock: Clock
) -> None:
    """A verifier keeps the key set for KEY_SET_LIFE, a container its secrets for KEEP."""
    assertions.sign({"sub": "u"}, 60)
    key_set, fetched = assertions.key_set(), clock()
    manager.put(NAME, {"kid": "k2", "private_key": p256()})
    signed = set()
    for _ in range(40):
        clock.advance(60)
        if clock() - fetched >= KEY_SET_LIFE:
            key_set, fetched = assertions.key_set(), clock()
        token = assertions.sign({"sub": "u"}, 60)
        assert verified(token, key_set, clock())["sub"] == "u"
        signed.add(kid_of(token))
    assert signed == {"k1", "k2"}


@pytest.mark.parametrize("placeholder", ["change me", {}, {"kid": "k0", "private_key": "none"}])
def test_a_previous_version_that_never_was_a_key_stops_nothing(
    clock: Clock, placeholder: object
) -> None:
    manager = SecretsManager(clock)
    manager.put(NAME, placeholder)
    manager.put(NAME, {"kid": "k1", "private_key": p256()})
    assertions = Assertions(Secrets(lambda: manager, clock, Alerts()), NAME, AUDIENCE, clock)
    assert kids(assertions.key_set()) == ["k1"]
    assert kid_of(assertions.sign({}, 60)) == "k1"


def test_the_same_key_stored_twice_is_published_once(manager: SecretsManager, clock: Clock) -> None:
    current = manager.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")
    manager.put(NAME, current["SecretString"])
    assertions = Assertions(Secrets(lambda: manager, clock, Alerts()), NAME, AUDIENCE, clock)
    assert kids(assertions.key_set()) == ["k1"]


# --- the previous key cannot be told ---


UNTOLD = [
    (client_error("ThrottlingException"), SecretsUnavailable),
    (ReadTimeoutError(endpoint_url="https://secretsmanager"), SecretsUnavailable),
    (client_error("AccessDeniedException"), Misconfigured),
]


@pytest.fixture(params=UNTOLD, ids=str)
def untold(rotated: Assertions, manager: SecretsManager, request: Any) -> type[GateError]:
    """AWSPREVIOUS fails: the error that is due where it cannot be done without."""
    error: type[GateError]
    manager.previous_failure, error = request.param
    return error


def test_a_container_that_does_not_know_the_old_key_signs_with_none_while_it_is_due(
    rotated: Assertions, manager: SecretsManager, clock: Clock, untold: type[GateError]
) -> None:
    for seconds in (60, OVERLAP - 61):
        clock.advance(seconds)
        with pytest.raises(untold):
            rotated.sign({}, 60)
    manager.previous_failure = None
    assert kid_of(rotated.sign({}, 60)) == "k1"


def test_a_container_that_does_not_know_the_old_key_signs_with_the_new_one_when_that_is_due(
    rotated: Assertions, clock: Clock, untold: type[GateError]
) -> None:
    assert untold
    clock.advance(OVERLAP)
    assert kid_of(rotated.sign({}, 60)) == "k2"


def test_half_a_key_set_is_not_given_while_the_other_half_proves_anything(
    rotated: Assertions, manager: SecretsManager, clock: Clock, untold: type[GateError]
) -> None:
    for seconds in (0, OVERLAP, DATA_LIFE - 1):
        clock.advance(seconds)
        with pytest.raises(untold):
            rotated.key_set()
    clock.advance(1)
    assert kids(rotated.key_set()) == ["k2"]
    manager.previous_failure = None
    assert kids(rotated.key_set()) == ["k2", "k1"]


def test_half_a_key_set_that_was_enough_to_sign_is_not_kept(
    rotated: Assertions, clock: Clock, untold: type[GateError]
) -> None:
    clock.advance(OVERLAP)
    rotated.sign({}, 60)
    with pytest.raises(untold):
        rotated.key_set()


def test_a_container_that_knew_the_old_key_needs_not_be_told_again(
    rotated: Assertions, manager: SecretsManager, clock: Clock
) -> None:
    assert kids(rotated.key_set()) == ["k2", "k1"]
    manager.previous_failure = client_error("ThrottlingException")
    clock.advance(KEEP)
    assert kid_of(rotated.sign({}, 60)) == "k1"
    assert kids(rotated.key_set()) == ["k2", "k1"]


def test_what_a_container_knew_of_another_version_is_no_help(
    rotated: Assertions, manager: SecretsManager, clock: Clock
) -> None:
    rotated.key_set()
    manager.put(NAME, {"kid": "k3", "private_key": p256()})
    manager.previous_failure = client_error("ThrottlingException")
    clock.advance(KEEP)
    with pytest.raises(SecretsUnavailable):
        rotated.key_set()


# --- what an operator can get wrong ---


CANARY = "canary0private0key"
P256 = ec.generate_private_key(ec.SECP256R1())
WRONG_KEYS = {
    "garbage": CANARY,
    "garbage in PEM": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
    "PEM cut off": p256()[:120],
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
        assertions.sign({}, 60)
    told = told_by(caught.value)
    assert CANARY not in told
    assert not any(line in told for line in WRONG_KEYS[wrong].splitlines()[1:-1])
    form = "P-256" if wrong in OTHER_KEYS else "PEM"
    assert caught.value.evidence == {"reason": f"private_key is not {form}", "secret": NAME}


@pytest.mark.parametrize(
    ("fields", "member"),
    [
        ({}, "private_key"),
        ({"kid": "k"}, "private_key"),
        ({"private_key": pem(P256)}, "kid"),
        ({"kid": "", "private_key": pem(P256)}, "kid"),
        ({"kid": 1, "private_key": pem(P256)}, "kid"),
        ({"kid": "k", "private_key": ["x"]}, "private_key"),
    ],
    ids=range(6),
)
def test_a_signing_secret_without_its_members_is_misconfigured(
    assertions: Assertions, manager: SecretsManager, fields: dict[str, object], member: str
) -> None:
    manager.put(NAME, fields)
    for call in (assertions.key_set, lambda: assertions.sign({}, 60)):
        with pytest.raises(Misconfigured) as caught:
            call()
        reason = f"{member} is missing or malformed"
        assert caught.value.evidence == {"reason": reason, "secret": NAME}


def test_a_signing_secret_is_read_anew_as_soon_as_it_is_repaired(
    assertions: Assertions, manager: SecretsManager
) -> None:
    manager.put(NAME, {"kid": "k2"})
    with pytest.raises(Misconfigured):
        assertions.sign({}, 60)
    manager.put(NAME, {"kid": "k3", "private_key": p256()})
    assert kid_of(assertions.sign({}, 60)) == "k3"


def test_a_key_in_traditional_pem_is_taken(assertions: Assertions, manager: SecretsManager) -> None:
    traditional = pem(P256, PrivateFormat.TraditionalOpenSSL)
    manager.put(NAME, {"kid": "k2", "private_key": traditional})
    assert "k2" in kids(assertions.key_set())


def test_without_secrets_nothing_is_signed(assertions: Assertions, manager: SecretsManager) -> None:
    manager.failure = client_error("ThrottlingException")
    for call in (assertions.ensure_key, lambda: assertions.sign({}, 60)):
        with pytest.raises(SecretsUnavailable):
            call()


def test_a_key_that_was_made_sure_of_is_there(
    assertions: Assertions, manager: SecretsManager
) -> None:
    assertions.ensure_key()
    manager.failure = client_error("ThrottlingException")
    assert kid_of(assertions.sign({}, 60)) == "k1"


def test_a_signing_key_shows_nothing_of_itself(assertions: Assertions) -> None:
    assertions.sign({}, 60)
    assert "PRIVATE" not in repr(vars(assertions))
