"""The unmodified app in this process, and a phone beside it; everything else runs elsewhere."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from simulator.desk import load_app
from simulator.gateway import Context, event_of


@dataclass
class Gate:
    """An app, and WeChat's phone face for one user."""

    app: Any
    wechat_url: str
    appid: str
    context: Context = field(default_factory=lambda: Context(seconds=86_400))

    def event(self, method: str, target: str, body: object = None, token: str = "") -> Any:
        """Make the event of a request: API Gateway's part, not measured."""
        headers = [("Content-Type", "application/json"), ("User-Agent", "phone")]
        if token:
            headers.append(("Authorization", f"Bearer {token}"))
        text = None if body is None else json.dumps(body)
        return event_of(method, target, headers, text, self.app.routes)

    def answer(self, event: Any, status: int = 200) -> Any:
        """Let the app answer an event; give its answer.

        Raises:
            AssertionError: if it is refused: a refusal is no measurement.
        """
        answer = self.app(event, self.context)
        assert answer["statusCode"] == status, answer
        return answer

    def phone(self, call: str) -> Any:
        """Make a wx call."""
        user = {"appid": self.appid, "user": "bench"}
        return requests.post(f"{self.wechat_url}/wx/{call}", json=user, timeout=10).json()

    def login_event(self) -> Any:
        """Make the event of a login with a fresh code."""
        return self.event("POST", "/login", {"code": self.phone("login")["code"]})

    def log_in(self) -> str:
        """Log in; give the token."""
        token: str = json.loads(self.answer(self.login_event())["body"])["token"]
        return token

    def decrypt_event(self) -> Any:
        """Log in, tap, and make the event that brings the data."""
        token = self.log_in()
        tapped = self.phone("getPhoneNumber")
        body = {"kind": "phone", "encryptedData": tapped["encryptedData"], "iv": tapped["iv"]}
        return self.event("POST", "/decrypt", body, token)


@contextlib.contextmanager
def loaded(environ: Mapping[str, str], wechat_url: str) -> Iterator[Gate]:
    """Load the app under an environment; its log goes nowhere. `wechat_url` is the phone face."""
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        app = load_app().app
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield Gate(app, wechat_url, os.environ["WX_APPIDS"].partition(",")[0])
    finally:
        os.environ.clear()
        os.environ.update(before)
