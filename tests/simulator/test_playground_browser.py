"""Every flow of the playground, clicked in Chromium: see browser/*.test.js."""

from simulator import desk, playground
from simulator.serving import serve_wsgi
from tests.support import browser, need


def test_the_playground_passes_its_tests_in_chromium(running_desk: desk.Desk) -> None:
    need(browser.missing())
    facts = playground.Facts(gate=running_desk.urls["gate"], appids=(desk.DEFAULT_APP,))
    pages = playground.application(facts, wechat=None, upstream=None)
    own_parts = serve_wsgi(pages, "127.0.0.1", 0)
    url = running_desk.urls["playground"]
    done = browser.run("test", PLAYGROUND_URL=url, OWN_PARTS_URL=own_parts.url)
    own_parts.close()
    assert done.returncode == 0, done.stdout
