"""The template and the package, each made once."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from infrastructure import package, rehearsal, template
from infrastructure.intrinsics import resolved
from infrastructure.parts import Template
from simulator.runtime_api import install_client


@pytest.fixture(scope="session")
def sam() -> Template:
    """The SAM template, as `make package` writes it."""
    return template.sam_template("arm64")


@pytest.fixture(scope="session")
def stack(sam: Template) -> Template:
    """What CloudFormation makes of it."""
    return template.transformed(sam, "us-east-1")


@dataclass(frozen=True)
class Package:
    """A built package."""

    archive: Path
    folder: Path
    sam: Template


@pytest.fixture(scope="session")
def built(sam: Template, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package for this machine; skipped where uv finds no wheels, but never in CI."""
    out = tmp_path_factory.mktemp("package")
    try:
        archive = package.build(package.here(), out)
    except package.PackageError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no package: {str(error).splitlines()[-1]}")
    return Package(archive, out / "package", sam)


@pytest.fixture(scope="session")
def runtime_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AWS's runtime client, alone in a folder; Linux has it."""
    pytest.importorskip("awslambdaric")
    return install_client(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session")
def around() -> Iterator[rehearsal.Surroundings]:
    """AWS, WeChat and the upstream of the desk."""
    with rehearsal.surroundings() as running:
        yield running


def strings(value: object) -> Iterator[str]:
    """Give every string of a JSON value, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)


PSEUDO = {
    "AWS::StackName": "wxgate-test",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
    "EventsPath": "/wxgate/events",
}


def made(stack: Template, **values: str) -> Template:
    """What CloudFormation makes with these parameters."""
    return resolved(stack, {**PSEUDO, **values})
