"""The signing key: made here, kept in Secrets Manager, read by chalicelib.upstream.assertions."""

import json
import secrets

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def signing_secret() -> str:
    """Make the value of the signing secret: `{"kid", "private_key"}`, PEM, P-256, fresh."""
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return json.dumps({"kid": secrets.token_hex(8), "private_key": pem.decode()})
