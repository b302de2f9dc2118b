"""Users who log in, call the API, open their data and log out, and check every answer.

Locust reads its settings from pyproject.toml. It exits with 1 if an answer was wrong, or if the
desk's memory grew.
"""

import base64
import itertools
import json
import random
import secrets
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jwt
from locust import FastHttpUser, constant_throughput, task
from locust.exception import RescheduleTask

from simulator.wechat import openid_of, unionid_of
from simulator.wechat.accounts import phone_number_of
from tests.load import desk

APPID = "wx4f4bc4dec97d474b"
MAX_TOKENS = 3
MAX_FAILURES = 4
"""Failed decryptions of one visitor; more than twenty would close /decrypt to that user."""

Check = Callable[[Any], object]


def expect(holds: object, sentence: str) -> None:
    """Raise AssertionError with a sentence unless it holds."""
    if not holds:
        raise AssertionError(sentence)


class Visitor(FastHttpUser):
    """A user of the mini-program, who knows what each answer must say.

    The last token is the newest; only its session has the session_key that WeChat accepts.
    """

    host = desk.GATE
    wait_time = constant_throughput(2)
    network_timeout = connection_timeout = 30.0
    keys: ClassVar[dict[str, jwt.PyJWK]] = {}
    numbers = itertools.count()

    def on_start(self) -> None:
        """Take a name, and that of another user to impersonate."""
        number = next(self.numbers)
        self.name, self.other = f"visitor-{number}", f"visitor-{number + 1}"
        self.openid = openid_of(APPID, self.name)
        self.tokens: list[str] = []
        self.failures = 0

    @task(46)
    def read(self) -> None:
        """Call the API, in the name of another user."""
        self._call_api("GET", self._token())

    @task(14)
    def write(self) -> None:
        """Send the API some bytes."""
        self._call_api("POST", self._token(), secrets.token_bytes(random.randrange(4000)))

    @task(5)
    def log_in(self) -> None:
        """Log in; sometimes in place of another session, which then ends."""
        replaced = None
        if len(self.tokens) == MAX_TOKENS or (self.tokens and random.random() < 0.3):
            replaced = self.tokens.pop(random.randrange(len(self.tokens)))
        body = {"code": self._wx("login")["code"]} | ({"replaces": replaced} if replaced else {})
        self.tokens.append(self._gate("POST", "/login", json=body)["token"])
        self._call_api("GET", self.tokens[-1])
        if replaced:
            self._refused(replaced)

    @task(5)
    def check_session(self) -> None:
        """Ask whether the session_key is still good: only the newest is."""
        token = self._token()
        valid = token == self.tokens[-1]
        self._gate(
            "GET", "/session", token, check=lambda seen: expect(seen == {"valid": valid}, "valid")
        )

    @task(6)
    def decrypt_profile(self) -> None:
        """Decrypt the user's own profile, under a name that nobody else has."""
        self._token()
        nickname = f"{self.name} {secrets.token_hex(4)}"

        def check(seen: Any) -> None:
            expect(seen["data"]["openId"] == self.openid, "the profile of another user")
            expect(seen["data"]["nickName"] == nickname, "another profile")
            expect(self._claims(seen["assertion"])["data"] == seen["data"], "asserted otherwise")

        body = {"kind": "user", **self._sealed(self.name, userInfo={"nickName": nickname})}
        self._gate("POST", "/decrypt", self.tokens[-1], json=body, check=check)

    @task(1)
    def decrypt_profile_of_another(self) -> None:
        """Try to decrypt the profile of another user."""
        token, self.failures = self._token(), self.failures + 1
        if self.failures <= MAX_FAILURES:
            body = {"kind": "user", **self._sealed(self.other)}
            self._gate("POST", "/decrypt", token, json=body, status=422)

    @task(3)
    def give_phone_number(self) -> None:
        """Give the phone number by the button's code."""

        def check(seen: Any) -> None:
            number = phone_number_of(self.name)
            expect(seen["data"]["purePhoneNumber"] == number, "the number of another user")
            self._claims(seen["assertion"])

        body = {"code": self._wx("getPhoneNumber")["code"]}
        self._gate("POST", "/phone", self._token(), json=body, check=check)

    @task(3)
    def log_out(self) -> None:
        """Log out, here or everywhere: the tokens are refused from then on."""
        token, everywhere = self._token(), random.random() < 0.2
        ended = list(self.tokens) if everywhere else [token]
        newest_ended = self.tokens[-1] in ended
        body = {"everywhere": True} if everywhere else {}
        self._gate("POST", "/logout", token, json=body, status=204)
        self.tokens = [left for left in self.tokens if left not in ended]
        for dead in ended:
            self._refused(dead)
        if newest_ended:  # no session that is left has a session_key that opens anything
            self.log_in()

    @task(8)
    def health(self) -> None:
        """Ask whether the gate is up."""
        self._gate("GET", "/health")

    @task(9)
    def forge_token(self) -> None:
        """Try a token with one character changed, a prefix, or nothing."""
        token = self._token()
        place = random.randrange(len(token))
        character = random.choice([other for other in "Aa0_" if other != token[place]])
        forged = token[:place] + character + token[place + 1 :]
        self._refused(random.choice([forged, "wxg_", ""]))

    def _token(self) -> str:
        if not self.tokens:
            self.log_in()
        return random.choice(self.tokens)

    def _refused(self, token: str) -> None:
        def check(seen: Any) -> None:
            expect(seen["Code"] == "InvalidToken", "another refusal")

        self._gate("GET", "/api/refused", token, status=401, check=check)

    def _call_api(self, method: str, token: str, body: bytes = b"") -> None:
        path, query = f"/{secrets.token_urlsafe(12)}", f"of={self.name}"

        def check(seen: Any) -> None:
            headers = {name.lower(): value for name, value in seen["headers"].items()}
            claims = self._claims(headers["x-wx-assertion"])
            expect(headers["x-wx-openid"] == self.openid, "the identity of another user")
            expect(headers["x-wx-unionid"] == unionid_of(self.name), "another unionid")
            expect(headers["x-wx-appid"] == APPID, "another app")
            expect((seen["path"], seen["query"]) == (path, query), "the answer to another request")
            expect(claims["htu"].endswith(path), "an assertion for another address")
            expect(claims["htm"] == seen["method"] == method, "another method")
            expect(sent(seen) == body, "another body")
            expect("authorization" not in headers, "the token went upstream")

        forged = {"X-WX-OPENID": openid_of(APPID, self.other), "X-WX-UNIONID": unionid_of("other")}
        self._gate(method, f"/api{path}?{query}", token, check, headers=forged, data=body)

    def _claims(self, assertion: str) -> dict[str, Any]:
        """Verify an assertion as an upstream does, and that it is about this user."""
        kid = jwt.get_unverified_header(assertion)["kid"]
        if kid not in self.keys:
            found = self._gate("GET", "/.well-known/jwks.json")
            self.keys.update({key["kid"]: jwt.PyJWK(key) for key in found["keys"]})
        claims: dict[str, Any] = jwt.decode(
            assertion,
            self.keys[kid],
            algorithms=["ES256"],
            issuer="wxgate",
            options={"verify_aud": False},
        )
        expect(claims["sub"] == self.openid, "an assertion about another user")
        return claims

    def _sealed(self, user: str, **members: Any) -> dict[str, str]:
        shown = self._wx("getUserInfo", user=user, **members)
        return {name: shown[name] for name in ("encryptedData", "iv")}

    def _wx(self, call: str, **members: Any) -> Any:
        body = {"appid": APPID, "user": self.name, **members}
        return self._gate("POST", f"{desk.WECHAT}/wx/{call}", json=body)

    def _gate(
        self,
        method: str,
        target: str,
        token: str | None = None,
        check: Check = bool,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> Any:
        """Send a request and check its answer; give the answer's JSON.

        Raises:
            RescheduleTask: if the answer is wrong. The user starts afresh.
        """
        sent = dict(headers or {}) | ({} if token is None else {"Authorization": f"Bearer {token}"})
        name = "/api" if target.startswith("/api/") else target.removeprefix(desk.WECHAT)
        with self.client.request(
            method, target, name=name, headers=sent, catch_response=True, **content
        ) as answer:
            try:
                expect(answer.status_code == status, f"{answer.status_code} instead of {status}")
                seen = json.loads(answer.text) if answer.text else None
                check(seen)
            except (AssertionError, KeyError, TypeError, ValueError, jwt.PyJWTError) as error:
                # Sentences of ours alone: another error's could quote a token.
                ours = isinstance(error, AssertionError)
                answer.failure(str(error) if ours else type(error).__name__)
            else:
                answer.success()
                return seen
        self.tokens.clear()
        raise RescheduleTask


def sent(echo: Mapping[str, Any]) -> bytes:
    """Give the body that the upstream received."""
    text: str = echo["body"]
    return base64.b64decode(text) if echo.get("isBase64Encoded") else text.encode()
