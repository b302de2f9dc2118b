"""The package: reproducible, complete, trimmed, compiled; a missing wheel fails the build."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

from infrastructure import package

OURS = {"app.py", "chalicelib", "chalice", "__pycache__"}
MACHINES = {"x86_64": 0x3E, "arm64": 0xB7}


@pytest.fixture(scope="module")
def names(built: Path) -> list[str]:
    with zipfile.ZipFile(built / "deployment.zip") as archive:
        return archive.namelist()


def test_the_same_source_gives_the_same_bytes_readable_for_lambda(
    built: Path, tmp_path: Path
) -> None:
    again = package.build(package.here(), tmp_path)
    assert again.read_bytes() == (built / "deployment.zip").read_bytes()
    with zipfile.ZipFile(again) as archive:
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}


def test_the_app_the_runtime_and_the_libraries_ship_and_nothing_else(names: list[str]) -> None:
    top = {name.partition("/")[0] for name in names}
    libraries = {path.name for path in package.libraries(package.here()).iterdir()}
    assert OURS <= top <= OURS | libraries
    assert {"boto3", "botocore", "cryptography", "jwt", "pynamodb", "requests", "urllib3"} <= top
    assert not top & {"blessed", "click", "inquirer", "pip", "setuptools", "yaml"}
    # Of chalice its runtime alone, and of the SDK's data three services.
    sources = {n for n in names if n.startswith("chalice/") and n.endswith(".py")}
    assert sources == {"chalice/__init__.py", "chalice/app.py"}
    data = {n.split("/")[2] for n in names if n.startswith("botocore/data/")}
    assert data - set(package.SDK_DATA) == {"dynamodb", "secretsmanager", "sqs"}


def test_every_module_is_compiled_for_var_task_and_never_checked_against_its_source(
    names: list[str], built: Path
) -> None:
    for name in names:
        if name.endswith(".py"):
            compiled = built / "package" / importlib.util.cache_from_source(name)
            # PEP 552: magic, then flags: 1 is hash-based, 2 would be checked.
            assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00", name
    (compiled,) = (built / "package" / "__pycache__").glob("app.*.pyc")
    assert b"/var/task/app.py" in compiled.read_bytes()  # as a traceback says


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
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"six==1.17.0 --hash=sha256:{'0' * 64}", r"(?i)hash"),
        ("cryptography==1.0", "no usable wheels"),  # older than wheels for Lambda
    ],
)
def test_a_wheel_that_is_missing_or_not_the_pinned_one_fails_the_build(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "requirements.txt").write_text(f"{line}\n")
    with pytest.raises(package.PackageError, match=message):
        package.libraries("arm64", tmp_path / "requirements.txt", tmp_path / "store")
    assert not list((tmp_path / "store").glob("*"))
