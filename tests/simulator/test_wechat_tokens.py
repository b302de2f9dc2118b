"""access_token: how long each kind lives, what replaces it, what a dead one is answered."""

from tests.simulator.wechat_desk import APPID, Desk


def errcode_with(desk: Desk, token: str) -> int:
    """Ask with a token for a phone number by a nonsense code: 40029 where the token is good."""
    return int(desk.phone_number("nonsense", token)["errcode"])


def test_a_token_is_json_without_errcode(desk: Desk) -> None:
    answer = desk.token()
    assert list(answer) == ["access_token", "expires_in"]
    assert answer["expires_in"] == 7200


def test_each_call_gives_a_new_token_and_the_old_one_works_five_minutes(desk: Desk) -> None:
    old, new = desk.token()["access_token"], desk.token()["access_token"]
    desk.clock.now += 299
    assert (errcode_with(desk, old), errcode_with(desk, new)) == (40029, 40029)
    desk.clock.now += 1
    assert (errcode_with(desk, old), errcode_with(desk, new)) == (40001, 40029)


def test_a_token_expires_after_two_hours_which_one_never_issued_does_not(desk: Desk) -> None:
    token = desk.token()["access_token"]
    desk.clock.now += 7200
    assert (errcode_with(desk, token), errcode_with(desk, "junk")) == (42001, 40014)


def test_a_stable_token_stays_the_same_with_the_time_it_has_left(desk: Desk) -> None:
    first = desk.stable_token()
    desk.clock.now += 6900
    assert desk.stable_token() == {**first, "expires_in": 300}


def test_a_stable_token_is_renewed_in_its_last_five_minutes_and_both_work(desk: Desk) -> None:
    old = desk.stable_token()["access_token"]
    desk.clock.now += 6901
    renewed = desk.stable_token()
    assert renewed["expires_in"] == 7200
    assert renewed["access_token"] != old
    assert errcode_with(desk, old) == errcode_with(desk, renewed["access_token"]) == 40029


def test_a_forced_refresh_kills_the_token_at_once(desk: Desk) -> None:
    old = desk.stable_token()["access_token"]
    new = desk.stable_token(force_refresh=True)["access_token"]
    assert (errcode_with(desk, old), errcode_with(desk, new)) == (40001, 40029)


def test_a_second_force_within_30_seconds_refreshes_nothing(desk: Desk) -> None:
    forced = desk.stable_token(force_refresh=True)
    assert desk.stable_token(force_refresh=True) == forced
    desk.clock.now += 30
    assert desk.stable_token(force_refresh=True)["access_token"] != forced["access_token"]


def test_the_21st_force_of_a_day_is_over_the_quota_until_the_next(desk: Desk) -> None:
    for _ in range(20):
        assert "access_token" in desk.stable_token(force_refresh=True)
        desk.clock.now += 30
    assert desk.stable_token(force_refresh=True)["errcode"] == 45009
    desk.clock.now += 86400
    assert "access_token" in desk.stable_token(force_refresh=True)


def test_the_two_kinds_do_not_disturb_each_other(desk: Desk) -> None:
    plain = desk.token()["access_token"]
    stable = desk.stable_token(force_refresh=True)["access_token"]
    desk.token()
    assert (errcode_with(desk, plain), errcode_with(desk, stable)) == (40029, 40029)


def test_a_stable_token_wants_posted_json(desk: Desk) -> None:
    assert desk.call("GET", "/cgi-bin/stable_token").json()["errcode"] == 43002
    answer = desk.call("POST", "/cgi-bin/stable_token", data={"appid": APPID})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["errcode"] == 47001
