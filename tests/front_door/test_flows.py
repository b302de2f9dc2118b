"""The flows that wxgate exists for, as far as the gate decides them.

What a phone does in them is asked of the real client: tests/simulator/browser/flows.test.js.
"""

from collections.abc import Callable

import pytest

from tests.support.front_door import APPID, FrontDoor


def opened(door: FrontDoor, token: str, data: dict[str, str]) -> str | None:
    """Send open data; give the Code of a refusal."""
    return door.send("POST", "/decrypt", token=token, json_body=data).code


def test_a_request_that_needs_no_login_is_just_sent(reloaded: Callable[..., FrontDoor]) -> None:
    door = reloaded(PUBLIC_PATHS="news")
    assert door.send("GET", "/api/news").status == 200
    assert door.send("GET", "/api/new%73").code == "InvalidToken"  # public in one reading alone


def test_on_a_new_phone_the_user_is_not_logged_in_though_wechats_session_holds(
    front_door: FrontDoor,
) -> None:
    tokens = [front_door.login()]
    assert front_door.phone().do("checkSession") == {"valid": True}
    assert front_door.send("GET", "/api/orders").code == "InvalidToken"
    tokens.append(front_door.login())
    answers = [front_door.send("GET", "/api/orders", token=token) for token in tokens]
    assert [answer.json["path"] for answer in answers] == ["/orders"] * 2


def test_when_wechats_session_goes_stale_the_token_lives_and_data_in_hand_are_lost(
    front_door: FrontDoor,
) -> None:
    token, phone = front_door.login(), front_door.phone()
    front_door.control("expire_session", appid=APPID, user=phone.user)
    in_hand = phone.tap()
    assert front_door.send("GET", "/api/orders", token=token).status == 200
    for logged_in in (token, front_door.login()):
        assert opened(front_door, logged_in, in_hand) == "DecryptFailed"
    assert opened(front_door, logged_in, phone.tap()) is None


@pytest.mark.parametrize("replaces", [True, False])
def test_data_of_just_before_a_new_login_open_if_it_replaces_the_old_one(
    front_door: FrontDoor, replaces: bool
) -> None:
    token, phone = front_door.login(), front_door.phone()
    in_hand = phone.tap()
    token = front_door.login(**{"replaces": token} if replaces else {})
    assert opened(front_door, token, in_hand) == (None if replaces else "DecryptFailed")
    assert opened(front_door, token, phone.tap()) is None
