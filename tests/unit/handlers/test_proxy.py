"""The proxy's use case: whose request it is, what is proven upstream, and in which order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import __version__
from chalicelib.errors import (
    DeadlineExceeded,
    GateError,
    InvalidPath,
    InvalidRequest,
    InvalidToken,
    Misconfigured,
    SecretsUnavailable,
    StoreUnavailable,
    UpstreamTimeout,
)
from chalicelib.front.request import Pairs, Request
from chalicelib.front.response import Answer
from chalicelib.handlers.proxy import health, key_set, proxy
from chalicelib.network.connections import Reply, TimedOut
from chalicelib.network.secrets import Secrets
from chalicelib.sessions.sessions import Session, Sessions
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.upstream.assertions import Assertions
from chalicelib.upstream.upstream import Upstream
from simulator.gateway import event_of
from tests.support.fakes import Alerts, Clock, SecretsManager, Wire, client_error
from tests.unit.upstream.test_upstream import NAMES, VALUES

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
    """A store that can do nothing but find, and counts how often it is asked."""

    known: dict[str, Session] = field(default_factory=dict)
    failure: GateError | None = None
    reads: list[str] = field(default_factory=list)

    def find(self, token: Token) -> Session:
        """Give the session of a token, or fail as told."""
        self.reads.append(token.text)
        if self.failure:
            raise self.failure
        if token.text not in self.known:
            raise InvalidToken
        return self.known[token.text]

    def token_of(self, session: Session) -> str:
        """Let a session be known; give its token."""
        token = Token.new(session.user).text
        self.known[token] = session
        return token


@dataclass
class House:
    """The proxy, and what it stands on."""

    wire: Wire = field(default_factory=Wire)
    clock: Clock = field(default_factory=Clock)
    sessions: KnownSessions = field(default_factory=KnownSessions)

    def __post_init__(self) -> None:
        self.vault = SecretsManager(self.clock)
        self.vault.put("wxgate/signing", {"kid": "k1", "private_key": PEM})
        secrets = Secrets(lambda: self.vault, self.clock, Alerts())
        self.assertions = Assertions(secrets, "wxgate/signing", URL, self.clock)
        self.upstream = Upstream(self.wire, URL, 20, ("products/*", "news"))

    def send(
        self,
        method: str = "GET",
        target: str = "/api/orders/7",
        headers: Pairs | None = None,
        remaining: Callable[[], float] = lambda: 25.0,
    ) -> Answer:
        """Let the proxy handle one request."""
        event = event_of(method, target, headers or [], None, ["/api/{proxy+}"], merciful=False)
        return proxy(
            Request(event, remaining),
            sessions=cast(Sessions, self.sessions),
            upstream=self.upstream,
            assertions=self.assertions,
        )

    def send_as(self, session: Session, method: str = "GET", target: str = "/api/orders/7") -> None:
        """The same with a token of this session."""
        self.send(method, target, bearing(self.sessions.token_of(session)))

    def sent(self) -> dict[str, str]:
        """The headers of the one request that went upstream."""
        (exchanged,) = self.wire.exchanged
        return dict(exchanged.headers)

    def claims(self) -> dict[str, Any]:
        """The claims of the assertion that went upstream, proven with the key set."""
        assertion = self.sent()["X-WX-ASSERTION"]
        keys = jwt.PyJWKSet.from_dict(self.assertions.key_set())
        key = keys[jwt.get_unverified_header(assertion)["kid"]]
        return jwt.decode(
            assertion,
            key,
            algorithms=["ES256"],
            audience=URL,
            issuer="wxgate",
            # The clock of this house stands still; what it says is asserted below.
            options={"verify_exp": False, "verify_iat": False},
        )


def bearing(token: str) -> Pairs:
    return [("Authorization", f"Bearer {token}")]


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.sampled_from([ANN, BOB]))
def test_the_user_upstream_is_the_sessions_for_any_headers(others: Pairs, owner: Session) -> None:
    house = House()
    mine = bearing(house.sessions.token_of(owner))
    house.sessions.token_of(BOB if owner is ANN else ANN)
    try:
        house.send(headers=[*others, *mine])
    except (InvalidRequest, InvalidToken):  # a header that cannot be sent, a second bearer
        assert house.wire.exchanged == []
        return
    sent, claims = house.sent(), house.claims()
    assert sent["X-WX-OPENID"] == claims["sub"] == owner.openid
    assert sent.get("X-WX-UNIONID") == claims.get("unionid") == owner.unionid


JUNK: list[Pairs] = [
    [],
    bearing("junk"),
    bearing("wxg_" + "A" * 72),
    bearing(Token.new(ANN.user).text[:-1] + "!"),
    bearing(Token.new(ANN.user).text + "A"),
    [("Authorization", Token.new(ANN.user).text)],
    [("Authorization", f"Basic {Token.new(ANN.user).text}")],
    bearing(Token.new(ANN.user).text) + bearing(Token.new(ANN.user).text),
    [("X-WX-OPENID", "o-ann"), ("X-Forwarded-For", "127.0.0.1"), ("User-Agent", "ELB-Health")],
    [("Cookie", f"token={Token.new(ANN.user).text}")],
]


# --- whose request it is -------------------------------------------------------------------------


@pytest.mark.parametrize("headers", JUNK)
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


def test_a_token_in_the_query_is_no_token() -> None:
    house = House()
    token = house.sessions.token_of(ANN)
    with pytest.raises(InvalidToken):
        house.send(target=f"/api/orders/7?access_token={token}")
    assert house.sessions.reads == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_a_request_with_a_token_costs_one_read_and_one_exchange(method: str) -> None:
    house = House()
    house.send_as(ANN, method)
    assert len(house.sessions.reads) == 1
    assert [each.method for each in house.wire.exchanged] == [method]
    assert house.wire.exchanged[0].target == "/base/orders/7"


def test_the_upstream_learns_who_it_is_and_never_the_token() -> None:
    house = House()
    house.send_as(ANN)
    sent = house.sent()
    assert (sent["X-WX-OPENID"], sent["X-WX-APPID"], sent["X-WX-UNIONID"]) == (
        "o-ann",
        APPID,
        "u-ann",
    )
    assert house.sessions.reads[0] not in repr(house.wire.exchanged)


def test_a_user_without_unionid_has_none_upstream() -> None:
    house = House()
    token = house.sessions.token_of(BOB)
    house.send(headers=[*bearing(token), ("X-WX-UNIONID", "u-ann")])
    assert "X-WX-UNIONID" not in house.sent()
    assert "unionid" not in house.claims()


def test_two_users_are_told_apart() -> None:
    house = House()
    for session in (ANN, BOB):
        house.send_as(session)
    openids = [dict(each.headers)["X-WX-OPENID"] for each in house.wire.exchanged]
    assert openids == ["o-ann", "o-bob"]


# --- public paths --------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", JUNK)
@pytest.mark.parametrize("target", ["/api/news", "/api/products/7"])
def test_on_a_public_path_a_request_without_a_good_token_is_anonymous(
    headers: Pairs, target: str
) -> None:
    house = House()
    house.send(target=target, headers=headers)
    assert not [name for name in house.sent() if name.upper().startswith("X-WX")]
    assert house.wire.exchanged[0].target == f"/base/{target.removeprefix('/api/')}"
    assert house.sessions.reads == []


def test_on_a_public_path_an_unknown_token_is_anonymous_too() -> None:
    house = House()
    house.send(target="/api/news", headers=bearing(Token.new(ANN.user).text))
    assert "X-WX-OPENID" not in house.sent()
    assert len(house.sessions.reads) == 1


def test_on_a_public_path_a_good_token_has_its_identity() -> None:
    house = House()
    house.send_as(ANN, target="/api/products/7?x=1")
    assert house.sent()["X-WX-OPENID"] == "o-ann"
    assert house.claims()["htu"] == f"{URL}/products/7"


def test_an_anonymous_request_needs_no_key() -> None:
    house = House()
    house.vault.failure = client_error("InternalServiceError")
    house.send(target="/api/news")
    assert house.vault.calls == []


@pytest.mark.parametrize("target", ["/api/News", "/api/news/", "/api/newsletter", "/api/x/news"])
def test_a_path_beside_a_public_one_needs_a_token(target: str) -> None:
    with pytest.raises(InvalidToken):
        House().send(target=target)


@pytest.mark.parametrize("target", ["/api/products/../orders/7", "/api/products/%2e%2e/orders/7"])
def test_no_detour_leads_from_a_public_path_to_another(target: str) -> None:
    house = House()
    with pytest.raises(InvalidPath):
        house.send(target=target)
    assert house.wire.exchanged == []


# --- what is proven ------------------------------------------------------------------------------


def test_the_assertion_says_who_asks_what_of_whom_for_a_minute() -> None:
    house = House()
    house.send_as(ANN, "PATCH", "/api/%E8%AE%A2/7?secret=1")
    now = int(house.clock())
    assert house.claims() == {
        "iss": "wxgate",
        "aud": URL,
        "sub": "o-ann",
        "appid": APPID,
        "unionid": "u-ann",
        "htm": "PATCH",
        "htu": f"{URL}/%E8%AE%A2/7",
        "iat": now,
        "exp": now + 60,
    }


def test_the_key_set_is_public_and_cacheable_and_holds_no_private_part() -> None:
    house = House()
    answer = key_set(assertions=house.assertions)
    (key,) = jwt.PyJWKSet.from_json(answer.body).keys
    assert key.key_id == "k1"
    assert '"d"' not in answer.body
    assert answer.headers["Cache-Control"] == "public, max-age=300"


# --- how it fails --------------------------------------------------------------------------------


def test_a_bad_path_is_refused_before_anything_else() -> None:
    house = House()
    with pytest.raises(InvalidPath):
        house.send(target="/api/a//b", headers=bearing(house.sessions.token_of(ANN)))
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
        house.send(headers=bearing(house.sessions.token_of(ANN)), remaining=lambda: 1.0)
    assert house.wire.exchanged == []


def test_a_failing_upstream_is_the_upstreams_failure() -> None:
    with pytest.raises(UpstreamTimeout):
        House(wire=Wire(TimedOut())).send_as(ANN)


def test_an_upstreams_own_401_is_passed_on_as_its_own() -> None:
    house = House(wire=Wire(Reply(401, [("Content-Type", "application/json")], b'{"error":"x"}')))
    answer = house.send(headers=bearing(house.sessions.token_of(ANN)))
    assert (answer.status_code, answer.body) == (401, '{"error":"x"}')
    assert not {"X-Wxgate-Error", "WWW-Authenticate"} & set(answer.headers)


def test_health_tells_the_version() -> None:
    answer = health()
    assert (answer.status_code, answer.body) == (
        200,
        f'{{"status":"ok","version":"{__version__}"}}',
    )
