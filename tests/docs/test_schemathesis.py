"""Whatever is sent, the desk answers as docs/openapi.yaml says; Schemathesis looks for more."""

import itertools
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from simulator import desk
from tests.docs.pages import DOCS, bearer_of, login
from tests.support.front_door import Phone

# What a schema cannot say: which codes and appids exist, what decrypts, which path is canonical.
REFUSED = ["2xx", "401", "403", "422", "429"]


def accepted(*statuses: str) -> dict[str, Any]:
    return {"checks": {"positive_data_acceptance": {"expected-statuses": [*REFUSED, *statuses]}}}


LOOSE = {"include-path": ["/login", "/api/{proxy+}", "/events/{appid}"], **accepted("400")}
GENERATION = {"deterministic": True, "max-examples": 25, "database": "none"}
CONFIG = SchemathesisConfig.from_dict(
    {"generation": GENERATION, **accepted(), "operations": [LOOSE]}
)
SCHEMA = schemathesis.openapi.from_path(DOCS / "openapi.yaml", config=CONFIG)
_users = itertools.count()


@SCHEMA.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_page_tells(case: Any, running_desk: desk.Desk) -> None:
    bearer = bearer_of(running_desk, f"user{next(_users)}")
    case.call_and_validate(base_url=running_desk.urls["gate"], headers=bearer)


def test_the_answers_to_a_user_are_those_of_the_page(running_desk: desk.Desk) -> None:
    phone = Phone(running_desk.urls["WeChat"], "ann")
    answered = {("/login", "POST"): login(running_desk, "ann")}
    bearer = bearer_of(running_desk, "ann")

    def send(method: str, path: str, body: object = None) -> None:
        url = running_desk.urls["gate"] + path
        answered[path, method] = requests.request(method, url, json=body, headers=bearer, timeout=5)

    send("GET", "/session")
    send("POST", "/decrypt", {"kind": "werun", **phone.do("getWeRunData")})
    send("POST", "/phone", {"code": phone.do("getPhoneNumber")["code"]})
    send("POST", "/sign", {"data": "{}"})
    send("GET", "/health")
    send("GET", "/.well-known/jwks.json")
    send("POST", "/logout", {"everywhere": True})
    for (path, method), answer in answered.items():
        assert answer.status_code in (200, 204), path
        SCHEMA[path][method].validate_response(answer)
