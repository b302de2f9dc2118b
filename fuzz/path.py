"""Any path is refused, or goes upstream byte for byte and stays below the base path for everyone.

Everyone: the servers behind, which may decode once or often, fold characters, take a backslash for
a slash, cut a segment at its semicolon.
"""

import posixpath
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

from chalicelib.errors import InvalidPath
from chalicelib.front.request import Request
from chalicelib.upstream.paths import ROUTE, checked_path
from chalicelib.upstream.upstream import Upstream
from fuzz import demand, kept
from tests.attacks import corpus
from tests.support.fakes import Wire

BASE = "/base/"
PUBLIC = "products/*"
ROUNDS = 6
"""How often somebody behind us may decode; more than we look."""

Check = Callable[[str], str]


def check(data: bytes, checked: Check = checked_path) -> None:
    """Ask for a path below /api/.

    Raises:
        Breach: if a path that passes is sent changed, or leads elsewhere for one of its readers.
        Any error that is no InvalidPath.
    """
    path = ROUTE + data.decode("utf-8", "surrogateescape")
    try:
        below = checked(path)
    except InvalidPath:
        return
    demand(path.endswith(below), "what was checked is what was sent")
    target = _on_the_wire(below)
    demand(target == BASE + below, "what was checked is what goes out")
    demand(urlsplit(target).netloc == "", "a path is never a host")
    public = Upstream(Wire(), "https://api.test/base", 20.0, (PUBLIC,)).is_public(below)
    for read in _readings(below):
        _stays_inside(read, public=public)


def _on_the_wire(below: str) -> str:
    wire = Wire()
    request = Request({"requestContext": {"httpMethod": "GET"}})
    Upstream(wire, "https://api.test/base", 20.0, ()).forward(request, below, None)
    return wire.exchanged[0].target


def _readings(below: str) -> Iterator[str]:
    """Every text that a server behind us may take the path for."""
    text = below
    for _ in range(ROUNDS):
        yield text
        yield unicodedata.normalize("NFKC", text)
        decoded = unquote(text, errors="replace")
        if decoded == text:
            return
        text = decoded


def _stays_inside(read: str, *, public: bool) -> None:
    demand(not any(ord(c) < 0x20 or ord(c) == 0x7F for c in read), "no control character")
    plain = read.replace("\\", "/")
    cut = "/".join(segment.partition(";")[0].strip() for segment in plain.split("/"))
    for form in (plain, cut):
        resolved = posixpath.normpath(BASE + form)
        demand(resolved.startswith(BASE), "no reading leaves the base path")
        demand(resolved.count("/") == BASE.count("/") + read.removesuffix("/").count("/"), "depth")
        if public:
            # "products/" is public, and a server may drop its last slash.
            inside = f"{resolved}/".startswith(f"{BASE}products/")
            demand(inside, "no reading leaves the public paths")


def seeds() -> Iterator[bytes]:
    """Give what is kept, and the paths of the corpus, the part below /api/."""
    yield from kept("path")
    for entry in corpus.entries():
        path = entry.path.partition("?")[0]
        if path.startswith(ROUTE) and len(path) < 4096:
            yield path.removeprefix(ROUTE).encode("utf-8", "surrogateescape")
