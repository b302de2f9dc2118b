"""What the process said and whom it called while a request was served, and secrets found in it."""

import _socket
import base64
import contextlib
import functools
import glob
import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.loopback import THREAD

Address = tuple[str, int]


@dataclass(eq=False)
class Seen:
    """Addresses contacted and names looked up by the gate, its lines, its exceptions.

    `stalled` is for how many seconds a busy machine let the process's threads wait to run.
    """

    addresses: list[Address] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    stalled: float = 0.0

    @property
    def said(self) -> str:
        """Everything that a log could hold, and what a traceback prints of every exception."""
        return "\n".join([*self.lines, *self.foreign, *self.exceptions])

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def _run_delay() -> float:
    """Seconds that threads were ready to run and did not (proc(5), schedstat; Linux alone)."""
    delay = 0
    for stat in glob.glob("/proc/self/task/*/schedstat"):
        with contextlib.suppress(OSError), open(stat, "rb", 0) as file:
            delay += int(file.read(64).split()[1])
    return delay / 1e9


@contextlib.contextmanager
def _calls_noted(seen: Seen) -> Iterator[None]:
    """Note whom the process calls, but for the tests' own servers.

    Not by an audit hook: CPython 3.11 lets no thread start under coverage while one is running.
    """

    def noted(call: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        @functools.wraps(call)
        def noting(*args: Any, **options: Any) -> Any:
            if not threading.current_thread().name.startswith(THREAD):
                note(*args)
            return call(*args, **options)

        return noting

    def connecting(_: socket.socket, address: tuple[Any, ...]) -> None:
        seen.addresses.append(address[:2])

    def looking_up(host: object, *_: object) -> None:
        seen.lookups.append(str(host))

    with pytest.MonkeyPatch.context() as spies:
        for name in ("connect", "connect_ex"):
            spies.setattr(socket.socket, name, noted(getattr(socket.socket, name), connecting))
        spies.setattr(_socket, "getaddrinfo", noted(_socket.getaddrinfo, looking_up))
        yield


@contextlib.contextmanager
def watching() -> Iterator[Seen]:
    """Watch the process: outgoing calls, standard output, every logger, at any level."""
    seen, output, errors, logged = Seen(), io.StringIO(), io.StringIO(), io.StringIO()
    delay = _run_delay()
    # The plainest of formatters, tracebacks included.
    collector = logging.StreamHandler(logged)
    loggers = [logging.getLogger(), logging.getLogger("wxgate")]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        with (
            _calls_noted(seen),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            yield seen
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
        seen.stalled = max(0.0, _run_delay() - delay)
        seen.lines += output.getvalue().splitlines()
        seen.foreign += f"{logged.getvalue()}{errors.getvalue()}".splitlines()


def _chain(error: BaseException | None) -> str:
    if error is None:
        return ""
    context = None if error.__suppress_context__ else error.__context__
    return f"{_chain(error.__cause__ or context)}{error!r} {error}\n"


def exceptions_to(noted: list[str]) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Chalice middleware that notes each exception of a view, its causes with it."""

    def middleware(event: Any, get_response: Callable[[Any], Any]) -> Any:
        try:
            return get_response(event)
        except BaseException as error:
            noted.append(_chain(error))
            raise

    return middleware


@functools.cache
def forms(secret: str) -> frozenset[str]:
    """The spellings under which a secret may leak; base64 may also leak as the bytes it holds."""
    raw = secret.encode()
    found = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex()}
    found.add(base64.b64encode(raw).decode().rstrip("="))
    with contextlib.suppress(ValueError):
        held = base64.b64decode(secret, validate=True)
        shown = repr(held)[2:-1]
        found |= {held.hex(), shown, json.dumps(shown)[1:-1]} if len(held) >= 8 else set()
    return frozenset(found)


def leaks(text: str, secrets: Mapping[str, Iterable[str]]) -> list[str]:
    return [
        name
        for name, values in secrets.items()
        if any(form in text for value in values if value for form in forms(value))
    ]
