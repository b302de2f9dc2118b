"""WeChat's encrypted open data (开放数据): the request's fields, the cipher, rawData's signature.

Source: WeChat, «开放数据校验与解密». AES-128-CBC with PKCS#7 and without a MAC: whoever chooses iv
and ciphertext can splice blocks. So kinds.read takes nothing but the exact fields of one kind, and
every failure is a ValueError that looks the same to the client.
"""

import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from chalicelib import strict_json
from chalicelib.errors import InvalidRequest

BLOCK = 16
MAX_DATA = 16_384
"""Bytes of encryptedData; WeChat's own are a few hundred, WeRun's 31 days under two thousand."""


def _base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError  # noqa: TRY004 - one error for every fault
    return binascii.a2b_base64(text, strict_mode=True)


def key_bytes(session_key: object) -> bytes:
    """Decode a session_key, 24 characters of strict base64, into its 16 bytes.

    Raises:
        ValueError: if it is anything else; says nothing of it.
    """
    key = _base64(session_key)
    if len(key) != BLOCK:
        raise ValueError
    return key


def ciphertext(encrypted_data: object, iv: object) -> tuple[bytes, bytes]:
    """Check the form of the two request fields and decode them into (data, iv).

    Raises:
        InvalidRequest: unless both are strict base64, iv of 16 bytes, data of 1 to 1024 blocks.
    """
    try:
        data, vector = _base64(encrypted_data), _base64(iv)
    except ValueError:
        raise InvalidRequest from None
    if len(vector) != BLOCK or len(data) % BLOCK or not 0 < len(data) <= MAX_DATA:
        raise InvalidRequest
    return data, vector


def decrypt(key: bytes, data: bytes, iv: bytes) -> bytes:
    """Open AES-128-CBC: 16-byte key, whole blocks, 16-byte iv, to the unpadded plaintext.

    Raises:
        ValueError: unless every byte of the padding is right (RFC 5652 6.3).
    """
    decryptor = Cipher(AES128(key), CBC(iv)).decryptor()
    unpadder = PKCS7(8 * BLOCK).unpadder()
    padded = decryptor.update(data) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


@dataclass(frozen=True)
class Signed:
    """rawData as it came, and WeChat's signature of it."""

    raw_data: str
    signature: str

    def was_signed_with(self, session_key: str) -> bool:
        """Check sha1(rawData + session_key), the key as its base64 text, in constant time.

        Source: WeChat, «开放数据校验与解密», 数据签名校验. SHA-1 is WeChat's choice.
        """
        text = (self.raw_data + session_key).encode()
        expected = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        return hmac.compare_digest(expected.encode(), self.signature.encode())

    def agreeing(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Give the opened fields if rawData has the same value for each member in both.

        Raises:
            ValueError: if they differ, or rawData is no strict JSON object.
        """
        raw = strict_json.load_object(self.raw_data.encode())
        if any(raw[name] != fields[name] for name in raw.keys() & fields.keys()):
            raise ValueError
        return fields
