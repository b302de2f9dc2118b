"""What the commands on a stack share: --stack, --region, and one line for what is refused."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Make the parser of `python -m infrastructure.<name>`."""
    made = argparse.ArgumentParser(prog=f"infrastructure.{name}", description=description)
    made.add_argument("--stack", required=True)
    made.add_argument("--region", required=True)
    return made


@contextmanager
def one_line(*errors: type[Exception]) -> Iterator[None]:
    """Let these errors end the process, with status 1 and their text in one line."""
    try:
        yield
    except errors as error:
        sys.exit(" ".join(str(error).split()))
