"""The simulator's cryptography against the values that WeChat and its SDKs publish."""

import base64
import json
from pathlib import Path

from simulator.wechat import cipher

GROUPS = json.loads((Path(__file__).parents[1] / "corpus/vectors.json").read_text())
VECTORS = {v["id"]: v for name in ("vectors", "synthetic") for v in GROUPS[name]}


def test_encrypting_a_published_plaintext_gives_the_published_data() -> None:
    sealed = [v for v in VECTORS.values() if "expected_plaintext" in v]
    assert len(sealed) > 3
    for v in sealed:
        made = cipher.encrypt(v["session_key"], base64.b64decode(v["iv"]), v["expected_plaintext"])
        assert made == v["encryptedData"], v["id"]


def test_signing_a_published_raw_data_gives_its_signature() -> None:
    signed = [v for v in VECTORS.values() if "rawData" in v]
    assert signed
    for v in signed:
        assert cipher.raw_data_signature(v["rawData"], v["session_key"]) == v["signature"], v["id"]


def test_the_hmac_key_is_the_base64_text_and_a_get_signs_the_empty_message() -> None:
    published = "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b"
    assert cipher.user_signature("o0q0otL8aEzpcZL/FT9WsQ==", b'{"foo":"bar"}') == published
    empty = VECTORS["syn-user-signature-empty-body"]
    assert cipher.user_signature(empty["session_key"]) == empty["signature"]
