"""requests on our connections: what it adds of its own is taken away again."""

from pathlib import Path

import pytest
import requests

from chalicelib.deadlines import Deadline
from chalicelib.network.adapter import Session
from chalicelib.network.connections import Origin, Reply
from chalicelib.network.exchange_errors import UNSENT, Broken
from tests.support.fakes import Wire

URL = "https://api.test/a%2Fb?x=1"
DEADLINE = Deadline(3.0, lambda: 0.0)


def sent_to(wire: Wire, method: str = "GET", **given: object) -> requests.Response:
    session = Session(wire, max_bytes=77)
    return session.request(method, URL, timeout=DEADLINE, allow_redirects=False, **given)  # type: ignore[arg-type]  # our adapter's


def test_a_request_goes_out_as_it_was_given() -> None:
    wire = Wire(Reply(201, [("X-A", "1"), ("x-b", "2")], b"\xffbody"))
    response = sent_to(wire, "POST", data="text")
    assert (response.status_code, response.content) == (201, b"\xffbody")
    assert (response.headers["x-a"], response.headers["X-B"]) == ("1", "2")
    (sent,) = wire.exchanged
    assert (sent.origin, sent.method) == (Origin("https", "api.test", 443), "POST")
    assert (sent.target, sent.body) == ("/a%2Fb?x=1", b"text")
    assert [name for name, _ in sent.headers] == ["User-Agent", "Accept", "Accept-Encoding"]
    assert (sent.seconds, sent.max_bytes, sent.retry_on) == (3.0, 77, UNSENT)


@pytest.mark.parametrize("target", ["https://evil.test/", "http://[bad", "\xff\xfe", ""])
def test_a_redirect_is_an_answer_like_any_other(target: str) -> None:
    wire = Wire(Reply(302, [("Location", target)], b""))
    assert sent_to(wire).status_code == 302
    assert len(wire.exchanged) == 1


def test_no_password_of_the_machine_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    passwords = tmp_path / "netrc"
    passwords.write_text("machine api.test login canary password canary")
    monkeypatch.setenv("NETRC", str(passwords))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    wire = Wire()
    sent_to(wire)
    assert "Authorization" not in dict(wire.exchanged[0].headers)
    assert wire.exchanged[0].origin.host == "api.test"


def test_a_failure_is_that_of_the_connections() -> None:
    with pytest.raises(Broken):
        sent_to(Wire(Broken()))
