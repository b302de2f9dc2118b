"""The gate, loaded anew when its files change; what it stored stays, since only its code is new."""

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from simulator.parts import DeskError

ROOT = Path(__file__).parent.parent
INTERVAL = 0.5
"""Seconds between two looks at the files."""


class Reloading:
    """A WSGI application that `load` makes; a broken one leaves the one before in place.

    `load` raises DeskError with one line. `say` gets one line per reload.
    """

    def __init__(
        self, load: Callable[[], WSGIApplication], say: Callable[[str], object], root: Path = ROOT
    ) -> None:
        self._load = load
        self._say = say
        self._root = root
        self._application = load()
        self._seen = self._state()
        self._closing = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request by the newest code."""
        return self._application(environ, start_response)

    def watch(self) -> None:
        """Look at the files in a thread until close()."""
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()

    def _watch(self) -> None:
        while not self._closing.wait(INTERVAL):
            self.refresh()

    def refresh(self) -> None:
        """Load the application anew if a file has changed since the last look."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        before = {name: sys.modules.pop(name) for name in _loaded()}
        try:
            self._application = self._load()
        except DeskError as error:
            for name in _loaded():
                del sys.modules[name]
            sys.modules.update(before)  # what it imports late must be of its own making
            self._say(f"{error} The gate before the change goes on.")
        else:
            self._say("The gate was reloaded.")

    def _state(self) -> dict[str, int]:
        files = [self._root / "app.py", *(self._root / "chalicelib").rglob("*.py")]
        return {str(file): file.stat().st_mtime_ns for file in files if file.exists()}


def _loaded() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "chalicelib"]
