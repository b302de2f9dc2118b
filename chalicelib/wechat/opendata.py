"""WeChat's encrypted open data (开放数据): pure, strict, and one failure for every cause.

Source: WeChat, «开放数据校验与解密». AES-128-CBC with PKCS#7; no MAC, so the text is malleable:
an attacker who may choose iv and ciphertext can splice blocks. What stops him is that nothing is
accepted but exactly the fields of one kind, that agree with each other, and that every failure
looks the same.
"""

import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from chalicelib import strict_json
from chalicelib.errors import DecryptFailed, InvalidRequest

BLOCK = 16
MAX_DATA = 16_384
"""Bytes of encryptedData; WeChat's own are a few hundred, WeRun's 31 days under two thousand."""

CLOCK_SKEW = 60
"""Seconds that a watermark may lie in the future."""

Fields = dict[str, Any]


class _Refused(ValueError):
    """The plaintext breaks a rule; never leaves this module, and says nothing."""


def decode(text: object, size: int | None = None) -> bytes:
    """Decode strict base64 of a request field.

    Raises:
        InvalidRequest: if it is not text, not strict base64, or not `size` bytes.
    """
    if not isinstance(text, str):
        raise InvalidRequest
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest from None
    if size is not None and len(data) != size:
        raise InvalidRequest
    return data


def key_bytes(session_key: object) -> bytes:
    """Decode a session_key, 24 characters of strict base64, into its 16 bytes.

    Raises:
        ValueError: if it is anything else; says nothing of it.
    """
    if not isinstance(session_key, str):
        raise _Refused
    key = binascii.a2b_base64(session_key, strict_mode=True)
    if len(key) != BLOCK:
        raise _Refused
    return key


def ciphertext(encrypted_data: object, iv: object) -> tuple[bytes, bytes]:
    """Check the form of the two request fields and decode them into (data, iv).

    Raises:
        InvalidRequest: unless iv is 16 bytes and data is 1 to 1024 whole blocks.
    """
    vector = decode(iv, BLOCK)
    data = decode(encrypted_data)
    if not data or len(data) % BLOCK or len(data) > MAX_DATA:
        raise InvalidRequest
    return data, vector


_PADDINGS = {count: bytes([count]) * count for count in range(1, BLOCK + 1)}


def unpad(padded: bytes) -> bytes:
    """Remove PKCS#7 padding of 16-byte blocks, every padding byte checked (RFC 5652 6.3)."""
    padding = _PADDINGS.get(padded[-1])
    if padding is None or not padded.endswith(padding):
        raise _Refused
    return padded[: -len(padding)]


def decrypt(key: bytes, data: bytes, iv: bytes) -> bytes:
    """Open AES-128-CBC: 16-byte key, whole blocks, 16-byte iv, to the unpadded plaintext."""
    decryptor = Cipher(AES128(key), CBC(iv)).decryptor()
    return unpad(decryptor.update(data) + decryptor.finalize())


# --- the fields of each kind ---------------------------------------------------------------------

_DIGITS = re.compile(r"[0-9]{1,20}")
_PHONE = re.compile(r"\+?[0-9]{1,24}")
# An opaque id of a group: letters, digits and what base64url and openids use.
_GROUP_ID = re.compile(r"[A-Za-z0-9_=+/-]{1,128}")


def _string(fields: Fields, name: str, pattern: re.Pattern[str] | None = None) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or (pattern and not pattern.fullmatch(value)):
        raise _Refused
    return value


def _integer(fields: Fields, name: str) -> int:
    value = fields.get(name)
    # A bool is an int to isinstance; beyond 2⁵³ JavaScript reads another number (RFC 8259 6).
    if type(value) is not int or not 0 <= value < 2**53:
        raise _Refused
    return value


def _optional(read: Callable[[Fields, str], Any], fields: Fields, *names: str) -> Fields:
    return {name: read(fields, name) for name in names if name in fields}


_PROFILE = ("nickName", "avatarUrl", "language", "country", "province", "city")
_USER_TEXTS = ("openId", "unionId", *_PROFILE)


def _user(fields: Fields, openid: str, unionid: str | None) -> Fields:
    if "nickName" not in fields or "avatarUrl" not in fields:
        raise _Refused
    opened = {name: fields[name] for name in _USER_TEXTS if name in fields}
    for value in opened.values():
        if not isinstance(value, str):
            raise _Refused
    if "gender" in fields:
        opened["gender"] = _integer(fields, "gender")
    if opened.get("openId", openid) != openid:
        raise _Refused
    # A session older than the binding that gave its user a unionid must log in again.
    if "unionId" in opened and opened["unionId"] != unionid:
        raise _Refused
    return opened


def phone(fields: Fields) -> Fields:
    """Check the three phone fields and that they agree; return them alone.

    phoneNumber carries the country code for foreign numbers; countryCode was a number in old
    samples (WeChat, «获取手机号»), a string in life.
    """
    if type(fields.get("countryCode")) is int:
        fields = {**fields, "countryCode": str(fields["countryCode"])}
    number = _string(fields, "phoneNumber", _PHONE)
    pure = _string(fields, "purePhoneNumber", _DIGITS)
    country = _string(fields, "countryCode", _DIGITS)
    if number not in (pure, country + pure, f"+{country}{pure}"):
        raise _Refused
    return {"phoneNumber": number, "purePhoneNumber": pure, "countryCode": country}


def _phone(fields: Fields, _openid: str, _unionid: str | None) -> Fields:
    return phone(fields)


def _werun(fields: Fields, _openid: str, _unionid: str | None) -> Fields:
    days = fields.get("stepInfoList")
    if not isinstance(days, list) or not all(isinstance(day, dict) for day in days):
        raise _Refused
    return {
        "stepInfoList": [
            {"timestamp": _integer(day, "timestamp"), "step": _integer(day, "step")} for day in days
        ]
    }


def _share(fields: Fields, _openid: str, _unionid: str | None) -> Fields:
    return {"openGId": _string(fields, "openGId", _GROUP_ID)}


def _group_text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    # Samples show these as empty where they do not apply.
    return value if value == "" else _string(fields, name, _GROUP_ID)


def _group(fields: Fields, _openid: str, _unionid: str | None) -> Fields:
    opened = _optional(_group_text, fields, "opengid", "open_single_roomid", "group_openid")
    # A chat of two has the second id, any other the first (WeChat, «wx.getGroupEnterInfo»).
    if not (opened.get("opengid") or opened.get("open_single_roomid")):
        raise _Refused
    return opened | _optional(_integer, fields, "chat_type")


KINDS: dict[str, Callable[[Fields, str, str | None], Fields]] = {
    "user": _user,
    "phone": _phone,
    "werun": _werun,
    "share": _share,
    "group": _group,
}
"""What decryption yields: kind → the rule that returns its documented fields, and only those.

Unknown members are ignored: WeChat may add some at any time, and promises to remove none.
"""

_OWN = {
    "user": {"gender", *_USER_TEXTS},
    "phone": {"phoneNumber", "purePhoneNumber", "countryCode"},
    "werun": {"stepInfoList"},
    "share": {"openGId"},
    "group": {"opengid", "open_single_roomid", "group_openid", "chat_type"},
}
# A member that belongs to another kind is no unknown member: it is the trace of a splice. By the
# iv alone `{"openId":"o` becomes `{"openGId":"`, and someone's profile a group of his choice.
_FOREIGN = {kind: set().union(*_OWN.values()) - own for kind, own in _OWN.items()}


def _check_watermark(fields: Fields, appid: str, now: float, max_age: float) -> None:
    watermark = fields.get("watermark")
    if not isinstance(watermark, dict) or watermark.get("appid") != appid:
        raise _Refused
    if not now - max_age <= _integer(watermark, "timestamp") <= now + CLOCK_SKEW:
        raise _Refused


def read(
    plaintext: bytes,
    kind: str,
    *,
    appid: str,
    openid: str,
    unionid: str | None,
    now: float,
    max_age: float,
) -> Fields:
    """Read the plaintext of one kind and return its documented fields.

    Raises:
        ValueError: for every fault, without a word about it.
    """
    if not (plaintext.startswith(b"{") and plaintext.endswith(b"}")) or kind not in KINDS:
        raise _Refused
    fields = strict_json.load_object(plaintext)
    if not _FOREIGN[kind].isdisjoint(fields):
        raise _Refused
    _check_watermark(fields, appid, now, max_age)
    return KINDS[kind](fields, openid, unionid)


def open_with(
    keys: list[bytes], data: bytes, iv: bytes, read_plaintext: Callable[[bytes], Fields]
) -> Fields:
    """Try the current key, then the previous one; the first plaintext that reads well wins.

    Raises:
        DecryptFailed: if none does, whatever the reason.
    """
    for key in keys:
        try:
            return read_plaintext(decrypt(key, data, iv))
        except ValueError:
            continue
    raise DecryptFailed


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

    def agreeing(self, fields: Fields) -> Fields:
        """Give the opened fields if rawData tells the same of each that both hold.

        Raises:
            ValueError: if they differ, or rawData is no strict JSON object.
        """
        raw = strict_json.load_object(self.raw_data.encode())
        if any(raw[name] != fields[name] for name in raw.keys() & fields.keys()):
            raise _Refused
        return fields
