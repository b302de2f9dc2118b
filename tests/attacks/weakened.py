"""The app with one control switched off at a time, by argument or subclass, to see it missed."""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from chalicelib import opendata
from chalicelib.errors import DecryptFailed, InvalidRequest, InvalidToken, TooManyRequests
from chalicelib.gate import Gate
from chalicelib.handlers import decrypt, login, proxy
from chalicelib.logs import JsonFormatter
from chalicelib.request import Pairs, Request
from chalicelib.response import Answer, json_answer
from chalicelib.services import Services
from chalicelib.sessions import Failures, Item, Session, Sessions
from chalicelib.tokens import Token
from chalicelib.transport import Origin, Reply, Transport
from chalicelib.upstream import Identity, Upstream
from tests.attacks.world import Door, World

Handler = Callable[..., Answer]


@dataclass
class Weakness:
    """What stands in for a control: handlers, a Request, a Gate, or services by name."""

    handlers: dict[str, Handler] = field(default_factory=dict)
    request: type[Request] = Request
    gate: type[Gate] = Gate
    services: dict[str, Callable[[Services], Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    logs: Callable[[], Any] | None = None


def open_door(world: World, weakness: Weakness) -> Door:
    """Put a weakness into a copy of the app's front door."""
    # A copy keeps the clients that were built, and they are what takes time.
    services: Services = copy(world.door.module.services)
    for name, make in weakness.services.items():
        setattr(services, name, make(services))
    return world.door.with_app(_front_door(services, weakness))


def _front_door(services: Services, weakness: Weakness) -> Gate:
    """The three routes that attacks aim at, as app.py has them."""
    app = weakness.gate("wxgate", services)
    handlers: dict[str, Handler] = {
        "login": login.login,
        "proxy": proxy.proxy,
        "decrypt": decrypt.decrypt,
    }
    handlers |= weakness.handlers

    def request() -> Request:
        came = app.request
        return weakness.request(came.event, came.remaining, came.notes)

    @app.route("/login", methods=["POST"])
    def post_login() -> Answer:
        return handlers["login"](request(), wechat=services.wechat, sessions=services.sessions)

    @app.route("/decrypt", methods=["POST"])
    def post_decrypt() -> Answer:
        options = {"max_age": services.settings.decrypt_max_age, **weakness.options}
        return handlers["decrypt"](
            request(),
            sessions=services.sessions,
            assertions=services.assertions,
            clock=services.clock,
            **options,
        )

    @app.route("/api/{proxy+}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    def any_api() -> Answer:
        return handlers["proxy"](
            request(),
            sessions=services.sessions,
            upstream=services.upstream,
            assertions=services.assertions,
        )

    return app


# --- requests ------------------------------------------------------------------------------------


class LooseJson(Request):
    """Takes any JSON that Python takes."""

    def json(self) -> dict[str, Any]:
        self._check_media_type()
        value: dict[str, Any] = json.loads(self.body)
        return value


class AnyMediaType(Request):
    """Takes JSON under any name."""

    def _check_media_type(self) -> None:
        pass


class NoCap(Request):
    """Takes a body of any size."""

    def json(self) -> dict[str, Any]:
        return dict(json.loads(str(self.event["body"])))


class LooseBase64(Request):
    """Skips what is not base64."""

    @property
    def body(self) -> bytes:
        text = str(self.event.get("body") or "")
        return base64.b64decode(text) if self.event.get("isBase64Encoded") else text.encode()


class FirstBearer(Request):
    """Takes the first of several Authorization headers."""

    def bearer(self) -> str | None:
        sent = self.values("authorization")
        return sent[0].removeprefix("Bearer ") if sent else None


class NoChecksum(Request):
    """Asks the store for anything that has a token's length."""

    def token(self) -> Token:
        raw = base64.urlsafe_b64decode((self.bearer() or "")[4:])
        return Token(raw[:16], raw[16:48])


class TalkativeRefusal(Request):
    """Tells one token failure from another."""

    def token(self) -> Token:
        if self.bearer() is None:
            raise InvalidToken("No token was sent.")
        return super().token()


# --- login ---------------------------------------------------------------------------------------


def any_code(request: Request, *, wechat: Any, sessions: Any) -> Answer:
    """Log in with whatever text is called a code."""
    code = str(request.json()["code"])
    who = wechat.code2session(wechat.app(None), code, request.remaining)
    token = sessions.create(who.appid, who.openid, who.unionid, who.session_key, None)
    return json_answer({"token": token.text, "expires_in": sessions.ttl})


def reflecting(request: Request, **_services: Any) -> Answer:
    """Say what was wrong, with the input."""
    raise InvalidRequest(f"This is no code: {request.json().get('code')}")


def raw_fields(request: Request, *, wechat: Any, sessions: Any) -> Answer:
    """Give the client what WeChat gave."""
    code = request.json()["code"]
    who = wechat.code2session(wechat.app(None), code, request.remaining)
    token = sessions.create(who.appid, who.openid, who.unionid, who.session_key, None)
    return json_answer(
        {"token": token.text, "expires_in": sessions.ttl, "session_key": who.session_key}
    )


# --- proxy ---------------------------------------------------------------------------------------


def any_path(request: Request, *, sessions: Any, upstream: Upstream, assertions: Any) -> Answer:
    """Forward every path."""
    below = request.path.partition("/api/")[2]
    session = sessions.find(request.token())
    claims = {"sub": session.openid, "appid": session.appid}
    claims |= {"htm": request.method, "htu": upstream.url(below)}
    identity = Identity(session.openid, session.appid, session.unionid, assertions.sign(claims, 60))
    return upstream.forward(request, below, identity)


class EveryHeader(Upstream):
    """Forwards every header but the framing ones."""

    dropped: tuple[str, ...] = ("content-length", "transfer-encoding")

    def _headers(self, request: Request, identity: Identity | None) -> Pairs:
        passed = [
            (name, value)
            for name, value in request.headers
            if name.isascii() and name and value.isprintable() and self._passes(name.lower())
        ]
        return passed + (identity.headers if identity else [])

    def _passes(self, name: str) -> bool:
        return name not in self.dropped


class ExactNames(EveryHeader):
    """Drops the identity headers by their exact names, and the bearer."""

    dropped = ("x-wx-openid", "x-wx-appid", "x-wx-unionid", "x-wx-assertion", "authorization")


class FramingToo(ExactNames):
    """Forwards framing as well."""


class RawQuery(Upstream):
    """Puts the decoded query back as it is."""

    def forward(self, request: Request, below: str, identity: Identity | None) -> Answer:
        query = "&".join(f"{name}={value}" for name, value in request.query)
        target = f"{self._base}/{below}?{query}"
        reply = self._exchange(request, target, self._headers(request, identity))
        return self._passed_on(reply, request, private=True)


class EveryAnswerHeader(Upstream):
    """Passes every header of an answer on."""

    def _passed_on(self, reply: Reply, request: Request, *, private: bool) -> Answer:
        headers = dict(reply.headers) | {"X-Content-Type-Options": "nosniff"}
        return Answer(reply.body, headers, reply.status)


class SharedCaches(Upstream):
    """Lets shared caches keep what one user may see."""

    def _passed_on(self, reply: Reply, request: Request, *, private: bool) -> Answer:
        return super()._passed_on(reply, request, private=False)


class Following(Transport):
    """Follows a redirect."""

    def exchange(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes,
        *,
        seconds: float,
        cap: int,
    ) -> Reply:
        reply = super().exchange(origin, method, target, headers, body, seconds=seconds, cap=cap)
        location = dict(reply.headers).get("Location")
        if location is None:
            return reply
        there = Origin("http", urlsplit(location).hostname or "", 80)
        return super().exchange(there, method, "/", headers, body, seconds=seconds, cap=cap)


def upstream_of(
    kind: type[Upstream] = Upstream, transport: type[Transport] = Transport
) -> dict[str, Callable[[Services], Any]]:
    """Put another Upstream or Transport in place."""

    def make(services: Services) -> Upstream:
        known = services.settings
        sender = transport(allow_private=True)
        return kind(sender, known.upstream_url, known.upstream_timeout, known.public_paths)

    return {"upstream": make}


# --- sessions ------------------------------------------------------------------------------------


class NoExpiry(Sessions):
    """Leaves expiry to the store's clean-up."""

    def _session(self, item: Item, token: Token) -> Session:
        if item.item is None or not self._is_whole(item, token):
            raise InvalidToken
        return Session(item.appid, item.openid, item.unionid, token.user)


class AnyApp(Sessions):
    """Takes sessions of every mini-program that ever was."""

    def _session(self, item: Item, token: Token) -> Session:
        if item.item is None or item.expires_at <= self._clock():
            raise InvalidToken
        return Session(item.appid, item.openid, item.unionid, token.user)


class AnyItem(Sessions):
    """Believes whatever the table holds."""

    def _is_whole(self, item: Item, token: Token) -> bool:
        return True


class NoCount(Sessions):
    """Counts no failed decryption."""

    def count_failure(self, session: Session, failures: Failures) -> None:
        pass


class StaleReads(Sessions):
    """Reads from any replica."""

    def find(self, token: Token) -> Session:
        try:
            item = self._items.get(token.user, token.item)
        except self._items.DoesNotExist:
            raise InvalidToken from None
        return self._session(item, token)


class Remembering(Sessions):
    """Keeps sessions in memory, so that revoking one ends nothing."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._kept: dict[bytes, Session] = {}

    def create(self, *args: Any) -> Token:
        token = super().create(*args)
        self._kept[token.item] = super().find(token)
        return token

    def find(self, token: Token) -> Session:
        return self._kept.get(token.item) or super().find(token)


def sessions_of(kind: type[Sessions]) -> dict[str, Callable[[Services], Any]]:
    """Put another store in place."""

    def make(services: Services) -> Sessions:
        known = services.settings
        return kind(services.sessions._items, known.appids, known.token_ttl, services.clock)

    return {"sessions": make}


# --- decrypt -------------------------------------------------------------------------------------

Opener = Callable[[bytes, bytes, bytes, str, Session], dict[str, Any]]
"""Opens (key, data, iv) as a kind for a session; a ValueError is a failure."""


def decrypting(opened: Opener) -> Handler:
    """The decrypt handler with another way to open data."""

    def handler(
        request: Request, *, sessions: Any, assertions: Any, clock: Any, max_age: float
    ) -> Answer:
        token, body = request.token(), request.json()
        data, iv = opendata.ciphertext(body.get("encryptedData"), body.get("iv"))
        session, failures = sessions.find_with_keys(token)
        if failures.too_many:
            raise TooManyRequests
        try:
            key = opendata.key_bytes(session.session_keys[0])
            fields = opened(key, data, iv, str(body.get("kind", "")), session)
        except ValueError:
            sessions.count_failure(session, failures)
            raise DecryptFailed from None
        kind = str(body.get("kind", ""))
        assertion = assertions.for_data(
            openid=session.openid, appid=session.appid, kind=kind, data=fields
        )
        return json_answer({"data": fields, "assertion": assertion})

    return handler


def _raw(key: bytes, data: bytes, iv: bytes) -> bytes:
    decryptor = Cipher(AES128(key), CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _read(plaintext: bytes, kind: str, session: Session, **options: float) -> dict[str, Any]:
    given = {"now": 1_900_000_000.0, "max_age": 300.0, **options}
    return opendata.read(
        plaintext,
        kind,
        appid=session.appid,
        openid=session.openid,
        unionid=session.unionid,
        now=given["now"],
        max_age=given["max_age"],
    )


def last_byte_padding(
    key: bytes, data: bytes, iv: bytes, kind: str, session: Session
) -> dict[str, Any]:
    """Cut what the last byte says, as most SDKs do."""
    plaintext = _raw(key, data, iv)
    return _read(plaintext[: -plaintext[-1]], kind, session)


def no_schema(key: bytes, data: bytes, iv: bytes, kind: str, session: Session) -> dict[str, Any]:
    """Give back whatever JSON comes out, if its watermark names the app."""
    fields: dict[str, Any] = json.loads(opendata.decrypt(key, data, iv).decode())
    watermark = fields.get("watermark") if isinstance(fields, dict) else None
    if isinstance(watermark, dict) and watermark.get("appid") == session.appid:
        return fields
    raise ValueError


def no_watermark(key: bytes, data: bytes, iv: bytes, kind: str, session: Session) -> dict[str, Any]:
    """Ask neither for whom nor when the data was made."""
    fields = json.loads(opendata.decrypt(key, data, iv).decode())
    return opendata.KINDS[kind](fields, session.openid, session.unionid)


def lenient_text(key: bytes, data: bytes, iv: bytes, kind: str, session: Session) -> dict[str, Any]:
    """Replace what is not UTF-8."""
    text = opendata.decrypt(key, data, iv).decode(errors="replace")
    return _read(text.encode(), kind, session)


def distinct_errors(
    key: bytes, data: bytes, iv: bytes, kind: str, session: Session
) -> dict[str, Any]:
    """Tell bad padding from bad content."""
    try:
        plaintext = opendata.decrypt(key, data, iv)
    except ValueError:
        raise InvalidRequest("The padding is wrong.") from None
    return _read(plaintext, kind, session)


# --- the log -------------------------------------------------------------------------------------


class LoggingHeaders(Gate):
    """Writes each request's headers into its line."""

    def _line(self, level: str, event: str, fields: dict[str, Any], **options: Any) -> None:
        if event == "request":
            fields = {**fields, "headers": self.request_headers}
        super()._line(level, event, fields, **options)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        self.request_headers = event["multiValueHeaders"]
        return super().__call__(event, context)


class _RawLines(JsonFormatter):
    """Writes text as it comes."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return " ".join(f"{name}={value}" for name, value in fields.items())


@contextmanager
def raw_lines() -> Iterator[None]:
    """Take the JSON formatter away for a while."""
    logger = logging.getLogger("wxgate")
    before = [(handler, handler.formatter) for handler in logger.handlers]
    for handler, _ in before:
        handler.setFormatter(_RawLines())
    try:
        yield
    finally:
        for handler, formatter in before:
            handler.setFormatter(formatter)


@contextmanager
def talkative_libraries() -> Iterator[None]:
    """Let the AWS SDK write what it sends, as at DEBUG."""
    logger = logging.getLogger("botocore")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(before)
