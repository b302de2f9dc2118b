"""The libraries that ship, as wheels: pinned with hashes in wheels.txt, for both architectures.

`python -m deployment.wheels` writes wheels.txt anew from requirements.txt. pip takes only what
wheels.txt names, only as wheels, only for Lambda's platform: what is missing fails the build.
"""

import json
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from deployment.template import ROOT

REQUIREMENTS = ROOT / "requirements.txt"
LOCK = Path(__file__).with_name("wheels.txt")

PYTHON = (3, 11)
"""Of Lambda's runtime, and so of the one that packages: .pyc and wheels must fit it."""

# Lambda's Python 3.11 runs on Amazon Linux 2, whose glibc is 2.26.
_PLATFORMS = {
    "arm64": [f"manylinux_2_{minor}_aarch64" for minor in range(26, 16, -1)],
    "x86_64": [f"manylinux_2_{minor}_x86_64" for minor in range(26, 16, -1)],
}
ARCHITECTURES = tuple(_PLATFORMS)

_VENDORED = {"chalice"}
"""Chalice puts its own runtime, two modules, into the package; its tools stay at home."""


class MissingWheel(RuntimeError):
    """pip finds no wheel, or another one than wheels.txt names; the text is pip's."""


def requirements() -> list[str]:
    """Give the pinned requirements whose wheels ship."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line and line.partition("==")[0] not in _VENDORED]


def installed(architecture: str, store: Path, lock: Path = LOCK) -> Path:
    """Give a folder with the locked libraries unpacked, made once per lock and architecture.

    Raises:
        MissingWheel: and nothing is left behind.
    """
    digest = sha256(lock.read_bytes()).hexdigest()[:12]
    place = store / f"{architecture}-{digest}"
    if not place.exists():
        unfinished = place.with_name(f"{place.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _pip(architecture, "--require-hashes", "--target", str(unfinished), "-r", str(lock))
        unfinished.rename(place)
    return place


def locked() -> str:
    """Resolve requirements.txt for both architectures into the text of wheels.txt.

    Raises:
        MissingWheel: if a library has no wheel for an architecture.
    """
    pins: dict[str, set[str]] = {}
    for architecture in ARCHITECTURES:
        report = _pip(architecture, "--dry-run", "--report", "-", *requirements())
        for item in json.loads(report)["install"]:
            pins.setdefault(_pin(item), set()).add(item["download_info"]["archive_info"]["hash"])
    entries = [
        " \\\n    ".join([pin, *(f"--hash={_option(text)}" for text in sorted(hashes))])
        for pin, hashes in sorted(pins.items())
    ]
    return (
        "# Written by: make wheels. Both architectures' wheels of what requirements.txt names.\n"
        + ("\n".join(entries) + "\n")
    )


def _pin(item: dict[str, Any]) -> str:
    name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
    return f"{name}=={item['metadata']['version']}"


def _option(text: str) -> str:
    return text.replace("=", ":", 1)


def _pip(architecture: str, *options: str) -> str:
    version = f"{PYTHON[0]}.{PYTHON[1]}"
    target = [f"--platform={platform}" for platform in _PLATFORMS[architecture]]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 - our own interpreter, arguments of ours
        [
            *command,
            "--only-binary=:all:",
            "--ignore-installed",
            "--no-compile",
            f"--python-version={version}",
            "--implementation=cp",
            *target,
            *options,
            *([] if "--target" in options else ["--target", "unused"]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MissingWheel(done.stderr.strip())
    return done.stdout


if __name__ == "__main__":
    LOCK.write_text(locked())
