"""The simulator's cryptography against the values that WeChat and its SDKs publish."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from simulator.wechat import cipher

CORPUS = Path(__file__).parents[1] / "corpus" / "vectors.json"
GROUPS = json.loads(CORPUS.read_text())
VECTORS = {v["id"]: v for name in ("vectors", "synthetic") for v in GROUPS[name]}

SEALED = [v for v in VECTORS.values() if "expected_plaintext" in v]
RAW = [v for v in VECTORS.values() if "rawData" in v]


def name(vector: dict[str, Any]) -> str:
    return str(vector["id"])


@pytest.mark.parametrize("vector", SEALED, ids=name)
def test_encrypting_a_published_plaintext_gives_the_published_data(vector: dict[str, Any]) -> None:
    iv = base64.b64decode(vector["iv"])
    sealed = cipher.encrypt(vector["session_key"], iv, vector["expected_plaintext"])
    assert sealed == vector["encryptedData"]


@pytest.mark.parametrize("vector", RAW, ids=name)
def test_signing_a_published_raw_data_gives_its_signature(vector: dict[str, Any]) -> None:
    signature = cipher.raw_data_signature(vector["rawData"], vector["session_key"])
    assert signature == vector["signature"]


def test_the_hmac_key_is_the_base64_text_and_a_get_signs_the_empty_message() -> None:
    published = "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b"
    assert cipher.user_signature("o0q0otL8aEzpcZL/FT9WsQ==", b'{"foo":"bar"}') == published
    empty = VECTORS["syn-user-signature-empty-body"]
    assert cipher.user_signature(empty["session_key"]) == empty["signature"]


def test_a_session_key_is_sixteen_random_bytes_in_base64() -> None:
    first, second = cipher.new_session_key(), cipher.new_session_key()
    assert first != second
    assert len(base64.b64decode(first, validate=True)) == 16
