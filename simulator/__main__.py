"""`python -m simulator`: everything on loopback in one command, until Ctrl-C."""

import argparse
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.serving import Desk

MAX_PORT = 65_535 - 4
ENDS = (signal.SIGINT, signal.SIGTERM)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"write a number from 1 to {MAX_PORT}")
    return int(text)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Run wxgate on this desk: gate, simulated WeChat, embedded AWS, upstream.",
        epilog="UPSTREAM_URL, WECHAT, HOST, DATA, AWS_URL and RELOAD put your own parts in "
        "place of ours: docs/own-machine.md.",
    )
    parser.add_argument("--port", type=_port, default=8000, help="first of five ports (8000)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the desk until SIGINT or SIGTERM; give the exit status."""
    options = _arguments(arguments)
    started = time.monotonic()
    try:
        # Late, so that a bad flag is answered at once and a missing package in one line.
        from simulator import parts
        from simulator.desk import set_up
    except ModuleNotFoundError as error:
        return _fail(f"The package {error.name} is missing: make run installs it.")
    except Exception as error:  # noqa: BLE001 - the user's own edit: anything may be wrong
        return _fail(f"The gate does not load: {parts.described(error)}.")
    try:
        chosen = parts.read(os.environ, parts.terminal())
        asked = time.monotonic()
        # Blocked in every thread to come, and awaited below: a handler would run only when the
        # main thread wakes up, and nothing wakes it if the signal goes to another thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        desk = set_up(options.port, chosen, _say)
    except (parts.DeskError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("")
    waited = asked - started if chosen.real_wechat else 0.0
    _show(desk, time.monotonic() - started - waited)
    if chosen.host != parts.LOOPBACK:
        from simulator.wifi import page

        print("\n".join(page(chosen.host, desk.urls["gate"])), flush=True)
    signal.sigwait(ENDS)
    desk.close()
    return 0


def _show(desk: "Desk", seconds: float) -> None:
    names, addresses = max(map(len, desk.urls)), max(map(len, desk.urls.values()))
    lines = [
        f"  {name:<{names}}  {url:<{addresses}}  {desk.remarks.get(name, '')}".rstrip()
        for name, url in desk.urls.items()
    ]
    lines += [f"  {note}" for note in desk.notes]
    first = f"wxgate is ready after {seconds:.1f} s. Ctrl-C ends it."
    print("\n".join([first, "", *lines, ""]), flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _fail(sentence: str) -> int:
    _say(sentence)
    return 1


if __name__ == "__main__":
    sys.exit(main())
