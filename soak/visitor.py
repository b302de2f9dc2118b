"""A visitor: one user of the mini-program, who knows what each answer to him must say."""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import jwt

from simulator.desk import DEFAULT_APP as APPID
from simulator.wechat import openid_of, unionid_of
from simulator.wechat.accounts import phone_number_of

MOST_TOKENS = 3
MOST_FAILURES = 4
"""Failed decryptions of one visitor; ten would close /decrypt to him."""

Headers = dict[str, str]


class Fault(AssertionError):
    """An answer that is not the one that was due."""


class WrongUser(Fault):
    """An answer that names another user, or holds what is another's."""


@dataclass(frozen=True)
class Answer:
    """An answer of the gate."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            Fault: if it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise Fault("the answer is no JSON") from None


class Line(Protocol):
    """How a visitor reaches the gate, and what wx.* does on his phone."""

    def gate(self, method: str, target: str, headers: Headers, body: bytes | None) -> Answer:
        """Send one request to the gate."""

    def phone(self, call: str, members: dict[str, Any]) -> dict[str, Any]:
        """Make a wx call."""


def demand(holds: object, sentence: str, kind: type[Fault] = Fault) -> None:
    """Raise a fault unless it holds."""
    if not holds:
        raise kind(sentence)


@dataclass
class Visitor:
    """A user by name, his tokens, and whom he envies: whose identity he tries to take.

    One act at a time: a visitor is not thread-safe, so that he knows what is due. The last token
    is the newest; only its session has the session_key that WeChat accepts.
    """

    name: str
    envied: str
    tokens: list[str] = field(default_factory=list)
    failures: int = 0
    keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    """The gate's public keys by their ids, asked for when an assertion names one that is new."""

    @property
    def openid(self) -> str:
        """Who he is, by the simulated WeChat's own rule."""
        return openid_of(APPID, self.name)

    def chosen(self, random: Random) -> "Act":
        """Choose by chance what to do next; who has no token logs in."""
        if not self.tokens:
            return Visitor.log_in
        return random.choices(list(ACTS), list(ACTS.values()))[0]

    # --- what a visitor does ---------------------------------------------------------------------

    def read(self, line: Line, random: Random) -> None:
        """Get something of his own from the upstream, saying that it is another who asks."""
        self._ask(line, "GET", random.choice(self.tokens), None)

    def write(self, line: Line, random: Random) -> None:
        """Send the upstream some bytes, and read the same back."""
        self._ask(
            line, "POST", random.choice(self.tokens), random.randbytes(random.randrange(4000))
        )

    def log_in(self, line: Line, random: Random) -> None:
        """Log in; sometimes in place of a session, whose token is then dead."""
        replaced = None
        if len(self.tokens) == MOST_TOKENS or (self.tokens and random.random() < 0.3):
            replaced = self.tokens.pop(random.randrange(len(self.tokens)))
        body = {"code": self._phone(line, "login")["code"]}
        answer = self._post(
            line, "/login", None, body | ({"replaces": replaced} if replaced else {})
        )
        demand(answer.status == 200, f"a login is answered {answer.status}")
        self.tokens.append(answer.json["token"])
        self._ask(line, "GET", self.tokens[-1], None)
        if replaced:
            self._refused(line, replaced)

    def ask_for_session(self, line: Line, random: Random) -> None:
        """Ask whether WeChat knows his key still: the newest session's alone."""
        token = random.choice(self.tokens)
        answer = line.gate("GET", "/session", _bearer(token), None)
        demand(answer.status == 200, f"/session is answered {answer.status}")
        demand(
            answer.json == {"valid": token == self.tokens[-1]}, "a session is not as valid as it is"
        )

    def open_profile(self, line: Line, random: Random) -> None:
        """Open his own profile, which holds a name that nobody else has."""
        nickname = f"{self.name} {random.randrange(10**9)}"
        shown = self._phone(line, "getUserInfo", userInfo={"nickName": nickname})
        sealed = {name: shown[name] for name in ("encryptedData", "iv")}
        answer = self._post(line, "/decrypt", self.tokens[-1], {"kind": "user", **sealed})
        demand(answer.status == 200, f"his profile is answered {answer.status}")
        data = answer.json["data"]
        demand(data["openId"] == self.openid, "the profile is another's", WrongUser)
        demand(data["nickName"] == nickname, "the profile is an old one or another's", WrongUser)
        claims = self._claims(line, answer.json["assertion"])
        demand(claims["sub"] == self.openid, "the profile is asserted of another", WrongUser)
        demand(claims["data"] == data, "the profile is asserted otherwise")

    def open_anothers_profile(self, line: Line, random: Random) -> None:
        """Try to open the profile of another, a few times in all."""
        if self.failures == MOST_FAILURES:
            self.read(line, random)
            return
        self.failures += 1
        shown = line.phone("getUserInfo", {"appid": APPID, "user": self.envied})
        sealed = {name: shown[name] for name in ("encryptedData", "iv")}
        answer = self._post(line, "/decrypt", self.tokens[-1], {"kind": "user", **sealed})
        demand(answer.status != 200, "the profile of another is open", WrongUser)
        demand(answer.status == 422, f"the profile of another is answered {answer.status}")

    def give_phone_number(self, line: Line, _: Random) -> None:
        """Give his phone number by the button's code."""
        code = self._phone(line, "getPhoneNumber")["code"]
        answer = self._post(line, "/phone", self.tokens[-1], {"code": code})
        demand(answer.status == 200, f"his phone number is answered {answer.status}")
        number = answer.json["data"]["purePhoneNumber"]
        demand(number == phone_number_of(self.name), "the phone number is another's", WrongUser)
        claims = self._claims(line, answer.json["assertion"])
        demand(claims["sub"] == self.openid, "the number is asserted of another", WrongUser)

    def log_out(self, line: Line, random: Random) -> None:
        """Log out, here or everywhere; what is dead stays dead."""
        token = random.choice(self.tokens)
        everywhere = random.random() < 0.2
        ended = list(self.tokens) if everywhere else [token]
        answer = self._post(line, "/logout", token, {"everywhere": True} if everywhere else {})
        demand(answer.status == 204, f"a logout is answered {answer.status}")
        # WeChat knows the newest key alone; without it no session that is left could open anything.
        lost_newest = self.tokens[-1] in ended
        self.tokens = [left for left in self.tokens if left not in ended]
        for dead in ended:
            self._refused(line, dead)
        if lost_newest and self.tokens:
            self.log_in(line, random)

    def look_at_health(self, line: Line, _: Random) -> None:
        """Look whether the gate is there."""
        answer = line.gate("GET", "/health", {}, None)
        demand(answer.status == 200, f"/health is answered {answer.status}")

    def invent_token(self, line: Line, random: Random) -> None:
        """Try a token of his own making: another's with a letter changed, or none at all."""
        token = random.choice(self.tokens)
        place = random.randrange(len(token))
        letter = random.choice([other for other in "Aa0_" if other != token[place]])
        self._refused(
            line, random.choice([token[:place] + letter + token[place + 1 :], "wxg_", ""])
        )

    # --- what he knows of the answers ------------------------------------------------------------

    def _ask(self, line: Line, method: str, token: str, body: bytes | None) -> None:
        target = f"/api/{secrets.token_urlsafe(12)}?of={self.name}"
        headers = _bearer(token) | {
            "X-WX-OPENID": openid_of(APPID, self.envied),
            "X-WX-UNIONID": unionid_of(self.envied),
            "Content-Type": "application/octet-stream",
        }
        answer = line.gate(method, target, headers, body)
        demand(answer.status == 200, f"a request is answered {answer.status}")
        echo = answer.json
        came = {name.lower(): value for name, value in echo["headers"].items()}
        demand(came.get("x-wx-openid") == self.openid, "it came as another's", WrongUser)
        demand(came.get("x-wx-unionid") == unionid_of(self.name), "as another's", WrongUser)
        demand(came.get("x-wx-appid") == APPID, "it came for another app", WrongUser)
        claims = self._claims(line, came.get("x-wx-assertion", ""))
        demand(claims["sub"] == self.openid, "it is asserted of another", WrongUser)
        demand(
            f"{echo['path']}?{echo['query']}" == target.removeprefix("/api"),
            "another's answer",
            WrongUser,
        )
        demand(claims["htu"].endswith(echo["path"]), "it is asserted for another address")
        demand(echo["method"] == claims["htm"] == method, "another method came")
        demand(_body_of(echo) == (body or b""), "another body came", WrongUser)
        demand("authorization" not in came, "the token came upstream")
        demand(came["x-request-id"] == answer.headers["x-request-id"], "ids differ")

    def _claims(self, line: Line, assertion: str) -> dict[str, Any]:
        """Verify an assertion as an upstream does, but for whom it is; give its claims."""
        try:
            kid = jwt.get_unverified_header(assertion).get("kid", "")
            if kid not in self.keys:
                answer = line.gate("GET", "/.well-known/jwks.json", {}, None)
                demand(answer.status == 200, f"the key set is answered {answer.status}")
                self.keys = {key["kid"]: jwt.PyJWK(key) for key in answer.json["keys"]}
            claims: dict[str, Any] = jwt.decode(
                assertion,
                self.keys[kid],
                algorithms=["ES256"],
                issuer="wxgate",
                options={"verify_aud": False},
            )
        except (jwt.PyJWTError, KeyError) as error:
            raise Fault(f"the assertion does not verify: {type(error).__name__}") from None
        return claims

    def _refused(self, line: Line, token: str) -> None:
        answer = line.gate("GET", "/api/refused", _bearer(token), None)
        demand(answer.status == 401, f"a dead token is answered {answer.status}")
        demand(answer.headers.get("x-wxgate-error") == "InvalidToken", "it is not our refusal")

    def _phone(self, line: Line, call: str, **members: Any) -> dict[str, Any]:
        return line.phone(call, {"appid": APPID, "user": self.name, **members})

    def _post(self, line: Line, target: str, token: str | None, body: dict[str, Any]) -> Answer:
        headers = {"Content-Type": "application/json"} | (_bearer(token) if token else {})
        return line.gate("POST", target, headers, json.dumps(body).encode())


def _bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def _body_of(echo: dict[str, Any]) -> bytes:
    text: str = echo["body"]
    return base64.b64decode(text) if echo.get("isBase64Encoded") else text.encode()


Act = Callable[[Visitor, Line, Random], None]

ACTS: dict[Act, int] = {
    Visitor.read: 46,
    Visitor.write: 14,
    Visitor.log_in: 5,
    Visitor.ask_for_session: 5,
    Visitor.open_profile: 6,
    Visitor.open_anothers_profile: 1,
    Visitor.give_phone_number: 3,
    Visitor.log_out: 3,
    Visitor.look_at_health: 8,
    Visitor.invent_token: 9,
}
"""What a visitor does, and how often of a hundred times. Each raises a Fault where an answer is
not the one that is due."""
