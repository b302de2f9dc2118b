"""Node and Chromium before the playground."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.support.desk import ENVIRONMENT

FOLDER = Path(__file__).parents[1] / "simulator" / "browser"
CHROMIUM = ("chromium", "google-chrome")
OLDEST_NODE = 20
CI = ("ci", "--silent", "--no-audit", "--no-fund", "--prefer-offline")
SECONDS = 300


def node_missing() -> str | None:
    if shutil.which("node") and shutil.which("npm"):
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.strip().removeprefix("v").partition(".")[0]) >= OLDEST_NODE:
            return None
    return f"Node {OLDEST_NODE} or newer with npm is missing"


def missing() -> str | None:
    return node_missing() or (None if _chromium() else "Chromium is missing")


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def run(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    if not (FOLDER / "node_modules").exists():
        npm(*CI).check_returncode()
    return npm("run", "--silent", script, **environ)


def npm(
    *words: str, folder: str | Path = FOLDER, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run npm in a folder; where it takes too long, leave none of its children behind."""
    with subprocess.Popen(
        ["npm", *words],
        cwd=folder,
        env={**ENVIRONMENT, "CHROMIUM": str(_chromium()), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, said)
