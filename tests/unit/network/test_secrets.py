"""Secrets: cached for minutes, stale while the service is down, read again on doubt, never told."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from chalicelib.errors import GateError, Misconfigured, SecretsUnavailable
from chalicelib.network.secrets import (
    CACHE_SECONDS,
    COOL_DOWN,
    REFRESH_INTERVAL,
    STALE_IF_ERROR,
    Secrets,
    Version,
)
from tests.support.fakes import NOW, Alerts, Clock, SecretsManager, client_error, told_by

NAME, OTHER = "wxgate/app/one", "wxgate/app/other"
FIRST, SECOND, THIRD = "first-canary-0001", "second-canary-0002", "third-canary-0003"
DOWN = ConnectTimeoutError(endpoint_url="https://secretsmanager")


def value(version: Version) -> str:
    return version.text("value")


class Reader:
    """Secrets, asked for one name and one member, and the service that they are read from."""

    def __init__(self, clock: Clock) -> None:
        self.alerts = Alerts()
        self.manager = SecretsManager(clock)
        self.secrets = Secrets(self.manager, clock, self.alerts)
        self.wait = clock.advance
        self.put(FIRST)

    def put(self, text: str, stage: str = "AWSCURRENT") -> None:
        self.manager.put(NAME, {"value": text}, stage)

    def current(self, name: str = NAME) -> str:
        return self.secrets.current(name, value)

    def stages(self) -> tuple[str | None, str, str | None]:
        return self.secrets.stages(NAME, value)

    def other_than(self, refused: str) -> str | None:
        return self.secrets.alternative_to(NAME, refused, value)


@pytest.fixture
def reader(clock: Clock) -> Reader:
    return Reader(clock)


def refusal(call: Callable[[], object]) -> GateError:
    with pytest.raises(GateError) as caught:
        call()
    return caught.value


def test_the_times_are_those_that_operators_are_told() -> None:
    assert (CACHE_SECONDS, STALE_IF_ERROR, REFRESH_INTERVAL, COOL_DOWN) == (300, 3600, 30, 10)


def test_a_value_is_cached_for_five_minutes(reader: Reader) -> None:
    assert reader.current() == FIRST
    reader.put(SECOND)
    reader.wait(CACHE_SECONDS - 1)
    assert reader.current() == FIRST
    reader.wait(1)
    assert reader.current() == SECOND
    assert reader.manager.calls == [(NAME, "AWSCURRENT")] * 2


def test_a_clock_that_is_set_back_keeps_no_value_for_ever(reader: Reader) -> None:
    reader.current()
    reader.wait(-1)
    reader.put(SECOND)
    assert reader.current() == SECOND


def at_once(call: Callable[[], object]) -> list[object]:
    """What eight threads get that call at the same moment."""
    barrier, got = threading.Barrier(8), list[object]()

    def run() -> None:
        barrier.wait()
        got.append(call())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_threads_that_come_at_once_cause_one_read(reader: Reader) -> None:
    assert at_once(reader.current) == [FIRST] * 8
    assert reader.manager.count() == 1


def test_without_a_value_a_failure_of_the_service_is_unavailable(reader: Reader) -> None:
    reader.manager.failure = DOWN
    error = refusal(reader.current)
    assert isinstance(error, SecretsUnavailable)
    assert error.evidence == {"reason": "ConnectTimeoutError", "secret": NAME}
    reader.manager.failure = None
    assert reader.current() == FIRST  # no cool-down without a value


def test_a_stale_value_is_used_for_an_hour_and_the_operator_alerted(reader: Reader) -> None:
    reader.current()
    reader.manager.failure = DOWN
    told = ("StaleSecret", {"secret": NAME, "reason": "ConnectTimeoutError"})
    for passed in (CACHE_SECONDS, STALE_IF_ERROR - CACHE_SECONDS - 1):
        reader.wait(passed)
        assert reader.current() == FIRST
    reader.wait(1)
    assert isinstance(refusal(reader.current), SecretsUnavailable)
    assert reader.alerts.told == [told] * 2  # what is refused is no stale value


def test_in_the_cool_down_no_secret_with_a_value_is_read(reader: Reader) -> None:
    reader.manager.put(OTHER, {"value": SECOND})
    reader.current()
    reader.current(OTHER)
    reader.wait(CACHE_SECONDS)
    reader.manager.failure = DOWN
    reads = []
    for _ in range(4):
        before = len(reader.manager.calls)
        assert (reader.current(), reader.current(OTHER)) == (FIRST, SECOND)
        reads.append(len(reader.manager.calls) - before)
        reader.wait(COOL_DOWN / 2)
    assert reads == [1, 0, 1, 0]
    assert len(reader.alerts.told) == 2
    reader.manager.failure = None  # the service is back
    reader.put(THIRD)
    assert reader.current() == THIRD


@pytest.mark.parametrize("cooling", [False, True])
def test_a_clock_that_is_set_back_takes_no_stale_value_away(reader: Reader, cooling: bool) -> None:
    reader.current()
    reader.manager.failure = DOWN
    if cooling:
        reader.wait(CACHE_SECONDS)
        reader.current()
    reader.wait(-2 * CACHE_SECONDS)
    assert reader.current() == FIRST


def test_an_answer_that_broke_off_is_a_failure_of_the_service(reader: Reader) -> None:
    reader.manager.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT").clear()
    assert isinstance(refusal(reader.current), SecretsUnavailable)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_an_operators_fault_is_not_hidden_by_a_cached_value(reader: Reader, code: str) -> None:
    reader.current()
    reader.wait(CACHE_SECONDS)
    reader.manager.failure = client_error(code)
    error = refusal(reader.current)
    assert isinstance(error, Misconfigured)
    assert error.evidence == {"reason": code, "secret": NAME}


NO_OBJECTS = [
    *(FIRST, "", [FIRST], b'{"value":"binary"}', f'{{"value":"{FIRST}"'),
    *(f'{{"value":"{FIRST}\ud800"}}', f'{{"value":"{FIRST}","value":"{FIRST}"}}'),
]
NO_VALUES = [{"secret": FIRST}, {"value": ""}, {"value": None}, {"value": [FIRST]}]
MALFORMED: list[tuple[Any, str]] = [
    *((text, "secret is not a JSON object") for text in NO_OBJECTS),
    *((fields, "value is missing or malformed") for fields in NO_VALUES),
]


@pytest.mark.parametrize(("stored", "reason"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_secret_is_misconfigured_not_told_and_works_once_repaired(
    reader: Reader, stored: object, reason: str
) -> None:
    reader.manager.put(NAME, stored)
    error = refusal(reader.current)
    assert isinstance(error, Misconfigured)
    assert error.evidence == {"reason": reason, "secret": NAME}
    assert FIRST not in told_by(error)
    reader.put(SECOND)
    assert reader.current() == SECOND


def test_a_version_knows_its_age_and_shows_nothing_of_itself(reader: Reader) -> None:
    version = reader.secrets.current(NAME, lambda version: version)
    assert (version.name, version.created_at) == (NAME, NOW)
    assert FIRST not in f"{version} {version!r} {vars(reader.secrets)}"


def test_stages_are_read_pending_first_and_cached_together(reader: Reader) -> None:
    reader.put(SECOND)
    reader.put(THIRD, "AWSPENDING")
    order = [(NAME, stage) for stage in ("AWSPENDING", "AWSCURRENT", "AWSPREVIOUS")]
    for _ in range(2):
        assert reader.stages() == (THIRD, SECOND, FIRST)
    assert reader.manager.calls == order
    reader.manager.promote(NAME)
    reader.wait(CACHE_SECONDS)
    assert reader.stages() == (None, THIRD, SECOND)
    assert reader.manager.calls == order * 2


@pytest.mark.parametrize("stage", ["AWSPENDING", "AWSPREVIOUS"])
def test_a_stage_beside_the_current_one_may_be_out_of_reach(reader: Reader, stage: str) -> None:
    reader.manager.failing[stage] = client_error("DecryptionFailure")
    assert reader.stages() == (None, FIRST, None)


@pytest.mark.parametrize("stage", ["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"])
def test_a_failure_at_one_stage_is_a_failure_of_all(reader: Reader, stage: str) -> None:
    reader.manager.failing[stage] = DOWN
    assert isinstance(refusal(reader.stages), SecretsUnavailable)
    reader.manager.failing.clear()
    reader.put(SECOND)
    reader.stages()
    reader.manager.failing[stage] = DOWN
    reader.wait(CACHE_SECONDS)
    assert reader.stages() == (None, SECOND, FIRST)


@pytest.mark.parametrize("stored", ["change me", {}, b"binary"])
def test_what_never_was_a_secret_is_no_previous_version(reader: Reader, stored: object) -> None:
    reader.manager.put(NAME, stored)
    reader.put(SECOND)
    assert reader.stages() == (None, SECOND, None)
    assert Secrets(reader.manager, Clock(), Alerts()).alternative_to(NAME, SECOND, value) is None


def test_the_version_that_is_current_by_now_is_found_by_one_read(reader: Reader) -> None:
    reader.current()
    reader.put(SECOND)
    assert reader.other_than(FIRST) == SECOND
    assert reader.current() == SECOND
    assert reader.manager.calls == [(NAME, "AWSCURRENT")] * 2


def test_if_the_current_version_is_refused_the_previous_one_is_cached_instead(
    reader: Reader,
) -> None:
    reader.put(SECOND)
    assert reader.current() == SECOND
    assert reader.other_than(SECOND) == FIRST
    reader.wait(CACHE_SECONDS - 1)
    assert reader.current() == FIRST
    reader.wait(1)
    assert reader.current() == SECOND


def test_a_value_that_is_refused_in_turn_needs_no_further_read(reader: Reader) -> None:
    reader.put(SECOND)
    reader.other_than(SECOND)
    reads = len(reader.manager.calls)
    assert reader.other_than(FIRST) == SECOND
    assert reader.current() == SECOND
    assert len(reader.manager.calls) == reads


def test_a_value_that_another_thread_has_found_needs_no_read(reader: Reader) -> None:
    reader.current()
    assert at_once(lambda: reader.other_than(FIRST)) == [None] * 8
    assert reader.manager.count() == 2
    reader.put(SECOND)
    reader.other_than(THIRD)
    assert reader.other_than(THIRD) == FIRST
    assert reader.manager.count() == 2


def test_a_refused_value_is_read_again_once_in_thirty_seconds(reader: Reader) -> None:
    reader.current()
    for passed, reads in ((0, 2), (0, 2), (REFRESH_INTERVAL - 1, 2), (1, 3), (-1, 4)):
        reader.wait(passed)
        assert reader.other_than(FIRST) is None
        assert reader.current() == FIRST
        assert reader.manager.count() == reads


@pytest.mark.parametrize("fault", [DOWN, client_error("AccessDeniedException"), {"value": ""}])
def test_a_refused_value_is_not_used_again_if_the_read_fails(reader: Reader, fault: Any) -> None:
    reader.current()
    if isinstance(fault, Exception):
        reader.manager.failure = fault
    else:
        reader.manager.put(NAME, fault)
    for call in (lambda: reader.other_than(FIRST), reader.current):
        assert isinstance(refusal(call), SecretsUnavailable if fault is DOWN else Misconfigured)
    reader.manager.failure = None
    reader.put(SECOND)
    assert reader.other_than(FIRST) == SECOND
