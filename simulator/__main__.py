"""`python -m simulator`: everything on loopback in one command, until Ctrl-C."""

import argparse
import os
import signal
import sys
import time

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
    )
    parser.add_argument("--port", type=_port, default=8000, help="first of five ports (8000)")
    parser.add_argument("--aws-url", help="another AWS endpoint, such as DynamoDB Local")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the desk until SIGINT or SIGTERM; give the exit status."""
    options = _arguments(arguments)
    started = time.monotonic()
    # Blocked in every thread to come, and awaited below: a handler would run only when the main
    # thread wakes up, and nothing wakes it where the signal goes to another thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        # Late, so that a bad flag is answered at once and a missing package in one line.
        from simulator.desk import DEFAULT_APP, DeskError, set_up
    except ModuleNotFoundError as error:
        return _fail(f"The package {error.name} is missing: make run installs it.")
    named = [appid.strip() for appid in os.environ.get("WX_APPIDS", "").split(",")]
    appids = [appid for appid in named if appid] or [DEFAULT_APP]
    try:
        desk = set_up(options.port, aws_url=options.aws_url, appids=appids)
    except (DeskError, OSError) as error:
        return _fail(str(error))
    _show(desk.urls, time.monotonic() - started)
    signal.sigwait(ENDS)
    desk.close()
    return 0


def _show(urls: dict[str, str], seconds: float) -> None:
    width = max(map(len, urls))
    lines = [f"  {name:<{width}}  {url}" for name, url in urls.items()]
    first = f"wxgate is ready after {seconds:.1f} s. Ctrl-C ends it."
    print("\n".join([first, "", *lines, ""]), flush=True)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
