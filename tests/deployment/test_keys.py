"""The signing key that the desk and a deployment make."""

import json

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deployment import keys


def test_the_signing_secret_is_a_named_p256_key() -> None:
    secret = json.loads(keys.signing_secret())
    key = load_pem_private_key(secret["private_key"].encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    assert isinstance(key.curve, SECP256R1)
    assert secret["kid"] != json.loads(keys.signing_secret())["kid"]
