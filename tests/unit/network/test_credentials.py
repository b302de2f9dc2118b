"""Secrets: kept for minutes, used while the service is down, afresh on doubt, never told."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConfigParseError,
    ConnectTimeoutError,
    EndpointConnectionError,
    InvalidDefaultsMode,
    InvalidRegionError,
    InvalidSTSRegionalEndpointsConfigError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from chalicelib.errors import GateError, Misconfigured, SecretsUnavailable
from chalicelib.network.secrets import KEEP, PAUSE, REREAD, STALE, AppSecrets, Secrets, Version
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, client_error, told_by

APPID = "wx4f4bc4dec97d474b"
NAME = f"wxgate/app/{APPID}"
FIRST, SECOND, THIRD = "first-canary-0001", "second-canary-0002", "third-canary-0003"
DOWN = ConnectTimeoutError(endpoint_url="https://secretsmanager")


@pytest.fixture
def manager(clock: Clock) -> SecretsManager:
    manager = SecretsManager(clock)
    manager.put(NAME, {"appsecret": FIRST})
    return manager


@pytest.fixture
def alerts() -> Alerts:
    return Alerts()


@pytest.fixture
def secrets(manager: SecretsManager, clock: Clock, alerts: Alerts) -> Secrets:
    return Secrets(lambda: manager, clock, alerts)


@pytest.fixture
def apps(secrets: Secrets) -> AppSecrets:
    return AppSecrets(secrets, "wxgate/")


def refusal(call: Callable[[], object]) -> GateError:
    with pytest.raises(GateError) as caught:
        call()
    return caught.value


# --- kept ---


def test_the_times_are_those_that_operators_are_told() -> None:
    assert (KEEP, STALE, REREAD, PAUSE) == (300, 3600, 30, 10)


def test_a_secret_is_asked_for_by_its_full_name(apps: AppSecrets, manager: SecretsManager) -> None:
    assert apps.current(APPID) == FIRST
    assert manager.calls == [(NAME, "AWSCURRENT")]


def test_a_value_is_kept_for_five_minutes(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    manager.put(NAME, {"appsecret": SECOND})
    clock.advance(KEEP - 1)
    assert apps.current(APPID) == FIRST
    clock.advance(1)
    assert apps.current(APPID) == SECOND
    assert manager.count() == 2


def test_a_clock_that_jumps_back_keeps_no_value_for_ever(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    clock.advance(-3600)
    manager.put(NAME, {"appsecret": SECOND})
    assert apps.current(APPID) == SECOND


def test_each_app_has_its_own_secret(apps: AppSecrets, manager: SecretsManager) -> None:
    manager.put("wxgate/app/wx-other", {"appsecret": SECOND})
    assert (apps.current(APPID), apps.current("wx-other")) == (FIRST, SECOND)


def test_threads_that_come_at_once_ask_once(apps: AppSecrets, manager: SecretsManager) -> None:
    barrier, got = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        got.append(apps.current(APPID))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [FIRST] * 8
    assert manager.count() == 1


# --- the service is down ---


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (DOWN, "ConnectTimeoutError"),
        (EndpointConnectionError(endpoint_url="https://aws"), "EndpointConnectionError"),
        (client_error("ThrottlingException"), "ThrottlingException"),
        (client_error("InternalServiceError"), "InternalServiceError"),
        (client_error(""), ""),
        (TypeError("an answer of another shape"), "TypeError"),
        (AttributeError("another"), "AttributeError"),
        (ValueError("another"), "ValueError"),
        (OverflowError("another"), "OverflowError"),
        (KeyError("another"), "KeyError"),
    ],
    ids=str,
)
def test_a_fault_of_the_service_is_unavailable_and_tried_twice(
    apps: AppSecrets, manager: SecretsManager, failure: Exception, reason: str
) -> None:
    manager.failure = failure
    error = refusal(lambda: apps.current(APPID))
    assert isinstance(error, SecretsUnavailable)
    assert error.evidence == {"reason": reason, "secret": NAME}
    assert error.headers == {"Retry-After": "3"}
    assert manager.count() == 2


def test_a_stale_value_is_used_for_an_hour_while_the_service_is_down(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    manager.failure = DOWN
    clock.advance(STALE - 1)
    assert apps.current(APPID) == FIRST
    clock.advance(1)
    assert isinstance(refusal(lambda: apps.current(APPID)), SecretsUnavailable)


@pytest.mark.parametrize("steps", [(), (KEEP + 1,)], ids=["kept", "stale"])
def test_a_clock_that_steps_back_while_the_service_is_down_refuses_no_warm_value(
    apps: AppSecrets, manager: SecretsManager, clock: Clock, steps: tuple[float, ...]
) -> None:
    apps.current(APPID)
    manager.failure = DOWN
    for seconds in steps:
        clock.advance(seconds)
        apps.current(APPID)
    clock.advance(-2 * KEEP)
    assert apps.current(APPID) == FIRST


def test_the_use_of_a_stale_value_is_told(
    apps: AppSecrets, manager: SecretsManager, clock: Clock, alerts: Alerts
) -> None:
    apps.current(APPID)
    clock.advance(KEEP)
    manager.failure = client_error("ThrottlingException")
    apps.current(APPID)
    assert alerts.told == [("StaleSecret", {"secret": NAME, "reason": "ThrottlingException"})]


def test_a_value_that_is_not_stale_and_one_that_is_not_used_are_no_alarm(
    apps: AppSecrets, manager: SecretsManager, clock: Clock, alerts: Alerts
) -> None:
    apps.current(APPID)
    clock.advance(STALE)
    manager.failure = DOWN
    refusal(lambda: apps.current(APPID))
    manager.failure = None
    apps.current(APPID)
    assert alerts.told == []


def test_while_a_stale_value_is_used_the_service_is_asked_and_the_alarm_rung_every_ten_seconds(
    apps: AppSecrets, manager: SecretsManager, clock: Clock, alerts: Alerts
) -> None:
    apps.current(APPID)
    clock.advance(KEEP)
    manager.failure = DOWN
    asked, told = [], []
    for _ in range(4):
        before = manager.count(), len(alerts.told)
        assert apps.current(APPID) == FIRST
        asked.append(manager.count() - before[0])
        told.append(len(alerts.told) - before[1])
        clock.advance(PAUSE / 2)
    assert (asked, told) == ([2, 0, 2, 0], [1, 0, 1, 0])


def test_no_pause_outlasts_the_hour(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    manager.failure = DOWN
    clock.advance(STALE - PAUSE / 2)
    assert apps.current(APPID) == FIRST
    clock.advance(PAUSE / 2)
    assert isinstance(refusal(lambda: apps.current(APPID)), SecretsUnavailable)


def test_a_service_that_is_back_is_asked_after_the_pause_and_then_its_value_kept(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    clock.advance(KEEP)
    manager.failure = DOWN
    assert apps.current(APPID) == FIRST
    manager.failure = None
    manager.put(NAME, {"appsecret": SECOND})
    clock.advance(PAUSE)
    assert apps.current(APPID) == SECOND
    asked = manager.count()
    clock.advance(KEEP - 1)
    assert (apps.current(APPID), manager.count()) == (SECOND, asked)


def test_without_a_warm_value_the_service_is_asked_by_every_request(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    manager.failure = DOWN
    refusal(lambda: apps.current(APPID))
    manager.failure = None
    assert apps.current(APPID) == FIRST


def test_one_hiccup_is_not_seen(manager: SecretsManager, clock: Clock) -> None:
    hiccup = SecretsManager(clock)
    hiccup.failure = client_error("InternalServiceError")
    in_turn = iter([hiccup, manager])
    assert (
        AppSecrets(Secrets(lambda: next(in_turn), clock, Alerts()), "wxgate/").current(APPID)
        == FIRST
    )


class Moody(SecretsManager):
    """Fails or answers by turns, as `moods` tells; in the end it answers."""

    moods: list[bool]

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, object]:
        self.failure = DOWN if self.moods and not self.moods.pop(0) else None
        return super().get_secret_value(SecretId=SecretId, VersionStage=VersionStage)


@pytest.fixture
def moody(clock: Clock) -> Moody:
    moody = Moody(clock)
    moody.put(NAME, {"appsecret": FIRST})
    moody.put(NAME, {"appsecret": SECOND})
    return moody


def test_a_request_waits_in_vain_for_two_tries_whatever_it_needs(
    moody: Moody, clock: Clock, alerts: Alerts
) -> None:
    secrets = Secrets(lambda: moody, clock, alerts)
    moody.moods = [False, True, False]
    secrets.current(NAME)
    assert isinstance(refusal(lambda: secrets.previous(NAME)), SecretsUnavailable)
    assert moody.calls == [(NAME, "AWSCURRENT"), (NAME, "AWSCURRENT"), (NAME, "AWSPREVIOUS")]


def test_a_later_request_has_a_second_try_again(moody: Moody, clock: Clock, alerts: Alerts) -> None:
    secrets = Secrets(lambda: moody, clock, alerts)
    moody.moods = [False, True, False, True]
    secrets.current(NAME)
    clock.advance(PAUSE)
    assert secrets.previous(NAME) is not None


def test_a_clock_that_steps_back_takes_no_second_try_away(
    moody: Moody, clock: Clock, alerts: Alerts
) -> None:
    secrets = Secrets(lambda: moody, clock, alerts)
    moody.moods = [False, True, False, True]
    secrets.current(NAME)
    clock.advance(-1)
    assert secrets.previous(NAME) is not None


# --- the operator's faults ---


@pytest.mark.parametrize(
    "failure",
    [
        client_error("AccessDeniedException"),
        client_error("DecryptionFailure"),
        client_error("InvalidParameterException"),
        client_error("InvalidRequestException"),
        client_error("InvalidSignatureException"),
        client_error("ResourceNotFoundException"),
        client_error("UnrecognizedClientException"),
        client_error("ValidationException"),
        ConfigParseError(path="x"),
        InvalidDefaultsMode(mode="x", valid_modes=""),
        InvalidRegionError(region_name="Mars"),
        InvalidSTSRegionalEndpointsConfigError(sts_regional_endpoints_config="x"),
        NoCredentialsError(),
        NoRegionError(),
        PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        ProfileNotFound(profile="none"),
    ],
    ids=str,
)
def test_an_operators_fault_is_told_as_such_and_asked_once(
    apps: AppSecrets, manager: SecretsManager, failure: Exception
) -> None:
    manager.failure = failure
    error = refusal(lambda: apps.current(APPID))
    assert isinstance(error, Misconfigured)
    reason = type(failure).__name__
    if isinstance(failure, ClientError):
        reason = failure.response["Error"]["Code"]
    assert error.evidence == {"reason": reason, "secret": NAME}
    assert manager.count() == 1


def test_a_missing_secret_is_the_operators_fault(apps: AppSecrets) -> None:
    error = refusal(lambda: apps.current("wx-unknown"))
    assert isinstance(error, Misconfigured)
    assert error.evidence["reason"] == "ResourceNotFoundException"


def test_a_lost_permission_is_not_hidden_by_a_kept_value(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    clock.advance(KEEP)
    manager.failure = client_error("AccessDeniedException")
    assert isinstance(refusal(lambda: apps.current(APPID)), Misconfigured)


NO_OBJECT: list[Any] = [
    FIRST,
    "",
    b'{"appsecret":"' + FIRST.encode() + b'"}',
    f'{{"appsecret":"{FIRST}"',
    f'{{"appsecret":"{FIRST}\ud800"}}',
    f'{{"appsecret":"{FIRST}\\ud800"}}',
    f'{{"appsecret":"{FIRST}","appsecret":"{FIRST}"}}',
    [FIRST],
]
MALFORMED: list[tuple[Any, str]] = [
    *((value, "secret is not a JSON object") for value in NO_OBJECT),
    ({"secret": FIRST}, "appsecret is missing or malformed"),
    ({"appsecret": ""}, "appsecret is missing or malformed"),
    ({"appsecret": None}, "appsecret is missing or malformed"),
    ({"appsecret": [FIRST]}, "appsecret is missing or malformed"),
    ({"appsecret": FIRST + "é"}, "appsecret is malformed"),
    ({"appsecret": FIRST + "\n"}, "appsecret is malformed"),
    ({"appsecret": FIRST + " "}, "appsecret is malformed"),
    ({"appsecret": " " + FIRST}, "appsecret is malformed"),
    ({"appsecret": f"{FIRST} {FIRST}"}, "appsecret is malformed"),
    ({"appsecret": FIRST + "\x7f"}, "appsecret is malformed"),
    ({"appsecret": "   "}, "appsecret is malformed"),
    ({"appsecret": FIRST.ljust(129, "x")}, "appsecret is malformed"),
    ({"appsecret": FIRST, "appid": "wx-other"}, "appid differs"),
    ({"appsecret": FIRST, "appid": None}, "appid differs"),
]


@pytest.mark.parametrize(("value", "reason"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_secret_is_misconfigured_and_never_told(
    apps: AppSecrets, manager: SecretsManager, value: object, reason: str
) -> None:
    manager.put(NAME, value)
    error = refusal(lambda: apps.current(APPID))
    assert isinstance(error, Misconfigured)
    assert error.evidence == {"reason": reason, "secret": NAME}
    assert FIRST not in told_by(error)


def test_a_secret_may_say_whose_it_is(apps: AppSecrets, manager: SecretsManager) -> None:
    manager.put(NAME, {"appsecret": FIRST, "appid": APPID, "note": "unknown members are ignored"})
    assert apps.current(APPID) == FIRST


def test_a_malformed_secret_is_read_anew_as_soon_as_it_is_repaired(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    manager.put(NAME, {"appsecret": ""})
    refusal(lambda: apps.current(APPID))
    manager.put(NAME, {"appsecret": FIRST})
    assert apps.current(APPID) == FIRST


@pytest.mark.parametrize("appsecret", ["x" * 128, "!", "~", "a&b=c%20\"'"])
def test_an_appsecret_is_128_visible_characters_at_most(
    apps: AppSecrets, manager: SecretsManager, appsecret: str
) -> None:
    manager.put(NAME, {"appsecret": appsecret})
    assert apps.current(APPID) == appsecret


def test_a_version_shows_nothing_of_itself(secrets: Secrets) -> None:
    version = secrets.current(NAME)
    assert version.created_at == NOW
    assert f"{version} {version!r}" == "Version(…) Version(…)"
    assert FIRST not in f"{vars(secrets)}"


def test_a_version_without_a_date_is_an_old_one(manager: SecretsManager, clock: Clock) -> None:
    del manager.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")["CreatedDate"]
    assert Secrets(lambda: manager, clock, Alerts()).current(NAME) == Version(
        {"appsecret": FIRST}, 0.0
    )


# --- WeChat refused the secret (40125) ---


def test_a_rotated_secret_is_found_by_one_fresh_read(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    apps.current(APPID)
    manager.put(NAME, {"appsecret": SECOND})
    assert apps.after_refusal(APPID, FIRST) == SECOND
    assert apps.current(APPID) == SECOND
    assert manager.count() == 2


def test_the_previous_version_is_tried_where_wechat_has_not_followed_yet(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    manager.put(NAME, {"appsecret": SECOND})
    assert apps.current(APPID) == SECOND
    assert apps.after_refusal(APPID, SECOND) == FIRST
    clock.advance(KEEP - 1)
    assert apps.current(APPID) == FIRST
    clock.advance(1)
    assert apps.current(APPID) == SECOND


def test_secrets_that_say_whose_they_are_follow_a_rotation_too(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    for appsecret in (FIRST, SECOND):
        manager.put(NAME, {"appsecret": appsecret, "appid": APPID})
    assert apps.after_refusal(APPID, SECOND) == FIRST


def test_a_secret_that_another_request_found_needs_no_read(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    apps.current(APPID)
    manager.put(NAME, {"appsecret": SECOND})
    apps.after_refusal(APPID, FIRST)
    asked = len(manager.calls)
    assert apps.after_refusal(APPID, FIRST) == SECOND
    assert len(manager.calls) == asked


def test_a_wrong_secret_is_read_afresh_once_in_thirty_seconds(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    assert [apps.after_refusal(APPID, FIRST) for _ in range(20)] == [None] * 20
    assert manager.count() == 2
    clock.advance(REREAD - 1)
    assert apps.after_refusal(APPID, FIRST) is None
    assert manager.count() == 2
    clock.advance(1)
    assert apps.after_refusal(APPID, FIRST) is None
    assert manager.count() == 3


def test_each_app_has_its_own_thirty_seconds(apps: AppSecrets, manager: SecretsManager) -> None:
    manager.put("wxgate/app/wx-other", {"appsecret": SECOND})
    apps.after_refusal(APPID, FIRST)
    apps.current("wx-other")
    manager.put("wxgate/app/wx-other", {"appsecret": THIRD})
    assert apps.after_refusal("wx-other", SECOND) == THIRD


def test_a_first_version_has_no_previous_one(secrets: Secrets) -> None:
    assert secrets.previous(NAME) is None


def test_the_same_secret_in_both_versions_is_tried_once(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    manager.put(NAME, {"appsecret": FIRST})
    assert apps.after_refusal(APPID, FIRST) is None
    assert manager.count("AWSPREVIOUS") == 1


@pytest.mark.parametrize("placeholder", ["change me", {}, {"appsecret": ""}])
def test_a_previous_version_that_never_was_a_secret_is_passed_over(
    apps: AppSecrets, manager: SecretsManager, placeholder: object
) -> None:
    manager.put(NAME, placeholder)
    manager.put(NAME, {"appsecret": SECOND})
    assert apps.after_refusal(APPID, SECOND) is None


def test_a_fresh_read_does_not_fall_back_to_the_refused_value(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    apps.current(APPID)
    manager.failure = DOWN
    assert isinstance(refusal(lambda: apps.after_refusal(APPID, FIRST)), SecretsUnavailable)


@pytest.mark.parametrize(
    ("failure", "error"),
    [(DOWN, SecretsUnavailable), (client_error("AccessDeniedException"), Misconfigured)],
    ids=str,
)
@pytest.mark.parametrize("what", ["failure", "previous_failure"])
def test_a_fresh_read_that_failed_uses_up_no_interval(
    apps: AppSecrets,
    manager: SecretsManager,
    failure: Exception,
    error: type[GateError],
    what: str,
) -> None:
    manager.put(NAME, {"appsecret": SECOND})
    apps.current(APPID)
    setattr(manager, what, failure)
    for _ in range(3):
        assert isinstance(refusal(lambda: apps.after_refusal(APPID, SECOND)), error)
    setattr(manager, what, None)
    assert apps.after_refusal(APPID, SECOND) == FIRST


def test_where_wechat_follows_a_moment_later_the_new_secret_is_in_hand(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    manager.put(NAME, {"appsecret": SECOND})
    apps.current(APPID)
    assert apps.after_refusal(APPID, SECOND) == FIRST
    asked = len(manager.calls)
    clock.advance(5)
    assert apps.after_refusal(APPID, FIRST) == SECOND
    assert apps.current(APPID) == SECOND
    assert len(manager.calls) == asked


def test_of_two_wrong_secrets_each_is_read_once_in_thirty_seconds(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    manager.put(NAME, {"appsecret": SECOND})
    refused = apps.current(APPID)
    for _ in range(29):
        refused = apps.after_refusal(APPID, refused) or refused
        clock.advance(1)
    assert (manager.count("AWSCURRENT"), manager.count("AWSPREVIOUS")) == (2, 1)


def test_a_clock_that_steps_back_forbids_no_fresh_read(
    apps: AppSecrets, manager: SecretsManager, clock: Clock
) -> None:
    apps.current(APPID)
    assert apps.after_refusal(APPID, FIRST) is None
    clock.advance(-1)
    manager.put(NAME, {"appsecret": SECOND})
    assert apps.after_refusal(APPID, FIRST) == SECOND


def test_threads_whose_secret_is_refused_at_once_read_it_once(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    apps.current(APPID)
    barrier, got = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        got.append(apps.after_refusal(APPID, FIRST))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [None] * 8
    assert manager.count() == 2


def test_a_value_changed_for_a_malformed_one_is_told_on_refusal(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    apps.current(APPID)
    manager.put(NAME, {"appsecret": f"{SECOND}\n"})
    error = refusal(lambda: apps.after_refusal(APPID, FIRST))
    assert isinstance(error, Misconfigured)
    assert SECOND not in told_by(error)


def test_a_malformed_value_met_on_refusal_is_read_anew_as_soon_as_it_is_repaired(
    apps: AppSecrets, manager: SecretsManager
) -> None:
    apps.current(APPID)
    manager.put(NAME, {"appsecret": f"{SECOND}\n"})
    refusal(lambda: apps.after_refusal(APPID, FIRST))
    refusal(lambda: apps.current(APPID))  # what WeChat refused is not sent again
    manager.put(NAME, {"appsecret": THIRD})
    assert apps.current(APPID) == THIRD


# --- the version before ---


@pytest.mark.parametrize("never", ["change me", b"binary", []])
def test_what_never_was_a_secret_is_no_previous_version(
    secrets: Secrets, manager: SecretsManager, never: object
) -> None:
    manager.put(NAME, never)
    manager.put(NAME, {"appsecret": SECOND})
    assert secrets.previous(NAME) is None


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (DOWN, SecretsUnavailable),
        (client_error("ThrottlingException"), SecretsUnavailable),
        (client_error("AccessDeniedException"), Misconfigured),
        (client_error("DecryptionFailure"), Misconfigured),
    ],
    ids=str,
)
def test_a_service_that_does_not_tell_of_a_previous_version_does_not_say_there_is_none(
    secrets: Secrets, manager: SecretsManager, failure: Exception, error: type[GateError]
) -> None:
    manager.previous_failure = failure
    assert isinstance(refusal(lambda: secrets.previous(NAME)), error)
