"""The playground's server: the page's files under a strict policy, and faithful forwarding."""

import base64
import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from simulator import desk, playground, upstream
from simulator.serving import serve_wsgi
from tests.support.loopback import Loopback, Peer, whole

HOST = "127.0.0.1"


def odd(peer: Peer) -> None:
    """Answers that are easy to spoil: a redirect, two cookies, 204, 304, 599; 0 is silence."""
    status = int(peer.read_request().target.rpartition("/")[2])
    headers = [("Location", "/wx/200"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    body = b"" if status in (204, 304) else b"ok"
    peer.send(whole(body, status=status, headers=headers) if status else b"")
    peer.end()


class Page:
    """The playground at an address."""

    def __init__(self, url: str) -> None:
        self.netloc = urlsplit(url).netloc

    def ask(self, *request: Any) -> tuple[int, http.client.HTTPMessage, bytes]:
        with closing(http.client.HTTPConnection(self.netloc, timeout=10)) as peer:
            peer.request(*request)
            answer = peer.getresponse()
            return answer.status, answer.headers, answer.read()

    def told(self, target: str) -> Any:
        return json.loads(self.ask("GET", target)[2])


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """The playground before an echo in the gate's place, and an odd peer in WeChat's."""
    log = upstream.Log()
    echo, weird = upstream.start(HOST, 0, log), Loopback(odd)
    facts = playground.Facts(gate=echo.url, appids=("wxa", "wxb"), public_path="/api/news")
    pages = playground.application(facts, wechat=weird.url, upstream=log)
    server = serve_wsgi(pages, HOST, 0)
    yield Page(server.url)
    server.close()
    weird.close()
    echo.close()


FILES = {"/": "html", "/page.css": "css", "/page.js": "javascript", "/client.js": "javascript"}
NO_FILES = ("/absent.js", "/index.html/", "/../playground.py", "/%2e%2e/playground.py", "//")


def test_the_files_of_the_page_are_served_under_a_strict_policy_and_nothing_else(
    page: Page,
) -> None:
    for path, media_type in FILES.items():
        status, headers, body = page.ask("GET", path)
        assert (status, bool(body)) == (200, True)
        assert headers["Content-Type"] == f"text/{media_type}; charset=utf-8"
        assert headers["Content-Security-Policy"] == playground.POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert page.ask("POST", path, b"x")[0] == 405
    assert playground.POLICY.startswith("default-src 'none'")
    assert not re.search("unsafe|http", playground.POLICY)  # nothing inline, nothing foreign
    for target in NO_FILES:
        assert page.ask("GET", target)[::2] == (404, b"There is no such file.\n")


def test_the_client_is_the_very_file_that_phones_get(page: Page) -> None:
    before, after = page.ask("GET", "/client.js")[2].split(playground.CLIENT.read_bytes())
    assert b"\n" not in before  # so that an error names the file's own line
    assert after == b"\nexport default module.exports;\n"


def test_the_upstream_tells_of_itself(page: Page) -> None:
    before = page.told("/upstream/log?after=0")
    page.ask("POST", "/gate/orders?a=1", b"x" * 5000, {"X-A": "1"})
    (entry,) = page.told(f"/upstream/log?after={len(before)}")
    assert (entry["n"], entry["method"], entry["status"]) == (len(before) + 1, "POST", 200)
    assert (entry["path"], entry["query"]) == ("/orders", "a=1")
    assert (entry["headers"]["X-A"], entry["body"]) == ("1", "x" * upstream.BODY_LOGGED)


def test_parts_of_ones_own_tell_the_page_nothing_and_it_does_not_reach_them() -> None:
    facts = playground.Facts(gate="http://127.0.0.1:1", appids=("wxa",))
    server = serve_wsgi(playground.application(facts, wechat=None, upstream=None), HOST, 0)
    page = Page(server.url)
    told = page.told("/facts")
    assert (told["wechat"], told["upstream"]) == (False, False)
    for target in ("/wx/login", "/control/log?after=0", "/upstream/log?after=0"):
        assert page.ask("GET", target)[0] == 404
    server.close()


def test_the_desk_tells_the_page_of_its_parts(running_desk: desk.Desk) -> None:
    page = Page(running_desk.urls["playground"])
    facts = page.told("/facts")
    known: dict[str, object] = {"gate": running_desk.urls["gate"], "appids": [desk.DEFAULT_APP]}
    known |= {"public_path": "/api/welcome", "events": True}
    assert facts == {**known, "wechat": True, "upstream": True}
    assert page.told("/gate/api/welcome")["path"] == "/welcome"


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", "/api/a%2Fb", "x=%20&x=2"),
        ("PATCH", "/api/../x", ""),
        ("PUT", "/api//x;v=1/%E4", ""),
    ],
)
def test_a_request_is_forwarded_unrepaired_without_hop_by_hop_headers(
    page: Page, method: str, path: str, query: str
) -> None:
    headers = {"Authorization": "Bearer x", "Content-Type": "application/json", "X-A": "1"}
    sent = bytes(range(256)), headers | {"Keep-Alive": "5", "Te": "x"}
    echo = json.loads(page.ask(method, f"/gate{path}?{query}".rstrip("?"), *sent)[2])
    assert (echo["method"], echo["path"], echo["query"]) == (method, path, query)
    assert base64.b64decode(echo["body"]) == bytes(range(256))
    assert headers.items() <= echo["headers"].items()
    assert not {"Keep-Alive", "Te", "Connection"} & set(echo["headers"])


@pytest.mark.parametrize("status", [200, 204, 302, 304, 599])
def test_an_answer_comes_back_as_it_is_and_no_redirect_is_followed(page: Page, status: int) -> None:
    answered, headers, body = page.ask("GET", f"/wx/{status}")
    assert (answered, body) == (status, b"" if status in (204, 304) else b"ok")
    assert headers["Location"] == "/wx/200"
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_a_peer_that_gives_no_answer_is_told_as_wx_tells_it(page: Page) -> None:
    status, _, body = page.ask("GET", "/wx/0")
    assert (status, json.loads(body)["errMsg"][:12]) == (502, "request:fail")
