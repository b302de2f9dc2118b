"""The package: reproducible, complete, trimmed, compiled; a missing wheel fails the build."""

import importlib.util
import sys
import zipfile
from pathlib import Path

import pytest

from infrastructure import package
from infrastructure.parts import Template
from infrastructure.template import functions
from tests.infrastructure.conftest import Package

OURS = {"app.py", "chalicelib", "chalice", "__pycache__"}
MACHINES = {"x86_64": 0x3E, "arm64": 0xB7}


def names(built: Package) -> list[str]:
    with zipfile.ZipFile(built.archive) as archive:
        return archive.namelist()


def test_the_same_source_gives_the_same_bytes(built: Package, tmp_path: Path) -> None:
    again = package.build(package.here(), tmp_path)
    assert again.read_bytes() == built.archive.read_bytes()


def test_the_package_holds_the_app_the_runtime_and_the_libraries(built: Package) -> None:
    top = {name.partition("/")[0] for name in names(built)}
    libraries = {path.name for path in package.libraries(package.here()).iterdir()}
    assert top >= OURS
    assert top - OURS <= libraries


def test_of_chalice_only_its_runtime_ships(built: Package) -> None:
    sources = {n for n in names(built) if n.startswith("chalice/") and n.endswith(".py")}
    assert sources == {"chalice/__init__.py", "chalice/app.py"}


def test_of_the_locked_libraries_only_what_the_gate_needs_ships(built: Package) -> None:
    top = {name.partition("/")[0] for name in names(built)}
    assert {"boto3", "botocore", "cryptography", "jwt", "pynamodb", "requests", "urllib3"} <= top
    assert not top & {"blessed", "click", "inquirer", "pip", "setuptools", "yaml"}


def test_nothing_of_the_desk_the_tests_or_the_client_ships(built: Package) -> None:
    top = {name.partition("/")[0] for name in names(built)}
    desk = {"simulator", "tests", "infrastructure", "benchmarks", "fuzz"}
    assert not top & {*desk, "miniprogram"}


def test_of_the_sdk_s_data_only_three_services_ship(built: Package) -> None:
    data = {n.split("/")[2] for n in names(built) if n.startswith("botocore/data/")}
    assert data - set(package.SDK_DATA) == {"dynamodb", "secretsmanager", "sqs"}


def test_every_module_is_compiled_and_never_checked_against_its_source(built: Package) -> None:
    for name in names(built):
        if name.endswith(".py"):
            compiled = built.folder / importlib.util.cache_from_source(name)
            # PEP 552: magic, then flags: 1 is hash-based, 2 would be checked.
            assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00", name


def test_tracebacks_show_where_lambda_has_the_file(built: Package) -> None:
    (compiled,) = (built.folder / "__pycache__").glob("app.*.pyc")
    assert b"/var/task/app.py" in compiled.read_bytes()
    assert str(built.folder).encode() not in compiled.read_bytes()


def test_every_file_has_the_same_time_and_mode(built: Package) -> None:
    with zipfile.ZipFile(built.archive) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    assert [e.filename for e in entries] == sorted(e.filename for e in entries)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("architecture", package.PLATFORMS)
def test_binaries_are_for_their_architecture(architecture: str) -> None:
    libraries = package.libraries(architecture)
    binaries = [path for path in libraries.rglob("*.so") if path.is_file()]
    # ELF: e_machine is two bytes at 18.
    machines = {int.from_bytes(path.read_bytes()[18:20], "little") for path in binaries}
    assert len(binaries) >= 2
    assert machines == {MACHINES[architecture]}


@pytest.mark.usefixtures("built")
def test_a_wheel_that_is_not_the_pinned_one_fails_the_build(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(package.PackageError, match=r"(?i)hash"):
        package.libraries("arm64", requirements, tmp_path / "store")
    assert not list((tmp_path / "store").glob("*"))


@pytest.mark.usefixtures("built")
def test_a_library_without_a_wheel_fails_the_build(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("cryptography==1.0\n")  # older than wheels for Lambda
    with pytest.raises(package.PackageError, match="no usable wheels"):
        package.libraries("arm64", requirements, tmp_path / "store")


def test_the_runtime_is_the_python_that_packages(sam: Template) -> None:
    runtimes = {f["Properties"]["Runtime"] for f in functions(sam).values()}
    assert runtimes == {f"python{sys.version_info.major}.{sys.version_info.minor}"}
