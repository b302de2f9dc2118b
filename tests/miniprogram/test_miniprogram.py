"""The mini-program's client and its demo: their own tests under Node, on the local stack."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import browser, need
from tests.support.desk import ENVIRONMENT

PACKAGE = Path(__file__).parents[2] / "miniprogram"
INSTALL_SECONDS = 120
TEST_SECONDS = 120


def run(command: list[str], seconds: int) -> None:
    """Run a command of the package; fail with its words, and leave none of its children behind."""
    environment = {**ENVIRONMENT, "WXGATE_PYTHON": sys.executable}
    with subprocess.Popen(
        command,
        cwd=PACKAGE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            words, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            words, _ = process.communicate()
            pytest.fail(f"{' '.join(command)} took over {seconds} seconds\n{words}")
    assert process.returncode == 0, words


CI = ["ci", "--no-audit", "--no-fund", "--prefer-offline"]


@pytest.mark.parametrize("npm", [["npm"], ["npm", "--prefix", "demo-test"]], ids=["client", "demo"])
def test_the_client_and_its_demo_pass_their_own_tests(npm: list[str]) -> None:
    need(browser.node_missing())
    run([*npm, *CI], INSTALL_SECONDS)
    run([*npm, "test"], TEST_SECONDS)
