"""docs/openapi.yaml says what the code does: routes, functions, fields, limits, errors, headers."""

from collections.abc import Iterator
from typing import Any

import openapi_spec_validator

from chalicelib import __version__, settings
from chalicelib.handlers import decrypt, proxy
from chalicelib.upstream.paths import MAX_PATH
from chalicelib.wechat import kinds, opendata
from infrastructure.wiring import ROUTES
from simulator.gateway import renamed
from tests.docs import pages
from tests.support.front_door import FrontDoor

SCHEMAS = pages.SPEC["components"]["schemas"]
TEMPLATE = (pages.ROOT / "infrastructure/template/api.yaml").read_text()


def refusals() -> Iterator[tuple[int, list[str], dict[str, Any]]]:
    """Every answer to an error, as (status, Codes, headers)."""
    for _, _, operation in pages.operations():
        for status, node in operation["responses"].items():
            answer = pages.resolved(node)
            if "X-Wxgate-Error" in answer["headers"]:
                schema = answer["content"]["application/json"]["schema"]
                yield int(status), schema["properties"]["Code"]["enum"], answer["headers"]


def test_the_routes_are_those_of_the_app_and_a_tag_is_their_function(front_door: FrontDoor) -> None:
    functions = {path: name.lower() for name, paths in ROUTES.items() for path in paths}
    routes = front_door.module.app.routes.items()
    assert {(path, method, *found["tags"]) for path, method, found in pages.operations()} == {
        (path, method, functions[path]) for path, methods in routes for method in methods
    }


def test_every_code_is_told_with_its_message() -> None:
    told = {each["const"]: each["description"] for each in SCHEMAS["Code"]["oneOf"]}
    assert told.keys() == pages.ERRORS.keys() | pages.BY_API_GATEWAY.keys()
    assert {name: told[name] for name in pages.ERRORS} == {
        name: str(error.__doc__).partition("\n")[0] for name, error in pages.ERRORS.items()
    }
    for name in pages.BY_API_GATEWAY:
        message = told[name].replace("'", "''")  # as YAML quotes it
        assert f'{{"Code":"{name}","Message":"{message}"}}' in TEMPLATE


def test_every_code_is_an_answer_of_its_own_status() -> None:
    told = {(code, status) for status, codes, _ in refusals() for code in codes}
    assert told == set(pages.STATUSES.items())


def test_an_error_has_the_headers_that_the_page_gives_it() -> None:
    every = {"X-Request-Id", "Cache-Control", "X-Content-Type-Options", "X-Wxgate-Error"}
    for _, codes, told in refusals():
        classes = [pages.ERRORS[code] for code in codes if code in pages.ERRORS]
        made = [error() for error in classes]
        sent = [{name for name, _ in renamed(list(error.headers.items()))} for error in made]
        sent += [{"Allow"}] if "MethodNotAllowed" in codes else []  # the routes give it
        named = told.keys() - {"X-Wxgate-Token"}
        assert named == every.union(*sent or [{"Retry-After"} & {*told}]), codes
        if "Retry-After" in told:  # required: so every one of these Codes has it
            assert all("Retry-After" in each for each in sent), codes


def test_every_operation_may_meet_what_api_gateway_and_a_fault_answer() -> None:
    everywhere = {"InvalidRequest", "Blocked", "MethodNotAllowed", "TooManyRequests"}
    everywhere |= {"Misconfigured", "InternalError", "GateBusy"}
    for path, _, operation in pages.operations():
        answers = [pages.resolved(each) for status, each in operation["responses"].items()]
        assert [code for code in everywhere if f"'{code}'" not in str(answers)] == [], path


def test_the_limits_are_those_of_the_code() -> None:
    life = SCHEMAS["LoginAnswer"]["properties"]["expires_in"]
    assert (life["minimum"], life["maximum"]) == (settings.MIN_TTL, settings.MAX_TTL)
    assert SCHEMAS["SignRequest"]["properties"]["data"]["maxLength"] == decrypt.MAX_SIGN_DATA
    sealed = SCHEMAS["DecryptRequest"]["properties"]["encryptedData"]
    assert sealed["maxLength"] == (opendata.MAX_DATA + 2) // 3 * 4
    (parameter,) = pages.SPEC["paths"]["/api/{proxy+}"]["parameters"]
    assert parameter["schema"]["maxLength"] == MAX_PATH
    kept = pages.SPEC["paths"]["/.well-known/jwks.json"]["get"]["responses"]["200"]["headers"]
    assert kept["Cache-Control"]["schema"]["const"] == f"public, max-age={proxy.KEY_SET_LIFE}"


def test_the_kinds_have_the_fields_that_decryption_gives() -> None:
    assert SCHEMAS["Kind"]["enum"] == list(kinds.KINDS)
    for kind, fields in kinds.KINDS.items():
        assert SCHEMAS[f"{kind.capitalize()}Data"]["properties"].keys() == fields.keys()


def test_it_is_openapi_3_1() -> None:
    openapi_spec_validator.validate(pages.SPEC)
    assert pages.SPEC["info"]["version"] == __version__
