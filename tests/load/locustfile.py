"""Users who log in, call the API, open their data and log out, and check every answer.

Locust reads its settings from pyproject.toml. It exits with 1 if an answer was wrong, or if the
desk's memory grew.
"""

import base64
import itertools
import json
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
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
        number = next(self.numbers)
        self.name, self.other = f"visitor-{number}", f"visitor-{number + 1}"
        self.openid = openid_of(APPID, self.name)
        self.tokens: list[str] = []
        self.failures = 0

    @task(60)
    def call_api(self) -> None:
        sent = secrets.token_bytes(random.randrange(4000)) if random.random() < 0.25 else b""
        self._call_api("POST" if sent else "GET", self._token(), sent)

    @task(5)
    def log_in(self) -> None:
        replaced = None
        if len(self.tokens) == MAX_TOKENS or (self.tokens and random.random() < 0.3):
            replaced = self.tokens.pop(random.randrange(len(self.tokens)))
        body = {"code": self._wx("login")["code"]} | ({"replaces": replaced} if replaced else {})
        with self._gate("POST", "/login", json=body) as seen:
            self.tokens.append(seen["token"])
        self._call_api("GET", self.tokens[-1])
        if replaced:
            self._refused(replaced)

    @task(5)
    def check_session(self) -> None:
        token = self._token()
        with self._gate("GET", "/session", token) as seen:
            assert seen == {"valid": token == self.tokens[-1]}, "valid"

    @task(6)
    def decrypt_profile(self) -> None:
        self._token()
        nickname = f"{self.name} {secrets.token_hex(4)}"
        body = {"kind": "user", **self._sealed(self.name, userInfo={"nickName": nickname})}
        with self._gate("POST", "/decrypt", self.tokens[-1], json=body) as seen:
            assert seen["data"]["openId"] == self.openid, "the profile of another user"
            assert seen["data"]["nickName"] == nickname, "another profile"
            assert self._claims(seen["assertion"])["data"] == seen["data"], "asserted otherwise"

    @task(1)
    def decrypt_profile_of_another(self) -> None:
        token, self.failures = self._token(), self.failures + 1
        if self.failures <= MAX_FAILURES:
            body = {"kind": "user", **self._sealed(self.other)}
            with self._gate("POST", "/decrypt", token, json=body, status=422):
                pass

    @task(3)
    def give_phone_number(self) -> None:
        body = {"code": self._wx("getPhoneNumber")["code"]}
        with self._gate("POST", "/phone", self._token(), json=body) as seen:
            number = phone_number_of(self.name)
            assert seen["data"]["purePhoneNumber"] == number, "the number of another user"
            self._claims(seen["assertion"])

    @task(3)
    def log_out(self) -> None:
        token, everywhere = self._token(), random.random() < 0.2
        ended = list(self.tokens) if everywhere else [token]
        newest_ended = self.tokens[-1] in ended
        body = {"everywhere": True} if everywhere else {}
        with self._gate("POST", "/logout", token, json=body, status=204):
            self.tokens = [left for left in self.tokens if left not in ended]
        for dead in ended:
            self._refused(dead)
        if newest_ended:  # no session that is left has a session_key that opens anything
            self.log_in()

    @task(8)
    def health(self) -> None:
        with self._gate("GET", "/health"):
            pass

    @task(9)
    def forge_token(self) -> None:
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
        with self._gate("GET", "/api/refused", token, status=401) as seen:
            assert seen["Code"] == "InvalidToken", "another refusal"

    def _call_api(self, method: str, token: str, body: bytes = b"") -> None:
        path, query = f"/{secrets.token_urlsafe(12)}", f"of={self.name}"
        forged = {"X-WX-OPENID": openid_of(APPID, self.other), "X-WX-UNIONID": unionid_of("other")}
        target = f"/api{path}?{query}"
        with self._gate(method, target, token, headers=forged, data=body) as seen:
            headers = {name.lower(): value for name, value in seen["headers"].items()}
            claims = self._claims(headers["x-wx-assertion"])
            text = seen["body"].encode()
            sent = base64.b64decode(text) if seen.get("isBase64Encoded") else text
            assert headers["x-wx-openid"] == self.openid, "the identity of another user"
            assert headers["x-wx-unionid"] == unionid_of(self.name), "another unionid"
            assert headers["x-wx-appid"] == APPID, "another app"
            assert (seen["path"], seen["query"]) == (path, query), "the answer to another request"
            assert claims["htu"].endswith(path), "an assertion for another address"
            assert claims["htm"] == seen["method"] == method, "another method"
            assert sent == body, "another body"
            assert "authorization" not in headers, "the token went upstream"

    def _claims(self, assertion: str) -> dict[str, Any]:
        kid = jwt.get_unverified_header(assertion)["kid"]
        if kid not in self.keys:
            with self._gate("GET", "/.well-known/jwks.json") as found:
                self.keys.update({key["kid"]: jwt.PyJWK(key) for key in found["keys"]})
        claims: dict[str, Any] = jwt.decode(
            assertion, self.keys[kid], ["ES256"], {"verify_aud": False}, issuer="wxgate"
        )
        assert claims["sub"] == self.openid, "an assertion about another user"
        return claims

    def _sealed(self, user: str, **members: Any) -> dict[str, str]:
        shown = self._wx("getUserInfo", user=user, **members)
        return {name: shown[name] for name in ("encryptedData", "iv")}

    def _wx(self, call: str, **members: Any) -> Any:
        body = {"appid": APPID, "user": self.name, **members}
        with self._gate("POST", f"{desk.WECHAT}/wx/{call}", json=body) as seen:
            return seen

    @contextmanager
    def _gate(
        self,
        method: str,
        target: str,
        token: str | None = None,
        *,
        status: int = 200,
        **content: Any,
    ) -> Iterator[Any]:
        """Send a request; its JSON goes to the block, whose failed assertions are the answer's.

        After a wrong answer the user starts afresh.
        """
        if token is not None:
            credentials = {"Authorization": f"Bearer {token}"}
            content["headers"] = content.get("headers", {}) | credentials
        content["catch_response"] = True
        name = "/api" if target.startswith("/api/") else target.removeprefix(desk.WECHAT)
        with self.client.request(method, target, name=name, **content) as answer:
            try:
                assert answer.status_code == status, f"{answer.status_code} instead of {status}"
                yield json.loads(answer.text) if answer.text else None
            except (AssertionError, KeyError, TypeError, ValueError, jwt.PyJWTError) as error:
                # Sentences of ours alone: another error's could quote a token.
                ours = isinstance(error, AssertionError)
                answer.failure(str(error) if ours else type(error).__name__)
            else:
                answer.success()
                return
        self.tokens.clear()
        raise RescheduleTask
