"""What all tests share: no real account, Hypothesis profiles, a frozen clock.

Engines, the desk and the front door stand in tests/support; a folder that needs them says so in a
conftest of its own, so that tests/unit starts without them.
"""

import gc
import os

import pytest
from hypothesis import Phase, settings

from tests.support.fakes import Clock

# No test may reach a real account, whatever the machine's environment says.
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_EC2_METADATA_DISABLED="true",
)
for _name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(_name, None)

# Properties: many examples in CI, enough on a desk; no example is timed.
settings.register_profile("desk", max_examples=300, deadline=None)
settings.register_profile("ci", max_examples=2_000, deadline=None, database=None)
# A mutant is killed by any example: the first is as good as the smallest.
settings.register_profile(
    "mutants",
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "desk")


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of garbage collections."""
    gc.freeze()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave out what a file's tests have left: a collection of it all would take seconds.

    The tests' servers would stand still meanwhile, and an attempt of one second be over.
    """
    if nextitem is None or nextitem.path != item.path:
        gc.freeze()


@pytest.fixture
def clock() -> Clock:
    """A frozen clock."""
    return Clock()
