"""The unmodified app through the front door, the desk behind it: every route, every promise."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import jwt
import pytest
from chalice.test import Client

from chalicelib import __version__
from chalicelib.sessions.tokens import Token
from simulator import aws
from simulator.wechat import WeChat, appsecret_of, openid_of, serve, unionid_of
from simulator.wechat.cipher import user_signature
from tests.support.front_door import APPID, TAPS, Answer, FrontDoor

OTHER_APPID = "wx0000000000000001"


def test_health_and_the_key_set_show_nothing_but_what_is_public(front_door: FrontDoor) -> None:
    health, keys = (front_door.send("GET", path) for path in ("/health", "/.well-known/jwks.json"))
    assert health.json == {"status": "ok", "version": __version__}
    assert health.headers["Cache-Control"] == "no-store"
    assert [set(key) for key in keys.json["keys"]] == [
        {"kty", "crv", "x", "y", "kid", "use", "alg"}
    ]
    assert keys.headers["Cache-Control"].startswith("public, max-age=")


def test_chalices_own_test_client_logs_in_and_out(front_door: FrontDoor) -> None:
    body = json.dumps({"code": front_door.phone().code()}).encode()
    with Client(front_door.module.app) as client:
        login = client.http.post("/login", headers={"Content-Type": "application/json"}, body=body)
        assert login.json_body.keys() == {"token", "expires_in"}
        assert login.json_body["expires_in"] == 604800
        bearer = {"Authorization": f"Bearer {login.json_body['token']}"}
        assert client.http.post("/logout", headers=bearer).status_code == 204
        assert client.http.post("/logout", headers=bearer).status_code == 401


def verified(door: FrontDoor, assertion: str) -> dict[str, Any]:
    """Verify an assertion as a business server would, by the published keys."""
    keys = jwt.PyJWKSet.from_dict(door.send("GET", "/.well-known/jwks.json").json)
    key = keys[jwt.get_unverified_header(assertion)["kid"]]
    audience = door.module.services.settings.upstream_url
    claims: dict[str, Any] = jwt.decode(
        assertion, key.key, algorithms=["ES256"], audience=audience, issuer="wxgate"
    )
    return claims


def test_two_users_are_two_users_and_each_request_proves_whose_it_is(front_door: FrontDoor) -> None:
    upstream = front_door.module.services.settings.upstream_url
    tokens = {user: front_door.login(user) for user in ("alice", "bob")}
    for user, token in tokens.items():
        answer = front_door.send("DELETE", "/api/orders/7?a=1", token=token)
        echo, headers = answer.json, answer.json["headers"]
        assert (echo["path"], echo["query"]) == ("/orders/7", "a=1")
        assert headers["X-WX-OPENID"] == openid_of(APPID, user)
        assert headers["X-WX-UNIONID"] == unionid_of(user)
        assert headers["X-WX-APPID"] == APPID
        assert headers["X-Request-Id"] == answer.headers["X-Request-Id"]
        assert "Authorization" not in headers
        claims = verified(front_door, headers["X-WX-ASSERTION"])
        assert (claims["htm"], claims["htu"]) == ("DELETE", f"{upstream}/orders/7")
        assert claims["exp"] - claims["iat"] == 60


def test_the_session_is_valid_until_wechat_says_otherwise(front_door: FrontDoor) -> None:
    token = front_door.login()
    assert front_door.send("GET", "/session", token=token).json == {"valid": True}
    front_door.control("expire_session", appid=APPID, user="alice")
    assert front_door.send("GET", "/session", token=token).json == {"valid": False}


@pytest.mark.parametrize("kind", TAPS)
def test_each_kind_of_open_data_opens(front_door: FrontDoor, kind: str) -> None:
    token, tapped = front_door.login(), front_door.phone().tap(kind)
    answer = front_door.send("POST", "/decrypt", token=token, json_body=tapped)
    assert answer.status == 200
    assert answer.json["data"][TAPS[kind][1]]
    assert "watermark" not in answer.json["data"]
    claims = verified(front_door, answer.json["assertion"])
    assert (claims["kind"], claims["data"]) == (kind, answer.json["data"])
    assert claims["exp"] - claims["iat"] == 300
    assert (claims["sub"], claims["appid"]) == (openid_of(APPID, "alice"), APPID)


def test_a_phone_code_gives_the_number_once_and_to_its_user_alone(front_door: FrontDoor) -> None:
    token = front_door.login()
    own, others = (
        {"code": front_door.phone(user).do("getPhoneNumber")["code"]} for user in ("alice", "bob")
    )
    answer = front_door.send("POST", "/phone", token=token, json_body=own)
    assert set(answer.json["data"]) == {"phoneNumber", "purePhoneNumber", "countryCode"}
    assert verified(front_door, answer.json["assertion"])["kind"] == "phone"
    for code in (own, others):
        assert front_door.send("POST", "/phone", token=token, json_body=code).code == "InvalidCode"


def test_a_payment_is_signed_with_the_session_key_and_the_log_does_not_say_how(
    front_door: FrontDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    token = front_door.login()
    answer = front_door.send("POST", "/sign", token=token, json_body={"data": "{}"})
    session = front_door.module.services.sessions.find_with_keys(Token.parse(token))
    assert answer.json == {"signature": user_signature(session.session_keys[0], b"{}")}
    assert answer.json["signature"] not in capsys.readouterr().out


def test_a_refused_token_is_challenged_the_same_for_every_cause(front_door: FrontDoor) -> None:
    ended = front_door.login()
    front_door.send("POST", "/logout", token=ended)
    unknown = Token.new(b"x" * 16).text
    refusals = [front_door.send("GET", "/api/me", token=t) for t in (None, "x", ended, unknown)]
    assert {answer.body for answer in refusals} == {refusals[0].body}
    assert [answer.status for answer in refusals] == [401] * 4
    assert {answer.headers["WWW-Authenticate"] for answer in refusals} == {"Bearer"}


def test_every_failed_decryption_is_answered_with_the_same_bytes_and_counted(
    front_door: FrontDoor,
) -> None:
    token, good = front_door.login(), front_door.phone().tap()
    front_door.login("bob")
    bodies = [
        *({**good, "kind": kind} for kind in ("share", "user")),
        {n: good[n] for n in ("encryptedData", "iv")},
        {**good, "iv": "A" * 22 + "=="},
        {**good, "kind": "user", "rawData": "{}", "signature": "x"},
        {**good, "encryptedData": "A" * 43 + "="},
        *[front_door.phone("bob").tap()] * 4,
    ]
    answers = [front_door.send("POST", "/decrypt", token=token, json_body=b) for b in bodies]
    assert {code_for(answer) for answer in answers} == {(422, "DecryptFailed")}
    assert len({answer.body for answer in answers}) == 1
    assert len({str({**answer.headers, "X-Request-Id": ""}) for answer in answers}) == 1
    front_door.send("POST", "/logout", token=token, json_body={"everywhere": True})
    token = front_door.login()  # does not open it again
    answer = front_door.send("POST", "/decrypt", token=token, json_body=front_door.phone().tap())
    assert code_for(answer) == (429, "TooManyRequests")
    assert 0 < int(answer.headers["Retry-After"]) <= 600
    assert front_door.send("GET", "/api/me", token=token).status == 200


def code_for(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


def test_what_the_operator_sets_is_heeded(reloaded: Callable[..., FrontDoor]) -> None:
    base = reloaded().module.services.settings.upstream_url
    passed = {"FORWARD_REQUEST_HEADERS": "tenant-id", "TRUSTED_HOPS": "1", "TOKEN_TTL": "300"}
    door = reloaded(UPSTREAM_URL=f"{base}/v2/shop", PUBLIC_PATHS="*", **passed)
    sent = [("Tenant-Id", "7"), ("X-Other", "3"), ("X-Forwarded-For", "1.2.3.4, 9.9.9.9")]
    echo = door.send("GET", "/api/me", headers=sent).json
    assert echo["path"] == "/v2/shop/me"
    assert (echo["headers"]["Tenant-Id"], echo["headers"]["X-Forwarded-For"]) == ("7", "9.9.9.9")
    assert "X-Other" not in echo["headers"]
    assert echo["headers"]["X-Amzn-Trace-Id"].startswith("Root=1-")
    answer = door.send("POST", "/login", json_body={"code": door.phone().code()})
    assert answer.json["expires_in"] == 300


def test_mini_programs_behind_one_gate_have_users_tokens_and_data_of_their_own(
    reloaded: Callable[..., FrontDoor],
) -> None:
    door, secrets = reloaded(), {appid: appsecret_of(appid) for appid in (APPID, OTHER_APPID)}
    with closing(aws.client("secretsmanager", door.aws_url)) as manager:
        aws.make_secrets(manager, "wxgate/", secrets)
    with closing(serve(WeChat(secrets))) as server:
        door.wechat_url = server.url
        reloaded(WX_APPIDS=f"{APPID},{OTHER_APPID}", WECHAT_API_URL=server.url)
        tokens = [door.login(appid=APPID)]
        tokens += [door.login(appid=OTHER_APPID, replaces=tokens[0])]  # which it does not
        ours, theirs = (door.send("GET", "/api/me", token=t).json["headers"] for t in tokens)
        tapped = door.phone().tap()
        opened = [door.send("POST", "/decrypt", token=t, json_body=tapped).code for t in tokens]
        before, code = door.wechat_calls(), {"code": door.phone().code()}
        for appid, refusal in (("wx9999999999999999", "UnknownApp"), (None, "InvalidRequest")):
            body = {**code, "appid": appid} if appid else code
            assert door.send("POST", "/login", json_body=body).code == refusal
        assert door.wechat_calls() == before
    assert (ours["X-WX-APPID"], theirs["X-WX-APPID"]) == (APPID, OTHER_APPID)
    assert ours["X-WX-OPENID"] != theirs["X-WX-OPENID"]
    assert ours["X-WX-UNIONID"] == theirs["X-WX-UNIONID"]
    assert opened == [None, "DecryptFailed"]
