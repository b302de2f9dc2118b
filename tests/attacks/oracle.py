"""Crafted queries to /decrypt: what a client can do who picks iv and ciphertext but has no key.

He knows the plaintext of his own messages, so he knows what each of their blocks opens to
(«CBC»: plaintext = D(block) xor the block before). Everything here is made from that alone.
"""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator.wechat import cipher
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


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def body_of(kind: str, iv: bytes, blocks: list[bytes]) -> dict[str, str]:
    data = base64.b64encode(b"".join(blocks)).decode()
    return {"kind": kind, "iv": base64.b64encode(iv).decode(), "encryptedData": data}


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


def message(
    fields: dict[str, Any], iv: bytes = bytes(BLOCK), session_key: str = USERS["A"]["session_key"]
) -> Message:
    """Encrypt one of WeChat's objects as WeChat spells it."""
    text = json.dumps({**fields, "watermark": WATERMARK}, separators=(",", ":"))
    data = base64.b64decode(cipher.encrypt(session_key, iv, text))
    return Message(text.encode(), iv, [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)])


Query = tuple[str, bytes, list[bytes]]
"""What one request asks: kind, iv, blocks."""

dice = random.Random(7)  # every run asks the same
MESSAGES = [message(fields, dice.randbytes(BLOCK)) for fields in (PHONE, PROFILE, STEPS)]
MINE = MESSAGES[1]


def paddings() -> Iterator[Query]:
    """Vaudenay's oracle: every last byte, then every byte before a padding that holds."""
    for block in (MESSAGES[0].blocks[-1], MINE.blocks[3]):
        for byte in range(256):
            yield "phone", dice.randbytes(15) + bytes([byte]), [block]
    whole = xor(MINE.opened(3), bytes([2]) * BLOCK)
    for byte in range(256):
        yield "phone", whole[:14] + bytes([byte]) + whole[15:], [MINE.blocks[3]]
    for count in range(1, 17):  # a padding that holds, of every length, over known text
        text = b"x" * (BLOCK - count) + bytes([count]) * count
        yield "user", xor(MINE.opened(4), text), [MINE.blocks[4]]


def noises() -> Iterator[Query]:
    for _ in range(1200):
        data = dice.randbytes(BLOCK * dice.randint(1, 12))
        yield dice.choice(KINDS), dice.randbytes(BLOCK), [data]


def splices() -> Iterator[Query]:
    """A chosen head by the iv, then a run of blocks of one message, perhaps of another too."""
    for _ in range(1500):
        one, other = dice.choices(MESSAGES, k=2)
        start = dice.randrange(len(one.blocks) - 1)
        head = dice.choice(HEADS)
        if start == 0 and one.text.startswith(head):
            continue  # an honest message
        tail = other.blocks[dice.randrange(len(other.blocks)) :]
        blocks = one.blocks[start:] if dice.random() < 0.5 else one.blocks[start:-1] + tail
        yield dice.choice(KINDS), xor(one.opened(start), head), blocks


def flips() -> Iterator[Query]:
    """Every bit of the iv, and of each block that stands before a value."""
    for kind, original in zip(("phone", "user", "werun"), MESSAGES, strict=True):
        values = range(88, 128) if kind == "user" else range(128)  # the bits of openId itself
        for bit in values:
            yield kind, _flipped(original.iv, bit), original.blocks
        for index in range(min(len(original.blocks) - 1, 6)):
            for bit in range(0, 128, 5):
                blocks = list(original.blocks)
                blocks[index] = _flipped(blocks[index], bit)
                yield kind, original.iv, blocks


def _flipped(block: bytes, bit: int) -> bytes:
    return (int.from_bytes(block) ^ 1 << (127 - bit)).to_bytes(BLOCK)


def garbled() -> Iterator[Query]:
    """Change a value, and let the block before it turn to noise inside the nickname.

    Whoever decodes leniently takes the noise for a strange nickname.
    """
    index = MINE.text.index(b'"gender":1') // BLOCK
    original = MINE.text[index * BLOCK : (index + 1) * BLOCK]
    change = xor(original.replace(b'r":1', b'r":2'), original)
    for _ in range(1100):
        blocks = list(MINE.blocks)
        blocks[index - 1] = xor(blocks[index - 1], change)
        # Noise of another kind each time: the block before it is the client's choice as well.
        blocks[index - 2] = dice.randbytes(BLOCK)
        yield "user", MINE.iv, blocks


FAMILIES = {each.__name__: list(each()) for each in (paddings, noises, splices, flips, garbled)}
"""All queries: 5,000 and a few."""
