"""Any bytes at /decrypt are what their kind allows, or the one error.

The first byte of an input says how the rest is taken: as the two fields of a request, as iv and
ciphertext, or as a plaintext that WeChat encrypted.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from chalicelib.errors import DecryptFailed, InvalidRequest
from chalicelib.wechat import opendata
from fuzz import demand, kept

APPID, OPENID, UNIONID = "wx4f4bc4dec97d474b", "o-ann", "u-ann"
KEY, IV = bytes(range(16)), bytes(range(16, 32))
NOW, MAX_AGE = 1_900_000_000, 300
KINDS = tuple(opendata.KINDS)
DOCUMENTED = {
    "user": "openId unionId nickName avatarUrl gender language country province city",
    "phone": "phoneNumber purePhoneNumber countryCode",
    "werun": "stepInfoList",
    "share": "openGId",
    "group": "opengid open_single_roomid group_openid chat_type",
}

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")

Read = Callable[..., dict[str, Any]]


def check(data: bytes, read: Read = opendata.read) -> None:
    """Open the input as one of the kinds.

    Raises:
        Breach: if fields come out that the kind does not have, or that are not what was encrypted.
        Any error that is neither InvalidRequest nor DecryptFailed.
    """
    if not data:
        return
    way, kind = divmod(data[0], len(KINDS))
    if way % 3 == 0:
        _fields_of_a_request(data[1:], KINDS[kind], read)
    elif way % 3 == 1:
        _opened(data[17:], data[1:17], KINDS[kind], read)
    else:
        _plaintext(data[1:], KINDS[kind], read)


def _fields_of_a_request(data: bytes, kind: str, read: Read) -> None:
    encrypted, _, iv = data.decode("utf-8", "replace").partition("\n")
    try:
        sealed, vector = opendata.ciphertext(encrypted, iv)
    except InvalidRequest:
        return
    demand(len(vector) == 16 and len(sealed) % 16 == 0, "whole blocks")
    demand(_BASE64.fullmatch(encrypted), "nothing but base64 is decoded")
    _opened(sealed, vector, kind, read)


def _plaintext(text: bytes, kind: str, read: Read) -> None:
    fields = _opened(_encrypted(text), IV, kind, read)
    if fields is not None:
        _is_what_was_said(fields, json.loads(text.decode()), kind)


def _opened(sealed: bytes, iv: bytes, kind: str, read: Read) -> dict[str, Any] | None:
    try:
        opendata.ciphertext(base64.b64encode(sealed).decode(), base64.b64encode(iv).decode())
    except InvalidRequest:
        return None
    try:
        return opendata.open_with([KEY], sealed, iv, lambda text: _read(text, kind, read))
    except DecryptFailed as error:
        demand(error.evidence == {}, "a failure says nothing of its cause")
        return None


def _read(text: bytes, kind: str, read: Read) -> dict[str, Any]:
    return read(text, kind, appid=APPID, openid=OPENID, unionid=UNIONID, now=NOW, max_age=MAX_AGE)


def _is_what_was_said(fields: dict[str, Any], said: Any, kind: str) -> None:
    demand(set(fields) <= set(DOCUMENTED[kind].split()), "only documented members come out")
    demand(said["watermark"]["appid"] == APPID, "the watermark names this app")
    age = NOW - said["watermark"]["timestamp"]
    demand(-opendata.CLOCK_SKEW <= age <= MAX_AGE, "the watermark is fresh")
    demand(fields.get("openId", OPENID) == OPENID, "the openId is the session's own")
    demand(fields.get("unionId", UNIONID) == UNIONID, "the unionId is the session's own")
    for name, value in fields.items():
        if name != "stepInfoList":
            demand(str(said[name]) == str(value), f"{name} is what was encrypted")


def seeds() -> Iterator[bytes]:
    """Give what is kept: one good message of each kind, in each of the three ways, and more."""
    return kept("decrypt")


def _encrypted(text: bytes) -> bytes:
    padder = PKCS7(128).padder()
    encryptor = Cipher(AES128(KEY), CBC(IV)).encryptor()
    return encryptor.update(padder.update(text) + padder.finalize()) + encryptor.finalize()
