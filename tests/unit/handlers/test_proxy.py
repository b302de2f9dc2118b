"""The proxy's use case: whose request it is, what is proven upstream, and in which order."""

from dataclasses import dataclass, field
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chalicelib import __version__
from chalicelib.errors import (
    DeadlineExceeded,
    GateError,
    InvalidPath,
    InvalidToken,
    Misconfigured,
    SecretsUnavailable,
    StoreUnavailable,
    UpstreamTooLarge,
)
from chalicelib.front.request import Pairs, Request
from chalicelib.front.response import MAX_ANSWER, Answer
from chalicelib.handlers.proxy import health, key_set, proxy
from chalicelib.network.connections import Reply
from chalicelib.network.secrets import Secrets
from chalicelib.sessions.sessions import Session, Sessions
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.upstream.assertions import Assertions
from chalicelib.upstream.upstream import Upstream
from simulator.gateway import Context, event_of
from tests.support.fakes import Alerts, Clock, SecretsManager, Wire, client_error
from tests.unit.upstream.test_upstream import upstream

URL = "https://api.test/base"
APPID = "wx4f4bc4dec97d474b"
ANN = Session(APPID, "o-ann", "u-ann", user_reference(APPID, "o-ann"))
BOB = Session(APPID, "o-bob", None, user_reference(APPID, "o-bob"))
PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


@dataclass
class KnownSessions:
    """A store that can do nothing but find, and records what it is asked for."""

    known: dict[str, Session] = field(default_factory=dict)
    failure: GateError | None = None
    reads: list[str] = field(default_factory=list)

    def find(self, token: Token) -> Session:
        """Give the session of a token, or fail as scripted."""
        self.reads.append(token.text)
        if self.failure:
            raise self.failure
        if token.text not in self.known:
            raise InvalidToken
        return self.known[token.text]

    def bearer_of(self, session: Session) -> Pairs:
        """Let a session be known; give the header that stands for it."""
        token = Token.new(session.user).text
        self.known[token] = session
        return bearing(token)


@dataclass
class House:
    """The proxy, and what it stands on."""

    wire: Wire = field(default_factory=Wire)
    clock: Clock = field(default_factory=Clock)
    sessions: KnownSessions = field(default_factory=KnownSessions)

    def __post_init__(self) -> None:
        self.vault = SecretsManager(self.clock)
        self.vault.put("wxgate/signing", {"kid": "k1", "private_key": PEM})
        secrets = Secrets(self.vault, self.clock, Alerts())
        self.assertions = Assertions(secrets, "wxgate/signing", URL, self.clock)
        self.upstream: Upstream = upstream(
            self.wire, URL, PUBLIC_PATHS="products/*,news", TRUSTED_HOPS="1"
        )

    def send(
        self,
        method: str = "GET",
        target: str = "/api/orders/7",
        headers: Pairs | None = None,
        seconds: float = 25.0,
        **event: Any,
    ) -> Answer:
        """Let the proxy handle one request."""
        made = event_of(method, target, headers or [], None, ["/api/{proxy+}"], merciful=False)
        return proxy(
            Request.from_event({**made, **event}, Context(seconds=seconds)),
            sessions=cast(Sessions, self.sessions),
            upstream=self.upstream,
            assertions=self.assertions,
        )

    def send_as(
        self, session: Session, method: str = "GET", target: str = "/api/orders/7", **event: Any
    ) -> Answer:
        """The same with a token of this session."""
        return self.send(method, target, self.sessions.bearer_of(session), **event)

    def sent(self) -> dict[str, str]:
        """The headers of the one request that went upstream."""
        (exchanged,) = self.wire.exchanged
        return dict(exchanged.headers)

    def claims(self) -> dict[str, Any]:
        """The claims of the assertion that went upstream, verified with the key set."""
        assertion = self.sent()["X-WX-ASSERTION"]
        keys = jwt.PyJWKSet.from_dict(self.assertions.key_set())
        return jwt.decode(
            assertion,
            keys[jwt.get_unverified_header(assertion)["kid"]],
            algorithms=["ES256"],
            audience=URL,
            issuer="wxgate",
            # The clock of this house stands still; what it says is asserted below.
            options={"verify_exp": False, "verify_iat": False},
        )


def bearing(token: str) -> Pairs:
    return [("Authorization", f"Bearer {token}")]


NO_TOKEN: list[Pairs] = [
    [],
    [("X-WX-OPENID", "o-ann"), ("X-Forwarded-For", "127.0.0.1"), ("User-Agent", "ELB-Health")],
    [("Cookie", f"token={Token.new(ANN.user).text}")],
]
MALFORMED: list[Pairs] = [
    bearing("junk"),
    bearing("wxg_" + "A" * 72),
    bearing(Token.new(ANN.user).text[:-1] + "!"),
    bearing(Token.new(ANN.user).text + "A"),
    [("Authorization", Token.new(ANN.user).text)],
    [("Authorization", f"Basic {Token.new(ANN.user).text}")],
    bearing(Token.new(ANN.user).text) + bearing(Token.new(ANN.user).text),
]


# --- whose request it is -------------------------------------------------------------------------


@pytest.mark.parametrize("headers", NO_TOKEN + MALFORMED)
def test_a_request_without_a_well_formed_token_costs_no_read(headers: Pairs) -> None:
    house = House()
    with pytest.raises(InvalidToken):
        house.send(headers=headers)
    assert (house.sessions.reads, house.wire.exchanged) == ([], [])


def test_an_unknown_token_costs_one_read_and_goes_nowhere() -> None:
    house = House()
    with pytest.raises(InvalidToken):
        house.send(headers=bearing(Token.new(ANN.user).text))
    assert (len(house.sessions.reads), house.wire.exchanged) == (1, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_a_request_with_a_token_costs_one_read_and_one_exchange(method: str) -> None:
    house = House()
    house.send_as(ANN, method)
    assert len(house.sessions.reads) == 1
    (exchanged,) = house.wire.exchanged
    assert (exchanged.method, exchanged.target) == (method, "/base/orders/7")
    assert exchanged.max_bytes == MAX_ANSWER


def test_the_upstream_learns_who_it_is_and_never_the_token() -> None:
    house = House()
    house.send_as(ANN)
    house.send_as(BOB)
    known = [dict(each.headers) for each in house.wire.exchanged]
    assert [each["X-WX-OPENID"] for each in known] == ["o-ann", "o-bob"]
    assert [each.get("X-WX-UNIONID") for each in known] == ["u-ann", None]
    assert not [token for token in house.sessions.reads if token in repr(house.wire.exchanged)]


# --- public paths --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/api/news", "/api/products/7?x=1"])
@pytest.mark.parametrize("headers", NO_TOKEN)
def test_a_visitor_of_a_public_path_has_no_identity(headers: Pairs, target: str) -> None:
    house = House()
    answer = house.send(target=target, headers=headers)
    assert not [name for name in house.sent() if name.upper().startswith("X-WX")]
    assert (house.sessions.reads, house.vault.calls) == ([], [])
    assert "X-Wxgate-Token" not in answer.headers


@pytest.mark.parametrize("headers", [*MALFORMED, bearing(Token.new(ANN.user).text)])
def test_a_dead_token_makes_a_visitor_of_a_public_path_and_the_answer_says_so(
    headers: Pairs,
) -> None:
    house = House(wire=Wire(Reply(404, [("X-Wxgate-Token", "alive")], b"")))
    answer = house.send(target="/api/news", headers=headers)
    assert "X-WX-OPENID" not in house.sent()
    assert (answer.status_code, answer.headers["X-Wxgate-Token"]) == (404, "dead")


def test_on_a_public_path_a_live_token_has_its_identity() -> None:
    house = House()
    answer = house.send_as(ANN, target="/api/products/7?x=1")
    assert house.sent()["X-WX-OPENID"] == "o-ann"
    assert house.claims()["htu"] == f"{URL}/products/7"
    assert "X-Wxgate-Token" not in answer.headers


@pytest.mark.parametrize(
    "target", ["/api/News", "/api/news/", "/api/newsletter", "/api/products%3F/7", "/api/x/news"]
)
def test_a_path_beside_a_public_one_needs_a_token(target: str) -> None:
    with pytest.raises(InvalidToken):
        House().send(target=target)


# --- what goes upstream --------------------------------------------------------------------------


def test_the_assertion_says_who_asks_what_of_whom_for_a_minute() -> None:
    house = House()
    house.send_as(ANN, "DELETE", "/api/%E8%AE%A2/7?secret=1")
    now = int(house.clock())
    assert house.claims() == {
        "iss": "wxgate",
        "aud": URL,
        "sub": "o-ann",
        "appid": APPID,
        "unionid": "u-ann",
        "htm": "DELETE",
        "htu": f"{URL}/%E8%AE%A2/7",
        "iat": now,
        "exp": now + 60,
    }


def test_a_user_without_unionid_has_no_such_claim() -> None:
    house = House()
    house.send_as(BOB)
    assert "unionid" not in house.claims()


def test_a_post_that_stands_for_a_patch_is_one_everywhere() -> None:
    house = House()
    headers = [*house.sessions.bearer_of(ANN), ("X-HTTP-Method-Override", "PATCH")]
    house.send("POST", headers=headers)
    assert house.wire.exchanged[0].method == house.claims()["htm"] == "PATCH"
    assert house.wire.exchanged[0].retry_on == ()


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        *[(method, ["PATCH"]) for method in ("GET", "HEAD", "PUT", "DELETE")],
        *[("POST", [value]) for value in ("DELETE", "GET", "patch", "PATCH, DELETE", " PATCH", "")],
        ("POST", ["PATCH", "DELETE"]),
        ("POST", ["PATCH", "PATCH"]),
    ],
)
def test_any_other_override_is_ignored(method: str, overrides: list[str]) -> None:
    house = House()
    house.send(method, "/api/news", [("x-http-method-override", value) for value in overrides])
    assert house.wire.exchanged[0].method == method
    assert "x-http-method-override" not in {name.lower() for name in house.sent()}


def test_the_subpath_is_what_api_gateway_matched() -> None:
    house = House()
    house.send_as(ANN, path="/api/v1/xxx/api/orders/7", pathParameters={"proxy": "orders/7"})
    assert house.wire.exchanged[0].target == "/base/orders/7"
    assert house.claims()["htu"] == f"{URL}/orders/7"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v1/api/orders/7", "/v1/api/x"),
        ("/api/v1/xxx/api/orders/7", "/api/v1/xxx/api/x"),
        (None, "/api/x"),
    ],
)
def test_a_redirect_leads_to_the_url_that_the_client_knows(path: str | None, location: str) -> None:
    house = House(wire=Wire(Reply(302, [("Location", "/base/x")], b"")))
    context = {"httpMethod": "GET", **({"path": path} if path else {})}
    assert house.send_as(ANN, requestContext=context).headers["Location"] == location


def test_the_phones_address_and_the_trace_of_the_invocation_go_upstream() -> None:
    house = House()
    trace = "Root=1-67891233-abcdef012345678912345678;Sampled=1"
    headers = [("X-Forwarded-For", "6.6.6.6, 198.51.100.7, 127.0.0.1"), ("x-amzn-trace-id", trace)]
    house.send(target="/api/news", headers=headers)
    assert house.sent()["X-Forwarded-For"] == "198.51.100.7"
    assert house.sent()["X-Amzn-Trace-Id"] == trace


def test_the_key_set_is_public_and_cacheable_and_holds_no_private_part() -> None:
    house = House()
    answer = key_set(assertions=house.assertions)
    (key,) = jwt.PyJWKSet.from_json(answer.body).keys
    assert key.key_id == "k1"
    assert '"d"' not in answer.body
    assert answer.headers["Cache-Control"] == "public, max-age=300"


# --- how it fails --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/api/a//b", "/api/products/../orders/7"])
def test_a_bad_path_is_refused_before_anything_else(target: str) -> None:
    house = House()
    with pytest.raises(InvalidPath):
        house.send_as(ANN, target=target)
    assert (house.sessions.reads, house.vault.calls, house.wire.exchanged) == ([], [], [])


@pytest.mark.parametrize("failure", [StoreUnavailable(), Misconfigured()])
@pytest.mark.parametrize("target", ["/api/orders/7", "/api/news"])
def test_a_fault_of_the_store_is_never_taken_for_a_bad_token(
    failure: GateError, target: str
) -> None:
    house = House(sessions=KnownSessions(failure=failure))
    with pytest.raises(type(failure)) as caught:
        house.send(target=target, headers=bearing(Token.new(ANN.user).text))
    assert caught.value is failure
    assert house.wire.exchanged == []


def test_without_a_key_nothing_goes_upstream() -> None:
    house = House()
    house.vault.failure = client_error("InternalServiceError")
    with pytest.raises(SecretsUnavailable):
        house.send_as(ANN)
    assert house.wire.exchanged == []


def test_without_time_nothing_goes_upstream() -> None:
    house = House()
    with pytest.raises(DeadlineExceeded):
        house.send_as(ANN, seconds=1.0)
    assert house.wire.exchanged == []


def test_an_answer_that_does_not_fit_once_it_is_encoded_is_too_large() -> None:
    with pytest.raises(UpstreamTooLarge) as caught:
        House(wire=Wire(Reply(200, [], b"\xff" * 4_800_000))).send_as(ANN)
    assert caught.value.evidence == {"reason": "encoded"}


def test_health_tells_the_version() -> None:
    answer = health()
    assert (answer.status_code, answer.body) == (
        200,
        f'{{"status":"ok","version":"{__version__}"}}',
    )
