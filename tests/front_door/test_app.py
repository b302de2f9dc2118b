"""The unmodified app through the front door, the desk behind it: every route, every promise."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import jwt
import pytest
from chalice.test import Client

from chalicelib import __version__, logs
from chalicelib.sessions.tokens import Token
from simulator import aws, desk
from simulator.wechat import WeChat, appsecret_of, openid_of, serve, unionid_of
from simulator.wechat.cipher import user_signature
from tests.support.front_door import APPID, Answer, FrontDoor

OTHER_APPID = "wx0000000000000001"


@pytest.fixture
def reloaded(front_door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FrontDoor]:
    """Load the app anew under another environment."""

    def load(**environ: str) -> FrontDoor:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        front_door.module = desk.load_app()
        return front_door

    return load


# --- every route ---------------------------------------------------------------------------------


def test_health_shows_the_version(front_door: FrontDoor) -> None:
    answer = front_door.send("GET", "/health")
    assert (answer.status, answer.json) == (200, {"status": "ok", "version": __version__})


def test_chalices_own_test_client_logs_in_and_out(front_door: FrontDoor) -> None:
    body = json.dumps({"code": front_door.phone().code()}).encode()
    with Client(front_door.module.app) as client:
        login = client.http.post("/login", headers={"Content-Type": "application/json"}, body=body)
        assert login.json_body.keys() == {"token", "expires_in"}
        assert login.json_body["expires_in"] == 604800
        bearer = {"Authorization": f"Bearer {login.json_body['token']}"}
        assert client.http.post("/logout", headers=bearer).status_code == 204
        assert client.http.post("/logout", headers=bearer).status_code == 401


def test_two_users_are_two_users(front_door: FrontDoor) -> None:
    tokens = {user: front_door.login(user) for user in ("alice", "bob")}
    for user, token in tokens.items():
        echo = front_door.send("GET", "/api/me?a=1", token=token).json
        assert (echo["path"], echo["query"]) == ("/me", "a=1")
        assert echo["headers"]["X-WX-OPENID"] == openid_of(APPID, user)
        assert echo["headers"]["X-WX-UNIONID"] == unionid_of(user)
        assert echo["headers"]["X-WX-APPID"] == APPID
        assert "Authorization" not in echo["headers"]


def test_the_session_is_valid_until_wechat_says_otherwise(front_door: FrontDoor) -> None:
    token = front_door.login()
    assert front_door.send("GET", "/session", token=token).json == {"valid": True}
    front_door.control("expire_session", appid=APPID, user="alice")
    assert front_door.send("GET", "/session", token=token).json == {"valid": False}


TAPS = {
    "user": ("getUserInfo", "openId"),
    "phone": ("getPhoneNumber", "purePhoneNumber"),
    "werun": ("getWeRunData", "stepInfoList"),
    "share": ("getShareInfo", "openGId"),
    "group": ("getGroupEnterInfo", "opengid"),
}


def tapped(door: FrontDoor, kind: str = "phone", user: str = "alice") -> dict[str, Any]:
    data = door.phone(user).do(TAPS[kind][0])
    return {"kind": kind, "encryptedData": data["encryptedData"], "iv": data["iv"]}


@pytest.mark.parametrize("kind", TAPS)
def test_each_kind_of_open_data_opens(front_door: FrontDoor, kind: str) -> None:
    token = front_door.login()
    answer = front_door.send("POST", "/decrypt", token=token, json_body=tapped(front_door, kind))
    assert answer.status == 200
    assert answer.json["data"][TAPS[kind][1]]
    assert "watermark" not in answer.json["data"]
    claims = verified(front_door, answer.json["assertion"])
    assert (claims["kind"], claims["data"]) == (kind, answer.json["data"])
    assert claims["exp"] - claims["iat"] == 300
    assert (claims["sub"], claims["appid"]) == (openid_of(APPID, "alice"), APPID)


def verified(door: FrontDoor, assertion: str) -> dict[str, Any]:
    """Verify an assertion as a business server would, by the published keys."""
    keys = jwt.PyJWKSet.from_dict(door.send("GET", "/.well-known/jwks.json").json)
    key = keys[jwt.get_unverified_header(assertion)["kid"]]
    audience = door.module.services.settings.upstream_url
    claims: dict[str, Any] = jwt.decode(
        assertion, key.key, algorithms=["ES256"], audience=audience, issuer="wxgate"
    )
    return claims


def test_the_assertion_of_a_request_names_its_method_and_address(front_door: FrontDoor) -> None:
    echo = front_door.send("DELETE", "/api/orders/7?a=1", token=front_door.login()).json
    claims = verified(front_door, echo["headers"]["X-WX-ASSERTION"])
    upstream = front_door.module.services.settings.upstream_url
    assert (claims["htm"], claims["htu"]) == ("DELETE", f"{upstream}/orders/7")
    assert claims["exp"] - claims["iat"] == 60


def test_a_phone_code_gives_the_number_once(front_door: FrontDoor) -> None:
    token = front_door.login()
    code = {"code": front_door.phone().do("getPhoneNumber")["code"]}
    answer = front_door.send("POST", "/phone", token=token, json_body=code)
    assert set(answer.json["data"]) == {"phoneNumber", "purePhoneNumber", "countryCode"}
    assert verified(front_door, answer.json["assertion"])["kind"] == "phone"
    assert front_door.send("POST", "/phone", token=token, json_body=code).code == "InvalidCode"
    others = {"code": front_door.phone("bob").do("getPhoneNumber")["code"]}
    assert front_door.send("POST", "/phone", token=token, json_body=others).code == "InvalidCode"


def test_a_payment_is_signed_with_the_session_key(front_door: FrontDoor) -> None:
    token = front_door.login()
    answer = front_door.send("POST", "/sign", token=token, json_body={"data": "{}"})
    session = front_door.module.services.sessions.find_with_keys(Token.parse(token))
    assert answer.json == {"signature": user_signature(session.session_keys[0], b"{}")}


def test_the_key_set_holds_public_keys_and_may_be_kept(front_door: FrontDoor) -> None:
    answer = front_door.send("GET", "/.well-known/jwks.json")
    assert [set(key) for key in answer.json["keys"]] == [
        {"kty", "crv", "x", "y", "kid", "use", "alg"}
    ]
    assert answer.headers["Cache-Control"].startswith("public, max-age=")


# --- what every answer carries -------------------------------------------------------------------


def test_the_gates_own_answers_are_not_kept_by_anyone(front_door: FrontDoor) -> None:
    for path in ("/health", "/login"):
        answer = front_door.send("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_the_upstream_gets_the_id_that_the_client_gets(front_door: FrontDoor) -> None:
    answer = front_door.send("GET", "/api/me", token=front_door.login())
    assert answer.json["headers"]["X-Request-Id"] == answer.headers["X-Request-Id"]


def test_a_refused_token_is_challenged_the_same_for_every_cause(front_door: FrontDoor) -> None:
    ended = front_door.login()
    front_door.send("POST", "/logout", token=ended)
    unknown = Token.new(b"x" * 16).text
    refusals = [front_door.send("GET", "/api/me", token=t) for t in (None, "x", ended, unknown)]
    assert {answer.body for answer in refusals} == {refusals[0].body}
    assert [answer.status for answer in refusals] == [401] * 4
    assert {answer.headers["WWW-Authenticate"] for answer in refusals} == {"Bearer"}


def canaries(door: FrontDoor, token: str) -> list[str]:
    session = door.module.services.sessions.find_with_keys(Token.parse(token))
    with closing(aws.client("secretsmanager", door.aws_url)) as manager:
        signing = json.loads(manager.get_secret_value(SecretId="wxgate/signing")["SecretString"])
    pem = signing["private_key"].splitlines()[1:-1]
    return [*session.session_keys, appsecret_of(APPID), *pem]


def test_a_session_at_debug_logs_no_secret(
    front_door: FrontDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    code = front_door.phone().code()
    logging.getLogger(logs.NAME).setLevel("DEBUG")
    token = front_door.send("POST", "/login", json_body={"code": code}).json["token"]
    for method, path, body in [("GET", "/session", None), ("POST", "/sign", {"data": "CANARY"})]:
        assert front_door.send(method, path, token=token, json_body=body).status == 200
    output = capsys.readouterr().out
    assert len(output.splitlines()) == 3
    for secret in (code, token[4:], "CANARY", *canaries(front_door, token)):
        assert secret not in output


@pytest.mark.parametrize("value", ["CANARY-4711", "wxg_CANARY", "o-CANARY"])
def test_no_refusal_repeats_what_the_client_sent(front_door: FrontDoor, value: str) -> None:
    logins = [{"code": f"{value} "}, {"code": value}, {"code": "x", "appid": value}]
    sent = [
        *(("/login", body) for body in logins),
        ("/decrypt", {"kind": value}),
        (f"/{value}", {}),
    ]
    for path, body in sent:
        answer = front_door.send("POST", path, token=value, json_body=body)
        assert answer.code is not None
        assert value.encode() not in answer.body


# --- every Code ----------------------------------------------------------------------------------


def code_for(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


def test_a_code_sent_twice_is_refused(front_door: FrontDoor) -> None:
    code = {"code": front_door.phone().code()}
    assert front_door.send("POST", "/login", json_body=code).status == 200
    answer = front_door.send("POST", "/login", json_body=code)
    assert code_for(answer) == (401, "InvalidCode")


def test_what_does_not_exist_is_not_found(front_door: FrontDoor) -> None:
    assert code_for(front_door.send("GET", "/nowhere")) == (404, "NotFound")


def test_a_faulty_environment_is_logged_and_answers_every_request(
    reloaded: Callable[..., FrontDoor], capsys: pytest.CaptureFixture[str]
) -> None:
    door = reloaded(TOKEN_TTL="forever")
    assert "TOKEN_TTL" in capsys.readouterr().out
    for method, path in [("GET", "/health"), ("POST", "/login"), ("GET", "/api/me")]:
        assert code_for(door.send(method, path)) == (500, "Misconfigured")


def test_a_bug_is_answered_without_details(
    reloaded: Callable[..., FrontDoor], capsys: pytest.CaptureFixture[str]
) -> None:
    # The SDK takes this one for a number without looking, and so far nobody looks for it.
    door = reloaded(AWS_METADATA_SERVICE_TIMEOUT="nonsense-canary")
    answer = door.send("GET", "/api/me", token=Token.new(b"x" * 16).text)
    assert code_for(answer) == (500, "InternalError")
    assert "canary" not in answer.body.decode() + capsys.readouterr().out


# --- the environment -----------------------------------------------------------------------------


def test_a_public_path_with_a_dead_token_is_public_and_any_answer_says_so(
    reloaded: Callable[..., FrontDoor],
) -> None:
    door = reloaded(PUBLIC_PATHS="news")
    for token in ("junk", Token.new(b"x" * 16).text):
        answer = door.send("GET", "/api/news", token=token)
        assert (answer.status, answer.headers["X-Wxgate-Token"]) == (200, "dead")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "X-WX-OPENID" not in answer.json["headers"]
        refused = door.send("GET", "/api/news", token=token, seconds=1.0)
        assert code_for(refused) == (503, "DeadlineExceeded")
        assert refused.headers["X-Wxgate-Token"] == "dead"
    assert "X-Wxgate-Token" not in door.send("GET", "/api/news").headers


def test_a_token_lives_as_long_as_the_operator_says(reloaded: Callable[..., FrontDoor]) -> None:
    door = reloaded(TOKEN_TTL="300")
    answer = door.send("POST", "/login", json_body={"code": door.phone().code()})
    assert answer.json["expires_in"] == 300


def test_what_the_operator_sets_for_the_upstream_is_heeded(
    reloaded: Callable[..., FrontDoor],
) -> None:
    base = reloaded().module.services.settings.upstream_url
    passed = {"FORWARD_REQUEST_HEADERS": "tenant-id", "TRUSTED_HOPS": "1"}
    door = reloaded(UPSTREAM_URL=f"{base}/v2/shop", PUBLIC_PATHS="*", **passed)
    sent = [("Tenant-Id", "7"), ("X-Other", "3"), ("X-Forwarded-For", "1.2.3.4, 9.9.9.9")]
    echo = door.send("GET", "/api/me", headers=sent).json
    assert echo["path"] == "/v2/shop/me"
    assert (echo["headers"]["Tenant-Id"], echo["headers"]["X-Forwarded-For"]) == ("7", "9.9.9.9")
    assert "X-Other" not in echo["headers"]
    assert echo["headers"]["X-Amzn-Trace-Id"].startswith("Root=1-")


# --- several mini-programs -----------------------------------------------------------------------


@pytest.fixture
def two_apps(reloaded: Callable[..., FrontDoor]) -> Iterator[FrontDoor]:
    """A gate for two mini-programs, and a WeChat that knows both."""
    door = reloaded()
    secrets = {appid: appsecret_of(appid) for appid in (APPID, OTHER_APPID)}
    with closing(aws.client("secretsmanager", door.aws_url)) as manager:
        aws.make_secrets(manager, "wxgate/", secrets)
    server = serve(WeChat(secrets))
    door.wechat_url = server.url
    yield reloaded(WX_APPIDS=f"{APPID},{OTHER_APPID}", WECHAT_API_URL=server.url)
    server.close()


def test_each_mini_program_has_its_own_users(two_apps: FrontDoor) -> None:
    openids = [
        two_apps.send("GET", "/api/me", token=two_apps.login(appid=appid)).json["headers"]
        for appid in (APPID, OTHER_APPID)
    ]
    assert [headers["X-WX-APPID"] for headers in openids] == [APPID, OTHER_APPID]
    assert openids[0]["X-WX-OPENID"] != openids[1]["X-WX-OPENID"]
    assert openids[0]["X-WX-UNIONID"] == openids[1]["X-WX-UNIONID"]


def test_an_appid_must_be_one_that_is_served(two_apps: FrontDoor) -> None:
    code = {"code": two_apps.phone().code()}
    unknown = two_apps.send("POST", "/login", json_body={**code, "appid": "wx9999999999999999"})
    assert code_for(unknown) == (400, "UnknownApp")
    missing = two_apps.send("POST", "/login", json_body=code)
    assert code_for(missing) == (400, "InvalidRequest")
    assert two_apps.wechat_calls() == []


def test_a_token_of_one_mini_program_does_not_replace_the_others(two_apps: FrontDoor) -> None:
    token = two_apps.login(appid=APPID)
    two_apps.login(appid=OTHER_APPID, replaces=token)
    assert two_apps.send("GET", "/api/me", token=token).status == 200


def test_open_data_of_one_mini_program_does_not_open_in_the_other(two_apps: FrontDoor) -> None:
    token = two_apps.login(appid=OTHER_APPID)
    two_apps.login(appid=APPID)
    answer = two_apps.send("POST", "/decrypt", token=token, json_body=tapped(two_apps))
    assert answer.code == "DecryptFailed"


# --- decryption ----------------------------------------------------------------------------------


def test_every_failed_decryption_is_answered_with_the_same_bytes(front_door: FrontDoor) -> None:
    token = front_door.login()
    good = tapped(front_door)
    noise = {**good, "encryptedData": "A" * 43 + "="}
    front_door.login("bob")
    bodies = [
        {**good, "kind": "share"},
        {**good, "kind": "user"},
        {n: good[n] for n in ("encryptedData", "iv")},
        {**good, "iv": "A" * 22 + "=="},
        {**good, "kind": "user", "rawData": "{}", "signature": "x"},
        noise,
        tapped(front_door, user="bob"),
    ]
    answers = [front_door.send("POST", "/decrypt", token=token, json_body=b) for b in bodies]
    assert {code_for(answer) for answer in answers} == {(422, "DecryptFailed")}
    assert len({answer.body for answer in answers}) == 1
    assert len({str({**answer.headers, "X-Request-Id": ""}) for answer in answers}) == 1


def test_a_new_login_does_not_open_it_again(front_door: FrontDoor) -> None:
    token = front_door.login()
    wrong = {**tapped(front_door), "kind": "share"}
    for _ in range(10):
        front_door.send("POST", "/decrypt", token=token, json_body=wrong)
    front_door.send("POST", "/logout", token=token, json_body={"everywhere": True})
    token = front_door.login()
    answer = front_door.send("POST", "/decrypt", token=token, json_body=tapped(front_door))
    assert code_for(answer) == (429, "TooManyRequests")
    assert 0 < int(answer.headers["Retry-After"]) <= 600
    assert front_door.send("GET", "/api/me", token=token).status == 200
