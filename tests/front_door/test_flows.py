"""The flows that wxgate exists for, as a phone goes through them (server side).

L: login. R1: a request that needs no login. R2: one that needs it. R3: one that brings encrypted
data, checked when the page opens (way 1) or when the user taps (way 2).
"""

from typing import Any

import pytest

from simulator import desk
from simulator.wechat import openid_of
from tests.support.front_door import APPID, Answer, FrontDoor


class MiniProgram:
    """What a mini-program does on one phone: it keeps a token, and asks wx and the gate."""

    def __init__(self, door: FrontDoor, user: str = "alice") -> None:
        self._door = door
        self._phone = door.phone(user)
        self.token: str | None = None
        self.logins = 0

    def log_in(self) -> None:
        """Flow L."""
        body = {"code": self._phone.code(), "replaces": self.token}
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
        """wx.checkSession."""
        valid: bool = self._phone.do("checkSession")["valid"]
        return valid

    def open_page(self) -> None:
        """Way 1: log in where there is no token, the gate refuses it, or WeChat's session ended."""
        accepted = self.token and self.send("GET", "/session").code != "InvalidToken"
        if not accepted or not self.session_holds():
            self.log_in()

    def tap(self) -> dict[str, Any]:
        """The user taps the phone button."""
        data = self._phone.do("getPhoneNumber")
        return {"kind": "phone", "encryptedData": data["encryptedData"], "iv": data["iv"]}

    def open_data(self, data: dict[str, Any]) -> Answer:
        return self.send("POST", "/decrypt", data)

    def tap_and_check(self) -> Answer | None:
        """Way 2: None where flow L had to run, and the user must tap again."""
        data = self.tap()
        if self.token and self.session_holds():
            answer = self.open_data(data)
            if answer.code != "InvalidToken":
                return answer
        self.log_in()
        return None

    def expire(self) -> None:
        """WeChat ends the session."""
        self._door.control("expire_session", appid=APPID, user=self._phone.user)

    def start(self, state: str) -> None:
        """Bring it into one of STATES."""
        if state != "no token":
            self.log_in()
        if state == "dead token":
            self.send("POST", "/logout")
        if state == "stale session":
            self.expire()


STATES = ("no token", "live token", "dead token", "stale session")


@pytest.fixture
def app(front_door: FrontDoor) -> MiniProgram:
    return MiniProgram(front_door)


# --- L, R1, R2 -----------------------------------------------------------------------------------


def test_a_login_ends_the_session_that_it_replaces(app: MiniProgram, front_door: FrontDoor) -> None:
    app.log_in()
    old = app.token
    app.log_in()
    assert front_door.send("GET", "/api/me", token=old).code == "InvalidToken"
    assert app.send("GET", "/api/me").json["headers"]["X-WX-OPENID"] == openid_of(APPID, "alice")


def test_r1_a_request_that_needs_no_login_is_just_sent(
    front_door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_PATHS", "news")
    front_door.module = desk.load_app()
    app = MiniProgram(front_door)
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


# --- R3 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "logins"), list(zip(STATES, (1, 1, 2, 2), strict=True)))
def test_r3_way_1_the_page_logs_in_if_it_must_and_every_tap_opens(
    app: MiniProgram, state: str, logins: int
) -> None:
    app.start(state)
    app.open_page()
    assert app.open_data(app.tap()).status == 200
    assert app.logins == logins


@pytest.mark.parametrize("state", STATES)
def test_r3_way_2_the_first_tap_opens_or_the_second(app: MiniProgram, state: str) -> None:
    app.start(state)
    answer = app.tap_and_check()
    assert (answer is not None) is (state == "live token")
    answer = answer or app.tap_and_check()
    assert answer is not None
    assert answer.status == 200


def test_r3_the_data_is_the_users_own(app: MiniProgram, front_door: FrontDoor) -> None:
    other = MiniProgram(front_door, "bob")
    for each in (app, other):
        each.open_page()
    numbers = [each.open_data(each.tap()).json["data"]["phoneNumber"] for each in (app, other)]
    assert numbers[0] != numbers[1]


def test_r3_data_in_hand_when_the_session_went_stale_is_lost(app: MiniProgram) -> None:
    app.start("stale session")
    in_hand = app.tap()
    app.log_in()
    assert app.open_data(in_hand).code == "DecryptFailed"
    assert app.open_data(app.tap()).status == 200


# --- the key that changes under our hands --------------------------------------------------------


def test_data_of_just_before_a_new_login_still_opens(app: MiniProgram) -> None:
    app.log_in()
    in_hand = app.tap()
    app.log_in()
    assert app.open_data(in_hand).status == 200
    assert app.open_data(app.tap()).status == 200


def test_without_replaces_data_of_before_the_login_is_lost(app: MiniProgram) -> None:
    app.log_in()
    in_hand = app.tap()
    app.token = None
    app.log_in()
    assert app.open_data(in_hand).code == "DecryptFailed"


def test_two_pages_that_log_in_at_once_both_work(app: MiniProgram, front_door: FrontDoor) -> None:
    codes = [{"code": front_door.phone().code()} for _ in range(2)]
    logins = [front_door.send("POST", "/login", json_body=code).json for code in reversed(codes)]
    for app.token in (login["token"] for login in logins):
        assert app.open_data(app.tap()).status == 200
