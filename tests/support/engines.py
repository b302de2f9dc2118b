"""Fixtures: the embedded AWS, DynamoDB Local, Lambda's runtime; a folder's conftest loads them."""

import itertools
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from simulator import aws, dynamodb_local
from simulator.runtime_api import install_client
from tests.support import need

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    server = aws.start("127.0.0.1", 0)
    yield server.url
    server.close()


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    """DynamoDB Local; skipped with one line if it cannot run, but never in CI."""
    need(dynamodb_local.missing())
    process, url = dynamodb_local.start()
    yield url
    process.kill()
    process.wait()


@pytest.fixture(
    scope="session",
    params=["moto", pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local)],
)
def engine_url(request: pytest.FixtureRequest) -> str:
    """Each engine in turn: a test of the store runs on both."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AWS's own runtime client, in a folder of its own."""
    pytest.importorskip("awslambdaric")
    return install_client(tmp_path_factory.mktemp("runtime"))


def new_table(url: str) -> str:
    """Make a sessions table with a fresh name, as the template declares it; return the name."""
    name = f"sessions-{os.getpid()}-{next(_numbers)}"
    with closing(aws.client("dynamodb", url)) as dynamodb:
        aws.make_table(dynamodb, name)
    return name
