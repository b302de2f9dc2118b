"""Temporary smoke."""

from tests.conftest import FrontDoor


def test_a_login_opens_the_business_api(front_door: FrontDoor) -> None:
    token = front_door.login()
    assert front_door.send("GET", "/api/orders/7", token=token).json["path"] == "/orders/7"
