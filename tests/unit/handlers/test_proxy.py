"""The proxy's use case: whose request it is, what is proven upstream, and in which order."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from chalicelib import __version__, errors
from chalicelib.front.request import Pairs, Request, deadline_of
from chalicelib.front.response import MAX_ANSWER, Answer
from chalicelib.handlers.proxy import health, key_set, proxy
from chalicelib.network.connections import Reply
from chalicelib.sessions.sessions import Session, Sessions
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.upstream.assertions import Assertions
from simulator.gateway import Context, event_of
from tests.support.fakes import Wire
from tests.unit.upstream.test_upstream import upstream

URL = "https://api.test/base"
APPID = "wx4f4bc4dec97d474b"
ANN, BOB = Session(APPID, "o-ann", "u-ann"), Session(APPID, "o-bob", None)


@dataclass
class KnownSessions:
    """A store that can do nothing but find, and records what it is asked for."""

    known: dict[str, Session] = field(default_factory=dict)
    failure: errors.GateError | None = None
    reads: list[str] = field(default_factory=list)

    def find(self, token: Token) -> Session:
        self.reads.append(token.text)
        if self.failure:
            raise self.failure
        if token.text not in self.known:
            raise errors.InvalidToken
        return self.known[token.text]


@dataclass
class Signer:
    """Records what it signs, and for how many seconds."""

    failure: errors.GateError | None = None
    signed: list[tuple[dict[str, str], int]] = field(default_factory=list)

    def sign(self, claims: dict[str, str], life: int) -> str:
        if self.failure:
            raise self.failure
        self.signed.append((claims, life))
        return "as.ser.tion"

    def key_set(self) -> dict[str, Any]:
        return {"keys": []}


@dataclass
class House:
    """The proxy, and what it stands on."""

    wire: Wire = field(default_factory=Wire)
    sessions: KnownSessions = field(default_factory=KnownSessions)
    signer: Signer = field(default_factory=Signer)

    def send(
        self,
        method: str = "GET",
        target: str = "/api/orders/7",
        headers: Pairs | None = None,
        seconds: float = 25.0,
        **event: Any,
    ) -> Answer:
        """Let the proxy handle one request, and add to the answer what the gate adds."""
        made = event_of(method, target, headers or [], None, ["/api/{proxy+}"], lenient=False)
        request = Request({**made, **event}, deadline_of(Context(seconds=seconds)))
        answer = proxy(
            request,
            sessions=cast(Sessions, self.sessions),
            upstream=upstream(self.wire, URL, PUBLIC_PATHS="products/*,news", TRUSTED_HOPS="1"),
            assertions=cast(Assertions, self.signer),
        )
        answer.headers |= request.answer_headers
        return answer

    def send_as(
        self, session: Session, method: str = "GET", headers: Pairs | None = None, **given: Any
    ) -> Answer:
        """The same with a token of this session."""
        token = Token.new(user_reference(session.appid, session.openid)).text
        self.sessions.known[token] = session
        return self.send(method, headers=[*bearing(token), *(headers or [])], **given)

    def sent(self) -> dict[str, str]:
        (exchanged,) = self.wire.exchanged
        return dict(exchanged.headers)

    def claims(self) -> dict[str, str]:
        ((claims, _),) = self.signer.signed
        return claims


def bearing(token: str) -> Pairs:
    return [("Authorization", f"Bearer {token}")]


UNKNOWN = Token.new(user_reference(APPID, ANN.openid)).text
NO_TOKEN: list[Pairs] = [
    [],
    [("X-WX-OPENID", "o-ann"), ("X-Forwarded-For", "127.0.0.1"), ("User-Agent", "ELB-Health")],
    [("Cookie", f"token={UNKNOWN}")],
]
MALFORMED: list[Pairs] = [
    *(bearing(text) for text in ("junk", UNKNOWN[:-1] + "!", UNKNOWN + "A")),
    *([("Authorization", f"Basic {UNKNOWN}")], bearing(UNKNOWN) * 2),
]


def test_without_a_live_token_a_request_goes_nowhere_and_only_a_possible_one_is_read() -> None:
    for headers, reads in [*((each, 0) for each in NO_TOKEN + MALFORMED), (bearing(UNKNOWN), 1)]:
        house = House()
        with pytest.raises(errors.InvalidToken):
            house.send(headers=headers)
        assert (len(house.sessions.reads), house.wire.exchanged) == (reads, [])


def test_a_request_with_a_token_costs_one_read_and_one_exchange() -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        house = House()
        house.send_as(ANN, method)
        assert len(house.sessions.reads) == 1
        (exchanged,) = house.wire.exchanged
        assert (exchanged.method, exchanged.target) == (method, "/base/orders/7")
        assert exchanged.max_bytes == MAX_ANSWER


def test_the_upstream_learns_who_asks_what_with_proof_for_a_minute_and_never_the_token() -> None:
    house = House()
    house.send_as(ANN, "DELETE", target="/api/%E8%AE%A2/7?secret=1")
    house.send_as(BOB)
    ann, bob = ([*each.headers[2:]] for each in house.wire.exchanged)
    address, proof = ("X-Forwarded-For", "127.0.0.1"), ("X-WX-ASSERTION", "as.ser.tion")
    who = [("X-WX-OPENID", "o-ann"), ("X-WX-APPID", APPID), ("X-WX-UNIONID", "u-ann")]
    assert ann == [address, *who, proof]
    assert bob == [address, ("X-WX-OPENID", "o-bob"), ("X-WX-APPID", APPID), proof]
    assert not [token for token in house.sessions.reads if token in repr(house.wire.exchanged)]
    claims = {"sub": "o-ann", "appid": APPID, "unionid": "u-ann", "htm": "DELETE"}
    assert house.signer.signed == [
        (claims | {"htu": f"{URL}/%E8%AE%A2/7"}, 60),
        ({"sub": "o-bob", "appid": APPID, "htm": "GET", "htu": f"{URL}/orders/7"}, 60),
    ]


def test_a_visitor_of_a_public_path_has_no_identity() -> None:
    for headers in NO_TOKEN:
        house = House()
        answer = house.send(target="/api/news", headers=headers)
        assert not [name for name in house.sent() if name.upper().startswith("X-WX")]
        assert (house.sessions.reads, house.signer.signed) == ([], [])
        assert "X-Wxgate-Token" not in answer.headers


def test_a_dead_token_makes_a_visitor_of_a_public_path_and_the_answer_says_so() -> None:
    for headers in [*MALFORMED, bearing(UNKNOWN)]:
        house = House(wire=Wire(Reply(404, [("X-Wxgate-Token", "alive")], b"")))
        answer = house.send(target="/api/news", headers=headers)
        assert "X-WX-OPENID" not in house.sent()
        dead = {"X-Wxgate-Token": "dead", "Cache-Control": "no-store"}
        assert (answer.status_code, answer.headers | dead) == (404, answer.headers)


def test_on_a_public_path_a_live_token_has_its_identity() -> None:
    house = House()
    answer = house.send_as(ANN, target="/api/products/7?x=1")
    assert house.sent()["X-WX-OPENID"] == "o-ann"
    assert house.claims()["htu"] == f"{URL}/products/7"
    assert "X-Wxgate-Token" not in answer.headers


def test_a_post_that_stands_for_a_patch_is_one_everywhere() -> None:
    house = House()
    house.send_as(ANN, "POST", headers=[("X-HTTP-Method-Override", "PATCH")], body="x")
    assert house.wire.exchanged[0].method == house.claims()["htm"] == "PATCH"
    assert (house.wire.exchanged[0].body, house.wire.exchanged[0].retry_on) == (b"x", ())


def test_any_other_override_is_ignored() -> None:
    ignored = {method: [["PATCH"]] for method in ("GET", "HEAD", "PUT", "DELETE")}
    values = ("DELETE", "GET", "patch", "PATCH, DELETE", " PATCH", "")
    ignored["POST"] = [*([value] for value in values), ["PATCH", "DELETE"], ["PATCH", "PATCH"]]
    for method, overrides in ((m, each) for m, every in ignored.items() for each in every):
        house = House()
        house.send(method, "/api/news", [("x-http-method-override", value) for value in overrides])
        assert house.wire.exchanged[0].method == method
        assert "x-http-method-override" not in {name.lower() for name in house.sent()}


def test_the_subpath_is_what_api_gateway_matched() -> None:
    house = House()
    house.send_as(ANN, path="/api/v1/xxx/api/orders/7", pathParameters={"proxy": "orders/7"})
    assert house.wire.exchanged[0].target == "/base/orders/7"
    assert house.claims()["htu"] == f"{URL}/orders/7"


def test_a_redirect_leads_to_the_url_that_the_client_knows() -> None:
    stages = {"/v1/api/orders/7": "/v1/api/x", "/api/v1/xxx/api/orders/7": "/api/v1/xxx/api/x"}
    for path, location in (*stages.items(), (None, "/api/x")):
        house = House(wire=Wire(Reply(302, [("Location", "/base/x")], b"")))
        context = {"httpMethod": "GET"} | ({"path": path} if path else {})
        assert house.send_as(ANN, requestContext=context).headers["Location"] == location


def test_the_phones_address_and_the_trace_of_the_invocation_go_upstream() -> None:
    house = House()
    trace = "Root=1-67891233-abcdef012345678912345678;Sampled=1"
    headers = [("X-Forwarded-For", "6.6.6.6, 198.51.100.7, 127.0.0.1"), ("x-amzn-trace-id", trace)]
    house.send(target="/api/news", headers=headers)
    assert house.sent()["X-Forwarded-For"] == "198.51.100.7"
    assert house.sent()["X-Amzn-Trace-Id"] == trace


def test_a_fault_of_the_store_is_never_taken_for_a_bad_token() -> None:
    for target in ("/api/orders/7", "/api/news"):
        house = House(sessions=KnownSessions(failure=errors.StoreUnavailable()))
        with pytest.raises(errors.StoreUnavailable):
            house.send(target=target, headers=bearing(UNKNOWN))
        assert house.wire.exchanged == []


def test_without_a_signature_or_time_nothing_goes_upstream() -> None:
    house = House(signer=Signer(errors.SecretsUnavailable()))
    with pytest.raises(errors.SecretsUnavailable):
        house.send_as(ANN)
    house.signer.failure = None
    with pytest.raises(errors.DeadlineExceeded):
        house.send_as(ANN, seconds=1.0)
    assert house.wire.exchanged == []


def test_an_answer_that_does_not_fit_once_it_is_encoded_is_too_large() -> None:
    with pytest.raises(errors.UpstreamTooLarge) as caught:
        House(wire=Wire(Reply(200, [], b"\xff" * 4_800_000))).send_as(ANN)
    assert caught.value.evidence == {"reason": "encoded"}


def test_the_key_set_is_public_and_cacheable_and_health_tells_the_version() -> None:
    answer = key_set(Request({}), assertions=cast(Assertions, Signer()))
    assert (answer.body, answer.status_code) == ('{"keys":[]}', 200)
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert health(Request({})).body == f'{{"status":"ok","version":"{__version__}"}}'
