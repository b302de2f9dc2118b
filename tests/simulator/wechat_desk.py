"""A simulated WeChat on a socket, driven over HTTP, with a clock that stands still."""

from typing import Any, Self

import requests
from wechatpy.crypto import WeChatWxaCrypto

from simulator.wechat import WeChat, appsecret_of, openid_of, serve
from simulator.wechat.cipher import user_signature
from tests.support.fakes import Clock

APPID = "wx4f4bc4dec97d474b"
OTHER_APPID = "wx0000000000000001"
NOW = 1_700_000_000.0


class Desk:
    """One WeChat with two apps, a phone of ann's, and a server of APPID's."""

    def __init__(self, key_interval: float = 0.0, session_life: float = 86400.0) -> None:
        self.clock = Clock(NOW)
        apps = {appid: appsecret_of(appid) for appid in (APPID, OTHER_APPID)}
        self.wechat = WeChat(apps, self.clock, key_interval, session_life)
        self.server = serve(self.wechat, drip_delay=0.001, hold=5.0)
        self.http = requests.Session()
        self.http.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.server.close()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.http.request(method, self.server.url + path, timeout=5, **options)

    def post(self, path: str, /, **members: Any) -> Any:
        return self.call("POST", path, json=members).json()

    def fault(self, path: str, kind: object, **members: Any) -> None:
        assert self.post("/control/fault", path=path, kind=kind, **members) == {"ok": True}

    def phone(self, act: str, user: str = "ann", appid: str = APPID, **members: Any) -> Any:
        return self.post(f"/wx/{act}", appid=appid, user=user, **members)

    def code(self, user: str = "ann") -> str:
        return str(self.phone("login", user)["code"])

    def log(self) -> Any:
        return self.call("GET", "/control/log").json()

    def exchanged(self, code: str, **changes: str) -> Any:
        return self.code2session(code, **changes).json()

    def code2session(self, code: str, **changes: str) -> requests.Response:
        query = {"appid": APPID, "secret": appsecret_of(APPID), "js_code": code}
        query |= {"grant_type": "authorization_code", **changes}
        return self.call("GET", "/sns/jscode2session", params=query)

    def session_key(self, user: str = "ann") -> str:
        return str(self.exchanged(self.code(user))["session_key"])

    def token(self, appid: str = APPID, **changes: str) -> Any:
        query = {"appid": appid, "secret": appsecret_of(appid), "grant_type": "client_credential"}
        return self.call("GET", "/cgi-bin/token", params=query | changes).json()

    def stable_token(self, **changes: Any) -> Any:
        members = {"appid": APPID, "secret": appsecret_of(APPID)}
        members |= {"grant_type": "client_credential", **changes}
        return self.post("/cgi-bin/stable_token", **members)

    def checked(self, session_key: str, **changes: str) -> int:
        return int(self.signed("checksession", session_key, **changes)["errcode"])

    def phone_number(self, code: str, token: str | None = None, **members: Any) -> Any:
        token = token or self.token()["access_token"]
        path = f"/wxa/business/getuserphonenumber?access_token={token}"
        return self.post(path, code=code, **members)

    def signed(self, act: str, session_key: str, **changes: str) -> Any:
        query = {"access_token": self.token()["access_token"], "openid": openid_of(APPID, "ann")}
        query |= {"signature": user_signature(session_key), "sig_method": "hmac_sha256", **changes}
        return self.call("GET", f"/wxa/{act}", params=query).json()


def opened(sealed: dict[str, str], session_key: str) -> Any:
    """Open open data with a library of another hand; ValueError where the key is another."""
    crypto = WeChatWxaCrypto(session_key, sealed["iv"], APPID)
    return crypto.decrypt_message(sealed["encryptedData"])
