"""The flows that wxgate exists for, as a phone goes through them (server side).

L: login. R1: a request that needs no login. R2: one that needs it. R3: one that brings encrypted
data, checked when the page opens (way 1) or when the user taps (way 2).
"""

from collections.abc import Callable

import pytest

from tests.support.front_door import APPID, Answer, FrontDoor


class MiniProgram:
    """What a mini-program does on one phone: it keeps a token, and asks wx and the gate."""

    def __init__(self, door: FrontDoor, user: str = "alice") -> None:
        self._door = door
        self.phone = door.phone(user)
        self.token: str | None = None
        self.logins = 0

    def log_in(self) -> None:
        body = {"code": self.phone.code(), "replaces": self.token}
        answer = self._door.send("POST", "/login", json_body=body)
        self.token = answer.json["token"]
        self.logins += 1

    def send(self, method: str, path: str, body: object = None) -> Answer:
        return self._door.send(method, path, token=self.token, json_body=body)

    def request(self, path: str) -> Answer:
        """Flow R2: sent; where the gate says "not logged in": flow L, sent again, once."""
        answer = self.send("GET", path)
        if answer.code != "InvalidToken":
            return answer
        self.log_in()
        return self.send("GET", path)

    def session_holds(self) -> bool:
        return bool(self.phone.do("checkSession")["valid"])

    def open_page(self) -> None:
        """Way 1: log in where there is no token, the gate refuses it, or WeChat's session ended."""
        accepted = self.token and self.send("GET", "/session").code != "InvalidToken"
        if not accepted or not self.session_holds():
            self.log_in()

    def open_data(self, data: dict[str, str]) -> Answer:
        return self.send("POST", "/decrypt", data)

    def tap_and_check(self) -> Answer | None:
        """Way 2: None where flow L had to run, and the user must tap again."""
        data = self.phone.tap()
        if self.token and self.session_holds():
            answer = self.open_data(data)
            if answer.code != "InvalidToken":
                return answer
        self.log_in()
        return None

    def start(self, state: str) -> None:
        if state != "no token":
            self.log_in()
        if state == "dead token":
            self.send("POST", "/logout")
        if state == "stale session":
            self._door.control("expire_session", appid=APPID, user=self.phone.user)


STATES = ("no token", "live token", "dead token", "stale session")


@pytest.fixture
def app(front_door: FrontDoor) -> MiniProgram:
    return MiniProgram(front_door)


def test_r1_a_request_that_needs_no_login_is_just_sent(reloaded: Callable[..., FrontDoor]) -> None:
    app = MiniProgram(reloaded(PUBLIC_PATHS="news"))
    assert app.request("/api/news").status == 200
    assert app.logins == 0


@pytest.mark.parametrize(("state", "logins"), list(zip(STATES, (1, 1, 2, 1), strict=True)))
def test_r2_a_request_logs_in_once_if_its_token_is_not_live(
    app: MiniProgram, state: str, logins: int
) -> None:
    app.start(state)
    for _ in range(2):
        assert app.request("/api/orders").json["path"] == "/orders"
    assert app.logins == logins


def test_on_a_new_phone_the_user_is_not_logged_in_though_wechats_session_holds(
    app: MiniProgram, front_door: FrontDoor
) -> None:
    app.log_in()
    new_phone = MiniProgram(front_door)
    assert new_phone.session_holds()
    assert new_phone.send("GET", "/api/orders").code == "InvalidToken"
    assert new_phone.request("/api/orders").status == 200
    assert app.send("GET", "/api/orders").status == 200


@pytest.mark.parametrize(("state", "logins"), list(zip(STATES, (1, 1, 2, 2), strict=True)))
def test_r3_way_1_the_page_logs_in_if_it_must_and_every_tap_opens(
    app: MiniProgram, state: str, logins: int
) -> None:
    app.start(state)
    app.open_page()
    assert app.open_data(app.phone.tap()).status == 200
    assert app.logins == logins


@pytest.mark.parametrize("state", STATES)
def test_r3_way_2_the_first_tap_opens_or_the_second(app: MiniProgram, state: str) -> None:
    app.start(state)
    answer = app.tap_and_check()
    assert (answer is not None) is (state == "live token")
    answer = answer or app.tap_and_check()
    assert answer is not None
    assert answer.status == 200


def test_r3_data_in_hand_when_the_session_went_stale_is_lost(app: MiniProgram) -> None:
    app.start("stale session")
    in_hand = app.phone.tap()
    app.log_in()
    assert app.open_data(in_hand).code == "DecryptFailed"
    assert app.open_data(app.phone.tap()).status == 200


@pytest.mark.parametrize("replaces", [True, False])
def test_data_of_just_before_a_new_login_open_if_it_replaces_the_old_one(
    app: MiniProgram, replaces: bool
) -> None:
    app.log_in()
    in_hand = app.phone.tap()
    app.token = app.token if replaces else None
    app.log_in()
    assert app.open_data(in_hand).code == (None if replaces else "DecryptFailed")
    assert app.open_data(app.phone.tap()).status == 200
