"""The package: our code, Chalice's runtime and the libraries, trimmed, compiled, reproducible.

`python -m deployment.package --architecture arm64 --out build` writes

    sam.json         the template, for CloudFormation with its SAM transform
    template.json    the same, transformed by AWS's own translator: what CloudFormation sees
    deployment.zip   what Lambda unpacks to /var/task; same inputs, same bytes
    package/         the same, unpacked
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from deployment import template, wheels
from deployment.template import ROOT

SERVICES = ("dynamodb", "secretsmanager")
"""What the gate calls; botocore ships 22 MB of others."""

STORE = ROOT / "build" / "wheels"
"""Where the unpacked libraries are kept between builds."""

MAX_ZIP = 9 * 1024 * 1024
"""Bytes that deployment.zip may have: Lambda fetches it at every cold start."""

TASK = "/var/task"
"""Where Lambda unpacks; tracebacks show it."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every file: the earliest time that a zip can tell."""

SDK_DATA = ("_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json")
"""What every client reads of botocore/data, besides the folder of its service."""

_UNUSED = (
    "bin",  # command line tools
    "pycparser",  # cffi parses C with it, when a library is built
    "cffi",  # of which cryptography loads the compiled half alone, _cffi_backend
)


class PackageError(RuntimeError):
    """There is no package that could be deployed; the text is one line."""


def here() -> str:
    """Give the architecture of this machine, by Lambda's name."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def build(architecture: str, out: Path, store: Path = STORE) -> Path:
    """Write the template and the package into `out`; give the path of deployment.zip.

    Raises:
        PackageError, template.TemplateError, wheels.MissingWheel: and `out` holds no zip.
    """
    check_python(sys.version_info[:2])
    archive = out / "deployment.zip"
    archive.unlink(missing_ok=True)
    folder = out / "package"
    shutil.rmtree(folder, ignore_errors=True)
    libraries = wheels.installed(architecture, store)
    shutil.copytree(libraries, folder, ignore=_unwanted)
    sam = template.finished(_unpack_chalice_package(folder), architecture)
    _compile(folder)
    _write(out / "sam.json", sam)
    _write(out / "template.json", template.transformed(sam, "us-east-1"))
    _zip(folder, archive)
    if archive.stat().st_size > MAX_ZIP:
        raise PackageError(f"deployment.zip has {archive.stat().st_size} bytes, over {MAX_ZIP}.")
    return archive


def check_python(running: tuple[int, int]) -> None:
    """See that this Python is the one of Lambda's runtime.

    Raises:
        PackageError: if it is not.
    """
    if running != wheels.PYTHON:
        raise PackageError("Package with Python 3.11: .pyc files fit one version only.")


def _unpack_chalice_package(folder: Path) -> template.Template:
    """Unpack app.py, chalicelib and Chalice's runtime; give the template beside them."""
    with TemporaryDirectory() as temporary:
        template.write_chalice_package(Path(temporary))
        with zipfile.ZipFile(Path(temporary) / "deployment.zip") as archive:
            archive.extractall(folder)
        sam: template.Template = json.loads((Path(temporary) / "sam.json").read_text())
        return sam


def _unwanted(folder: str, names: list[str]) -> set[str]:
    """Tell what of the libraries does not ship (for shutil.copytree)."""
    place = Path(folder)
    if place.match("botocore/data"):
        return set(names) - set(SERVICES) - set(SDK_DATA)
    if place.name.endswith(".dist-info"):
        return {"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "direct_url.json"} & set(names)
    unused = {name for name in names if name in _UNUSED and (place / "botocore").exists()}
    return unused | {name for name in names if name == "__pycache__" or name.endswith(".pyi")}


def _compile(folder: Path) -> None:
    """Add .pyc files that are never checked: /var/task is read-only, so Lambda would add none.

    In a fresh process with fixed hashes: sets are written in the order of their hashes.
    """
    options = ["-q", "-s", str(folder), "-p", TASK, "--invalidation-mode", "unchecked-hash"]
    subprocess.run(  # noqa: S603 - our own interpreter, arguments of ours
        [sys.executable, "-S", "-m", "compileall", *options, str(folder)],
        env={"PYTHONHASHSEED": "0"},
        check=True,
    )


def _write(path: Path, value: template.Template) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def _zip(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for path in _files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            target.writestr(entry, path.read_bytes(), compresslevel=9)


def _files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def main() -> None:
    """Build for one architecture."""
    parser = argparse.ArgumentParser(prog="deployment.package", description=__doc__)
    parser.add_argument("--architecture", choices=wheels.ARCHITECTURES, default="arm64")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        archive = build(options.architecture, options.out)
    except (PackageError, template.TemplateError, wheels.MissingWheel) as error:
        sys.exit(f"No package: {error}")
    size = archive.stat().st_size / 1e6
    print(f"{archive}: {size:.1f} MB for {options.architecture}; sam.json, template.json beside it")


if __name__ == "__main__":
    main()
