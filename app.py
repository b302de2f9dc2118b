"""The front door: every route of wxgate on one screen, and the Lambda functions behind them."""

import sys
from typing import Any

from chalicelib.front.gate import Gate
from chalicelib.front.request import Request, deadline_of
from chalicelib.front.response import Answer
from chalicelib.handlers import decrypt, deliver, events, login, proxy
from chalicelib.services import from_environment

if sys.argv[0].endswith("chalice") and "deploy" in sys.argv:  # it knows one function and no table
    raise SystemExit("chalice deploy cannot deploy wxgate. Use: make deploy STAGE=… REGION=…")

services = from_environment()
app = Gate("wxgate", services.fault)


@app.route("/login", methods=["POST"])
def post_login(request: Request) -> Answer:
    """Trade a code for a token."""
    return login.login(request, wechat=services.wechat, sessions=services.sessions)


@app.route("/logout", methods=["POST"])
def post_logout(request: Request) -> Answer:
    """End the session, or all of this user's."""
    return login.logout(request, sessions=services.sessions)


@app.route("/decrypt", methods=["POST"])
def post_decrypt(request: Request) -> Answer:
    """Decrypt open data."""
    return decrypt.decrypt(
        request,
        sessions=services.sessions,
        assertions=services.assertions,
        clock=services.clock,
        max_age=services.settings.decrypt_max_age,
    )


@app.route("/phone", methods=["POST"])
def post_phone(request: Request) -> Answer:
    """Trade a phone code for the phone number."""
    return decrypt.phone(
        request, sessions=services.sessions, wechat=services.wechat, assertions=services.assertions
    )


@app.route("/sign", methods=["POST"])
def post_sign(request: Request) -> Answer:
    """Sign a virtual payment."""
    return decrypt.sign(request, sessions=services.sessions)


@app.route("/session", methods=["GET"])
def get_session(request: Request) -> Answer:
    """Ask WeChat whether it still accepts the session_key."""
    return decrypt.session(request, sessions=services.sessions, wechat=services.wechat)


@app.route("/api/{proxy+}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def any_api(request: Request) -> Answer:
    """Forward to the business API."""
    return proxy.proxy(
        request,
        sessions=services.sessions,
        upstream=services.upstream,
        assertions=services.assertions,
    )


@app.route("/health", methods=["GET"])
def get_health(_request: Request) -> Answer:
    """Show that the gate runs."""
    return proxy.health()


@app.route("/.well-known/jwks.json", methods=["GET"])
def get_key_set(_request: Request) -> Answer:
    """Publish the keys that verify assertions."""
    return proxy.key_set(assertions=services.assertions)


# --- WeChat's message push; without EVENTS_PATH there is no such route ---

# An environment that is not known yet, as while packaging, has all routes.
if services.fault or services.settings.events_path:

    @app.route("/events/{appid}", methods=["GET"])
    def get_events(request: Request) -> Answer:
        """Answer WeChat's check of the URL."""
        return events.check(request, push=services.push)

    @app.route("/events/{appid}", methods=["POST"])
    def post_events(request: Request) -> Answer:
        """Take a message."""
        return events.receive(
            request, push=services.push, sessions=services.sessions, queue=services.queue
        )


# --- the Lambda functions; the template points each path at its own ---


def serve(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve the routes of a function: those of its handlers' file."""
    return app(event, context)


for name in ("login", "proxy", "decrypt", "events"):
    app.lambda_function(name=name)(serve)


@app.lambda_function(name="deliver")
def deliver_function(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take events from the queue to the business API."""
    return deliver.deliver(
        event,
        deadline_of(context),
        upstream=services.upstream,
        assertions=services.assertions,
        queue=services.queue,
        path=services.settings.events_path,
    )
