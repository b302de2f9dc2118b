"""The whole of wxgate on a desk: gate, WeChat, AWS, upstream and playground."""

import errno
import importlib.util
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.types import WSGIApplication

from simulator import aws, engines, playground, upstream
from simulator.event_source import EventSource
from simulator.gateway import Gateway, refuse
from simulator.hints import Hints
from simulator.parts import DEFAULT_APP, LOOPBACK, DeskError, Parts, described
from simulator.reload import Reloading
from simulator.serving import Desk, Server, serve_wsgi
from simulator.wechat import WeChat, appsecret_of
from simulator.wechat import serve as serve_wechat

__all__ = ["DEFAULT_APP", "Desk", "DeskError", "Parts", "load_app", "set_up"]

PORTS = ("gate", "WeChat", "AWS", "upstream", "playground")

PUBLIC_PATH = "welcome"
"""Below /api/: needs no login before the echo, unless PUBLIC_PATHS says otherwise."""

FRONT_DOOR = Path(__file__).parent.parent / "app.py"

Say = Callable[[str], object]


def set_up(port: int, chosen: Parts | None = None, say: Say = lambda _: None) -> Desk:
    """Start everything on `port` and the four after it; port 0 takes free ones.

    Sets the environment that the gate reads, then loads the unmodified app. `say` gets the lines
    that are said later: hints, reloads.

    Raises:
        DeskError: if a port is in use, an engine does not answer, or the gate refuses to start.
    """
    chosen = chosen or Parts()
    desk = Desk()
    ports = dict.fromkeys(PORTS, 0) if port == 0 else _numbered(port, chosen)
    try:
        _start(desk, ports, chosen, say)
    except BaseException:
        desk.close()
        raise
    order = (*PORTS, "DynamoDB")
    desk.urls = {name: desk.urls[name] for name in order if name in desk.urls}
    return desk


def _start(desk: Desk, ports: dict[str, int], chosen: Parts, say: Say) -> None:
    wechat = _start_wechat(desk, ports["WeChat"], chosen)
    log = _start_upstream(desk, ports["upstream"], chosen)
    engines.use(desk, ports["AWS"], chosen)
    os.environ["WX_APPIDS"] = ",".join(chosen.appids)
    hints = Hints(upstream=chosen.upstream_url, real_wechat=chosen.real_wechat, say=say)
    front_doors: list[ModuleType] = []  # the newest last

    def load() -> Gateway:
        gate = _loaded_gate(front_doors)
        logger = logging.getLogger("wxgate")
        for handler in logger.handlers:  # which the gate has just set up
            handler.setLevel(logger.level)
        logger.setLevel(logging.INFO)  # hints come whatever LOG_LEVEL says
        logger.addHandler(hints)
        return gate

    gate = Reloading(load, say)
    desk.at_end(lambda: logging.getLogger("wxgate").removeHandler(hints))
    if chosen.reload:
        gate.watch()
        desk.at_end(gate.close)
    address = chosen.host if chosen.host != "0.0.0.0" else LOOPBACK  # noqa: S104 - compared
    server = serve_wsgi(gate, chosen.host, ports["gate"], refuse)
    number = server.url.rpartition(":")[2]
    desk.add("gate", Server(f"http://{address}:{number}", server.close))
    if os.environ["EVENTS_PATH"]:
        wechat.push_url = f"{desk.urls['gate']}/events/"
        _deliver_events(desk, front_doors)
    pages = _playground(desk, chosen, log)
    desk.add("playground", serve_wsgi(pages, LOOPBACK, ports["playground"]))


def _loaded_gate(front_doors: list[ModuleType]) -> Gateway:
    try:
        # Ahead of the app, which would log it as well.
        importlib.import_module("chalicelib.settings").read(os.environ)
    except ValueError as error:
        raise DeskError(f"The gate does not start: {error}") from error
    except Exception as error:  # the user's own edit: anything may be wrong
        raise DeskError(f"The gate does not load: {described(error)}.") from error
    front_door = load_app()
    if not hasattr(front_door, "app"):  # as while an editor writes the file
        raise DeskError(f"The gate does not load: {FRONT_DOOR.name} has no app.")
    front_doors[:] = [front_door]
    return Gateway(front_door.app, front_door.app.routes)


def _deliver_events(desk: Desk, front_doors: list[ModuleType]) -> None:
    sqs = aws.client("sqs", desk.urls["AWS"])
    url = os.environ["EVENTS_QUEUE_URL"]

    def newest(event: dict[str, Any], context: Any) -> dict[str, Any]:
        result: dict[str, Any] = front_doors[0].deliver_function(event, context)
        return result

    source = EventSource(sqs, url, newest)
    desk.at_end(sqs.close)
    desk.at_end(source.close)


def _start_wechat(desk: Desk, port: int, chosen: Parts) -> WeChat:
    if chosen.appsecrets is not None:
        url = os.environ.get("WECHAT_API_URL") or "https://api.weixin.qq.com"
        desk.name("WeChat", url, "real")
        desk.notes += [f"appsecret of {k}: {v.source}" for k, v in chosen.appsecrets.items()]
        return WeChat({})
    known = {appid: appsecret_of(appid) for appid in chosen.appids}
    wechat = WeChat(known)
    server = serve_wechat(wechat, LOOPBACK, port)
    url = desk.add("WeChat", Server(server.url, server.close), "simulated")
    os.environ["WECHAT_API_URL"] = url
    return wechat


def _start_upstream(desk: Desk, port: int, chosen: Parts) -> upstream.Log | None:
    """Give the log of the upstream, None if it is the user's own."""
    log = None
    if chosen.upstream_url:
        desk.name("upstream", chosen.upstream_url, "yours")
    else:
        log = upstream.Log()
        echo = upstream.start(LOOPBACK, port, log)
        os.environ["UPSTREAM_URL"] = desk.add("upstream", echo, "echo")
        os.environ.setdefault("PUBLIC_PATHS", PUBLIC_PATH)
    if not os.environ.get("UPSTREAM_ALLOW_PRIVATE"):
        os.environ["UPSTREAM_ALLOW_PRIVATE"] = "true"
    return log


def _playground(desk: Desk, chosen: Parts, log: upstream.Log | None) -> WSGIApplication:
    globs = os.environ.get("PUBLIC_PATHS", "").split(",")
    public = globs[0].strip().strip("/").removeprefix("api/").replace("*", "1").replace("?", "1")
    facts = playground.Facts(
        gate=desk.urls["gate"],
        appids=chosen.appids,
        public_path=f"/api/{public}" if public else "",
        events=bool(os.environ["EVENTS_PATH"]),
    )
    wechat = None if chosen.real_wechat else desk.urls["WeChat"]
    return playground.application(facts, wechat=wechat, upstream=log)


def _numbered(port: int, chosen: Parts) -> dict[str, int]:
    """Number the ports, and see that each is free before anything starts."""
    ports = {name: port + offset for offset, name in enumerate(PORTS)}
    unused = {"upstream"} if chosen.upstream_url else set()
    unused |= {"WeChat"} if chosen.real_wechat else set()
    for name, number in ports.items():
        if name in unused:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((chosen.host if name == "gate" else LOOPBACK, number))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise DeskError(f"HOST={chosen.host} is no address of this machine.") from error
                other = port + 1000 if port < 60_000 else 8000
                raise DeskError(
                    f"Port {number} ({name}) is not available: {(error.strerror or '').lower()}. "
                    f"Choose the first of five free ones, such as PORT={other}"
                ) from error
    return ports


# --- the gate ------------------------------------------------------------------------------------


def load_app() -> ModuleType:
    """Load app.py afresh, as Lambda does at a cold start: it reads the environment of now.

    Raises:
        DeskError: if it does not load, with the place and the reason in one line.
    """
    spec = importlib.util.spec_from_file_location("app", FRONT_DOOR)
    if spec is None or spec.loader is None:
        raise DeskError(f"{FRONT_DOOR.name} is missing.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # as above
        raise DeskError(f"The gate does not load: {described(error)}.") from error
    return module
