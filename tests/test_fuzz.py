"""The fuzz targets hold for the corpus's inputs, and see what they look for."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from chalicelib import opendata
from chalicelib.handlers import login
from chalicelib.paths import ROUTE
from chalicelib.request import Request
from chalicelib.response import Answer
from chalicelib.upstream import Identity, Upstream
from fuzz import KEPT, Breach, __main__, decrypt, guided, headers, login_body, path
from tests.fakes import Wire

TARGETS = [login_body, path, headers, decrypt]
SEEDS = [
    pytest.param(target, seed, id=f"{target.__name__}-{number}")
    for target in TARGETS
    for number, seed in enumerate(target.seeds())
]


@pytest.mark.parametrize(("target", "seed"), SEEDS)
def test_a_seed_breaks_nothing(target: ModuleType, seed: bytes) -> None:
    target.check(seed)


def test_the_targets_are_those_that_run() -> None:
    assert {f"fuzz.{name}" for name in __main__.TARGETS} == {t.__name__ for t in TARGETS}


def test_every_target_has_inputs_that_are_kept() -> None:
    """An input that broke a target goes into its folder: there must be one, read as a seed."""
    assert {folder.name for folder in KEPT.iterdir() if folder.is_dir()} == set(__main__.TARGETS)
    for target in TARGETS:
        files = list((KEPT / target.__name__.removeprefix("fuzz.")).iterdir())
        assert files
        assert {file.read_bytes() for file in files} <= set(target.seeds())
        assert [file for file in files if file.stat().st_size > guided.MAX_INPUT] == []


@pytest.mark.parametrize("way", ["plaintext", "ciphertext", "request"])
@pytest.mark.parametrize("kind", decrypt.KINDS)
def test_a_kept_message_is_opened(kind: str, way: str) -> None:
    """Guards the seeds of /decrypt: refused early, they would lead a fuzzer nowhere."""
    opened: list[dict[str, Any]] = []

    def noting(text: bytes, kind: str, **session: Any) -> dict[str, Any]:
        opened.append(opendata.read(text, kind, **session))
        return opened[-1]

    decrypt.check((KEPT / "decrypt" / f"{kind}-{way}").read_bytes(), noting)
    assert [set(fields) for fields in opened] == [set(decrypt.DOCUMENTED[kind].split())]


def test_an_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.main(["nothing"])
    assert "no such target: nothing" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--jobs", "--seconds"])
def test_no_jobs_and_no_time_are_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.main([flag, "0"])
    assert "at least 1" in capsys.readouterr().err


# --- a target that a broken gate passes is no target ---------------------------------------------


def breaks(check: Callable[..., None], seeds: Any, broken: Callable[..., Any]) -> bool:
    """Whether at least one seed shows what is broken."""
    for seed in seeds:
        try:
            check(seed, broken)
        except Breach:
            return True
    return False


def logging_everybody_in(request: Request, **services: Any) -> Answer:
    """A login that does not look at the body."""
    services["wechat"].code2session(login_body.APPID, "code-B", request.remaining)
    return Answer("", {}, 200)


def forwarding_every_header(
    upstream: Upstream, request: Request, below: str, identity: Identity | None
) -> Answer:
    """A proxy that lets a client's headers through, beside its own."""
    answer, wire = upstream.forward(request, below, identity), upstream._transport
    assert isinstance(wire, Wire)
    wire.exchanged[0].headers.extend(request.headers)
    return answer


def reading_anything(_text: bytes, _kind: str, **_session: Any) -> dict[str, Any]:
    """A reader that finds a phone number in every plaintext."""
    return {"phoneNumber": "13800138000"}


def test_a_login_that_reads_no_body_is_seen() -> None:
    assert breaks(login_body.check, login_body.seeds(), logging_everybody_in)
    assert not breaks(login_body.check, login_body.seeds(), login.login)


def test_a_path_that_is_not_checked_is_seen() -> None:
    assert breaks(path.check, path.seeds(), lambda sent: sent.removeprefix(ROUTE))


def test_a_header_that_is_not_stripped_is_seen() -> None:
    assert breaks(headers.check, headers.seeds(), forwarding_every_header)


def test_a_plaintext_that_is_not_read_is_seen() -> None:
    assert breaks(decrypt.check, decrypt.seeds(), reading_anything)
