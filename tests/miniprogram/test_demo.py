"""The demo mini-program: WeChat's compilers and its pages, under Node, on the local stack."""

import os

import pytest

from tests.miniprogram.test_miniprogram import INSTALL_SECONDS, TEST_SECONDS, missing, run

NPM = ["npm", "--prefix", "demo-test"]


def test_the_demo_compiles_and_its_pages_work() -> None:
    reason = missing()
    if reason and os.environ.get("CI") != "true":
        pytest.skip(reason.partition(":")[0] + ": the demo's tests did not run")
    assert reason is None, reason
    run([*NPM, "ci", "--no-audit", "--no-fund", "--prefer-offline"], INSTALL_SECONDS)
    run([*NPM, "test"], TEST_SECONDS)
