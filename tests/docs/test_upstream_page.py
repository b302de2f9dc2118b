"""docs/upstream.md says what a business API meets: its examples run, its tables are tried."""

import re
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
import urllib3
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from chalicelib.upstream import headers
from simulator import desk, gateway
from simulator.serving import serve
from tests.docs.pages import DOCS, bearer_of, blocks, quoted, rows
from tests.support.front_door import FrontDoor

PAGE = DOCS / "upstream.md"
TEXT = PAGE.read_text()
Business = tuple[FrontDoor, str]


@pytest.fixture
def business(running_desk: desk.Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Business]:
    """The Python example, served; and a gate that has it as its upstream."""
    monkeypatch.setenv("GATE_URL", running_desk.urls["gate"])
    example: dict[str, Any] = {"__name__": "example"}
    (source,) = blocks(TEXT, "python")
    exec(compile(source, str(PAGE), "exec"), example)  # noqa: S102 - the page's own code
    example["Business"].log_message = lambda *_: None
    server = serve(example["Business"], "127.0.0.1", 0)
    example["UPSTREAM"] = server.url
    monkeypatch.setenv("UPSTREAM_URL", server.url)
    monkeypatch.setenv("PUBLIC_PATHS", "news")
    yield FrontDoor(desk.load_app(), running_desk.urls["WeChat"]), server.url
    server.close()


def test_the_example_knows_the_user_behind_the_gate_and_takes_none_from_a_visitor(
    business: Business,
) -> None:
    gate, _ = business
    told = gate.send("GET", "/api/orders/%E4%B8%8A?x=1", token=gate.login("ann")).json
    assert told == {"user": "ozwWZcMcCuh5zclAyu69EmeG_9lp"}
    assert gate.send("GET", "/api/news").json == {"user": None}


def test_the_example_refuses_another_requests_assertion_and_another_keys(
    business: Business,
) -> None:
    gate, url = business
    claims = {"sub": "o1", "appid": "wx1", "htm": "GET", "htu": f"{url}/orders/7"}
    genuine = gate.module.services.assertions.sign(claims, 60)
    known = jwt.decode(genuine, options={"verify_signature": False})
    key, kid = generate_private_key(SECP256R1()), jwt.get_unverified_header(genuine)["kid"]
    forged = jwt.encode(known, key, algorithm="ES256", headers={"kid": kid})
    for method, path, assertion, status in (
        ("GET", "/orders/7", genuine, 200),
        ("GET", "/orders/8", genuine, 401),
        ("POST", "/orders/7", genuine, 401),
        ("GET", "/orders/7", forged, 401),
    ):
        sent = {"X-WX-ASSERTION": assertion}
        answer = requests.request(method, url + path, headers=sent, data="{}", timeout=5)
        assert answer.status_code == status


def test_the_example_stores_a_users_own_phone_number_alone(business: Business) -> None:
    gate, _ = business
    ann = gate.login("ann")
    code = {"code": gate.phone("ann").do("getPhoneNumber")["code"]}
    body = {"assertion": gate.send("POST", "/phone", token=ann, json_body=code).json["assertion"]}
    stored = gate.send("POST", "/api/phone", token=ann, json_body=body).json["stored"]
    assert stored["phoneNumber"] == "13852393413"
    assert gate.send("POST", "/api/phone", token=gate.login("bob"), json_body=body).status == 401


def test_the_lists_of_headers_are_those_of_the_proxy() -> None:
    quotes = re.findall(r"(?:^> .*\n)+", TEXT, re.MULTILINE)
    lists = [set(re.findall(r"[\w-]+", quote.lower())) for quote in quotes]
    assert lists == [headers.REQUEST_HEADERS, headers.ANSWER_HEADERS]


@pytest.mark.parametrize("row", rows(TEXT, "the phone sends"), ids=lambda row: row[0])
def test_a_query_arrives_as_the_page_says(row: list[str], running_desk: desk.Desk) -> None:
    sent, (arrives, *_) = quoted(row[0])[0], quoted(row[1])
    target = f"/api/orders{sent}" if sent.startswith("?") else f"/v1{sent}"
    connection = urllib3.connection_from_url(running_desk.urls["gate"])
    echo = connection.urlopen("GET", target, headers=bearer_of(running_desk, "ann")).json()
    shown = f"?{echo['query']}" if echo["query"] else echo["path"]
    assert shown == arrives


def test_the_phones_address_is_the_one_that_the_page_says() -> None:
    table = rows(TEXT, "`X-Forwarded-For` at API Gateway, which saw 203.0.113.9")
    for sent, hops, address in table:
        elements = tuple(quoted(sent)[0].split(", "))
        assert [headers.client_address(elements, int(hops), "203.0.113.9")] == quoted(address)


def test_the_headers_that_api_gateway_renames_are_told() -> None:
    told = {name.lower(): cell for names, cell in rows(TEXT, "you send") for name in quoted(names)}
    ours = headers.ANSWER_HEADERS - gateway.UNSENT
    assert {name for name in gateway.RENAMED if name in ours} == {"date"}
    assert "x-amzn-Remapped-Date" in told["date"]
    assert told.keys() >= gateway.RENAMED
    dropped = TEXT.partition("Dropped on the way in:")[2].partition("\n\n")[0].lower()
    assert set(quoted(dropped)) == gateway.DROPPED
