"""The Python example of docs/events.md, behind the gate."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from simulator import desk
from simulator.serving import serve
from simulator.wechat import openid_of
from tests.docs.pages import ROOT, blocks
from tests.events.conftest import Events
from tests.support.front_door import APPID

PAGE = ROOT / "docs/events.md"
Acts = list[tuple[str, str | None, dict[str, Any]]]


Business = tuple[Events, str, Acts]


@pytest.fixture
def business(
    events: Events, running_desk: desk.Desk, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Business]:
    """The gate before the example, the example's address, and what it did."""
    monkeypatch.setenv("GATE_URL", running_desk.urls["gate"])
    (source,) = blocks(PAGE.read_text(), "python")
    example: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, str(PAGE), "exec"), example)  # noqa: S102 - the page's own code
    acts: Acts = []
    example["act"] = lambda *act: acts.append(act)
    example["Events"].log_message = lambda *_: None
    server = serve(example["Events"], "127.0.0.1", 0)
    example["UPSTREAM"] = server.url
    monkeypatch.setenv("UPSTREAM_URL", server.url)
    events.door.module = desk.load_app()
    yield events, server.url, acts
    server.close()


def test_the_example_acts_once_on_an_event_that_comes_twice_and_on_one_of_nobody(
    business: Business,
) -> None:
    gate, _, acts = business
    fields = {"CreateTime": 1_714_112_445}
    for _ in range(2):
        gate.act("/control/push", event="user_authorization_revoke", user="ann", fields=fields)
    gate.act("/control/push", event="user_info_modified")
    assert gate.deliver() == 3
    seen = [(appid, openid, message["Event"]) for appid, openid, message in acts]
    ann = openid_of(APPID, "ann")
    assert (APPID, ann, "user_authorization_revoke") in seen
    assert (APPID, None, "user_info_modified") in seen
    assert len(seen) == 2


def test_the_example_refuses_what_is_no_event_of_the_gate_s(business: Business) -> None:
    gate, url, acts = business
    sign = gate.door.module.services.assertions.sign
    body = json.dumps({"Event": "user_authorization_cancellation", "OpenID": "o-ben"})
    claims = {"appid": APPID, "event_id": "e", "body_sha256": "of another", "kind": "event"}
    proxied = {"sub": "o-ann", "appid": APPID, "htm": "POST", "htu": f"{url}/wxgate/events"}
    for assertion in ("", "a.b.c", sign(claims, 60), sign(proxied, 60)):
        headers = {"X-WX-ASSERTION": assertion}
        assert requests.post(url, body, headers=headers, timeout=5).status_code == 401
    token = gate.door.login("ann")  # a user who tries it through the gate
    assert gate.door.send("POST", "/api/x", token=token, json_body={"Event": "x"}).status == 401
    assert acts == []
