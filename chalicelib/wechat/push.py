"""WeChat's message push (消息推送): signatures and envelopes, in secure mode alone.

Source: WeChat, «消息推送» and «消息加解密说明». Only the signature of that mode covers the body.
Every refusal looks the same to the sender; its reason goes to the log.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.algorithms import AES256

from chalicelib.deadlines import Deadline
from chalicelib.errors import Misconfigured, PushRefused, RequestTooLarge, UnknownApp
from chalicelib.network.secrets import CACHE_SECONDS, REFRESH_INTERVAL, Secrets, Version
from chalicelib.wechat import messages, opendata
from chalicelib.wechat.messages import Message

MAX_BODY = 1_048_576  # bytes of a push; WeChat's own are a few thousand
MAX_AGE = 300  # seconds that a timestamp may be off, either way; WeChat sets no window of its own
OVERLAP = 86_400.0  # seconds after a rotation in which the version before is accepted too
BLOCK = 32  # bytes of a block of padding: twice that of AES
_TOKEN = re.compile(r"[A-Za-z0-9]{3,32}")
_AES_KEY = re.compile(r"[A-Za-z0-9+/]{43}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_NONCE = re.compile(r"[!-~]{1,128}")

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, repr=False)
class PushKey:
    """One version of an app's push secret: the token, the 32-byte AES key, its creation."""

    token: str
    aes: bytes
    created_at: float

    @classmethod
    def parse(cls, version: Version) -> "PushKey":
        """Read `{"token", "aes_key"}`: 3 to 32 letters and digits, 43 characters of base64.

        Raises:
            Misconfigured: if it is anything else.
        """
        token, aes_key = version.text("token"), version.text("aes_key")
        if not _TOKEN.fullmatch(token) or not _AES_KEY.fullmatch(aes_key):
            raise Misconfigured(reason="token or aes_key is malformed", secret=version.name)
        # Not strict: the last character has two spare bits, which published keys do not zero.
        return cls(token, base64.b64decode(f"{aes_key}="), version.created_at)

    def has_signed(self, signature: str, *parts: str) -> bool:
        """Check sha1 (WeChat's choice) of the sorted token and parts, in constant time."""
        text = "".join(sorted([self.token, *parts])).encode()
        expected = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))

    def decrypt(self, encrypted: str, appid: str) -> bytes:
        """Open the envelope: 16 random bytes, length, message, appid, padding.

        Raises:
            ValueError: unless all of it is right.
        """
        data = binascii.a2b_base64(encrypted, strict_mode=True)
        plain = opendata.open_cbc(AES256(self.aes), self.aes[:16], data, BLOCK)
        end = 20 + int.from_bytes(plain[16:20])
        if plain[end:] != appid.encode():
            raise ValueError
        return plain[20:end]


class Push:
    """Verifies and opens what comes to the push URL of each mini-program.

    The secret of an app is `<prefix>push/<appid>`. Both methods raise UnknownApp, PushRefused, and
    Misconfigured or SecretsUnavailable as Secrets does.
    """

    def __init__(
        self, secrets: Secrets, prefix: str, appids: tuple[str, ...], clock: Callable[[], float]
    ) -> None:
        self._secrets = secrets
        self._prefix = prefix
        self._appids = appids
        self._clock = clock

    def warm(self, deadline: Deadline) -> None:
        """Read the secrets ahead."""
        for appid in self._appids:
            if deadline.remaining() > 0:
                self._keys(appid, CACHE_SECONDS)

    def echo(self, appid: str, query: Pairs) -> str:
        """Give the echostr of WeChat's check of the URL, as it came."""
        timestamp, nonce = self._signed_parts(appid, query)
        self._key(appid, _only(query, "signature"), timestamp, nonce)
        return _only(query, "echostr")

    def open(self, appid: str, query: Pairs, body: bytes) -> Message:
        """Open a push in secure mode, JSON or XML.

        Raises:
            RequestTooLarge: beyond MAX_BODY bytes.
        """
        timestamp, nonce = self._signed_parts(appid, query)
        if len(body) > MAX_BODY:
            raise RequestTooLarge
        if _only(query, "encrypt_type") != "aes":
            raise PushRefused(reason="mode")
        encrypted = _encrypted(body)
        key = self._key(appid, _only(query, "msg_signature"), timestamp, nonce, encrypted)
        # WeChat sends this one too. It does not cover the body, so it may be missing, not wrong.
        if any(not key.has_signed(v, timestamp, nonce) for n, v in query if n == "signature"):
            raise PushRefused(reason="signature")
        try:
            return messages.read(appid, key.decrypt(encrypted, appid))
        except ValueError:
            raise PushRefused(reason="envelope") from None

    def _signed_parts(self, appid: str, query: Pairs) -> tuple[str, str]:
        """Give the timestamp and the nonce, which every signature covers."""
        if appid not in self._appids:
            raise UnknownApp
        timestamp, nonce = _only(query, "timestamp"), _only(query, "nonce")
        if not _TIMESTAMP.fullmatch(timestamp) or not _NONCE.fullmatch(nonce):
            raise PushRefused(reason="query")
        if abs(self._clock() - int(timestamp)) > MAX_AGE:
            raise PushRefused(reason="time")
        return timestamp, nonce

    def _key(self, appid: str, signature: str, *parts: str) -> PushKey:
        """Find the key that made a signature; if none did, read them again: one may be new."""
        for max_age in (CACHE_SECONDS, REFRESH_INTERVAL):
            for key in self._keys(appid, max_age):
                if key.has_signed(signature, *parts):
                    return key
        raise PushRefused(reason="signature")

    def _keys(self, appid: str, max_age: float) -> list[PushKey]:
        name = f"{self._prefix}push/{appid}"
        _, current, previous = self._secrets.stages(name, PushKey.parse, max_age)
        rotated = previous and self._clock() - current.created_at < OVERLAP
        return [current, previous] if previous and rotated else [current]


def _only(query: Pairs, name: str) -> str:
    """Give the one value of a parameter: printable, at most 1024 characters."""
    values = [value for key, value in query if key == name]
    if len(values) != 1 or not values[0].isprintable() or not 0 < len(values[0]) <= 1024:
        raise PushRefused(reason="query")
    return values[0]


def _encrypted(body: bytes) -> str:
    """Give Encrypt; beside a message that can be read, as in compatible mode, it is refused."""
    try:
        fields = messages.parse(body)
    except ValueError:
        raise PushRefused(reason="body") from None
    encrypted = fields.get("Encrypt")
    if not isinstance(encrypted, str) or not encrypted.isascii() or messages.PLAIN & fields.keys():
        raise PushRefused(reason="mode")
    return encrypted
