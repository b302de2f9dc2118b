"""The code of docs/recipes.md runs: its business API behind a desk, its phone's side under Node."""

import json
import os
import shutil
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
from tests.docs.pages import DOCS, ROOT, blocks, rows, skeleton
from tests.support import dynamodb_local
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

needs_node = pytest.mark.skipif(
    not (shutil.which("node") or dynamodb_local.must_run()), reason="Node is missing"
)
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
def phone(business: tuple[str, dict[str, str]]) -> Phone:
    """Runs lines on a phone that has the page's functions; gives what they return."""
    _, urls = business
    places = {"root": ROOT, "wechat": urls["WeChat"], "gate": urls["gate"], "appid": APPID}

    def run(script: str) -> Any:
        program = PHONE.format(**places, page="\n".join(blocks(TEXT, "js")), script=script)
        done = subprocess.run(
            ["node", "-e", program], check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@needs_node
def test_an_answer_comes_piece_by_piece(phone: Phone) -> None:
    shown = phone("const all = []; await ask('为什么 😀 so', (text) => all.push(text)); return all")
    assert shown[-1] == "You asked: 为什么 😀 so "
    assert len(shown) > 1


@needs_node
def test_a_ticket_opens_the_web_site_once(phone: Phone, business: tuple[str, Any]) -> None:
    link = phone(f"return withTicket('{business[0]}/enter')")
    with requests.Session() as browser:
        assert browser.get(link, timeout=5).json() == {"user": "ozwWZcMcCuh5zclAyu69EmeG_9lp"}
        assert browser.get(link, timeout=5).status_code == 401
    assert requests.post(f"{business[0]}/tickets", timeout=5).status_code == 401


@needs_node
def test_a_picture_is_shown_as_the_user(phone: Phone) -> None:
    script = "return new TextDecoder().decode(read(await photo('cat')))"
    assert phone(script) == "cat of ozwWZcMcCuh5zclAyu69EmeG_9lp"


@needs_node
def test_a_large_file_goes_up_and_comes_down(phone: Phone) -> None:
    phone_file = "phone.files.set('wxfile://a', new Uint8Array(6e6).fill(7).buffer);"
    script = "return read(await download(await upload('wxfile://a'))).byteLength"
    assert phone(phone_file + script) == 6_000_000


@needs_node
def test_a_patch_arrives_as_one(phone: Phone) -> None:
    told = phone("return (await change('7', '不要辣')).data")
    assert told == {"order": "7", "note": "不要辣", "of": "ozwWZcMcCuh5zclAyu69EmeG_9lp"}


@needs_node
def test_a_payment_has_both_signatures_of_one_text(phone: Phone) -> None:
    script = "wx.requestVirtualPayment = ({ success, fail, ...it }) => success(it);"
    paid, again = phone(
        f"{script} const it = await buy('p'); return [it, await client.sign(it.signData)]"
    )
    assert json.loads(paid["signData"])["productId"] == "p"
    assert (len(paid["paySig"]), paid["signature"]) == (64, again)
    assert paid["signature"] != paid["paySig"]


@needs_node
def test_the_tenant_header_passes(phone: Phone) -> None:
    assert phone("return (await profile()).data")["tenant"] == "1"


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
