"""WeChat's encrypted open data (开放数据): the cipher, and what is signed with the session_key.

Source: WeChat, «开放数据校验与解密». AES-128-CBC with PKCS#7 and without a MAC: whoever chooses iv
and ciphertext can splice blocks. So kinds.read takes nothing but the exact fields of one kind, and
every failure is a ValueError that looks the same to the client.
"""

import binascii
import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128, AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from chalicelib import strict_json
from chalicelib.errors import InvalidRequest

BLOCK = 16
MAX_DATA = 16_384  # bytes; WeChat's own are a few hundred, WeRun's 31 days under two thousand


def _base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError  # noqa: TRY004 - one error for every fault
    return binascii.a2b_base64(text, strict_mode=True)


def key_bytes(session_key: object) -> bytes:
    """Decode a session_key, 24 characters of strict base64, or raise ValueError without it."""
    key = _base64(session_key)
    if len(key) != BLOCK:
        raise ValueError
    return key


def ciphertext(encrypted_data: object, iv: object) -> tuple[bytes, bytes]:
    """Decode 1 to 1024 blocks of data and an iv from strict base64, or raise InvalidRequest."""
    try:
        data, vector = _base64(encrypted_data), _base64(iv)
    except ValueError:
        raise InvalidRequest from None
    if len(vector) != BLOCK or len(data) % BLOCK or not 0 < len(data) <= MAX_DATA:
        raise InvalidRequest
    return data, vector


def decrypt(key: bytes, data: bytes, iv: bytes) -> bytes:
    """Open AES-128-CBC, or raise ValueError: every byte of the padding counts (RFC 5652 6.3)."""
    return open_cbc(AES128(key), iv, data, BLOCK)


def open_cbc(algorithm: AES128 | AES256, iv: bytes, data: bytes, block: int) -> bytes:
    """Decrypt and take the PKCS#7 padding to `block` bytes away, or raise ValueError."""
    decryptor = Cipher(algorithm, CBC(iv)).decryptor()
    unpadder = PKCS7(8 * block).unpadder()
    padded = decryptor.update(data) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def check_raw_data(raw_data: str, signature: str, session_key: str, fields: dict[str, Any]) -> None:
    """Raise ValueError unless WeChat signed rawData, and it agrees with the opened fields.

    The signature is sha1(rawData + session_key as base64 text): «开放数据校验与解密», 数据签名校验.
    """
    text = (raw_data + session_key).encode()
    expected = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    raw = strict_json.load_object(raw_data.encode())
    agrees = all(raw[name] == fields[name] for name in raw.keys() & fields.keys())
    if not hmac.compare_digest(expected.encode(), signature.encode()) or not agrees:
        raise ValueError


def user_signature(session_key: str, text: str) -> str:
    """Sign with the session_key's base64 text, not its bytes: HMAC-SHA256 in lower-case hex.

    Source: WeChat, «用户登录态签名».
    """
    return hmac.digest(session_key.encode(), text.encode(), hashlib.sha256).hex()
