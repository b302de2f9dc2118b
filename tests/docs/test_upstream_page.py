"""docs/upstream.md says what a business API meets: its examples run, its tables are tried."""

import re
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
import urllib3
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from chalicelib import rules
from chalicelib.upstream import headers
from simulator import desk, gateway
from simulator.serving import serve
from tests.docs.pages import DOCS, bearer_of, blocks, quoted, rows
from tests.support.front_door import FrontDoor

PAGE = DOCS / "upstream.md"
TEXT = PAGE.read_text()
HOPS = rows(TEXT, "`X-Forwarded-For` at API Gateway, which saw 203.0.113.9")

# --- the example of docs/upstream.md ---


@pytest.fixture
def business(
    running_desk: desk.Desk, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FrontDoor, str]]:
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


Business = tuple[FrontDoor, str]


def test_the_example_knows_the_user_behind_the_gate(business: Business) -> None:
    gate, _ = business
    told = gate.send("GET", "/api/orders/%E4%B8%8A?x=1", token=gate.login("ann")).json
    assert told == {"user": "ozwWZcMcCuh5zclAyu69EmeG_9lp"}


def test_the_example_takes_no_user_from_a_visitor(business: Business) -> None:
    gate, _ = business
    assert gate.send("GET", "/api/news").json == {"user": None}


def signed(gate: FrontDoor, url: str) -> dict[str, str]:
    """What proves a GET of an address, for sixty seconds."""
    claims = {"sub": "o1", "appid": "wx1", "htm": "GET", "htu": url}
    return {"X-WX-ASSERTION": gate.module.services.assertions.sign(claims, 60)}


def test_the_example_refuses_the_assertion_of_another_request(business: Business) -> None:
    gate, url = business
    headers = signed(gate, f"{url}/orders/7")
    assert requests.get(f"{url}/orders/7", headers=headers, timeout=5).status_code == 200
    assert requests.get(f"{url}/orders/8", headers=headers, timeout=5).status_code == 401
    assert requests.post(f"{url}/orders/7", "{}", headers=headers, timeout=5).status_code == 401


def test_the_example_refuses_what_another_key_signed(business: Business) -> None:
    gate, url = business
    genuine = signed(gate, url)["X-WX-ASSERTION"]
    claims = jwt.decode(genuine, options={"verify_signature": False})
    key = generate_private_key(SECP256R1())
    headers = {"kid": jwt.get_unverified_header(genuine)["kid"]}
    forged = jwt.encode(claims, key, algorithm="ES256", headers=headers)
    answer = requests.get(url, headers={"X-WX-ASSERTION": forged}, timeout=5)
    assert answer.status_code == 401


def stored(gate: FrontDoor, bearer: str, assertion: str) -> Any:
    return gate.send("POST", "/api/phone", token=bearer, json_body={"assertion": assertion})


def opened_phone(gate: FrontDoor, token: str) -> str:
    code = gate.phone("ann").do("getPhoneNumber")["code"]
    answer = gate.send("POST", "/phone", token=token, json_body={"code": code})
    assertion: str = answer.json["assertion"]
    return assertion


def test_the_example_stores_a_phone_number_that_the_gate_opened(business: Business) -> None:
    gate, _ = business
    token = gate.login("ann")
    answer = stored(gate, token, opened_phone(gate, token))
    assert answer.json["stored"]["phoneNumber"] == "13852393413"


def test_the_example_refuses_the_phone_number_of_another_user(business: Business) -> None:
    gate, _ = business
    of_ann = opened_phone(gate, gate.login("ann"))
    assert stored(gate, gate.login("bob"), of_ann).status == 401


def test_the_lists_of_headers_are_those_of_the_proxy() -> None:
    quotes = re.findall(r"(?:^> .*\n)+", TEXT, re.MULTILINE)
    lists = [set(re.findall(r"[\w-]+", quote.lower())) for quote in quotes]
    assert lists == [headers.REQUEST_HEADERS, headers.ANSWER_HEADERS]


def test_the_page_names_what_no_setting_lets_through() -> None:
    told = TEXT.partition("Neither setting")[2].partition("\n\n")[0].lower()
    named = set(re.findall(r"[\w-]+\*?", told))
    hop_by_hop = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization"}
    hop_by_hop |= {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
    assert "hop-by-hop" in named
    assert set(rules.FORBIDDEN) - hop_by_hop <= named


@pytest.mark.parametrize("row", rows(TEXT, "the phone sends"), ids=lambda row: row[0])
def test_a_query_arrives_as_the_page_says(row: list[str], running_desk: desk.Desk) -> None:
    sent, (arrives, *_) = quoted(row[0])[0], quoted(row[1])
    target = f"/api/orders{sent}" if sent.startswith("?") else f"/v1{sent}"
    connection = urllib3.connection_from_url(running_desk.urls["gate"])
    echo = connection.urlopen("GET", target, headers=bearer_of(running_desk, "ann")).json()
    shown = f"?{echo['query']}" if echo["query"] else echo["path"]
    assert shown == arrives


@pytest.mark.parametrize("row", HOPS, ids=lambda row: row[0])
def test_the_phones_address_is_the_one_that_the_page_says(row: list[str]) -> None:
    elements = tuple(quoted(row[0])[0].split(", "))
    assert [headers.client_address(elements, int(row[1]), "203.0.113.9")] == quoted(row[2])


def test_the_headers_that_api_gateway_renames_are_told() -> None:
    told = {name.lower(): cell for names, cell in rows(TEXT, "you send") for name in quoted(names)}
    ours = headers.ANSWER_HEADERS - gateway.UNSENT
    assert {name for name in gateway.RENAMED if name in ours} == {"date"}
    assert "x-amzn-Remapped-Date" in told["date"]
    assert told.keys() >= gateway.RENAMED
    dropped = TEXT.partition("Dropped on the way in:")[2].partition("\n\n")[0].lower()
    assert set(quoted(dropped)) == gateway.DROPPED
