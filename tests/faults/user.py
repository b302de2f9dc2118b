"""What a user does while something fails: log in, and send a request upstream."""

from typing import Any

from tests.attacks.world import Door, Exchange

CODE = "canary-code-A-5Nf8wQ"
"""A login code of user A; it must not turn up anywhere but at WeChat."""


def login(door: Door, code: str = CODE, *, context: Any = None, **fields: object) -> Exchange:
    """Log user A in."""
    return door.send("POST", "/login", json_body={"code": code, **fields}, context=context)


def proxied(door: Door, token: str) -> Exchange:
    """Send a request upstream."""
    return door.send("GET", "/api/echo", token=token)
