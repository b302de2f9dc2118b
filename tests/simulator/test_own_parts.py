"""The desk with the user's own parts, as a process: API, WeChat, network, folder, edits."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from simulator import upstream
from simulator.dynamodb_local import missing
from simulator.wechat import WeChat, serve
from tests.conftest import Phone
from tests.simulator.test_desk import (
    ROOT,
    START_SECONDS,
    command,
    end_of,
    ended,
    free_ports,
    is_free,
    login,
    me,
    ready,
    running,
)
from tests.support import dynamodb_local
from tests.support.misbehaving import closed_port

OWN_APP, OWN_SECRET = "wxown0000000000001", "an-appsecret-of-my-own"


def eventually(happens: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + START_SECONDS
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


# --- an own business API ------------------------------------------------------------------------


def test_an_own_api_takes_the_place_of_the_echo() -> None:
    port, own = free_ports(), upstream.start("127.0.0.1", 0)
    try:
        with running(port, environ={"UPSTREAM_URL": f"{own.url}/base"}) as said:
            assert ["upstream", f"{own.url}/base", "yours"] in [line.split() for line in said]
            assert is_free(port + 3)
            assert me(port, login(port)).json()["path"] == "/base/me"
    finally:
        own.close()


def test_an_api_that_is_not_up_yet_is_502_and_one_hint() -> None:
    port, nowhere = free_ports(), f"http://127.0.0.1:{closed_port()}"
    process = command("--port", str(port), environ={"UPSTREAM_URL": nowhere})
    ready(process)
    token = login(port)
    answers = [me(port, token) for _ in range(2)]
    _, errors = end_of(process, signal.SIGTERM)
    assert [answer.headers["X-Wxgate-Error"] for answer in answers] == ["UpstreamUnreachable"] * 2
    assert errors == f"The upstream at {nowhere} does not answer: is your API running?\n"


def test_every_other_variable_is_respected() -> None:
    own = {
        "TOKEN_TTL": "301",
        "PUBLIC_PATHS": "news",
        "SESSIONS_TABLE": "my-own-table",
        "SECRET_PREFIX": "mine/",
    }
    port = free_ports()
    with running(port, environ=own):
        code = Phone(f"http://127.0.0.1:{port + 1}").code()
        answer = requests.post(f"http://127.0.0.1:{port}/login", json={"code": code}, timeout=10)
        assert answer.json()["expires_in"] == 301
        assert requests.get(f"http://127.0.0.1:{port}/api/news", timeout=10).status_code == 200


def test_message_push_can_be_turned_off() -> None:
    port = free_ports()
    with running(port, environ={"EVENTS_PATH": ""}):
        assert requests.get(f"http://127.0.0.1:{port}/events/x", timeout=10).status_code == 404
        push = {"appid": "wx4f4bc4dec97d474b", "event": "e"}
        url = f"http://127.0.0.1:{port + 1}/control/push"
        assert "no push URL" in requests.post(url, json=push, timeout=10).json()["errMsg"]


# --- the real WeChat: here another simulator -----------------------------------------------------


@contextmanager
def other_wechat() -> Iterator[str]:
    server = serve(WeChat({OWN_APP: OWN_SECRET}), "127.0.0.1", 0)
    yield server.url
    server.close()


def real(url: str, secret: str = OWN_SECRET) -> dict[str, str]:
    return {
        "WECHAT": "real",
        "WX_APPIDS": OWN_APP,
        "WECHAT_API_URL": url,
        f"WX_APPSECRET_{OWN_APP}": secret,
    }


def log_in(port: int, wechat: str) -> requests.Response:
    code = Phone(wechat, appid=OWN_APP).code()
    return requests.post(f"http://127.0.0.1:{port}/login", json={"code": code}, timeout=10)


def test_codes_go_to_the_real_wechat_and_the_secret_shows_nowhere() -> None:
    port = free_ports()
    with other_wechat() as url:
        process = command("--port", str(port), environ=real(url))
        said = ready(process)
        assert log_in(port, url).status_code == 200
        arguments = Path(f"/proc/{process.pid}/cmdline")
        shown = arguments.read_bytes().decode() if arguments.exists() else ""
        page = requests.get(f"http://127.0.0.1:{port + 4}/", timeout=10).text
        log, errors = end_of(process, signal.SIGTERM)
    assert ["WeChat", url, "real"] in [line.split() for line in said]
    assert f"appsecret of {OWN_APP}: from WX_APPSECRET_{OWN_APP}" in "\n".join(said)
    assert errors == ""
    assert OWN_SECRET not in "\n".join([*said, shown, page, log])


def test_the_phone_face_is_not_started_beside_the_real_wechat() -> None:
    port = free_ports()
    with other_wechat() as url, running(port, environ=real(url)):
        assert is_free(port + 1)


@pytest.mark.parametrize(
    ("errcode", "hint"),
    [(40164, "IP白名单"), (40125, "AppSecret"), (40013, "AppID"), (40029, "游客模式")],
)
def test_what_wechat_refuses_gets_a_line_that_says_what_to_do(errcode: int, hint: str) -> None:
    port = free_ports()
    with other_wechat() as url:
        process = command("--port", str(port), environ=real(url))
        ready(process)
        fault = {"path": "/sns/jscode2session", "kind": errcode, "times": 4}
        requests.post(f"{url}/control/fault", json=fault, timeout=5)
        for _ in range(2):
            log_in(port, url)
        _, errors = end_of(process, signal.SIGTERM)
    assert hint in errors
    assert errors.count("\n") == 1


# --- a phone in the same network ----------------------------------------------------------------

NAMESPACE = "wxgate-phone"
HERE, THERE = "198.18.77.1", "198.18.77.2"  # of the range for tests of networks (RFC 2544)


@pytest.fixture
def second_host() -> Iterator[list[str]]:
    """Make a second host, joined by a cable; give the words that run a command on it."""
    if not shutil.which("ip") or os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("CI runs as root and has iproute2")
        pytest.skip("a second host needs root and iproute2")
    commands = [
        f"netns add {NAMESPACE}",
        f"link add wxgate0 type veth peer name wxgate1 netns {NAMESPACE}",
        f"addr add {HERE}/30 dev wxgate0",
        "link set wxgate0 up",
        f"-n {NAMESPACE} addr add {THERE}/30 dev wxgate1",
        f"-n {NAMESPACE} link set wxgate1 up",
    ]
    subprocess.run(["ip", "netns", "del", NAMESPACE], capture_output=True, check=False)
    for words in commands:
        subprocess.run(["ip", *words.split()], check=True)
    yield ["ip", "netns", "exec", NAMESPACE]
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def test_another_host_reaches_the_gate_and_nothing_else(second_host: list[str]) -> None:
    port = free_ports()

    def status(offset: int) -> str:
        url = f"http://{HERE}:{port + offset}/health"
        words = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "-m", "5", url]
        done = subprocess.run([*second_host, *words], capture_output=True, text=True, check=False)
        return done.stdout

    process = command("--port", str(port), environ={"HOST": "0.0.0.0"})
    ready(process)
    assert process.stdout
    page = [process.stdout.readline() for _ in range(9)]
    found = [status(offset) for offset in range(5)]
    end_of(process, signal.SIGTERM)
    assert found == ["200", "000", "000", "000", "000"]
    for words in (f":{port}", "不校验合法域名", "真机调试", "Warning", "注意"):
        assert words in "".join(page)


# --- a folder of one's own -----------------------------------------------------------------------


@pytest.mark.dynamodb_local
def test_a_token_survives_the_restart_in_a_folder(tmp_path: Path) -> None:
    if (reason := missing()) and not dynamodb_local.must_run():
        pytest.skip(reason)
    port, environ = free_ports(), {"DATA": str(tmp_path)}
    with running(port, environ=environ):
        token = login(port)
    with running(port, environ=environ):
        assert me(port, token).status_code == 200


def test_data_without_java_is_refused_in_one_line(tmp_path: Path) -> None:
    status, _, errors = ended(
        "--port", str(free_ports()), DATA=str(tmp_path), PATH=str(tmp_path / "empty")
    )
    assert status == 1
    assert errors.startswith("DATA cannot be used: Java 17 or newer is missing")
    assert errors.count("\n") == 1


# --- edits ---------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the gate and the desk, to edit."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("chalicelib", "simulator", "infrastructure"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "app.py", tmp_path)
    return tmp_path


def test_an_edit_is_served_and_a_broken_one_is_one_line(copy: Path) -> None:
    port = free_ports()
    process = command("--port", str(port), cwd=copy, environ={"RELOAD": "1"})
    ready(process)
    token = login(port)
    version = copy / "chalicelib/__init__.py"
    version.write_text(version.read_text().replace("0.1.0", "0.9.9"))
    health = f"http://127.0.0.1:{port}/health"
    eventually(lambda: requests.get(health, timeout=5).json()["version"] == "0.9.9")
    door = copy / "app.py"
    door.write_text(door.read_text() + "\nthis is no Python\n")
    assert process.stderr
    assert process.stderr.readline() == "The gate was reloaded.\n"
    broken = process.stderr.readline()
    assert broken.startswith("The gate does not load: app.py:")
    assert broken.endswith("The gate before the change goes on.\n")
    assert me(port, token).status_code == 200
    end_of(process, signal.SIGTERM)


def test_a_broken_app_is_one_line_at_the_start_too(copy: Path) -> None:
    (copy / "chalicelib/errors.py").write_text("1 / 0\n")
    process = command("--port", str(free_ports()), cwd=copy)
    out, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert "ZeroDivisionError" in errors
    assert out == ""
