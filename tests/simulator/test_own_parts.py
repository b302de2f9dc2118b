"""The desk with the user's own parts: API, WeChat, network, folder, edits."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from chalicelib import __version__
from simulator import dynamodb_local, upstream
from simulator.serving import Desk
from simulator.wechat import WeChat, push_secret_of, serve
from simulator.wechat.push import sealed
from tests.support import desk as desks
from tests.support import need
from tests.support.desk import call_api, free_ports, is_free, log_in, post_login, running
from tests.support.loopback import closed_port

OWN_APP, OWN_SECRET = "wxown0000000000001", "an-appsecret-of-my-own"
DeskWith = Callable[..., Desk]


def test_an_own_api_takes_the_place_of_the_echo_and_own_apps_and_settings_are_respected(
    desk_with: DeskWith,
) -> None:
    own = upstream.start("127.0.0.1", 0)
    variables = {"UPSTREAM_URL": f"{own.url}/base", "WX_APPIDS": " wxone,wxtwo,"}
    variables |= {"TOKEN_TTL": "301", "PUBLIC_PATHS": "news", "TRUSTED_HOPS": "1"}
    variables |= {"SESSIONS_TABLE": "my-own-table", "SECRET_PREFIX": "mine/"}
    port = free_ports()
    desk = desk_with(port, **variables)
    assert (desk.urls["upstream"], desk.remarks["upstream"]) == (f"{own.url}/base", "yours")
    assert is_free(port + 3)
    assert post_login(desk.urls, "wxone").json()["Code"] == "InvalidRequest"  # which of the two?
    for appid in ("wxone", "wxtwo"):
        answer = post_login(desk.urls, appid, appid=appid).json()
        assert answer["expires_in"] == 301
        echo = call_api(desk.urls, answer["token"]).json()
        assert (echo["path"], echo["headers"]["X-WX-APPID"]) == ("/base/me", appid)
    headers = {"X-Forwarded-For": "192.0.2.7"}
    news = requests.get(f"{desk.urls['gate']}/api/news", headers=headers, timeout=10).json()
    assert news["headers"]["X-Forwarded-For"] == "192.0.2.7"
    own.close()


def test_message_push_can_be_turned_off() -> None:
    with running({"EVENTS_PATH": ""}) as desk:
        assert requests.get(f"{desk.urls['gate']}/events/x", timeout=10).status_code == 404
        push = {"appid": "wx4f4bc4dec97d474b", "event": "e"}
        url = f"{desk.urls['WeChat']}/control/push"
        assert "no push URL" in requests.post(url, json=push, timeout=10).json()["errMsg"]


@pytest.fixture
def real() -> Iterator[dict[str, str]]:
    """Variables by which codes go to a WeChat that knows an app of the user's own."""
    server = serve(WeChat({OWN_APP: OWN_SECRET}))
    own = {"WX_APPIDS": OWN_APP, f"WX_APPSECRET_{OWN_APP}": OWN_SECRET}
    yield {**own, "WECHAT": "real", "WECHAT_API_URL": server.url}
    server.close()


def test_codes_go_to_the_real_wechat_and_the_secret_shows_nowhere(real: dict[str, str]) -> None:
    with running(real) as desk:
        assert post_login(desk.urls, OWN_APP).status_code == 200
        arguments = Path(f"/proc/{desk.process.pid}/cmdline")
        shown = arguments.read_bytes().decode() if arguments.exists() else ""
        page = requests.get(desk.urls["playground"], timeout=10).text
        facts = requests.get(f"{desk.urls['playground']}/facts", timeout=5).json()
        assert is_free(desk.port + 1)
        push = sealed(OWN_APP, b"{}", push_secret_of(OWN_APP), time.time())  # as on a plain desk
        events = f"{desk.urls['gate']}/events/{OWN_APP}"
        assert requests.post(events, push.body, params=push.query, timeout=9).status_code == 403
    assert ["WeChat", real["WECHAT_API_URL"], "real"] in [line.split() for line in desk.said]
    assert f"appsecret of {OWN_APP}: from WX_APPSECRET_{OWN_APP}" in "\n".join(desk.said)
    assert (facts["wechat"], facts["upstream"]) == (False, True)
    assert desk.errors == ""
    assert OWN_SECRET not in "\n".join([*desk.said, shown, page, desk.log])


def test_what_goes_wrong_again_and_again_is_one_line_that_says_what_to_do(
    real: dict[str, str],
) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    with running({**real, "UPSTREAM_URL": nowhere, "LOG_LEVEL": "ERROR"}) as desk:
        mock = {"code": "the code is a mock one"}
        requests.post(f"{desk.urls['gate']}/login", json=mock, timeout=5)
        token = log_in(desk.urls, OWN_APP)
        answers = [call_api(desk.urls, token) for _ in range(2)]
        for errcode in (40164, 40125, 40013, 40029):
            fault = {"path": "/sns/jscode2session", "kind": errcode, "times": 9}
            requests.post(f"{real['WECHAT_API_URL']}/control/reset", timeout=5)
            requests.post(f"{real['WECHAT_API_URL']}/control/fault", json=fault, timeout=5)
            for _ in range(2):
                post_login(desk.urls, OWN_APP)
    assert [answer.headers["X-Wxgate-Error"] for answer in answers] == ["UpstreamUnreachable"] * 2
    tourist, api, *hints = desk.errors.splitlines()
    assert tourist == hints[-1]
    assert "INFO" not in desk.log
    assert api == f"The upstream at {nowhere} does not answer: is your API running?"
    for hint, word in zip(hints, ("IP白名单", "AppSecret", "AppID", "游客模式"), strict=True):
        assert word in hint


NAMESPACE = "wxgate-phone"
HERE, THERE = "198.18.77.1", "198.18.77.2"  # of the range for tests of networks (RFC 2544)


@pytest.fixture
def second_host() -> Iterator[list[str]]:
    has_both = shutil.which("ip") and os.geteuid() == 0
    need(None if has_both else "a second host needs root and iproute2")
    commands = [
        f"netns add {NAMESPACE}",
        f"link add wxgate0 type veth peer name wxgate1 netns {NAMESPACE}",
        f"addr add {HERE}/30 dev wxgate0",
        "link set wxgate0 up",
        f"-n {NAMESPACE} addr add {THERE}/30 dev wxgate1",
        f"-n {NAMESPACE} link set wxgate1 up",
    ]
    subprocess.run(["ip", "netns", "del", NAMESPACE], capture_output=True, check=False)
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    yield ["ip", "netns", "exec", NAMESPACE]
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def test_another_host_reaches_the_gate_and_nothing_else(second_host: list[str]) -> None:
    def status(port: int) -> str:
        url = f"http://{HERE}:{port}/health"
        words = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "-m", "5", url]
        done = subprocess.run([*second_host, *words], capture_output=True, text=True, check=False)
        return done.stdout

    with running({"HOST": "0.0.0.0"}) as desk:
        assert desk.process.stdout
        page = [desk.process.stdout.readline() for _ in range(9)]
        found = [status(desk.port + offset) for offset in range(5)]
    assert found == ["200", "000", "000", "000", "000"]
    for words in (f":{desk.port}", "不校验合法域名", "真机调试", "Warning", "注意"):
        assert words in "".join(page)


@pytest.mark.dynamodb_local
def test_a_token_survives_the_restart_in_a_folder(tmp_path: Path) -> None:
    need(dynamodb_local.missing())
    with running({"DATA": str(tmp_path)}) as desk:
        token = log_in(desk.urls)
    with running({"DATA": str(tmp_path)}) as desk:
        assert call_api(desk.urls, token).status_code == 200


def test_an_edit_is_served_and_a_broken_one_is_one_line_at_the_start_too(tmp_path: Path) -> None:
    copy, ignore = tmp_path, shutil.ignore_patterns("__pycache__")
    for name in ("chalicelib", "simulator", "infrastructure"):
        shutil.copytree(desks.ROOT / name, copy / name, ignore=ignore)
    shutil.copy(desks.ROOT / "app.py", copy)
    with running({"RELOAD": "1"}, copy) as desk:
        token, health = log_in(desk.urls), f"{desk.urls['gate']}/health"
        version = copy / "chalicelib/__init__.py"
        version.write_text(version.read_text().replace(__version__, "0.9.9"))
        end = time.monotonic() + desks.START_SECONDS
        while requests.get(health, timeout=5).json()["version"] != "0.9.9":
            assert time.monotonic() < end
            time.sleep(0.05)
        assert desk.process.stderr
        assert desk.process.stderr.readline() == "The gate was reloaded.\n"
        for name in ("app.py", "chalicelib/settings.py"):
            with (copy / name).open("a") as edited:
                edited.write("\nthis is no Python\n")
            broken = desk.process.stderr.readline()
            assert call_api(desk.urls, token).status_code == 200
            assert broken.startswith(f"The gate does not load: {Path(name).name}:")
            assert broken.endswith("The gate before the change goes on.\n")
    (copy / "chalicelib/errors.py").write_text("1 / 0\n")
    status, out, errors = desks.ended(desks.start("--port", str(free_ports()), cwd=copy))
    assert (status, out, errors.count("\n")) == (1, "", 1)
    assert "ZeroDivisionError" in errors
