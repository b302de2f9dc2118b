"""The composition root: one reader of the environment, each service built once and when needed."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chalicelib import logs
from chalicelib import services as root
from chalicelib.errors import Misconfigured, SecretsUnavailable, UpstreamUnreachable
from chalicelib.front.request import Request
from chalicelib.front.response import Answer
from chalicelib.network.secrets import KEEP
from chalicelib.services import Services
from chalicelib.settings import NEEDS
from simulator import aws, desk
from simulator.gateway import event_of
from tests.support.fakes import Clock
from tests.support.loopback import HOST, Loopback, answers

pytest_plugins = ["tests.support.engines"]

APPID = "wx4f4bc4dec97d474b"
GOOD = {
    "WX_APPIDS": APPID,
    "SESSIONS_TABLE": "wxgate-sessions",
    "SECRET_PREFIX": "wxgate/",
    "UPSTREAM_URL": "https://api.example.com/base",
    "AWS_DEFAULT_REGION": "us-east-1",
}
NAMES = ["sessions", "wechat", "upstream", "assertions"]


@pytest.fixture
def services(clock: Clock) -> Services:
    return Services({**GOOD, "TOKEN_TTL": "3600"}, clock)


# --- the environment ---


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DECRYPT_MAX_AGE", "77")
    assert root.from_environment().settings.decrypt_max_age == 77


def test_a_faulty_environment_is_told_and_builds_nothing() -> None:
    services = Services({**GOOD, "WX_APPIDS": "", "LOG_LEVEL": "DEBUG"})
    assert services.fault == "WX_APPIDS is missing."
    assert services.log_level == "INFO"
    for name in NAMES:
        with pytest.raises(Misconfigured) as caught:
            getattr(services, name)
        assert caught.value.evidence == {"reason": "WX_APPIDS is missing."}


def test_a_good_environment_has_no_fault(services: Services) -> None:
    assert services.fault is None
    assert Services({**GOOD, "LOG_LEVEL": "debug"}).log_level == "DEBUG"


@pytest.mark.parametrize("function", NEEDS)
def test_each_lambda_function_starts_with_its_own_variables_alone(function: str) -> None:
    needed = {name: GOOD[name] for name in NEEDS[function]}
    handler = {"_HANDLER": f"app.{function}_function"}
    assert Services({**needed, **handler}).fault is None
    for name in needed:
        assert Services({**needed, **handler, name: ""}).fault == f"{name} is missing."


@pytest.mark.parametrize("handler", ["", "app.app", "app", "other.handler"])
def test_a_process_that_serves_all_routes_needs_all_variables(handler: str) -> None:
    assert Services({**GOOD, "_HANDLER": handler, "UPSTREAM_URL": ""}).fault is not None


@pytest.fixture
def front_door_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return desk.load_app()


def test_lambdas_handlers_are_those_that_the_needs_are_known_of(front_door_module: Any) -> None:
    handlers = {f.handler_string for f in front_door_module.app.pure_lambda_functions}
    assert handlers == {f"app.{function}_function" for function in NEEDS}


# --- what is built ---


def test_services_are_built_from_the_settings(services: Services) -> None:
    assert services.sessions.ttl == 3600
    assert services.wechat.app(None) == APPID
    assert services.upstream.url("a/b") == "https://api.example.com/base/a/b"


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_built_once_also_where_threads_ask_at_once(
    services: Services, name: str
) -> None:
    barrier, built = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        built.append(getattr(services, name))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 8
    assert len(set(map(id, built))) == 1


def test_what_settings_cannot_see_is_refused_at_the_connection(clock: Clock) -> None:
    # To the settings it is a public address; a NAT64 gateway makes 127.0.0.1 of it.
    services = Services({**GOOD, "UPSTREAM_URL": "https://[64:ff9b::7f00:1]"}, clock)
    request = Request.from_event(event_of("GET", "/api/a", [], None, ["/api/{proxy+}"]), None)
    with pytest.raises(UpstreamUnreachable) as caught:
        services.upstream.forward(request, "a", None)
    assert caught.value.evidence == {"reason": "AddressForbidden"}


def test_a_greeting_that_the_upstream_drops_is_heard_when_sent_again(clock: Clock) -> None:
    with socket.create_server((HOST, 0), backlog=0) as listener, ThreadPoolExecutor(1) as pool:
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        environ = {**GOOD, "UPSTREAM_URL": url, "UPSTREAM_ALLOW_PRIVATE": "true"}
        with socket.create_connection(listener.getsockname()):  # the queue is full
            answer = pool.submit(_forward, Services(environ, clock))
            with pytest.raises(TimeoutError):
                answer.result(0.5)
            listener.accept()[0].close()
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert answer.result(5).status_code == 204


def _forward(services: Services) -> Answer:
    event = event_of("POST", "/api/a", [], None, ["/api/{proxy+}"])
    return services.upstream.forward(Request.from_event(event, None), "a", None)


# --- Secrets Manager ---


@pytest.fixture
def with_engine(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    with closing(aws.client("secretsmanager", moto_url)) as manager:
        aws.make_secrets(manager, "services-test/", {APPID: "appsecret"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    services = Services({**GOOD, "SECRET_PREFIX": "services-test/"})
    yield services
    services._secrets_client.close()


def test_the_signing_key_comes_from_secrets_manager(with_engine: Services) -> None:
    (key,) = with_engine.assertions.key_set()["keys"]
    assert key["alg"] == "ES256"


def test_secrets_manager_has_two_seconds_in_all(with_engine: Services) -> None:
    client = with_engine._secrets_client
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert client.meta.config.read_timeout * 2 < 2


DATES: list[object] = ["x", [1], {}, 1e300, -1e12, 10**400]
BINARIES: list[object] = [5, "é", [1], {}]
KINDS: list[object] = [5, ["x"], {"x": 1}, True]
BODIES: list[tuple[object, str]] = [
    *(({"SecretString": "{}", "CreatedDate": date}, "200 OK") for date in DATES),
    *(({"SecretBinary": value}, "200 OK") for value in BINARIES),
    *(
        ({"__type": kind}, status)
        for kind in KINDS
        for status in ("302 Found", "400 Bad Request", "500 Oops")
    ),
]
# Else the SDK may ask again on a connection that is about to end.
CLOSE = "Connection: close\r\n"
MISSHAPEN = [
    answers(json.dumps(body).encode(), status=status, headers=CLOSE) for body, status in BODIES
]


def test_an_answer_of_another_shape_is_a_passing_fault(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback(*MISSHAPEN) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        services = Services(GOOD, clock)
        for _ in MISSHAPEN[1:]:  # the first is asked twice
            with pytest.raises(SecretsUnavailable):
                services._secrets.current("wxgate/signing")
        services._secrets_client.close()
    assert server.connections == len(MISSHAPEN)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AWS_CONFIG_FILE", __file__, "ConfigParseError"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "weird", "InvalidSTSRegionalEndpointsConfigError"),
        ("AWS_DEFAULTS_MODE", "weird", "InvalidDefaultsMode"),
        ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "weird", "InvalidConfigError"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "weird", "InvalidChecksumConfigError"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "weird", "InvalidIMDSEndpointModeError"),
        (
            "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
            "weird",
            "InvalidS3UsEast1RegionalEndpointConfigError",
        ),
    ],
)
def test_a_setting_that_the_sdk_does_not_take_is_the_operators_fault(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured) as caught:
        Services(GOOD).assertions.key_set()
    assert caught.value.evidence["reason"] == reason


def test_a_stale_secret_rings_the_alarm(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("INFO")
    script = (
        answers(b'{"SecretString":"{}"}', headers=CLOSE),
        answers(status="500 Oops", headers=CLOSE),
    )
    with Loopback(*script) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        services = Services(GOOD, clock)
        with closing(services._secrets_client):
            fresh = services._secrets.current("wxgate/signing")
            clock.advance(KEEP)
            assert services._secrets.current("wxgate/signing") is fresh
    line = json.loads(capsys.readouterr().out)
    told = {"alert": "StaleSecret", "secret": "wxgate/signing", "reason": "500"}
    assert told.items() <= line.items()


# --- the cold start ---


def printed_by(code: str) -> str:
    """What a fresh process prints that runs `code` in the project's root."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(root.__file__).parents[1],
        env=GOOD,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_the_front_door_loads_no_slow_library() -> None:
    """A Lambda function pays for what its own requests need, and at the first of them."""
    slow = {"botocore", "jwt", "pynamodb", "requests", "urllib3"}
    assert printed_by(f"import app, sys; print({slow} & set(sys.modules))") == "set()\n"


def test_the_proxy_never_loads_requests() -> None:
    use = "app.services.sessions, app.services.upstream, app.services.assertions"
    see = "'requests' in sys.modules, 'pynamodb' in sys.modules"
    assert printed_by(f"import app, sys; {use}; print({see})") == "False True\n"


# --- alerts ---


def test_an_alert_is_a_warning_that_cloudwatch_counts(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO")
    services = Services({**GOOD, "AWS_LAMBDA_FUNCTION_NAME": "Login"}, clock)
    services.alert("StaleSecret", secret="wxgate/signing")
    line = json.loads(capsys.readouterr().out)
    told = {"level": "WARNING", "event": "alert", "alert": "StaleSecret", "Alerts": 1}
    assert told.items() <= line.items()
    assert (line["secret"], line["FunctionName"]) == ("wxgate/signing", "Login")


def test_on_the_desk_nobody_counts(services: Services) -> None:
    assert services.count("Alerts") == {}
