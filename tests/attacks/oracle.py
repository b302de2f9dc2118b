"""Crafted queries to /decrypt: what a client can do who picks iv and ciphertext but has no key.

He knows the plaintext of his own messages, so he knows what each of their blocks opens to
(«CBC»: plaintext = D(block) xor the block before). Everything here is made from that alone.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from tests.attacks.world import APPID
from tests.support.fakes import NOW
from tests.support.wechat import USERS

BLOCK = 16
WATERMARK = {"timestamp": NOW - 5, "appid": APPID}

PHONE = {"phoneNumber": "13900000001", "purePhoneNumber": "13900000001", "countryCode": "86"}
PROFILE = {
    "openId": USERS["A"]["openid"],
    # The client chooses it: digits that a splice would make a phone number of, and room.
    "nickName": "13800138000" * 4 + "x" * 48,
    "gender": 1,
    "language": "zh_CN",
    "city": "Guangzhou",
    "province": "Guangdong",
    "country": "CN",
    "avatarUrl": "https://wx.qlogo.cn/x/0",
}
STEPS = {"stepInfoList": [{"timestamp": NOW - 86_400 * day, "step": 100} for day in range(3)]}

HEADS = (
    b'{"phoneNumber":"',  # exactly one block, as it happens
    b'{"openGId":"Gabc',
    b'{"opengid":"Gabc',
    b'{"stepInfoList":',
    b'{"openId":"oB7zy',
    b'{"avatarUrl":"ht',
    b'{"unionId":"abcd',
)
KINDS = ("phone", "user", "werun", "share", "group")


@dataclass(frozen=True)
class Message:
    """A message of WeChat's: what it says, its iv and its blocks."""

    text: bytes
    iv: bytes
    blocks: list[bytes]

    def opened(self, index: int) -> bytes:
        """D(block), which the client works out from his own message."""
        before = self.iv if index == 0 else self.blocks[index - 1]
        return xor(self.text[index * BLOCK : (index + 1) * BLOCK], before)

    def query(self, family: str, kind: str) -> "Query":
        """Ask for it whole."""
        return Query(family, kind, self.iv, b"".join(self.blocks))


@dataclass(frozen=True)
class Query:
    """One request to /decrypt, and the family of attacks that it belongs to."""

    family: str
    kind: str
    iv: bytes
    data: bytes

    @property
    def body(self) -> dict[str, str]:
        """Its JSON members."""
        return {
            "kind": self.kind,
            "iv": base64.b64encode(self.iv).decode(),
            "encryptedData": base64.b64encode(self.data).decode(),
        }


def xor(left: bytes, right: bytes) -> bytes:
    """Combine two texts of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def padded(text: bytes) -> bytes:
    """Pad as PKCS#7 does."""
    count = BLOCK - len(text) % BLOCK
    return text + bytes([count]) * count


BAD_PADDINGS: list[Callable[[bytes], bytes]] = [
    lambda text: padded(text)[:-2] + b"\0" + padded(text)[-1:],  # the bytes before the last differ
    lambda text: padded(text)[:-1] + b"\x20",  # a block too much
    lambda text: text + b" " * (-len(text) % BLOCK),  # none
    lambda text: text + bytes(BLOCK - len(text) % BLOCK),  # zeros
]
"""What is no PKCS#7; a reader that looks at the last byte alone opens the first."""

KEY: str = USERS["A"]["session_key"]


def sealed(text: bytes, iv: bytes, session_key: str = KEY) -> Message:
    """Encrypt whole blocks as WeChat does, for user A."""
    encryptor = Cipher(AES128(base64.b64decode(session_key)), CBC(iv)).encryptor()
    data = encryptor.update(text) + encryptor.finalize()
    return Message(text, iv, [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)])


def text_of(fields: dict[str, Any]) -> bytes:
    """Write one of WeChat's objects as WeChat spells it."""
    return json.dumps({**fields, "watermark": WATERMARK}, separators=(",", ":")).encode()


def message(fields: dict[str, Any], iv: bytes, session_key: str = KEY) -> Message:
    """Encrypt one of WeChat's objects."""
    return sealed(padded(text_of(fields)), iv, session_key)


class Attacker:
    """Makes queries; `dice` is seeded, so every run asks the same."""

    def __init__(self) -> None:
        self.dice = random.Random(7)
        self.messages = [message(fields, self._noise()) for fields in (PHONE, PROFILE, STEPS)]
        self.profile = self.messages[1]

    def _noise(self, size: int = BLOCK) -> bytes:
        return self.dice.randbytes(size)

    def queries(self) -> list[Query]:
        """All of them: 5,000 and a few."""
        return [
            *self._paddings(),
            *self._noises(1200),
            *self._splices(1500),
            *self._flips(),
            *self._garbled(1100),
        ]

    def _paddings(self) -> Iterator[Query]:
        """Vaudenay's oracle: every last byte, then every byte before a padding that holds."""
        for block in (self.messages[0].blocks[-1], self.profile.blocks[3]):
            for byte in range(256):
                yield Query("padding", "phone", self._noise(15) + bytes([byte]), block)
        whole = xor(self.profile.opened(3), bytes([2]) * BLOCK)
        for byte in range(256):
            iv = whole[:14] + bytes([byte]) + whole[15:]
            yield Query("padding", "phone", iv, self.profile.blocks[3])
        for count in range(1, 17):  # a padding that holds, of every length, over known text
            text = b"x" * (BLOCK - count) + bytes([count]) * count
            iv = xor(self.profile.opened(4), text)
            yield Query("padding", "user", iv, self.profile.blocks[4])

    def _noises(self, count: int) -> Iterator[Query]:
        for _ in range(count):
            size = BLOCK * self.dice.randint(1, 12)
            yield Query("noise", self.dice.choice(KINDS), self._noise(), self._noise(size))

    def _splices(self, count: int) -> Iterator[Query]:
        """A chosen head by the iv, then a run of blocks of one message, perhaps of another too."""
        for _ in range(count):
            one, other = self.dice.choices(self.messages, k=2)
            start = self.dice.randrange(len(one.blocks) - 1)
            head = self.dice.choice(HEADS)
            if start == 0 and one.text.startswith(head):
                continue  # an honest message
            tail = other.blocks[self.dice.randrange(len(other.blocks)) :]
            blocks = one.blocks[start:] if self.dice.random() < 0.5 else one.blocks[start:-1] + tail
            iv = xor(one.opened(start), head)
            yield Query("splice", self.dice.choice(KINDS), iv, b"".join(blocks))

    def _flips(self) -> Iterator[Query]:
        """Every bit of the iv, and of each block that stands before a value."""
        for kind, original in zip(("phone", "user", "werun"), self.messages, strict=True):
            values = range(88, 128) if kind == "user" else range(128)  # the bits of openId itself
            for bit in values:
                yield Query("flip", kind, _flipped(original.iv, bit), b"".join(original.blocks))
            for index in range(min(len(original.blocks) - 1, 6)):
                for bit in range(0, 128, 5):
                    blocks = list(original.blocks)
                    blocks[index] = _flipped(blocks[index], bit)
                    yield Query("flip", kind, original.iv, b"".join(blocks))

    def _garbled(self, count: int) -> Iterator[Query]:
        """Change a value, and let the block before it turn to noise inside the nickname.

        Whoever decodes leniently takes the noise for a strange nickname.
        """
        text = self.profile.text
        index = text.index(b'"gender":1') // BLOCK
        wanted = text[index * BLOCK : (index + 1) * BLOCK].replace(b'r":1', b'r":2')
        change = xor(wanted, text[index * BLOCK : (index + 1) * BLOCK])
        for _ in range(count):
            blocks = list(self.profile.blocks)
            blocks[index - 1] = xor(blocks[index - 1], change)
            # Noise of another kind each time: the block before it is the client's choice as well.
            blocks[index - 2] = self._noise()
            yield Query("garbled", "user", self.profile.iv, b"".join(blocks))


def _flipped(block: bytes, bit: int) -> bytes:
    mask = bytearray(BLOCK)
    mask[bit // 8] = 0x80 >> bit % 8
    return xor(block, bytes(mask))
