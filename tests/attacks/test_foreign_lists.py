"""What sends the lists that others maintain: good items pass, and breaches are reported."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from tests.attacks import foreign_lists
from tests.attacks.runner import Runner

TEXTS = {
    "y_array.json": b"[1]",
    "y_object_duplicated_key.json": b'{"a":1,"a":2}',
    "n_open.json": b'{"a":',
    "n_comma.json": b"[1,]",
    "i_latin.json": b'["\xe9"]',
    "i_surrogate.json": b'["\\ud800"]',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_as_its_name_says(runner: Runner, name: str) -> None:
    assert list(foreign_lists.json_breaches(runner, name, TEXTS[name])) == []


def vector(plaintext: bytes, result: str, msg: str = "61") -> dict[str, Any]:
    """A vector whose plaintext, padding and all, is this."""
    encryptor = Cipher(AES128(bytes(16)), CBC(bytes(16))).encryptor()
    sealed = encryptor.update(plaintext) + encryptor.finalize()
    parts = {"key": "00" * 16, "iv": "00" * 16, "ct": sealed.hex(), "msg": msg}
    return {"tcId": 1, **parts, "result": result}


GOOD, BAD = b"a" + b"\x0f" * 15, b"a" + b"\x00" * 15


@pytest.mark.parametrize(
    ("tried", "breaches"),
    [
        (vector(GOOD, "valid"), 0),
        (vector(GOOD, "invalid"), 1),
        (vector(GOOD, "valid", "62"), 1),
        (vector(BAD, "invalid"), 0),
        (vector(BAD, "valid"), 1),
    ],
)
def test_a_vector_opens_as_its_result_says(tried: dict[str, Any], breaches: int) -> None:
    assert len(list(foreign_lists.vector_breaches(tried))) == breaches


def test_what_is_named_is_sent_counted_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["../etc/passwd", "..%2f..%2fetc", "", "orders", "orders", "?x=../..", "\\..\\", "é"]
    (tmp_path / "y_number.json").write_bytes(b"1")
    (tmp_path / "n_misnamed.json").write_bytes(b"1")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    groups = [{"keySize": 128, "tests": [vector(GOOD, "valid")]}, {"keySize": 256}]
    (tmp_path / "cbc").write_text(json.dumps({"testGroups": groups}))
    named = ["--json", tmp_path, "--cbc", tmp_path / "cbc", "--lists", tmp_path / "list.txt"]
    assert foreign_lists.main([str(argument) for argument in named]) == 1
    told = capsys.readouterr().out
    assert told.startswith("JSON, 'n_misnamed.json': is read, and is no JSON\n")
    assert told.endswith("JSON: 2 tried\nAES-CBC: 1 tried\nlist.txt: 6 tried\n1 breaches\n")
