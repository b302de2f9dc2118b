"""The code of docs/recipes.md runs: its business API behind a desk, its phone's side under Node."""

import hmac
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from chalicelib import deadlines
from chalicelib.front import request
from chalicelib.upstream import headers, paths, upstream
from simulator import aws, desk
from simulator.serving import serve_wsgi
from tests.docs.pages import DOCS, ROOT, blocks, need, rows, skeleton
from tests.support.front_door import APPID

TEXT, CHINESE = (DOCS / "recipes.md").read_text(), (DOCS / "recipes.zh-CN.md").read_text()
PHONE = """
const {{ createPhone }} = require('{root}/simulator/wx.js')
const {{ createClient }} = require('{root}/miniprogram/miniprogram_dist/index.js')
const phone = createPhone({{ wechatUrl: '{wechat}', appid: '{appid}', user: 'ann' }})
const wx = phone.wx
const client = createClient({{ baseUrl: '{gate}', wx }})
const read = (path) => wx.getFileSystemManager().readFileSync(path)
{page}
;(async () => {{ {script} }})().then((it) => console.log(JSON.stringify(it)))
"""

Phone = Callable[[str], Any]


@pytest.fixture(scope="module")
def business() -> Iterator[tuple[str, dict[str, str]]]:
    """The page's API, and the addresses of a desk that has it as its upstream."""
    before = dict(os.environ)
    page: dict[str, Any] = {"__name__": "page"}
    server = serve_wsgi(lambda *args: page["app"](*args), "127.0.0.1", 0)  # noqa: PLW0108 - late
    os.environ.update(FORWARD_REQUEST_HEADERS="tenant-id", UPSTREAM_URL=server.url)
    running = desk.set_up(0, desk.Parts(upstream_url=server.url))
    os.environ.update(GATE_URL=running.urls["gate"], BUCKET="files", APP_KEY="12345")
    with closing(aws.client("s3", running.urls["AWS"])) as s3:
        s3.create_bucket(Bucket="files")
    for source in blocks((DOCS / "upstream.md").read_text(), "python") + blocks(TEXT, "python"):
        exec(compile(source, "recipes.md", "exec"), page)  # noqa: S102 - the page's own code
    yield server.url, running.urls
    running.close()
    server.close()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def phone(business: tuple[str, Any]) -> Phone:
    """Runs lines on a phone that has the page's functions; gives what they return."""
    need("node")
    _, urls = business
    places = {"root": ROOT, "wechat": urls["WeChat"], "gate": urls["gate"], "appid": APPID}

    def run(script: str) -> Any:
        program = PHONE.format(**places, page="\n".join(blocks(TEXT, "js")), script=script)
        done = subprocess.run(
            ["node", "-e", program], check=True, stdout=subprocess.PIPE, timeout=60
        )
        return json.loads(done.stdout)

    return run


ANN = "ozwWZcMcCuh5zclAyu69EmeG_9lp"


def test_an_answer_comes_piece_by_piece(phone: Phone) -> None:
    shown = phone("const all = []; await ask('为什么 😀 so', (text) => all.push(text)); return all")
    assert shown[-1] == "You asked: 为什么 😀 so "
    assert len(shown) > 1


def test_a_ticket_opens_the_web_site_once(phone: Phone, business: tuple[str, Any]) -> None:
    link = phone(f"return withTicket('{business[0]}/enter')")
    with requests.Session() as browser:
        assert browser.get(link, timeout=5).json() == {"user": ANN}
        assert browser.get(link, timeout=5).status_code == 401
    assert requests.post(f"{business[0]}/tickets", timeout=5).status_code == 401


FILE = "phone.files.set('wxfile://a', new Uint8Array(6e6).fill(7).buffer);"


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ("return new TextDecoder().decode(read(await photo('cat')))", f"cat of {ANN}"),
        (FILE + "return read(await download(await upload('wxfile://a'))).byteLength", 6_000_000),
        ("return (await change('7', '不要辣')).data", {"order": "7", "note": "不要辣", "of": ANN}),
        ("return (await profile()).data", {"user": ANN, "tenant": "1"}),
    ],
    ids=["picture", "large file", "PATCH", "tenant"],
)
def test_a_recipe_does_what_it_says(phone: Phone, script: str, result: object) -> None:
    assert phone(script) == result


def test_a_payment_has_both_signatures_of_one_text(phone: Phone) -> None:
    wechats = "wx.requestVirtualPayment = ({ success, fail, ...it }) => success(it);"
    script = "const it = await buy('p'); return [it, await client.sign(it.signData)]"
    paid, again = phone(wechats + script)
    signed = f"requestVirtualPayment&{paid['signData']}".encode()
    assert paid["paySig"] == hmac.digest(b"12345", signed, "sha256").hex()
    assert paid["signature"] == again != paid["paySig"]


def test_the_limits_are_those_of_the_gate() -> None:
    limits = " ".join(" ".join(row) for row in rows(TEXT, "limit"))
    assert f"{request.MAX_BODY / 2**20} MiB" in limits
    assert f"{deadlines.UPSTREAM_TOTAL:g} seconds" in limits
    assert f"{paths.MAX_PATH} bytes · {upstream.MAX_QUERY // 1024} KiB" in limits
    assert f"{headers.MAX_HEADERS:,} characters" in limits


def test_both_languages_have_the_same_code() -> None:
    for language in ("python", "js", "sh"):
        assert blocks(CHINESE, language) == blocks(TEXT, language) != []
    assert skeleton(CHINESE) == skeleton(TEXT)
