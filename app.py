"""The front door: every route of wxgate on one screen, and the Lambda functions behind them."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from chalicelib.front.gate import Gate
from chalicelib.front.request import deadline_of
from chalicelib.handlers import decrypt, deliver, events, login, proxy
from chalicelib.services import from_environment

if sys.argv[0].endswith("chalice") and "deploy" in sys.argv:  # it knows one function and no table
    raise SystemExit("chalice deploy cannot deploy wxgate. Use: make deploy STAGE=… REGION=…")

services = from_environment()
app = Gate("wxgate", services.fault)


def bound(use_case: Callable[..., Any]) -> Callable[..., Any]:
    """Give a use case with its keywords filled in: each names a service."""
    parameters = inspect.signature(use_case).parameters.values()
    names = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]

    @functools.wraps(use_case)
    def call(*args: Any) -> Any:
        return use_case(*args, **{name: getattr(services, name) for name in names})

    return call


ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("POST", "/login", login.login),
    ("POST", "/logout", login.logout),
    ("GET HEAD POST PUT PATCH DELETE", "/api/{proxy+}", proxy.proxy),
    ("GET", "/health", proxy.health),
    ("GET", "/.well-known/jwks.json", proxy.key_set),
    ("POST", "/decrypt", decrypt.decrypt),
    ("POST", "/phone", decrypt.phone),
    ("POST", "/sign", decrypt.sign),
    ("GET", "/session", decrypt.session),
]
# An environment that is not known yet, as while packaging, has all routes.
if services.fault or services.settings.events_path:
    ROUTES += [
        ("GET", "/events/{appid}", events.check),
        ("POST", "/events/{appid}", events.receive),
    ]
for methods, path, use_case in ROUTES:
    app.route(path, methods=methods.split())(bound(use_case))


def serve(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer API Gateway; the template points each path at the function of its handlers."""
    return app(event, context)


for name in ("login", "proxy", "decrypt", "events"):
    app.lambda_function(name=name)(serve)


deliver_batch = bound(deliver.deliver)


@app.lambda_function(name="deliver")
def deliver_function(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take events from the queue to the business API."""
    result: dict[str, Any] = deliver_batch(event, deadline_of(context))
    return result
