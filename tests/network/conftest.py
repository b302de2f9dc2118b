"""Certificates for servers on loopback."""

import ssl
from pathlib import Path

import pytest

from tests.support.loopback import self_signed


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    context, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, trusted: ssl.SSLContext) -> ssl.SSLContext | None:
    """The context of a server without TLS, then of one with it."""
    return trusted if request.param else None
