"""The bearer token: its format, its checksum, its hash at rest, and the key that it carries."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chalicelib.errors import InvalidToken

PREFIX = "wxg_"
USER_BYTES, SECRET_BYTES, CHECKSUM_BYTES, NONCE_BYTES = 16, 32, 6, 12

_BODY_BYTES = USER_BYTES + SECRET_BYTES + CHECKSUM_BYTES
# 54 bytes are 72 characters without padding or spare bits, so each token has one spelling.
_TEXT = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{{_BODY_BYTES * 4 // 3}}}")


def user_reference(appid: str, openid: str) -> bytes:
    """Name a user of one mini-program in 16 bytes: identity is (appid, openid), never one alone."""
    return hashlib.sha256(f"wxgate user\0{appid}\0{openid}".encode()).digest()[:USER_BYTES]


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"wxgate token\0" + body).digest()[:CHECKSUM_BYTES]


@dataclass(frozen=True, repr=False)
class Token:
    """A bearer credential: 16 bytes of user reference, 32 random bytes."""

    user: bytes
    secret: bytes

    @classmethod
    def new(cls, user: bytes) -> "Token":
        """Make a token for a user reference: 256 bits of the system's generator."""
        return cls(user, secrets.token_bytes(SECRET_BYTES))

    @classmethod
    def parse(cls, text: object) -> "Token":
        """Read a token's text without I/O, or raise InvalidToken if it is malformed."""
        if not isinstance(text, str) or not _TEXT.fullmatch(text):
            raise InvalidToken
        raw = base64.urlsafe_b64decode(text[len(PREFIX) :])
        body, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
        if checksum != _checksum(body):
            raise InvalidToken
        return cls(body[:USER_BYTES], body[USER_BYTES:])

    @property
    def text(self) -> str:
        """The wire form: `wxg_` and 72 characters of base64url."""
        body = self.user + self.secret
        return PREFIX + base64.urlsafe_b64encode(body + _checksum(body)).decode()

    @cached_property
    def item(self) -> bytes:
        """The sort key at rest: SHA-256 of the token, enough above 112 bits (ASVS 6.5.2)."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def alias(self) -> str:
        """The user in the log: a hash, by which the lines of one user can be joined."""
        return hashlib.sha256(self.user).hexdigest()[:12]

    @cached_property
    def _sealer(self) -> AESGCM:
        hkdf = HKDF(SHA256(), 32, salt=self.user, info=b"wxgate session_key v1")
        return AESGCM(hkdf.derive(self.secret))

    def seal(self, session_key: str, slot: str) -> bytes:
        """Seal a session_key (base64 text) so that only this token, item and slot open it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._sealer.encrypt(nonce, session_key.encode(), self._bound_to(slot))

    def unseal(self, sealed: bytes, slot: str) -> str:
        """Open what `seal` made for this token and slot; raise ValueError for anything else."""
        nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._sealer.decrypt(nonce, ciphertext, self._bound_to(slot)).decode()
        except InvalidTag:
            raise ValueError from None

    def _bound_to(self, slot: str) -> bytes:
        return self.user + self.item + slot.encode()
