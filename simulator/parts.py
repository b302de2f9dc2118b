"""What stands on the desk: the simulator's parts, unless the environment names the user's own."""

import ipaddress
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path

DEFAULT_APP = "wx4f4bc4dec97d474b"
LOOPBACK = "127.0.0.1"

_APPSECRET = re.compile(r"[!-~]{1,128}")
_APPSECRET_VARIABLE = "WX_APPSECRET_"


class DeskError(RuntimeError):
    """The desk cannot be set up; the text is one line for its user."""


@dataclass(frozen=True)
class Appsecret:
    """An appsecret, and the words that say where it came from."""

    value: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class Parts:
    """The user's choices; None or False stands for the simulator's own part."""

    appids: tuple[str, ...] = (DEFAULT_APP,)
    host: str = LOOPBACK
    upstream_url: str | None = None
    appsecrets: Mapping[str, Appsecret] | None = None
    aws_url: str | None = None
    data: Path | None = None
    reload: bool = False

    @property
    def real_wechat(self) -> bool:
        """Whether codes go to a WeChat of the user's choice."""
        return self.appsecrets is not None


def read(environ: Mapping[str, str], ask: Callable[[str], str] | None = None) -> Parts:
    """Read UPSTREAM_URL, WECHAT, HOST, DATA, AWS_URL, RELOAD and WX_APPIDS.

    `ask` asks for an appsecret without echo; None where nobody can answer.

    Raises:
        DeskError: naming the variable that cannot be respected.
    """
    _refuse_contradictions(environ)
    named = tuple(part.strip() for part in environ.get("WX_APPIDS", "").split(",") if part.strip())
    if environ.get("WX_APPIDS", "").strip() and not named:
        raise DeskError("WX_APPIDS is malformed: write appids, separated by commas.")
    is_real = _choice(environ, "WECHAT", {"": False, "simulated": False, "real": True})
    if is_real and not named:
        raise DeskError("WECHAT=real needs your mini-programs: set WX_APPIDS=wx….")
    data = environ.get("DATA")
    return Parts(
        appids=named or (DEFAULT_APP,),
        host=_host(environ.get("HOST") or LOOPBACK),
        upstream_url=environ.get("UPSTREAM_URL") or None,
        appsecrets=_appsecrets(named, environ, ask) if is_real else None,
        aws_url=environ.get("AWS_URL") or environ.get("AWS_ENDPOINT_URL") or None,
        data=_folder(data) if data else None,
        reload=_choice(environ, "RELOAD", {"": False, "0": False, "1": True}),
    )


def terminal() -> Callable[[str], str] | None:
    """Give what asks for a secret without echo, None where no one types."""
    return getpass if sys.stdin.isatty() else None


def forget_appsecrets() -> None:
    """Take the appsecrets out of this process's environment: no child gets them."""
    for name in [name for name in os.environ if name.startswith(_APPSECRET_VARIABLE)]:
        del os.environ[name]


def _refuse_contradictions(environ: Mapping[str, str]) -> None:
    """Refuse what could only be overwritten in silence."""
    if environ.get("WECHAT_API_URL") and environ.get("WECHAT") != "real":
        raise DeskError(
            "WECHAT_API_URL has no effect beside the simulated WeChat: set WECHAT=real too."
        )
    private = environ.get("UPSTREAM_ALLOW_PRIVATE", "").strip().lower()
    if private == "false" and not environ.get("UPSTREAM_URL"):
        raise DeskError(
            "UPSTREAM_ALLOW_PRIVATE=false excludes the echo, which is on loopback: "
            "set UPSTREAM_URL too."
        )
    if environ.get("EVENTS_QUEUE_URL"):
        raise DeskError("EVENTS_QUEUE_URL has no effect: the desk makes its own queue. Unset it.")
    engines = {environ[name] for name in ("AWS_URL", "AWS_ENDPOINT_URL") if environ.get(name)}
    if len(engines) > 1:
        raise DeskError("AWS_URL and AWS_ENDPOINT_URL name two engines: unset one.")


def _choice(environ: Mapping[str, str], name: str, choices: Mapping[str, bool]) -> bool:
    try:
        return choices[environ.get(name, "").strip()]
    except KeyError:
        words = " or ".join(word for word in choices if word)
        raise DeskError(f"{name} is malformed: write {words}, or nothing.") from None


def _host(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address("127.0.0.1" if text == "localhost" else text))
    except ValueError:
        raise DeskError(
            "HOST is malformed: write an IPv4 address of this machine, or 0.0.0.0 for all of them."
        ) from None


def _folder(text: str) -> Path:
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeskError(f"DATA is no usable folder: {error.strerror}.") from error
    return folder


def _appsecrets(
    appids: tuple[str, ...], environ: Mapping[str, str], ask: Callable[[str], str] | None
) -> dict[str, Appsecret]:
    found = {}
    for appid in appids:
        name = f"{_APPSECRET_VARIABLE}{appid}"
        value, source = environ.get(name, "").strip(), f"from {name}"
        if not value and ask is not None:
            value, source = ask(f"appsecret of {appid}: ").strip(), "typed at the prompt"
        if not value:
            raise DeskError(f"The appsecret of {appid} is missing: type it, or set {name}.")
        if not _APPSECRET.fullmatch(value):
            raise DeskError(f"The appsecret of {appid} is malformed: 1 to 128 ASCII characters.")
        found[appid] = Appsecret(value, source)
    return found


def described(error: BaseException) -> str:
    """Say in one line where an error came from and what it is."""
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or 'app.py').name}:{error.lineno}: {error.msg}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error).split())
    return f"{Path(frame.filename).name}:{frame.lineno}: {type(error).__name__}: {words}"
