"""The window of failed decryptions: whose count is whose, and how long a user waits."""

import pytest

from chalicelib.sessions.failures import MAX_FAILURES, Failures, window


@pytest.mark.parametrize(
    ("now", "key", "end"),
    [
        (0, b"decrypt-failures-0", 600),
        (599.9, b"decrypt-failures-0", 600),
        (600, b"decrypt-failures-1", 1200),
        (1_900_000_000.5, b"decrypt-failures-3166666", 1_900_000_200),
    ],
)
def test_windows_are_aligned_to_ten_minutes(now: float, key: bytes, end: int) -> None:
    assert window(now) == (key, end)


@pytest.mark.parametrize(
    ("count", "too_many"), [(0, False), (MAX_FAILURES - 1, False), (MAX_FAILURES, True)]
)
def test_the_tenth_failure_is_the_last_one(count: int, too_many: bool) -> None:
    assert Failures(count, 600).too_many is too_many


@pytest.mark.parametrize(("now", "seconds"), [(0, 600), (0.5, 600), (599.5, 1), (600, 1), (700, 1)])
def test_a_user_waits_until_the_window_ends_and_at_least_a_second(now: float, seconds: int) -> None:
    assert Failures(MAX_FAILURES, 600).seconds_left(now) == seconds
