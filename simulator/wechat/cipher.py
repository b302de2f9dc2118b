"""WeChat's side of the cryptography, written apart from the gate's own: a second witness.

Source: WeChat pages «开放数据校验与解密» and «用户登录态签名».
"""

import base64
import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7


def new_session_key() -> str:
    """Make a session_key: 16 random bytes as 24 characters of base64."""
    return base64.b64encode(secrets.token_bytes(16)).decode()


def encrypt(session_key: str, iv: bytes, plaintext: str) -> str:
    """Encrypt open data: AES-128-CBC, PKCS#7, in base64; the key is decoded from its base64."""
    padder = PKCS7(128).padder()
    padded = padder.update(plaintext.encode()) + padder.finalize()
    cipher = Cipher(algorithms.AES(base64.b64decode(session_key)), modes.CBC(iv)).encryptor()
    return base64.b64encode(cipher.update(padded) + cipher.finalize()).decode()


def raw_data_signature(raw_data: str, session_key: str) -> str:
    """Sign rawData: sha1 over it and the session_key as its base64 text, lower hex."""
    text = (raw_data + session_key).encode()
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


def user_signature(session_key: str, message: bytes = b"") -> str:
    """Sign for the user: HMAC-SHA256, lower hex; a GET signs the empty message.

    The key is the session_key as its base64 TEXT, unlike in encrypt.
    """
    return hmac.new(session_key.encode(), message, hashlib.sha256).hexdigest()
