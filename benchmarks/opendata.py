"""Decryption: from base64 texts to checked fields, ours beside wechatpy's, on the same texts.

Ours also refuses stale data, lone surrogates, repeated keys, foreign fields, other users' ids and
loose padding; wechatpy checks the appid. So ours does more, and the ratio includes that.
"""

import base64
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.figures import Figure, interleaved, ratios
from chalicelib.identity import Identity
from chalicelib.wechat import kinds, opendata
from simulator.wechat.cipher import encrypt, new_session_key

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from wechatpy.crypto import WeChatWxaCrypto

APPID = "wx4f4bc4dec97d474b"
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
UNIONID = "ocMvos6NjeKLIBqg5Mr9QjxrP1FA"
NOW = 1_477_314_187
IV = bytes(range(16))
WHOSE = Identity(APPID, OPENID, UNIONID)

# The members and lengths of the sample that WeChat publishes («开放数据校验与解密»).
_USER = {
    "openId": OPENID,
    "nickName": "Band",
    "gender": 1,
    "language": "zh_CN",
    "city": "Guangzhou",
    "province": "Guangdong",
    "country": "CN",
    "avatarUrl": "http://wx.qlogo.cn/mmopen/vi_32/" + "a" * 85 + "/0",
    "unionId": UNIONID,
}
_PHONE = {"phoneNumber": "13580006666", "purePhoneNumber": "13580006666", "countryCode": "86"}
_WERUN = {"stepInfoList": [{"timestamp": NOW - day * 86400, "step": 4000} for day in range(31)]}

PLAINTEXTS: dict[str, dict[str, Any]] = {"user": _USER, "phone": _PHONE, "werun": _WERUN}


@dataclass(frozen=True)
class Sample:
    """One encrypted datum, as the phone sends it, and the key that we hold: texts all."""

    kind: str
    session_key: str
    iv: str
    encrypted_data: str


def sample(kind: str) -> Sample:
    """Encrypt the plaintext of a kind under a fresh session_key."""
    members = {**PLAINTEXTS[kind], "watermark": {"timestamp": NOW, "appid": APPID}}
    plaintext = json.dumps(members, separators=(",", ":"))
    session_key = new_session_key()
    encrypted = encrypt(session_key, IV, plaintext)
    return Sample(kind, session_key, base64.b64encode(IV).decode(), encrypted)


def ours(given: Sample) -> dict[str, Any]:
    """Open a sample as the decrypt handler does."""
    data, iv = opendata.ciphertext(given.encrypted_data, given.iv)
    plaintext = opendata.decrypt(opendata.key_bytes(given.session_key), data, iv)
    return kinds.read(plaintext, given.kind, whose=WHOSE, now=NOW, max_age=300)


def wechatpys(given: Sample) -> dict[str, Any]:
    """Open a sample as wechatpy's users do."""
    crypto = WeChatWxaCrypto(given.session_key, given.iv, APPID)
    opened: dict[str, Any] = crypto.decrypt_message(given.encrypted_data)
    return opened


def _microseconds(opened: Callable[[Sample], object], given: Sample, times: int) -> float:
    # CPU time: there is no I/O, and what else runs on the machine is not meant.
    started = time.process_time()
    for _ in range(times):
        opened(given)
    return (time.process_time() - started) / times * 1e6


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure µs per datum, ours and wechatpy's in turn, and how many times as fast ours is."""
    runs, times = (3, 200) if quick else (101, 300)
    figures: list[Figure] = []
    for kind in PLAINTEXTS:
        given = sample(kind)
        actions = {
            "ours": partial(_microseconds, ours, given, times),
            "wechatpy": partial(_microseconds, wechatpys, given, times),
        }
        samples = interleaved(actions, runs)
        speed = ratios(samples["wechatpy"], samples["ours"])
        figures += [
            Figure(f"decrypt {kind}, all checks", "µs", samples["ours"]),
            Figure(f"decrypt {kind}, wechatpy", "µs", samples["wechatpy"]),
            Figure(f"decrypt {kind}, speed ÷ wechatpy's", "×", speed),
        ]
    return figures
