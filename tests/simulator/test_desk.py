"""`python -m simulator` as its user meets it: its address table, its refusals, its end."""

import json
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from simulator.desk import PORTS, DeskError
from simulator.serving import Desk
from tests.support.desk import call_api, ended, free_ports, is_free, log_in, running, start
from tests.support.front_door import Phone
from tests.support.loopback import closed_port

DeskWith = Callable[..., Desk]


def test_it_tells_its_addresses_serves_logs_and_leaves_nothing_behind_on_sigterm() -> None:
    with running() as desk:
        ports = range(desk.port, desk.port + len(PORTS))
        token = log_in(desk.urls)
        assert call_api(desk.urls, token).json()["path"] == "/me"
        assert not any(map(is_free, ports))
    assert desk.errors == ""
    assert all(map(is_free, ports))
    assert re.fullmatch(r"wxgate is ready after \d+\.\d s\. Ctrl-C ends it\.", desk.said[0])
    assert list(desk.urls.items()) == [
        (name, f"http://127.0.0.1:{port}") for name, port in zip(PORTS, ports, strict=True)
    ]
    routes = [json.loads(line)["route"] for line in desk.log.splitlines()]
    assert (routes[0], routes[-1]) == ("/login", "/api/{proxy+}")
    assert token not in desk.log


def test_ctrl_c_ends_it_while_a_request_is_under_way() -> None:
    with running(end=signal.SIGINT) as desk:
        fault = {"path": "/sns/jscode2session", "kind": "timeout"}
        requests.post(f"{desk.urls['WeChat']}/control/fault", json=fault, timeout=5)
        body = json.dumps({"code": Phone(desk.urls["WeChat"]).code()}).encode()
        head = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        waiting = socket.create_connection(("127.0.0.1", desk.port))
        waiting.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    waiting.close()
    assert desk.errors == ""
    assert all(is_free(desk.port + offset) for offset in range(5))


def test_what_cannot_be_is_one_line_and_status_1() -> None:
    environ = {"FORWARD_REQUEST_HEADERS": "X_WX_OPENID"}
    status, out, errors = ended(start("--port", str(free_ports()), environ=environ))
    assert (status, out, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("The gate does not start: FORWARD_REQUEST_HEADERS")


def refused(desk_with: DeskWith, port: int, **variables: str) -> str:
    with pytest.raises(DeskError) as refusal:
        desk_with(port, **variables)
    sentence = str(refusal.value)
    assert "\n" not in sentence
    return sentence


def test_each_port_in_use_is_named_and_the_one_that_is_proposed_exists(desk_with: DeskWith) -> None:
    port = free_ports()
    for offset, name in enumerate(PORTS):
        with socket.create_server(("127.0.0.1", port + offset)):
            sentence = refused(desk_with, port)
        assert sentence.startswith(f"Port {port + offset} ({name}) is not available: ")
    with socket.create_server(("127.0.0.1", 65_535 - 3)):
        assert refused(desk_with, 65_535 - 4).endswith("PORT=8000")


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"TOKEN_TTL": "forever"}, "The gate does not start: TOKEN_TTL is malformed"),
        ({"WX_APPIDS": "wx one"}, "The gate does not start: WX_APPIDS is malformed"),
        ({"HOST": "192.0.2.9"}, "HOST=192.0.2.9 is no address of this machine."),
        ({"AWS_URL": "nonsense"}, "The AWS engine at nonsense is not usable. "),
        ({"DATA": ".", "PATH": ""}, "DATA cannot be used: Java 17 or newer is missing"),
    ],
)
def test_a_part_that_cannot_be_is_one_line_and_nothing_stays_behind(
    desk_with: DeskWith, variables: dict[str, str], line: str
) -> None:
    port = free_ports()
    assert refused(desk_with, port, **variables).startswith(line)
    assert all(is_free(port + offset) for offset in range(5))


def test_an_engine_that_keeps_secrets_too_is_the_only_one(
    desk_with: DeskWith, moto_url: str
) -> None:
    desk = desk_with(AWS_URL=moto_url)
    assert list(desk.urls) == list(PORTS)
    assert (desk.urls["AWS"], desk.remarks["AWS"]) == (moto_url, "yours")


@pytest.mark.dynamodb_local
def test_an_engine_without_secrets_keeps_the_sessions(
    desk_with: DeskWith, dynamodb_local_url: str
) -> None:
    desk = desk_with(AWS_URL=dynamodb_local_url)
    assert (desk.urls["DynamoDB"], desk.remarks["DynamoDB"]) == (dynamodb_local_url, "yours")
    assert call_api(desk.urls, log_in(desk.urls)).status_code == 200


def test_a_real_account_is_neither_needed_nor_used(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    (tmp_path / "config").write_text(f"[profile real]\nregion = cn-north-1\nendpoint_url={nowhere}")
    account = {"AWS_PROFILE": "missing", "AWS_CONFIG_FILE": str(tmp_path / "config")}
    account |= {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real"}
    account |= {"AWS_SESSION_TOKEN": "real", "AWS_REGION": "cn-north-1"}
    account |= dict.fromkeys(["AWS_ENDPOINT_URL_DYNAMODB", "HTTP_PROXY", "http_proxy"], nowhere)
    account |= dict.fromkeys(
        ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT"], "true"
    )
    with running({**account, "NO_PROXY": "", "no_proxy": ""}) as desk:
        assert call_api(desk.urls, log_in(desk.urls)).status_code == 200
    assert desk.errors == ""
