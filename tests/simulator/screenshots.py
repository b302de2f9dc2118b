"""`python -m tests.simulator.screenshots`: take the playground's pictures for the READMEs anew."""

import os
import sys

from simulator import desk
from tests.support import browser


def main() -> int:
    reason = browser.missing()
    if reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")
    running = desk.set_up(0)
    taken = browser.run("screenshots", PLAYGROUND_URL=running.urls["playground"])
    running.close()
    sys.stderr.write(taken.stdout)
    return taken.returncode


if __name__ == "__main__":
    sys.exit(main())
