"""wechatpy, a library of other hands, against the simulator: it must be taken for WeChat."""

import base64
from typing import Any

import pytest
from wechatpy import WeChatClient
from wechatpy.client.api import WeChatWxa
from wechatpy.crypto import WeChatWxaCrypto
from wechatpy.exceptions import WeChatClientException

from simulator.desk import Desk
from simulator.wechat import appsecret_of, openid_of, unionid_of
from tests.support.front_door import APPID, FrontDoor, Phone


@pytest.fixture
def phone(running_desk: Desk) -> Phone:
    return Phone(running_desk.urls["WeChat"], "witness")


@pytest.fixture
def client(running_desk: Desk) -> Any:
    """Wechatpy's client, unmodified but for WeChat's address, which it knows in three places."""
    url = running_desk.urls["WeChat"]

    class Wxa(WeChatWxa):  # type: ignore[misc]  # wechatpy has no types
        API_BASE_URL = f"{url}/"

    class Client(WeChatClient):  # type: ignore[misc]  # nor here
        API_BASE_URL = f"{url}/cgi-bin/"
        wxa = Wxa()

        def fetch_access_token(self) -> Any:
            credentials = {"appid": self.appid, "secret": self.secret}
            query = {"grant_type": "client_credential", **credentials}
            return self._fetch_access_token(f"{url}/cgi-bin/token", query)

    return Client(APPID, appsecret_of(APPID))


def opened(session: dict[str, str], tapped: dict[str, str]) -> Any:
    crypto = WeChatWxaCrypto(session["session_key"], tapped["iv"], APPID)
    return crypto.decrypt_message(tapped["encryptedData"])


def test_a_foreign_library_gets_a_session_for_a_code_once(client: Any, phone: Phone) -> None:
    code = phone.code()
    session = client.wxa.code_to_session(code)
    assert session["openid"] == openid_of(APPID, "witness")
    assert session["unionid"] == unionid_of("witness")
    assert len(base64.b64decode(session["session_key"])) == 16
    with pytest.raises(WeChatClientException) as refused:
        client.wxa.code_to_session(code)
    assert refused.value.errcode == 40163


def test_a_foreign_library_gets_an_access_token_and_trades_a_phone_code(
    client: Any, phone: Phone
) -> None:
    code = phone.do("getPhoneNumber")["code"]
    answer = client.post(f"{phone.url}/wxa/business/getuserphonenumber", data={"code": code})
    assert answer["phone_info"]["purePhoneNumber"].isdigit()


def test_what_a_foreign_library_opens_the_gate_opens_to_the_same(
    client: Any, phone: Phone, front_door: FrontDoor
) -> None:
    codes = [phone.code(), phone.code()]  # both stand for the key that is current now
    token = front_door.send("POST", "/login", json_body={"code": codes[0]}).json["token"]
    tapped = phone.tap()
    data = front_door.send("POST", "/decrypt", token=token, json_body=tapped).json["data"]
    assert data.items() <= opened(client.wxa.code_to_session(codes[1]), tapped).items()
