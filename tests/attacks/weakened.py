"""The app with one control switched off at a time, by argument or subclass, to see it missed.

Each stand-in lacks one control and keeps all others, so that what then fails is its absence.
"""

import base64
import json
import logging
import re
import ssl
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from chalicelib import strict_json
from chalicelib.errors import (
    DecryptFailed,
    GateError,
    InvalidCode,
    InvalidRequest,
    InvalidToken,
    RequestTooLarge,
    StoreUnavailable,
    TooManyRequests,
)
from chalicelib.front.gate import Gate
from chalicelib.front.request import Pairs, Request, code_of
from chalicelib.front.response import Answer, json_answer
from chalicelib.handlers import decrypt, login, proxy
from chalicelib.logs import JsonFormatter
from chalicelib.network.connections import Origin, Reply, Transport
from chalicelib.network.secrets import AppSecrets
from chalicelib.services import Services
from chalicelib.sessions.sessions import Failures, Item, Session, Sessions
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.upstream.paths import ROUTE, checked_path
from chalicelib.upstream.upstream import ANSWER_HEADERS, REQUEST_HEADERS, Identity, Upstream
from chalicelib.wechat import opendata
from chalicelib.wechat.api import Remaining, WeChat
from tests.attacks.world import Door, World
from tests.support.fakes import NOW

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
        try:
            return super().json()
        except InvalidRequest:
            return dict(json.loads(self.body))


class AnyMediaType(Request):
    """Takes JSON under any name."""

    def _check_media_type(self) -> None:
        pass


class NoJsonCap(Request):
    """Takes JSON of any size that a body may have."""

    def json(self) -> dict[str, Any]:
        try:
            return super().json()
        except RequestTooLarge:
            return strict_json.load_object(self.body)


class NoCap(Request):
    """Takes a body of any size."""

    @property
    def body(self) -> bytes:
        try:
            return super().body
        except RequestTooLarge:
            return str(self.event["body"]).encode()


class LooseBase64(Request):
    """Skips what is not base64."""

    @property
    def body(self) -> bytes:
        try:
            return super().body
        except InvalidRequest:
            return base64.b64decode(self.event["body"])


class LastBearer(Request):
    """Takes the last of several Authorization headers."""

    def bearer(self) -> str | None:
        last = {"Authorization": self.values("authorization")[-1:]}
        return Request({**self.event, "multiValueHeaders": last}).bearer()


class OneMap(Request):
    """Reads one of the two header maps, and does not look at the other."""

    def bearer(self) -> str | None:
        return Request({"multiValueHeaders": self.event["multiValueHeaders"]}).bearer()


class NoChecksum(Request):
    """Asks the store for anything that has a token's length."""

    def token(self) -> Token:
        try:
            return super().token()
        except InvalidToken:
            raw = base64.urlsafe_b64decode((self.bearer() or "")[4:])
            if not raw:
                raise
            return Token(raw[:16], raw[16:48])


class TalkativeRefusal(Request):
    """Tells one token failure from another."""

    def token(self) -> Token:
        if self.bearer() is None:
            raise InvalidToken("No token was sent.")
        return super().token()


class Unbound(Token):
    """Seals keys for every user, item and slot alike."""

    def _bound_to(self, slot: str) -> bytes:
        return b""


class UnboundTokens(Request):
    """Reads such tokens."""

    def token(self) -> Token:
        token = super().token()
        return Unbound(token.user, token.secret)


# --- login ---------------------------------------------------------------------------------------


def any_code(request: Request, *, wechat: Any, sessions: Any) -> Answer:
    """Log in with whatever text is called a code."""
    code = str(request.json()["code"])
    who = wechat.code2session(wechat.app(None), code, request.remaining)
    token = sessions.create(who.appid, who.openid, who.unionid, who.session_key, None)
    return json_answer({"token": token.text, "expires_in": sessions.ttl})


def reflecting(request: Request, **services: Any) -> Answer:
    """Say what was wrong, with the input."""
    try:
        return login.login(request, **services)
    except InvalidCode:
        raise InvalidCode(f"WeChat refused {request.json()['code']}.") from None


def raw_fields(request: Request, *, wechat: Any, sessions: Any) -> Answer:
    """Give the client what WeChat gave."""
    who = wechat.code2session(wechat.app(None), code_of(request.json()), request.remaining)
    token = sessions.create(who.appid, who.openid, who.unionid, who.session_key, None)
    fields = {"token": token.text, "expires_in": sessions.ttl, "session_key": who.session_key}
    return json_answer(fields)


# --- proxy ---------------------------------------------------------------------------------------


def proxying(check: Callable[[str], str]) -> Handler:
    """The proxy handler with another check of the path, which gives what is below /api/."""

    def handler(request: Request, *, sessions: Any, upstream: Upstream, assertions: Any) -> Answer:
        below = check(request.path)
        session = sessions.find(request.token())
        claims = {"sub": session.openid, "appid": session.appid}
        claims |= {"htm": request.method, "htu": upstream.url(below)}
        assertion = assertions.sign(claims, 60)
        identity = Identity(session.openid, session.appid, session.unionid, assertion)
        return upstream.forward(request, below, identity)

    return handler


def any_path(path: str) -> str:
    """Check nothing."""
    return path.partition(ROUTE)[2]


def undecoded_path(path: str) -> str:
    """Check the text as it stands, as if no percent sign stood for another character."""
    checked_path(path.replace("%", "~"))
    return any_path(path)


def wide_path(path: str) -> str:
    """Check all but the two characters that are CR and LF once cut to eight bits."""
    checked_path(re.sub("%E5%98%8[AD]", "~", path))
    return any_path(path)


def folded_path(path: str) -> str:
    """Check what folding gives, as if nobody decoded the text unfolded."""
    folded = unicodedata.normalize("NFKC", unquote(any_path(path)))
    checked_path(ROUTE + quote(folded))
    return any_path(path)


def letting(*names: str) -> type[Upstream]:
    """An Upstream whose allowlist holds these request headers too."""

    class Letting(Upstream):
        def _headers(self, request: Request, identity: Identity | None) -> Pairs:
            passed = [pair for pair in request.headers if pair[0].lower() in names]
            return passed + super()._headers(request, identity)

    return Letting


class AnyValue(Upstream):
    """Sends the values of allowed headers as they are."""

    def _headers(self, request: Request, identity: Identity | None) -> Pairs:
        sent = [pair for pair in request.headers if pair[0].lower() in REQUEST_HEADERS]
        bare = replace(request, event={"requestContext": request.context})
        return sent + super()._headers(bare, identity)


class IdentityFirst(Upstream):
    """Takes away what Connection names after the identity was set."""

    def _headers(self, request: Request, identity: Identity | None) -> Pairs:
        named = {
            word.strip().lower() for v in request.values("connection") for word in v.split(",")
        }
        headers = super()._headers(request, identity)
        return [pair for pair in headers if pair[0].lower() not in named]


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
        answer = super()._passed_on(reply, request, private=private)
        answer.headers |= {k: v for k, v in reply.headers if k.lower() not in ANSWER_HEADERS}
        return answer


class AnyAnswerValue(Upstream):
    """Passes control characters on."""

    def _passed_on(self, reply: Reply, request: Request, *, private: bool) -> Answer:
        clean = [(name, value) for name, value in reply.headers if value.isprintable()]
        answer = super()._passed_on(replace(reply, headers=clean), request, private=private)
        answer.headers |= dict(pair for pair in reply.headers if pair not in clean)
        return answer


class ShownLocation(Upstream):
    """Passes a redirect on as it came."""

    def _location(self, sent: str, stage: str) -> str | None:
        return sent


class UnmeasuredText(Upstream):
    """Answers text as text, however much longer JSON makes it."""

    def _passed_on(self, reply: Reply, request: Request, *, private: bool) -> Answer:
        answer = super()._passed_on(reply, request, private=private)
        answer.body, answer.is_base64 = reply.body.decode(), False
        return answer


class TryingAgain(Upstream):
    """Tries once more whatever failed."""

    def _exchange(self, request: Request, target: str, headers: Pairs) -> Reply:
        try:
            return super()._exchange(request, target, headers)
        except GateError:
            return super()._exchange(request, target, headers)


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


class Uncapped(Transport):
    """Reads an answer to its end."""

    def exchange(self, *args: Any, seconds: float, cap: int) -> Reply:
        return super().exchange(*args, seconds=seconds, cap=1 << 40)


class Patient(Transport):
    """Gives each read the whole time again."""

    def _countdown(self, seconds: float) -> Callable[[], float]:
        return lambda: seconds


class Credulous(Transport):
    """Takes every certificate."""

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


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
        if item.expires_at is not None and item.expires_at <= self._clock():
            item.expires_at = int(self._clock()) + 1
        return super()._session(item, token)


class ExpiringLate(Sessions):
    """Takes a token in the very second in which it expires."""

    def _session(self, item: Item, token: Token) -> Session:
        if item.expires_at == self._clock():
            item.expires_at += 1
        return super()._session(item, token)


def overlooking(**attributes: Any) -> type[Sessions]:
    """A store to which these attributes of an item always look like this."""

    class Overlooking(Sessions):
        def _is_whole(self, item: Item, token: Token) -> bool:
            seen = deepcopy(item)
            for name, value in attributes.items():
                setattr(seen, name, value)
            return super()._is_whole(seen, token)

    return Overlooking


class AnyOwner(Sessions):
    """Takes an item for the user whom it names, in whose partition it may not lie."""

    def _is_whole(self, item: Item, token: Token) -> bool:
        named = Token(user_reference(item.appid, item.openid), token.secret)
        return super()._is_whole(item, named)


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


class FaultIsNobody(Sessions):
    """Takes a store that fails for one that does not know the token."""

    def find(self, token: Token) -> Session:
        try:
            return super().find(token)
        except StoreUnavailable:
            raise InvalidToken from None


class Unsealed(Sessions):
    """Stores session_keys as they are."""

    def _item(
        self, token: Token, appid: str, openid: str, unionid: str | None, session_key: str
    ) -> Item:
        item = super()._item(token, appid, openid, unionid, session_key)
        item.sealed_key = session_key.encode()
        return item


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


def sessions_of(
    kind: type[Sessions] = Sessions, *appids: str
) -> dict[str, Callable[[Services], Any]]:
    """Put another store in place; it serves these mini-programs as well."""

    def make(services: Services) -> Sessions:
        known = services.settings
        served = [*known.appids, *appids]
        return kind(services.sessions._items, served, known.token_ttl, services.clock)

    return {"sessions": make}


# --- WeChat --------------------------------------------------------------------------------------


class AskingTwice(WeChat):
    """Sends a code again when it was refused."""

    def _trade(self, appid: str, secret: str, code: str, remaining: Remaining) -> dict[str, Any]:
        fields = super()._trade(appid, secret, code, remaining)
        return super()._trade(appid, secret, code, remaining) if "errcode" in fields else fields


def asking_twice(services: Services) -> WeChat:
    """Put that WeChat in place."""
    known = services.settings
    secrets = AppSecrets(services._secrets, known.secret_prefix)
    sender = Transport(allow_private=True)
    return AskingTwice(sender, known.wechat_api_url, known.appids, secrets, services.clock)


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


def _read(plaintext: bytes, kind: str, session: Session) -> dict[str, Any]:
    return opendata.read(
        plaintext,
        kind,
        appid=session.appid,
        openid=session.openid,
        unionid=session.unionid,
        now=NOW,
        max_age=300,
    )


def strictly(key: bytes, data: bytes, iv: bytes, kind: str, session: Session) -> dict[str, Any]:
    """Open as the gate does."""
    return _read(opendata.decrypt(key, data, iv), kind, session)


def last_byte_padding(
    key: bytes, data: bytes, iv: bytes, kind: str, session: Session
) -> dict[str, Any]:
    """Cut what the last byte says, as most SDKs do."""
    decryptor = Cipher(AES128(key), CBC(iv)).decryptor()
    plaintext = decryptor.update(data) + decryptor.finalize()
    return _read(plaintext[: -plaintext[-1]], kind, session)


def no_schema(key: bytes, data: bytes, iv: bytes, kind: str, session: Session) -> dict[str, Any]:
    """Give back whatever object comes out, if its watermark holds."""
    fields = strict_json.load_object(opendata.decrypt(key, data, iv))
    opendata._check_watermark(fields, session.appid, NOW, 300)
    return fields


def any_origin(key: bytes, data: bytes, iv: bytes, kind: str, session: Session) -> dict[str, Any]:
    """Do not ask for which mini-program the data was made."""
    fields = strict_json.load_object(opendata.decrypt(key, data, iv))
    if isinstance(fields.get("watermark"), dict):
        fields["watermark"]["appid"] = session.appid
    return _read(json.dumps(fields).encode(), kind, session)


def any_openid(key: bytes, data: bytes, iv: bytes, kind: str, session: Session) -> dict[str, Any]:
    """Believe who the data says it is."""
    plaintext = opendata.decrypt(key, data, iv)
    said = strict_json.load_object(plaintext)
    them = replace(session, openid=str(said.get("openId")), unionid=said.get("unionId"))
    return _read(plaintext, kind, them)


def foreign_members(
    key: bytes, data: bytes, iv: bytes, kind: str, session: Session
) -> dict[str, Any]:
    """Pass over the members of other kinds."""
    fields = strict_json.load_object(opendata.decrypt(key, data, iv))
    own = {k: v for k, v in fields.items() if k not in opendata._FOREIGN[kind]}
    return _read(json.dumps(own).encode(), kind, session)


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


class RawLines(JsonFormatter):
    """Writes text as it comes."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return " ".join(f"{name}={value}" for name, value in fields.items())


class ExceptionTexts(JsonFormatter):
    """Writes what an exception says."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.exc_info[1] if record.exc_info else None
        return super().format(record) + (f" {said}" if said else "")


@contextmanager
def formatted(formatter: logging.Formatter) -> Iterator[None]:
    """Put another formatter in place for a while."""
    logger = logging.getLogger("wxgate")
    before = [(handler, handler.formatter) for handler in logger.handlers]
    for handler, _ in before:
        handler.setFormatter(formatter)
    try:
        yield
    finally:
        for handler, known in before:
            handler.setFormatter(known)


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


# --- the gate itself -----------------------------------------------------------------------------


def without(header: str) -> type[Gate]:
    """A Gate whose answers lack a header."""

    class Lacking(Gate):
        def __call__(self, event: Any, context: Any) -> dict[str, Any]:
            answer = super().__call__(event, context)
            del answer["headers"][header]
            return answer

    return Lacking


class Escaped(BaseException):
    """What no `except Exception` catches."""


class NoLastResort(Gate):
    """Lets out what its views and middleware did not catch."""

    def _answer(self, request: Request) -> dict[str, Any]:
        try:
            return super()._answer(request)
        except Exception as error:
            raise Escaped from error


def refusing(error: GateError) -> Handler:
    """A handler that refuses everything."""

    def handler(_request: Request, **_services: Any) -> Answer:
        raise error

    return handler
