"""Node and Chromium before the playground."""

import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "simulator" / "browser"
CHROMIUM = ("chromium", "google-chrome")
OLDEST_NODE = 20
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
