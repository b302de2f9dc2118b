"""access_token: how long each kind lives, what replaces it, what a dead one is answered."""

from tests.simulator.wechat_desk import Desk


def answers(desk: Desk, *tokens: str) -> list[int]:
    """Ask with each for a phone number by a nonsense code: 40029 where the token is good."""
    return [int(desk.phone_number("nonsense", token)["errcode"]) for token in tokens]


def test_each_call_gives_a_token_of_two_hours_and_the_one_before_works_five_minutes_more(
    desk: Desk,
) -> None:
    answer = desk.token()
    assert list(answer.items())[1:] == [("expires_in", 7200)]
    old, new = answer["access_token"], desk.token()["access_token"]
    desk.clock.now += 299
    assert answers(desk, old, new) == [40029, 40029]
    desk.clock.now += 1
    assert answers(desk, old, new) == [40001, 40029]
    desk.clock.now += 6900
    assert answers(desk, new, "junk") == [42001, 40014]


def test_a_stable_token_stays_until_its_last_five_minutes_and_both_work_then(desk: Desk) -> None:
    first = desk.stable_token()
    desk.clock.now += 6900
    assert desk.stable_token() == {**first, "expires_in": 300}
    desk.clock.now += 1
    renewed = desk.stable_token()
    assert renewed["expires_in"] == 7200
    assert renewed["access_token"] != first["access_token"]
    assert answers(desk, first["access_token"], renewed["access_token"]) == [40029] * 2


def test_a_force_kills_the_token_at_once_but_not_within_30_seconds_of_another(desk: Desk) -> None:
    plain, old = desk.token()["access_token"], desk.stable_token()["access_token"]
    forced = desk.stable_token(force_refresh=True)
    assert desk.stable_token(force_refresh=True) == forced
    desk.token()  # the two kinds do not disturb each other
    assert answers(desk, old, forced["access_token"], plain) == [40001, 40029, 40029]
    desk.clock.now += 30
    assert desk.stable_token(force_refresh=True)["access_token"] != forced["access_token"]


def test_the_21st_force_of_a_day_is_over_the_quota_until_the_next(desk: Desk) -> None:
    for _ in range(20):
        assert "access_token" in desk.stable_token(force_refresh=True)
        desk.clock.now += 30
    assert desk.stable_token(force_refresh=True)["errcode"] == 45009
    desk.clock.now += 86400
    assert "access_token" in desk.stable_token(force_refresh=True)
