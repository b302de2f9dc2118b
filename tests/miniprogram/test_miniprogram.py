"""The mini-program's client and its demo: their own tests under Node, on the local stack."""

import sys
from pathlib import Path

import pytest

from tests.support import browser, need

PACKAGE = Path(__file__).parents[2] / "miniprogram"


@pytest.mark.parametrize("part", [".", "demo-test"], ids=["client", "demo"])
def test_the_client_and_its_demo_pass_their_own_tests(part: str) -> None:
    need(browser.node_missing())
    for words in (browser.CI, ("test",)):
        done = browser.npm(*words, folder=PACKAGE / part, WXGATE_PYTHON=sys.executable)
        assert done.returncode == 0, done.stdout
