"""What runs the lists that others keep: good ones pass, and what breaks is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from tests.attacks import suites
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
    assert list(suites.json_breaches(runner, name, TEXTS[name])) == []


@pytest.mark.parametrize(("name", "text"), [("n_", b"[1]"), ("y_", b"[1,]")])
def test_a_text_that_is_read_otherwise_is_told(runner: Runner, name: str, text: bytes) -> None:
    assert any(
        "is JSON" in told or "is no JSON" in told
        for told in suites.json_breaches(runner, name, text)
    )


def vector(plaintext: bytes, **members: object) -> dict[str, Any]:
    """A vector whose plaintext, padding and all, is this."""
    encryptor = Cipher(AES128(bytes(16)), CBC(bytes(16))).encryptor()
    sealed = encryptor.update(plaintext) + encryptor.finalize()
    hexadecimal = {"key": "00" * 16, "iv": "00" * 16, "ct": sealed.hex(), "msg": "61"}
    return {"tcId": 1, **hexadecimal, **members}


PADDED = b"a" + b"\x0f" * 15
VECTORS = [
    (vector(PADDED, result="valid"), None),
    (vector(PADDED, result="invalid"), "is invalid and opens"),
    (vector(PADDED, result="valid", msg="62"), "opens to something else"),
    (vector(b"a" + b"\x00" * 15, result="invalid"), None),
    (vector(b"a" + b"\x00" * 15, result="valid"), "is valid and refused"),
    (vector(b"", result="invalid"), None),
]


@pytest.mark.parametrize(("tried", "breach"), VECTORS)
def test_a_vector_opens_as_its_result_says(tried: dict[str, Any], breach: str | None) -> None:
    told = list(suites.vector_breaches(tried))
    assert [breach in text for text in told] == [True] if breach else told == []


@pytest.mark.parametrize(
    "line",
    [
        "../etc/passwd",
        "..%2f..%2fetc",
        "orders",
        "a b",
        "?x=../..",
        "%0d%0aX: y",
        "\\..\\",
        "#",
        "é",
    ],
)
def test_a_line_harms_nobody_as_path_or_value(runner: Runner, line: str) -> None:
    assert list(suites.line_breaches(runner, line)) == []


def test_what_is_named_is_run_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "y_number.json").write_bytes(b"1")
    (tmp_path / "list.txt").write_text("../x\n\n../x\norders\n")
    groups = [{"keySize": 128, "tests": [vector(PADDED, result="valid")]}, {"keySize": 256}]
    (tmp_path / "cbc").write_text(json.dumps({"testGroups": groups}))
    named = ["--json", tmp_path, "--cbc", tmp_path / "cbc", "--lists", tmp_path / "list.txt"]
    assert suites.main([str(argument) for argument in named]) == 0
    told = capsys.readouterr().out
    assert "JSON: 1 tried\nAES-CBC: 1 tried\nlist.txt: 2 tried\n0 breaches\n" in told


def test_a_breach_is_told_with_its_item() -> None:
    results: list[tuple[str, str, list[str]]] = [
        ("JSON", "n_a.json", ["is read"]),
        ("JSON", "b", []),
    ]
    assert suites.told(results) == ({"JSON": 2}, ["JSON, 'n_a.json': is read"])
