"""Whatever is sent, the desk answers as docs/openapi.yaml says; Schemathesis looks for more."""

import itertools
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from simulator import desk
from tests.conftest import APPID

PAGE = Path(__file__).parents[2] / "docs/openapi.yaml"

# What a schema cannot say: which codes and appids exist, what decrypts, which path is canonical.
REFUSED = ["2xx", "401", "403", "422", "429"]
CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {"deterministic": True, "max-examples": 25, "database": "none"},
        "checks": {"positive_data_acceptance": {"expected-statuses": REFUSED}},
        "operations": [
            {
                "include-path": ["/login", "/api/{proxy+}"],
                "checks": {"positive_data_acceptance": {"expected-statuses": [*REFUSED, "400"]}},
            }
        ],
    }
)
SCHEMA = schemathesis.openapi.from_path(PAGE, config=CONFIG)
_users = itertools.count()


class Phone:
    """The phone of a new user."""

    def __init__(self, running: desk.Desk) -> None:
        self.gate, self._wechat = running.urls["gate"], running.urls["WeChat"]
        self._user = f"user{next(_users)}"

    def does(self, call: str) -> dict[str, Any]:
        """Make a call of wx."""
        body = {"appid": APPID, "user": self._user}
        answer: dict[str, Any] = requests.post(
            f"{self._wechat}/wx/{call}", json=body, timeout=5
        ).json()
        return answer

    def logs_in(self) -> requests.Response:
        """Send a code of wx.login."""
        return requests.post(
            f"{self.gate}/login", json={"code": self.does("login")["code"]}, timeout=5
        )

    def bearer(self) -> dict[str, str]:
        """Log in: the header of what is sent then."""
        return {"Authorization": f"Bearer {self.logs_in().json()['token']}"}


@SCHEMA.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_page_tells(case: Any, running_desk: desk.Desk) -> None:
    phone = Phone(running_desk)
    case.call_and_validate(base_url=phone.gate, headers=phone.bearer())


def test_the_answers_to_a_user_are_those_of_the_page(running_desk: desk.Desk) -> None:
    phone = Phone(running_desk)
    answered = {("/login", "POST"): phone.logs_in()}
    bearer = phone.bearer()

    def send(method: str, path: str, body: object = None) -> None:
        url = phone.gate + path
        answered[path, method] = requests.request(method, url, json=body, headers=bearer, timeout=5)

    send("GET", "/session")
    send("POST", "/decrypt", {"kind": "werun", **phone.does("getWeRunData")})
    send("POST", "/phone", {"code": phone.does("getPhoneNumber")["code"]})
    send("POST", "/sign", {"data": "{}"})
    send("GET", "/health")
    send("GET", "/.well-known/jwks.json")
    send("POST", "/logout", {"everywhere": True})
    for (path, method), answer in answered.items():
        assert answer.status_code in (200, 204), path
        SCHEMA[path][method].validate_response(answer)
