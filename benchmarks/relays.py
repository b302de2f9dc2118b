"""TLS and distance in front of the simulated servers, in a process of their own.

Each relay ends TLS with a certificate of the run's own CA, and may delay every segment in both
directions, as a network does: what is in flight together arrives together. Neither costs the
measured process any CPU time but its own side of TLS.
"""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import certifi
import trustme

from benchmarks import ROOT

HOST = "localhost"
CHUNK = 65_536


@dataclass(frozen=True)
class Relays:
    """Addresses by name, and the file of CAs that a client must trust: certifi's and the run's."""

    urls: dict[str, str]
    ca_bundle: Path

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which OpenSSL, the AWS SDK and requests find the CAs."""
        names = ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
        return dict.fromkeys(names, str(self.ca_bundle))


@contextmanager
def running(urls: dict[str, str], *, delay: float = 0.0) -> Iterator[Relays]:
    """Put a TLS relay in front of each address; `delay` is seconds each way.

    Raises:
        RuntimeError: if the relays do not start; the reason is on standard error.
    """
    authority = trustme.CA()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle = folder / "ca.pem"
        bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
        authority.issue_cert(HOST, "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            folder / "server.pem"
        )
        command = [sys.executable, "-m", "benchmarks.relays"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                task = {"urls": urls, "delay": delay, "certificate": str(folder / "server.pem")}
                process.stdin.write(json.dumps(task) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError("The relays do not start.")
                yield Relays(json.loads(line), bundle)
            finally:
                process.stdin.close()  # it waits for this
                process.wait(timeout=30)


# --- in the process ------------------------------------------------------------------------------

Connect = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Pass bytes on, each segment `delay` seconds after it came, without holding up the next."""
    clock = asyncio.get_running_loop().time
    segments: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def receive() -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                segments.put_nowait((clock() + delay, data))
        segments.put_nowait((clock() + delay, b""))

    receiving = asyncio.create_task(receive())
    with suppress(OSError):
        while True:
            due, data = await segments.get()
            if (left := due - clock()) > 0:
                await asyncio.sleep(left)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    receiving.cancel()
    writer.close()


async def _relay(
    host: str, port: int, delay: float, context: ssl.SSLContext | None
) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: Connect = await asyncio.open_connection(host, port)
        with suppress(asyncio.CancelledError):  # at the end of the run
            await asyncio.gather(_copy(reader, there[1], delay), _copy(there[0], writer, delay))

    return await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _serve(task: dict[str, object]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(task["certificate"]))
    delay = float(str(task["delay"]))
    urls, servers = {}, []
    for name, url in dict(task["urls"]).items():  # type: ignore[call-overload]  # JSON of ours
        parts = urlsplit(url)
        server = await _relay(str(parts.hostname), parts.port or 80, 0.0, context)
        if delay:
            servers.append(server)
            server = await _relay("127.0.0.1", _port(server), delay, None)
        servers.append(server)
        urls[name] = f"https://{HOST}:{_port(server)}"
    print(json.dumps(urls), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.close()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.stdin.readline())))
