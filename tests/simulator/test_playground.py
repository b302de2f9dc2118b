"""The playground's server: the page's files under a strict policy, and faithful forwarding."""

import base64
import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import pytest

from simulator import desk, playground, upstream
from simulator.serving import serve, serve_wsgi

HOST = "127.0.0.1"
FILES = ["/", "/page.css", "/page.js", "/calls.js", "/diagram.js"]


@dataclass
class Page:
    """The playground at an address."""

    url: str

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send exactly this target; give status, headers and body."""
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)) as peer:
            peer.request(method, target, body, headers or {})
            answer = peer.getresponse()
            return answer.status, answer.headers, answer.read()


class _Odd(BaseHTTPRequestHandler):
    """A peer whose answers are easy to spoil: a redirect, two cookies, 204, 304, 599, silence."""

    def do_GET(self) -> None:
        status = int(self.path.rpartition("/")[2])
        if status == 0:
            return
        self.send_response(status)
        for name, value in (("Location", "/wx/200"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")):
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", "2")
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """The playground before an echo in the gate's place, and an odd peer in WeChat's."""
    echo, odd = upstream.start(HOST, 0), serve(_Odd, HOST, 0)
    server = serve_wsgi(playground.application(gate=echo.url, wechat=odd.url), HOST, 0)
    yield Page(server.url)
    server.close()
    odd.close()
    echo.close()


# --- the files ---


@pytest.mark.parametrize("path", FILES)
def test_each_file_of_the_page_is_served_under_the_policy(page: Page, path: str) -> None:
    status, headers, body = page.ask("GET", path)
    assert status == 200
    assert body
    assert headers["Content-Security-Policy"] == playground.POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_policy_permits_nothing_inline_and_nothing_foreign() -> None:
    assert playground.POLICY.startswith("default-src 'none'")
    assert "unsafe" not in playground.POLICY
    assert "http" not in playground.POLICY


def test_a_module_has_the_media_type_that_browsers_demand(page: Page) -> None:
    _, headers, _ = page.ask("GET", "/page.js")
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "target", ["/absent.js", "/index.html/", "/../playground.py", "/%2e%2e/playground.py", "//"]
)
def test_nothing_but_the_files_of_the_page_is_served(page: Page, target: str) -> None:
    status, _, body = page.ask("GET", target)
    assert (status, body) == (404, b"There is no such file.\n")


def test_a_file_is_only_read(page: Page) -> None:
    status, headers, _ = page.ask("POST", "/", b"x")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_a_head_of_a_file_has_its_length_and_no_body(page: Page) -> None:
    status, headers, body = page.ask("HEAD", "/page.css")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == (playground.PAGE / "page.css").stat().st_size


class _Found(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links |= {str(given[name]) for name in ("src", "href") if name in given}
        script = tag == "script" and "src" not in given
        handlers = [name for name in given if name == "style" or name.startswith("on")]
        self.inline += handlers + ([tag] if script or tag == "style" else [])


def test_the_page_keeps_its_own_policy() -> None:
    found = _Found()
    found.feed((playground.PAGE / "index.html").read_text())
    assert found.inline == []
    assert found.links == {"data:,", "page.css", "page.js"}


def test_the_modules_import_only_what_is_served() -> None:
    scripts = [file.read_text() for file in playground.PAGE.glob("*.js")]
    imported = {name for script in scripts for name in re.findall(r'from "\.(/[^"]+)"', script)}
    assert imported <= set(FILES)
    assert not any("http:" in s or "https:" in s or "innerHTML" in s for s in scripts)


def test_each_button_has_an_act() -> None:
    buttons = re.findall(r'data-act="(\w+)"', (playground.PAGE / "index.html").read_text())
    acts = (playground.PAGE / "page.js").read_text().partition("const ACTS = {")[2].partition("\n}")
    assert sorted(buttons) == sorted(re.findall(r"^  (\w+)[:,]", acts[0], re.MULTILINE))


# --- forwarding ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_each_method_goes_to_the_gate_as_it_is(page: Page, method: str) -> None:
    _, _, body = page.ask(method, "/gate/login")
    assert json.loads(body)["method"] == method


@pytest.mark.parametrize(
    "target", ["/api/a%2Fb?x=%20&x=2", "/api/../x", "/api//x;v=1", "/api/%E4%B8%8A"]
)
def test_a_target_is_forwarded_unrepaired(page: Page, target: str) -> None:
    echo = json.loads(page.ask("GET", f"/gate{target}")[2])
    assert echo["path"] + (f"?{echo['query']}" if echo["query"] else "") == target


def test_headers_and_body_reach_the_gate(page: Page) -> None:
    headers = {"Authorization": "Bearer x", "Content-Type": "application/json", "X-A": "1"}
    echo = json.loads(page.ask("POST", "/gate/decrypt", b'{"a": 1}', headers)[2])
    assert echo["body"] == '{"a": 1}'
    assert headers.items() <= echo["headers"].items()


def test_a_binary_body_reaches_the_gate_byte_for_byte(page: Page) -> None:
    echo = json.loads(page.ask("POST", "/gate/api/x", bytes(range(256)))[2])
    assert base64.b64decode(echo["body"]) == bytes(range(256))


def test_hop_by_hop_headers_end_here(page: Page) -> None:
    echo = json.loads(page.ask("GET", "/gate/api/x", headers={"Keep-Alive": "5", "Te": "x"})[2])
    assert not {"Keep-Alive", "Te", "Connection"} & set(echo["headers"])


@pytest.mark.parametrize("status", [200, 302, 404, 599])
def test_a_status_comes_back_as_it_is_and_no_redirect_is_followed(page: Page, status: int) -> None:
    answered, headers, body = page.ask("GET", f"/wx/{status}")
    assert (answered, body) == (status, b"ok")
    assert headers["Location"] == "/wx/200"


def test_a_header_that_comes_twice_stays_two(page: Page) -> None:
    assert page.ask("GET", "/wx/200")[1].get_all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_stays_without(page: Page, status: int) -> None:
    answered, _, body = page.ask("GET", f"/control/{status}")
    assert (answered, body) == (status, b"")


def test_a_peer_that_gives_no_answer_is_told_as_wx_tells_it(page: Page) -> None:
    status, _, body = page.ask("GET", "/wx/0")
    assert status == 502
    assert json.loads(body)["errMsg"].startswith("request:fail")


def test_a_login_works_at_the_origin_of_the_page(running_desk: desk.Desk) -> None:
    page = Page(running_desk.urls["playground"])
    who = json.dumps({"appid": desk.DEFAULT_APP, "user": "ann"}).encode()
    before = len(json.loads(page.ask("GET", "/control/log?after=0")[2]))
    code = page.ask("POST", "/wx/login", who, {"Content-Type": "application/json"})[2]
    status, _, body = page.ask("POST", "/gate/login", code, {"Content-Type": "application/json"})
    assert status == 200
    assert json.loads(body)["token"].startswith("wxg_")
    (call,) = json.loads(page.ask("GET", f"/control/log?after={before}")[2])
    assert call["path"] == "/sns/jscode2session"
