"""The composition root: one reader of the environment, services built once, a safe INIT."""

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snapshot_restore_py  # type: ignore[import-untyped]  # has no types

from chalicelib import deadlines, logs
from chalicelib import services as root
from chalicelib.deadlines import Deadline
from chalicelib.errors import Misconfigured
from chalicelib.services import SERVICES, Services
from chalicelib.settings import FUNCTIONS
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
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "WECHAT_API_URL": "http://127.0.0.1:1"}
NAMES = ["sessions", "wechat", "upstream", "assertions", "push", "queue"]


@pytest.fixture
def services(clock: Clock) -> Services:
    return Services({**GOOD, "TOKEN_TTL": "3600"}, clock)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the environment of this process to a good one, but for what is given."""

    def set_environ(**changed: str) -> None:
        for name, value in {**GOOD, **changed}.items():
            monkeypatch.setenv(name, value)

    return set_environ


def test_the_process_environment_is_read_in_silence(
    environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    environ(LOG_LEVEL="debug", DECRYPT_MAX_AGE="77")
    services = root.from_environment()
    assert (services.fault, services.settings.log_level) == (None, "DEBUG")
    assert services.settings.decrypt_max_age == 77
    assert capsys.readouterr().out == ""


def test_a_faulty_environment_is_logged_once_and_builds_nothing(
    environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    environ(WX_APPIDS="", AWS_LAMBDA_FUNCTION_NAME="x")
    services = root.from_environment()
    assert capsys.readouterr().out.count("WX_APPIDS is missing.") == 1
    assert services.fault == "WX_APPIDS is missing."
    for name in NAMES:
        with pytest.raises(Misconfigured) as caught:
            getattr(services, name)
        assert caught.value.evidence == {"reason": "WX_APPIDS is missing."}


def test_a_function_needs_its_own_variables_alone() -> None:
    without = {**GOOD, "UPSTREAM_URL": ""}
    assert Services({**without, "WXGATE_FUNCTION": "login"}).fault is None
    assert Services(without).fault == "UPSTREAM_URL is missing."


def test_the_functions_are_those_of_the_app(environ: Callable[..., None]) -> None:
    environ()
    names = {function.name for function in desk.load_app().app.pure_lambda_functions}
    assert names == set(FUNCTIONS) == set(SERVICES)


def test_services_are_built_from_the_settings(services: Services) -> None:
    assert services.sessions.ttl == 3600
    assert services.wechat.app(None) == APPID
    assert services.upstream.url("a/b") == "https://api.example.com/base/a/b"


def test_a_service_is_built_once_even_if_threads_need_it_at_once(services: Services) -> None:
    barrier = threading.Barrier(8)

    def get(_: int) -> list[int]:
        barrier.wait()
        return [id(getattr(services, name)) for name in NAMES]

    with ThreadPoolExecutor(8) as threads:
        assert len(set(map(tuple, threads.map(get, range(8))))) == 1


def test_secrets_manager_has_two_seconds_in_all_and_the_session_of_the_sdk_that_is_there(
    services: Services,
) -> None:
    made: list[str] = []
    event = "creating-client-class.secretsmanager"
    services._table.sdk_session.register(event, lambda **_: made.append(event))
    config = services._secrets._client.meta.config
    of_all: Any = services._table.sdk_session.get_default_client_config()
    assert (made, of_all.user_agent, config.user_agent.split()[0]) == ([event], "wxgate", "wxgate")
    assert config.retries["total_max_attempts"] == deadlines.SECRETS_ATTEMPTS
    assert config.connect_timeout == config.read_timeout == deadlines.SECRETS_ATTEMPT
    assert deadlines.SECRETS_ATTEMPTS * deadlines.SECRETS_ATTEMPT < 2


REJECTED = {
    "ConfigParseError": {"AWS_CONFIG_FILE": __file__},
    "InvalidDefaultsMode": {"AWS_DEFAULTS_MODE": "weird"},
    "InvalidConfigError": {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "weird"},
}


@pytest.mark.parametrize("reason", REJECTED)
def test_a_setting_that_the_sdk_rejects_is_the_operators_fault(
    reason: str, environ: Callable[..., None]
) -> None:
    environ(**REJECTED[reason])
    with pytest.raises(Misconfigured) as caught:
        Services(GOOD).assertions.key_set()
    assert caught.value.evidence["reason"] == reason


def furnished(function: str, act: Callable[[Deadline], object]) -> tuple[Services, list[str]]:
    """Services whose rooms do what `act` does, and the list of those that were warmed up."""
    services, warmed = Services({**GOOD, "WXGATE_FUNCTION": function}), list[str]()

    def warm(name: str, deadline: Deadline) -> None:
        warmed.append(name)
        act(deadline)

    rooms = {name: SimpleNamespace(warm=partial(warm, name)) for name in NAMES}
    vars(services).update(rooms)
    return services, warmed


@pytest.mark.parametrize("function", [*FUNCTIONS, ""])
def test_each_function_warms_up_what_it_uses_by_the_end_of_init(function: str) -> None:
    left: list[float] = []
    collected: list[bool] = []  # whether garbage is looked for meanwhile

    def act(deadline: Deadline) -> None:
        left.append(deadline.remaining())
        collected.append(gc.isenabled())

    services, warmed = furnished(function, act)
    services.init()
    assert (any(collected), gc.isenabled()) == (False, True)
    assert sorted(warmed) == sorted(SERVICES.get(function, NAMES))
    assert all(0 < seconds <= deadlines.INIT for seconds in left)


def test_init_ends_though_a_call_does_not_and_begins_no_other() -> None:
    for_ever = threading.Event()
    services, warmed = furnished("login", lambda _: for_ever.wait())
    services.init()
    assert warmed == ["sessions"]
    for_ever.set()


def test_in_lambda_init_and_a_restore_outlive_that_nothing_answers(
    environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    environ(**NOWHERE, AWS_LAMBDA_FUNCTION_NAME="x")
    services = root.from_environment()
    logs.configure("INFO")
    assert set(NAMES) <= vars(services).keys()
    assert (services.after_restore, (), {}) in snapshot_restore_py.get_after_restore()
    services.after_restore()
    assert capsys.readouterr().out == ""


def test_outside_lambda_nothing_is_built_before_it_is_needed() -> None:
    slow = {"boto3", "jwt", "pynamodb", "requests"}
    done = subprocess.run(
        [sys.executable, "-c", f"import app, sys; print({slow} & set(sys.modules))"],
        cwd=Path(root.__file__).parents[1],
        env=GOOD,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == "set()\n"
