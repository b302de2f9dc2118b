"""The package: our code, Chalice's runtime and the libraries, trimmed, compiled, reproducible.

`python -m infrastructure.package --architecture arm64 --out build` writes

    sam.json         the template, for CloudFormation with its SAM transform
    template.json    the same, transformed by AWS's own translator: what CloudFormation sees
    deployment.zip   what Lambda unpacks to /var/task; same inputs, same bytes
    package/         the same, unpacked

for the Python that runs it: that version is the functions' runtime, and its .pyc files ship.
"""

import argparse
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infrastructure import template
from infrastructure.parts import Template, TemplateError
from infrastructure.template import ROOT

REQUIREMENTS = ROOT / "requirements.txt"

PLATFORMS = {"arm64": "aarch64-manylinux2014", "x86_64": "x86_64-manylinux2014"}
"""By uv's names; every Lambda runtime has a newer C library than these ask for."""

SERVICES = ("dynamodb", "secretsmanager", "sqs")
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

_VENDORED = "chalice"
"""Chalice puts its own runtime, two modules, into the package; its tools are not installed."""

_UNUSED = (
    "bin",  # command line tools
    "pycparser",  # cffi parses C with it, when a library is built
    "cffi",  # of which cryptography loads the compiled half alone, _cffi_backend
)


class PackageError(RuntimeError):
    """There is no package that could be deployed; the text is one line, or uv's."""


def here() -> str:
    """Give the architecture of this machine, by Lambda's name."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def build(architecture: str, out: Path) -> Path:
    """Write the template and the package into `out`; give the path of deployment.zip.

    Raises:
        PackageError, TemplateError: and `out` holds no zip.
    """
    archive = out / "deployment.zip"
    archive.unlink(missing_ok=True)
    folder = out / "package"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(libraries(architecture), folder, ignore=_unwanted)
    _trim_sdk_data(folder / "botocore/data")
    sam = template.finished(_unpack_chalice_package(folder), architecture)
    _compile(folder)
    _write(out / "sam.json", sam)
    _write(out / "template.json", template.transformed(sam, "us-east-1"))
    _zip(folder, archive)
    if archive.stat().st_size > MAX_ZIP:
        raise PackageError(f"deployment.zip has {archive.stat().st_size} bytes, over {MAX_ZIP}.")
    return archive


def libraries(architecture: str, requirements: Path = REQUIREMENTS, store: Path = STORE) -> Path:
    """Give a folder with the unpacked libraries: one per requirements, Python and architecture.

    Raises:
        PackageError: if one has no wheel, or another one than was locked; nothing is left behind.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = _what_ships(requirements.read_text())
    digest = sha256(wanted.encode()).hexdigest()[:12]
    place = store / f"{architecture}-{version}-{digest}"
    if place.exists():
        return place
    store.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=store) as unfinished:
        target = Path(unfinished) / place.name
        command = [
            *(_uv(), "pip", "install", "--quiet", "--requirements", "-"),
            *("--target", str(target), "--only-binary", ":all:"),
            *("--python-platform", PLATFORMS[architecture], "--python-version", version),
        ]
        done = subprocess.run(  # noqa: S603 - uv of our own environment
            command, input=wanted, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PackageError(done.stderr.strip())
        try:
            target.rename(place)
        except OSError:
            if not place.exists():  # another build was first
                raise
    return place


def _uv() -> str:
    """The uv beside this Python, or the machine's own."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("uv", path=beside)
    if not found:
        raise PackageError(
            "uv is missing, which finds the wheels of Lambda's platform: pip install uv"
        )
    return found


def _what_ships(locked: str) -> str:
    """Keep the locked requirements that the gate's own dependencies need, with their hashes."""
    direct = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found, open_ = set[str](), [Requirement(line) for line in direct]
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and name not in found | {_VENDORED}:
            found.add(name)
            open_ += map(Requirement, metadata.requires(name) or ())
    logical = locked.replace("\\\n", "\0").splitlines()
    kept = [line for line in logical if line.partition("==")[0] in found]
    return "\n".join(kept).replace("\0", "\\\n") + "\n"


def revise(parameters: Path, *contents: Path) -> str:
    """Add Revision to the parameters of a deployment: it differs if they, or the package, do."""
    values = json.loads(parameters.read_text())
    digest = sha256(b"".join(path.read_bytes() for path in (parameters, *contents)))
    revision = digest.hexdigest()[:16]
    _write(parameters, {**values, "Revision": revision})
    return revision


def redeploy(sam: Path, revision: str) -> None:
    """Make the revision the API's version: SAM deploys an API anew only if its text differs.

    Which routes there are depends on a parameter, EventsPath.
    """
    content = json.loads(sam.read_text())
    body = content["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    body["info"]["version"] = revision
    _write(sam, content)


def _unpack_chalice_package(folder: Path) -> Template:
    """Unpack app.py, chalicelib and Chalice's runtime; give the template beside them."""
    with TemporaryDirectory() as temporary:
        template.write_chalice_package(Path(temporary))
        with zipfile.ZipFile(Path(temporary) / "deployment.zip") as archive:
            archive.extractall(folder)
        sam: Template = json.loads((Path(temporary) / "sam.json").read_text())
        return sam


def _unwanted(folder: str, names: list[str]) -> set[str]:
    """Tell what of the libraries does not ship (for shutil.copytree)."""
    place = Path(folder)
    if place.match("botocore/data"):
        return set(names) - set(SERVICES) - set(SDK_DATA)
    if place.name == "boto3":
        return {"data", "examples"} & set(names)  # of its resource API, which nobody calls
    if place.name.endswith(".dist-info"):
        return {"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "direct_url.json"} & set(names)
    unused = {name for name in names if name in _UNUSED and (place / "botocore").exists()}
    return unused | {name for name in names if name.endswith((".pyi", ".lock", "__pycache__"))}


def _trim_sdk_data(folder: Path) -> None:
    """Leave out of the SDK's data what nobody reads: each cold start parses two megabytes of it.

    Those are the documentation of every shape, and the endpoints of other SERVICES.
    """
    for file in [path for path in folder.rglob("*.json*") if path.is_file()]:
        packed = file.suffix == ".gz"
        text = gzip.decompress(file.read_bytes()) if packed else file.read_bytes()
        value = json.loads(text, object_hook=_undocumented)
        for partition in value["partitions"] if file.name == "endpoints.json" else ():
            services = partition["services"]
            partition["services"] = {name: services[name] for name in SERVICES if name in services}
        file.unlink()
        (file.with_suffix("") if packed else file).write_text(json.dumps(value))


def _undocumented(value: dict[str, object]) -> dict[str, object]:
    if isinstance(value.get("documentation"), str):
        del value["documentation"]
    return value


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


def _write(path: Path, value: Template) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def _zip(folder: Path, archive: Path) -> None:
    files = (path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for path in sorted(files, key=lambda path: path.relative_to(folder).as_posix()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            target.writestr(entry, path.read_bytes(), compresslevel=9)


def main() -> None:
    """Build for one architecture."""
    parser = argparse.ArgumentParser(prog="infrastructure.package", description=__doc__)
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), default="arm64")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    parser.add_argument("--revise", type=Path, help="parameters to which Revision is added")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        archive = build(options.architecture, options.out)
    except (PackageError, TemplateError) as error:
        sys.exit(f"No package: {error}")
    if options.revise:
        sam = options.out / "sam.json"
        redeploy(sam, revise(options.revise, archive, sam))
    size = archive.stat().st_size / 1e6
    print(f"{archive}: {size:.1f} MB for {options.architecture}; sam.json, template.json beside it")


if __name__ == "__main__":
    main()
