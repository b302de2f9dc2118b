"""The whole of wxgate on a desk: gate, WeChat, AWS, upstream and playground, on loopback."""

import importlib.util
import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from simulator import aws, playground, upstream
from simulator.gateway import Gateway, refuse
from simulator.serving import Server, serve_wsgi
from simulator.wechat import WeChat, appsecret_of
from simulator.wechat import serve as serve_wechat

HOST = "127.0.0.1"
DEFAULT_APP = "wx4f4bc4dec97d474b"
TABLE = "wxgate-sessions"
PREFIX = "wxgate/"
PORTS = ("gate", "WeChat", "AWS", "upstream", "playground")

FRONT_DOOR = Path(__file__).parent.parent / "app.py"


class DeskError(RuntimeError):
    """The desk cannot be set up; the text is one line for its user."""


@dataclass
class Desk:
    """What runs, by name, and how to end all of it."""

    urls: dict[str, str] = field(default_factory=dict)
    _servers: ExitStack = field(default_factory=ExitStack)

    def add(self, name: str, server: Server) -> str:
        """Remember a server under a name; give its address."""
        self.urls[name] = server.url
        self._servers.callback(server.close)
        return server.url

    def close(self) -> None:
        """End everything, the newest first."""
        self._servers.close()


def set_up(
    port: int, *, aws_url: str | None = None, appids: Iterable[str] = (DEFAULT_APP,)
) -> Desk:
    """Start everything on `port` and the four after it; port 0 takes free ones.

    Sets the environment that the gate reads, then loads the unmodified app.

    Raises:
        DeskError: if a port is in use, an engine does not answer, or the gate refuses to start.
    """
    ports = dict.fromkeys(PORTS, 0) if port == 0 else _numbered(port)
    desk = Desk()
    try:
        _start(desk, ports, aws_url, tuple(appids))
    except BaseException:
        desk.close()
        raise
    desk.urls = {name: desk.urls[name] for name in (*PORTS, "DynamoDB") if name in desk.urls}
    return desk


def _start(desk: Desk, ports: dict[str, int], aws_url: str | None, appids: tuple[str, ...]) -> None:
    appsecrets = {appid: appsecret_of(appid) for appid in appids}
    wechat = serve_wechat(WeChat(appsecrets), HOST, ports["WeChat"])
    desk.add("WeChat", Server(wechat.url, wechat.close))
    desk.add("upstream", upstream.start(HOST, ports["upstream"]))
    _use_engine(desk, ports["AWS"], aws_url, appsecrets)
    os.environ.update(
        WX_APPIDS=",".join(appids),
        SESSIONS_TABLE=TABLE,
        SECRET_PREFIX=PREFIX,
        UPSTREAM_URL=desk.urls["upstream"],
        UPSTREAM_ALLOW_PRIVATE="true",
        WECHAT_API_URL=desk.urls["WeChat"],
    )
    front_door = load_app()
    if front_door.services.fault:
        raise DeskError(f"The gate does not start: {front_door.services.fault}")
    door = Gateway(front_door.app, front_door.app.routes)
    gate = serve_wsgi(door, HOST, ports["gate"], refuse)
    desk.add("gate", gate)
    pages = playground.application(gate=gate.url, wechat=desk.urls["WeChat"])
    desk.add("playground", serve_wsgi(pages, HOST, ports["playground"]))


def _numbered(port: int) -> dict[str, int]:
    """Number the ports, and see that each is free before anything starts."""
    ports = {name: port + offset for offset, name in enumerate(PORTS)}
    for name, number in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, number))
            except OSError as error:
                other = port + 1000 if port < 60_000 else 8000
                raise DeskError(
                    f"Port {number} ({name}) cannot be had: {(error.strerror or '').lower()}. "
                    f"Choose the first of five free ones, such as --port {other}"
                ) from error
    return ports


def _use_engine(desk: Desk, port: int, aws_url: str | None, appsecrets: dict[str, str]) -> None:
    """Point the SDK at an engine, and make the table and secrets that are not there yet.

    An engine without Secrets Manager (DynamoDB Local) gets the embedded one beside it.
    """
    _forget_account()
    try:
        if aws_url and aws.has_secrets_manager(aws_url):
            store = manager = desk.urls["AWS"] = aws_url
        else:
            manager = desk.add("AWS", aws.start(HOST, port))
            store = aws_url or manager
        os.environ["AWS_ENDPOINT_URL"] = manager
        if store != manager:
            os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = desk.urls["DynamoDB"] = store
        with closing(aws.client("dynamodb", store)) as dynamodb:
            aws.make_table(dynamodb, TABLE)
        with closing(aws.client("secretsmanager", manager)) as secrets:
            aws.make_secrets(secrets, PREFIX, appsecrets)
    except aws.EngineUnavailable as error:
        raise DeskError(
            f"The AWS engine at {aws_url or 'the desk'} is of no use. {error}"
        ) from error


def _forget_account() -> None:
    """Drop all that the environment and ~/.aws tell the SDK: no real account may be reached.

    Other settings could lead past the engine as well: a profile, an endpoint of one service.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="desk",
        AWS_SECRET_ACCESS_KEY="desk",  # noqa: S106 - of no account
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )
    # The SDK would look for loopback behind a proxy; of two spellings the lower one counts.
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    spared = ",".join(filter(None, (named, HOST, "localhost")))
    os.environ.update(no_proxy=spared, NO_PROXY=spared)


def load_app() -> ModuleType:
    """Load app.py afresh, as Lambda does at a cold start: it reads the environment of now."""
    spec = importlib.util.spec_from_file_location("app", FRONT_DOOR)
    if spec is None or spec.loader is None:
        raise DeskError(f"{FRONT_DOOR.name} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
