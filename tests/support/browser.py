"""Node and Chromium before the playground."""

import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "simulator" / "browser"
CHROMIUM = ("chromium", "google-chrome")
OLDEST_NODE = 20
SECONDS = 300


def missing() -> str | None:
    """Name in one line what is missing; None where nothing is."""
    if not shutil.which("node") or not shutil.which("npm"):
        return f"Node {OLDEST_NODE} or newer with npm is missing: the playground cannot be clicked"
    if not _chromium():
        return "Chromium is missing: the playground cannot be clicked"
    return None


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def run(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the folder's package, after installing what it needs."""
    if not (FOLDER / "node_modules").exists():
        npm("ci", "--silent", "--no-audit", "--no-fund", "--prefer-offline").check_returncode()
    return npm("run", "--silent", script, **environ)


def npm(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *words],
        cwd=FOLDER,
        env={**os.environ, "CHROMIUM": str(_chromium()), **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
