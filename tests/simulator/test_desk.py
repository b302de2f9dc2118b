"""`python -m simulator` as its user meets it: a process, its address table, its end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from simulator.desk import PORTS, DeskError, Parts, set_up
from tests.conftest import APPID, Phone
from tests.support import dynamodb_local
from tests.support.misbehaving import Misbehaving, answers, closed_port

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 30


def free_ports() -> int:
    """Find the first of five free ports in a row."""
    for first in range(20_000 + os.getpid() % 10_000, 60_000, 5):
        if all(is_free(first + offset) for offset in range(len(PORTS))):
            return first
    raise AssertionError("no five free ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def command(
    *flags: str, environ: Mapping[str, str] = {}, cwd: Path = ROOT
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *flags],
        cwd=cwd,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*flags: str, **environ: str) -> tuple[int, str, str]:
    """Run it where it ends by itself; give status, output and errors."""
    process = command(*flags, environ=environ)
    out, errors = process.communicate(timeout=START_SECONDS)
    return process.returncode, out, errors


def ready(process: subprocess.Popen[str]) -> list[str]:
    """Read what it says until it is ready: a line, and a table between two empty lines."""
    assert process.stdout
    lines: list[str] = []
    while lines.count("\n") < 2:
        line = process.stdout.readline()
        assert line, process.communicate()
        lines.append(line)
    return [line.rstrip() for line in lines]


@contextmanager
def running(
    port: int,
    *flags: str,
    end: signal.Signals = signal.SIGTERM,
    environ: Mapping[str, str] = {},
) -> Iterator[list[str]]:
    """Run it until the block ends; give the lines that it said when it was ready."""
    process = command("--port", str(port), *flags, environ=environ)
    try:
        said = ready(process)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
        yield said
    finally:
        errors = end_of(process, end)[1]
    assert (process.returncode, errors) == (0, "")


def end_of(process: subprocess.Popen[str], end: signal.Signals) -> tuple[str, str]:
    """End it, by force where it does not listen; give the rest of its output, and its errors."""
    process.send_signal(end)
    try:
        return process.communicate(timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


def login(port: int, user: str = "alice") -> str:
    for _ in range(10):
        code = Phone(f"http://127.0.0.1:{port + 1}", user).code()
        answer = requests.post(f"http://127.0.0.1:{port}/login", json={"code": code}, timeout=10)
        if answer.status_code != 503:
            break
    token: str = answer.json()["token"]
    return token


def me(port: int, token: str) -> requests.Response:
    """Ask who I am; as the gate says, an engine that is slow is asked again."""
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(10):
        answer = requests.get(f"http://127.0.0.1:{port}/api/me", headers=headers, timeout=10)
        if answer.status_code != 503:
            break
    return answer


# --- it serves ----------------------------------------------------------------------------------


def test_it_serves_the_mini_programs_that_the_environment_names() -> None:
    port, appids = free_ports(), ["wxone", "wxtwo"]
    with running(port, environ={"WX_APPIDS": " wxone,wxtwo,"}):
        for appid in appids:
            code = Phone(f"http://127.0.0.1:{port + 1}", appid=appid).code()
            body = {"code": code, "appid": appid}
            login = requests.post(f"http://127.0.0.1:{port}/login", json=body, timeout=10)
            sent = me(port, login.json()["token"]).json()["headers"]
            assert sent["X-WX-APPID"] == appid
        anybodys = requests.post(f"http://127.0.0.1:{port}/login", json={"code": "x"}, timeout=10)
        assert anybodys.json()["Code"] == "InvalidRequest"


def test_a_mini_program_that_is_none_is_told_in_one_line() -> None:
    status, _, errors = ended("--port", str(free_ports()), WX_APPIDS="wx one")
    assert status == 1
    assert errors.startswith("The gate does not start: WX_APPIDS is malformed")
    assert errors.count("\n") == 1


# --- it starts and ends --------------------------------------------------------------------------


def test_it_tells_its_addresses_serves_logs_and_leaves_nothing_behind_on_sigterm() -> None:
    port = free_ports()
    process = command("--port", str(port))
    first, _, *table, _ = ready(process)
    token = login(port)
    assert me(port, token).json()["path"] == "/me"
    assert not any(is_free(port + offset) for offset in range(5))
    log, errors = end_of(process, signal.SIGTERM)
    assert (process.returncode, errors) == (0, "")
    assert all(is_free(port + offset) for offset in range(5))
    assert re.fullmatch(r"wxgate is ready after \d+\.\d s\. Ctrl-C ends it\.", first)
    assert [line.split()[:2] for line in table] == [
        [name, f"http://127.0.0.1:{port + offset}"] for offset, name in enumerate(PORTS)
    ]
    routes = [json.loads(line)["route"] for line in log.splitlines()]
    assert (routes[0], routes[-1]) == ("/login", "/api/{proxy+}")
    assert token not in log


def test_ctrl_c_ends_it_while_a_request_is_under_way() -> None:
    port = free_ports()
    with running(port, end=signal.SIGINT):
        wechat = f"http://127.0.0.1:{port + 1}"
        fault = {"path": "/sns/jscode2session", "kind": "timeout"}
        requests.post(f"{wechat}/control/fault", json=fault, timeout=5)
        body = json.dumps({"code": Phone(wechat).code()}).encode()
        head = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        waiting = socket.create_connection(("127.0.0.1", port))
        waiting.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    waiting.close()
    assert all(is_free(port + offset) for offset in range(5))


# --- what cannot be ------------------------------------------------------------------------------


@pytest.fixture
def environment() -> Iterator[None]:
    """Let the desk change the environment of this test alone."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def refused(port: int = 0, chosen: Parts | None = None) -> str:
    """Set a desk up that cannot be; give its one line."""
    with pytest.raises(DeskError) as refusal:
        set_up(port, chosen)
    sentence = str(refusal.value)
    assert "\n" not in sentence
    return sentence


def test_what_cannot_be_is_one_line_and_status_1() -> None:
    port = free_ports()
    with socket.create_server(("127.0.0.1", port + 2)):
        status, out, errors = ended("--port", str(port))
    assert (status, out) == (1, "")
    assert re.fullmatch(rf"Port {port + 2} \(AWS\) is not available: .*in use.* PORT=\d+\n", errors)


@pytest.mark.parametrize("flags", [("--port", "x"), ("--port", "0"), ("--port", "65532"), ("-x",)])
def test_a_bad_flag_is_told_at_once(flags: tuple[str, ...]) -> None:
    status, out, errors = ended(*flags)
    assert (status, out) == (2, "")
    assert errors.startswith("usage: python -m simulator")


@pytest.mark.parametrize("offset", range(5))
def test_each_port_in_use_is_named(environment: None, offset: int) -> None:
    port = free_ports()
    with socket.create_server(("127.0.0.1", port + offset)):
        assert refused(port).startswith(f"Port {port + offset} ({PORTS[offset]}) is not available")


def test_the_port_that_is_proposed_exists(environment: None) -> None:
    with socket.create_server(("127.0.0.1", 65_535 - 3)):
        assert refused(65_535 - 4).endswith("PORT=8000")


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:1", "ftp://127.0.0.1"])
def test_an_engine_that_does_not_answer_is_told(environment: None, url: str) -> None:
    assert refused(chosen=Parts(aws_url=url)).startswith(f"The AWS engine at {url} is not usable. ")


def test_a_web_server_is_no_engine(environment: None) -> None:
    with Misbehaving(answers(b"<html></html>")) as server:
        assert refused(chosen=Parts(aws_url=server.url)).endswith("What answers is no AWS engine.")


def test_an_engine_that_refuses_is_told(environment: None) -> None:
    refusal = b'{"__type":"AccessDeniedException","message":"no"}'
    with Misbehaving(answers(refusal, status="400 Bad Request")) as server:
        assert refused(chosen=Parts(aws_url=server.url)).endswith(
            "DynamoDB refuses: AccessDeniedException."
        )


def test_a_setting_that_the_gate_does_not_take_is_told(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_TTL", "forever")
    assert refused().startswith("The gate does not start: TOKEN_TTL is malformed")


def test_what_had_started_before_the_failure_is_ended(environment: None) -> None:
    port = free_ports()
    refused(port, Parts(aws_url="nonsense"))
    assert all(is_free(port + offset) for offset in range(5))


def test_an_engine_that_keeps_secrets_too_is_the_only_one(environment: None, moto_url: str) -> None:
    desk = set_up(0, Parts(aws_url=moto_url))
    desk.close()
    assert desk.urls["AWS"] == moto_url
    assert list(desk.urls) == list(PORTS)


# --- accounts and engines ------------------------------------------------------------------------


def test_a_real_account_is_neither_needed_nor_used(tmp_path: Path) -> None:
    port = free_ports()
    nowhere = f"http://127.0.0.1:{closed_port()}"
    (tmp_path / "config").write_text(f"[profile real]\nregion = cn-north-1\nendpoint_url={nowhere}")
    account = {
        "AWS_PROFILE": "missing",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_REGION": "cn-north-1",
        "AWS_ENDPOINT_URL_DYNAMODB": nowhere,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTP_PROXY": nowhere,
        "http_proxy": nowhere,
        "NO_PROXY": "",
        "no_proxy": "",
    }
    with running(port, environ=account):
        assert me(port, login(port)).status_code == 200


@pytest.mark.dynamodb_local
def test_a_token_survives_the_restart_of_the_desk_and_of_dynamodb_local(tmp_path: Path) -> None:
    port = free_ports()
    with dynamodb_on_disk(tmp_path) as url, running(port, environ={"AWS_URL": url}) as said:
        assert ["DynamoDB", url, "yours"] in [line.split() for line in said]
        token = login(port)
    with dynamodb_on_disk(tmp_path) as url, running(port, environ={"AWS_URL": url}):
        assert me(port, token).json()["headers"]["X-WX-APPID"] == APPID
        assert me(port, login(port)).status_code == 200


@contextmanager
def dynamodb_on_disk(folder: Path) -> Iterator[str]:
    reason = dynamodb_local.missing()
    if reason and not dynamodb_local.must_run():
        pytest.skip(reason)
    process, url = dynamodb_local.start(folder)
    try:
        yield url
    finally:
        process.terminate()
        process.wait()
