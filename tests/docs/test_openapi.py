"""docs/openapi.yaml says what the code does: routes, functions, fields, limits, errors, headers."""

from collections.abc import Iterator
from typing import Any

import openapi_spec_validator

from chalicelib import __version__, settings
from chalicelib.handlers import decrypt, proxy
from chalicelib.upstream import paths
from chalicelib.wechat import kinds, opendata
from infrastructure.wiring import ROUTES
from simulator.gateway import renamed
from tests.docs.pages import (
    BY_API_GATEWAY,
    ERRORS,
    ROOT,
    SPEC,
    STATUSES,
    needs_token,
    operations,
    resolved,
)
from tests.support.front_door import FrontDoor

SCHEMAS = SPEC["components"]["schemas"]
TEMPLATE = (ROOT / "infrastructure/template/api.yaml").read_text()


def refusals() -> Iterator[tuple[int, list[str], dict[str, Any]]]:
    """Every answer to an error, as (status, Codes, headers)."""
    for _, _, operation in operations():
        for status, node in operation["responses"].items():
            answer = resolved(node)
            if "X-Wxgate-Error" in answer["headers"]:
                schema = answer["content"]["application/json"]["schema"]
                yield int(status), schema["properties"]["Code"]["enum"], answer["headers"]


def headers_of(code: str) -> set[str]:
    """The headers of an error beside those that every error has, as API Gateway sends them."""
    error = ERRORS[code]("GET") if code == "MethodNotAllowed" else ERRORS[code]()
    return {name for name, _ in renamed(list(error.headers.items()))}


def test_the_routes_are_those_of_the_app(front_door: FrontDoor) -> None:
    routes = front_door.module.app.routes
    assert {(path, method) for path, method, _ in operations()} == {
        (path, method) for path, methods in routes.items() for method in methods
    }


def test_a_tag_is_the_function_that_serves_the_path() -> None:
    assert {(path, *operation["tags"]) for path, _, operation in operations()} == {
        (path, function.lower()) for function, paths in ROUTES.items() for path in paths
    }


def test_what_needs_a_token_is_refused_without_one(front_door: FrontDoor) -> None:
    for path, method, operation in operations():
        target = path.replace("{proxy+}", "orders")
        answer = front_door.send(method, target, json_body={} if method == "POST" else None)
        needed = needs_token(operation)
        assert (answer.code == "InvalidToken") is needed, (method, path)
        assert ("InvalidToken" in str(resolved(operation["responses"].get("401", {})))) is needed


def test_every_code_is_told_with_its_message() -> None:
    told = {each["const"]: each["description"] for each in SCHEMAS["Code"]["oneOf"]}
    assert told.keys() == ERRORS.keys() | BY_API_GATEWAY.keys()
    assert {name: told[name] for name in ERRORS} == {
        name: str(error.__doc__).partition("\n")[0] for name, error in ERRORS.items()
    }
    for name in BY_API_GATEWAY:
        message = told[name].replace("'", "''")  # as YAML quotes it
        assert f'{{"Code":"{name}","Message":"{message}"}}' in TEMPLATE


def test_every_code_is_an_answer_of_its_own_status() -> None:
    told = {(code, status) for status, codes, _ in refusals() for code in codes}
    assert told == set(STATUSES.items())


def test_an_error_has_the_headers_that_the_page_gives_it() -> None:
    every = {"X-Request-Id", "Cache-Control", "X-Content-Type-Options", "X-Wxgate-Error"}
    for _, codes, told in refusals():
        sent = [headers_of(code) for code in codes if code in ERRORS] or [{"Retry-After"} & {*told}]
        assert told.keys() == every.union(*sent), codes
        if "Retry-After" in told:  # required: so every one of these Codes has it
            assert all("Retry-After" in each for each in sent), codes


def test_every_operation_may_meet_what_api_gateway_and_a_fault_answer() -> None:
    everywhere = {"InvalidRequest", "Blocked", "MethodNotAllowed", "TooManyRequests"}
    everywhere |= {"Misconfigured", "InternalError", "GateBusy"}
    for path, _, operation in operations():
        answers = [resolved(each) for status, each in operation["responses"].items()]
        assert [code for code in everywhere if f"'{code}'" not in str(answers)] == [], path


def test_the_limits_are_those_of_the_code() -> None:
    life = SCHEMAS["LoginAnswer"]["properties"]["expires_in"]
    assert (life["minimum"], life["maximum"]) == (settings.MIN_TTL, settings.MAX_TTL)
    assert SCHEMAS["SignRequest"]["properties"]["data"]["maxLength"] == decrypt.MAX_SIGN_DATA
    sealed = SCHEMAS["DecryptRequest"]["properties"]["encryptedData"]
    assert sealed["maxLength"] == (opendata.MAX_DATA + 2) // 3 * 4
    (parameter,) = SPEC["paths"]["/api/{proxy+}"]["parameters"]
    assert parameter["schema"]["maxLength"] == paths.MAX_PATH
    kept = SPEC["paths"]["/.well-known/jwks.json"]["get"]["responses"]["200"]["headers"]
    assert kept["Cache-Control"]["schema"]["const"] == f"public, max-age={proxy.KEY_SET_LIFE}"


def test_the_kinds_have_the_fields_that_decryption_gives() -> None:
    assert SCHEMAS["Kind"]["enum"] == list(kinds.KINDS)
    for kind, fields in kinds.KINDS.items():
        assert SCHEMAS[f"{kind.capitalize()}Data"]["properties"].keys() == fields.keys()


def test_the_version_is_that_of_the_package() -> None:
    assert SPEC["info"]["version"] == __version__


def test_every_reference_leads_somewhere() -> None:
    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                assert resolved(node), node
                yield node["$ref"]
            for child in node.values():
                yield from walk(child)
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    used = set(walk(SPEC))
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("responses", "schemas", "headers")
        for name in SPEC["components"][kind]
    }
    assert used == there


def test_it_is_openapi_3_1() -> None:
    openapi_spec_validator.validate(SPEC)
