"""The composition root: one reader of the environment, services built once, a safe INIT."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import snapshot_restore_py  # type: ignore[import-untyped]  # has no types

from chalicelib import deadlines, logs
from chalicelib import services as root
from chalicelib.deadlines import Deadline
from chalicelib.errors import Misconfigured
from chalicelib.services import SERVICES, Services
from chalicelib.settings import FUNCTIONS, VARIABLES
from simulator import desk
from tests.support.fakes import Clock

APPID = "wx4f4bc4dec97d474b"
GOOD = {
    "WX_APPIDS": APPID,
    "SESSIONS_TABLE": "wxgate-sessions",
    "SECRET_PREFIX": "wxgate/",
    "UPSTREAM_URL": "https://api.example.com/base",
    "AWS_DEFAULT_REGION": "us-east-1",
}
NAMES = ["sessions", "wechat", "upstream", "assertions", "push", "queue"]


@pytest.fixture
def services(clock: Clock) -> Services:
    return Services({**GOOD, "TOKEN_TTL": "3600"}, clock)


# --- the environment ---


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DECRYPT_MAX_AGE", "77")
    assert root.from_environment().settings.decrypt_max_age == 77


def test_a_faulty_environment_is_logged_once_and_builds_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**GOOD, "WX_APPIDS": "", "AWS_LAMBDA_FUNCTION_NAME": "x"}.items():
        monkeypatch.setenv(name, value)
    services = root.from_environment()
    assert capsys.readouterr().out.count("WX_APPIDS is missing.") == 1
    assert (services.fault, services.log_level) == ("WX_APPIDS is missing.", "INFO")
    for name in NAMES:
        with pytest.raises(Misconfigured) as caught:
            getattr(services, name)
        assert caught.value.evidence == {"reason": "WX_APPIDS is missing."}


def test_a_good_environment_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**GOOD, "LOG_LEVEL": "debug"}.items():
        monkeypatch.setenv(name, value)
    services = root.from_environment()
    assert (services.fault, services.log_level) == (None, "DEBUG")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_lambda_function_needs_its_own_variables_alone(function: str) -> None:
    needed = {name: GOOD[name] for name in GOOD if name in VARIABLES}
    needed = {n: v for n, v in needed.items() if function in VARIABLES[n].functions}
    assert Services({**needed, "WXGATE_FUNCTION": function}).fault is None
    for name in needed:
        fault = Services({**needed, "WXGATE_FUNCTION": function, name: ""}).fault
        assert fault == f"{name} is missing."


def test_the_functions_are_those_of_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    names = {function.name for function in desk.load_app().app.pure_lambda_functions}
    assert names == set(FUNCTIONS) == set(SERVICES)


# --- what is built ---


def test_services_are_built_from_the_settings(services: Services) -> None:
    assert services.sessions.ttl == 3600
    assert services.wechat.app(None) == APPID
    assert services.upstream.url("a/b") == "https://api.example.com/base/a/b"


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_built_once_even_if_threads_need_it_at_once(
    services: Services, name: str
) -> None:
    barrier, built = threading.Barrier(8), list[object]()

    def get() -> None:
        barrier.wait()
        built.append(getattr(services, name))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 8
    assert len(set(map(id, built))) == 1


def test_secrets_manager_has_two_seconds_in_all(services: Services) -> None:
    config = services._secrets_client.meta.config
    assert config.retries["total_max_attempts"] == deadlines.SECRETS_ATTEMPTS
    assert config.connect_timeout == config.read_timeout == deadlines.SECRETS_ATTEMPT
    assert deadlines.SECRETS_ATTEMPTS * deadlines.SECRETS_ATTEMPT < 2


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AWS_CONFIG_FILE", __file__, "ConfigParseError"),
        ("AWS_DEFAULTS_MODE", "weird", "InvalidDefaultsMode"),
        ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "weird", "InvalidConfigError"),
    ],
)
def test_a_setting_that_the_sdk_rejects_is_the_operators_fault(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured) as caught:
        Services(GOOD).assertions.key_set()
    assert caught.value.evidence["reason"] == reason


# --- INIT ---


class Room:
    """A service that records that it is warmed up, and then does what `act` does."""

    def __init__(self, name: str, warmed: list[str], act: Callable[[Deadline], object]) -> None:
        self._name, self._warmed, self._act = name, warmed, act

    def warm(self, deadline: Deadline) -> None:
        self._warmed.append(self._name)
        self._act(deadline)


def furnished(function: str, act: Callable[[Deadline], object]) -> tuple[Services, list[str]]:
    """Services whose rooms are fakes, and the list of those that were warmed up."""
    services, warmed = Services({**GOOD, "WXGATE_FUNCTION": function}), list[str]()
    vars(services).update({name: Room(name, warmed, act) for name in NAMES})
    return services, warmed


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_warms_up_what_it_uses(function: str) -> None:
    services, warmed = furnished(function, lambda deadline: deadline)
    services.init()
    assert warmed == list(SERVICES[function])


def test_a_process_that_serves_all_routes_warms_up_everything() -> None:
    services, warmed = furnished("", lambda deadline: deadline)
    services.init()
    assert sorted(warmed) == sorted(NAMES)


def fail(_deadline: Deadline) -> None:
    raise RuntimeError


def test_what_fails_in_init_is_left_to_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    services, warmed = furnished("login", fail)
    services.init()
    assert warmed == ["sessions", "wechat"]
    assert capsys.readouterr() == ("", "")


def test_init_ends_though_a_call_does_not_and_begins_no_other() -> None:
    for_ever = threading.Event()
    services, warmed = furnished("login", lambda _: for_ever.wait())
    services.init()
    assert warmed == ["sessions"]
    for_ever.set()


def test_a_call_is_told_the_deadline_of_init() -> None:
    left: list[float] = []
    services, _ = furnished("proxy", lambda deadline: left.append(deadline.remaining()))
    services.warm_up()
    assert len(left) == 3
    assert all(0 < seconds <= deadlines.INIT for seconds in left)


def test_in_lambda_init_runs_and_outlives_that_nothing_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "WECHAT_API_URL": "http://127.0.0.1:1"}
    lambdas = {"AWS_LAMBDA_FUNCTION_NAME": "x", "WXGATE_FUNCTION": "login"}
    for name, value in {**GOOD, **nowhere, **lambdas}.items():
        monkeypatch.setenv(name, value)
    services = root.from_environment()
    logs.configure("INFO")
    assert {"sessions", "wechat"} <= vars(services).keys()
    assert capsys.readouterr().out == ""
    assert (services.after_restore, (), {}) in snapshot_restore_py.get_after_restore()


class Kept:
    """Something that keeps connections."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_after_a_restore_connections_are_dropped_and_secrets_fetched() -> None:
    services, warmed = furnished("decrypt", lambda deadline: deadline)
    kept = [Kept(), Kept(), Kept()]
    vars(services).update(_table=kept[0], _secrets_client=kept[1], _wechat_connections=kept[2])
    services.after_restore()
    assert [each.closed for each in kept] == [1, 1, 1]
    assert warmed == list(SERVICES["decrypt"])
    assert "_upstream_connections" not in vars(services), "what was never built is not built"


def test_connections_of_the_sdk_can_be_dropped_and_used_again(services: Services) -> None:
    for _ in range(2):
        services._table.close()
        services._secrets_client.close()


SLOW = {"boto3", "jwt", "pynamodb", "requests"}


def loaded_by(**environ: str) -> str:
    """Which slow libraries a fresh process has loaded after `import app`; no address answers."""
    nowhere = "http://127.0.0.1:1"
    done = subprocess.run(
        [sys.executable, "-c", f"import app, sys; print(sorted({SLOW} & set(sys.modules)))"],
        cwd=Path(root.__file__).parents[1],
        env={**GOOD, "AWS_ENDPOINT_URL": nowhere, "WECHAT_API_URL": nowhere, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("function", "unused"), [("login", {"jwt"}), ("proxy", {"requests"}), ("decrypt", set[Any]())]
)
def test_a_function_loads_what_it_uses_in_init_and_nothing_else(
    function: str, unused: set[str]
) -> None:
    loaded = loaded_by(AWS_LAMBDA_FUNCTION_NAME="x", WXGATE_FUNCTION=function)
    assert loaded == f"{sorted(SLOW - unused)}\n"


def test_outside_lambda_nothing_is_built_before_it_is_needed() -> None:
    assert loaded_by() == "[]\n"
