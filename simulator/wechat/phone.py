"""The phone face: what wx.* and the open-type buttons do behind the scenes, for a user by name."""

import base64
import secrets
from collections.abc import Callable

from simulator.wechat.accounts import (
    Accounts,
    User,
    openid_of,
    phone_number_of,
    simulated_id,
    unionid_of,
)
from simulator.wechat.cipher import encrypt, raw_data_signature
from simulator.wechat.errcodes import ERRMSG
from simulator.wechat.messages import (
    Answer,
    Call,
    FailError,
    JsonFace,
    JsonObject,
    compact,
    fail,
    members_of,
    text_in,
)

DAY = 86400
BEIJING = 8 * 3600  # seconds east of Greenwich: steps are counted by Chinese days

# What wx.getUserInfo gives since 2022; page «小程序用户头像昵称获取规则调整公告».
ANONYMOUS: JsonObject = {
    "nickName": "微信用户",
    "gender": 0,
    "language": "",
    "city": "",
    "province": "",
    "country": "",
    "avatarUrl": "",
}

CHAT_OF_MANY = 3  # «wx.getGroupEnterInfo»; 1 is a chat of two, 2 and 4 are WeCom's

Act = Callable[[User, JsonObject], JsonObject]


class PhoneFace:
    """Every act is a JSON POST of appid and user; open data is sealed with the key of this moment.

    Source: WeChat pages «开放数据校验与解密» and those of each wx.* function.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        acts: dict[str, Act] = {
            "login": self._login,
            "prefetch": self._login,  # pre-fetched data comes with a code of its own
            "checkSession": self._check_session,
            "getUserInfo": self._user_info,
            "getPhoneNumber": self._phone_number,
            "getWeRunData": self._werun,
            "getShareInfo": self._share,
            "getGroupEnterInfo": self._group,
        }
        self._face = JsonFace("/wx/", {n: ("POST", self._acting(a)) for n, a in acts.items()})
        self.paths = self._face.paths

    def answer(self, call: Call) -> Answer:
        """Answer one call."""
        return self._face.answer(call)

    def refuse(self, call: Call, errcode: int) -> Answer:
        """Fail as wx.* does, with the number as errno, without doing anything."""
        name = call.path.removeprefix("/wx/")
        return fail(name, ERRMSG.get(errcode, "system error"), errno=errcode)

    def _acting(self, act: Act) -> Callable[[Call], JsonObject]:
        def handler(call: Call) -> JsonObject:
            body = members_of(call)
            return act(user_in(body, self._accounts), body)

        return handler

    def _login(self, user: User, _: JsonObject) -> JsonObject:
        return {"code": self._accounts.log_in(user)}

    def _check_session(self, user: User, _: JsonObject) -> JsonObject:
        return {"valid": self._accounts.is_live(user)}

    def _user_info(self, user: User, body: JsonObject) -> JsonObject:
        given = body.get("userInfo", {})
        if not isinstance(given, dict):
            raise FailError("userInfo is not an object")
        user_info = {**ANONYMOUS, **given}
        ids = {"openId": user.openid, **user_info, "unionId": unionid_of(user.name)}
        sealed = self._seal(user, ids)
        raw_data = compact(user_info)
        return {
            "userInfo": user_info,
            "rawData": raw_data,
            "signature": raw_data_signature(raw_data, user.session_key),
            **sealed,
        }

    def _phone_number(self, user: User, body: JsonObject) -> JsonObject:
        phone = _phone_members({"phoneNumber": phone_number_of(user.name), **body})
        code = self._accounts.offer_phone(user, phone)
        return {"code": code, **self._seal(user, phone)}

    def _werun(self, user: User, _: JsonObject) -> JsonObject:
        today = int(self._accounts.clock() + BEIJING) // DAY * DAY - BEIJING
        days = range(today - 30 * DAY, today + DAY, DAY)
        steps = [{"timestamp": day, "step": 2000 + day // DAY % 31 * 250} for day in days]
        return self._seal(user, {"stepInfoList": steps})

    def _share(self, user: User, _: JsonObject) -> JsonObject:
        return self._seal(user, {"openGId": simulated_id("tG", "group", user.appid)})

    def _group(self, user: User, body: JsonObject) -> JsonObject:
        chat = body.get("chat_type", CHAT_OF_MANY)
        room = simulated_id("tG", "group" if chat == CHAT_OF_MANY else user.name, user.appid)
        group = {
            "opengid": room if chat == CHAT_OF_MANY else "",
            "open_single_roomid": "" if chat == CHAT_OF_MANY else room,
            "group_openid": openid_of(user.appid, f"group\0{user.name}"),
            "chat_type": chat,
        }
        return self._seal(user, group)

    def _seal(self, user: User, members: JsonObject) -> JsonObject:
        watermark = {"timestamp": int(self._accounts.clock()), "appid": user.appid}
        iv = secrets.token_bytes(16)
        plaintext = compact({**members, "watermark": watermark})
        encrypted = encrypt(self._accounts.tap_key(user), iv, plaintext)
        return {"encryptedData": encrypted, "iv": base64.b64encode(iv).decode()}


def user_in(body: JsonObject, accounts: Accounts) -> User:
    """Return the user that appid and user name; FailError where one is missing or unknown."""
    appid, name = text_in(body, "appid"), text_in(body, "user")
    if appid not in accounts.apps:
        raise FailError("invalid appid")
    return accounts.user(appid, name)


def _phone_members(body: JsonObject) -> JsonObject:
    country = text_in({"countryCode": "86", **body}, "countryCode")
    pure = text_in(body, "phoneNumber").removeprefix(f"+{country}")
    whole = pure if country == "86" else f"+{country}{pure}"
    return {"phoneNumber": whole, "purePhoneNumber": pure, "countryCode": country}
