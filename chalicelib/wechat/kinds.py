"""The kinds of open data: which fields the plaintext of each may have, and whose it must be.

Sources: WeChat, «开放数据校验与解密», and the page of each call. Unknown members are ignored, since
WeChat may add some at any time; a member of another kind is refused, since it is the trace of a
splice: by the iv alone `{"openId":"o` becomes `{"openGId":"`, and a profile a group.

Every fault is a ValueError without a word about its cause.
"""

import re
from collections.abc import Callable
from typing import Any

from chalicelib import strict_json
from chalicelib.identity import Identity

CLOCK_SKEW = 60  # seconds that a watermark may lie in the future

Fields = dict[str, Any]
Read = Callable[[Any], Any]  # takes a member's value and gives it back checked


def _text(pattern: str) -> Read:
    matches = re.compile(pattern).fullmatch

    def read(value: Any) -> Any:
        if not isinstance(value, str) or not matches(value):
            raise ValueError
        return value

    return read


def _integer(value: Any) -> Any:
    # A bool is an int to isinstance; beyond 2⁵³ JavaScript reads another number (RFC 8259 6).
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError
    return value


def _country_code(value: Any) -> Any:
    # A number in old samples (WeChat, «获取手机号»), a string in practice.
    return _digits(str(value) if type(value) is int else value)


def _days(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(day, dict) for day in value):
        raise ValueError
    return [{name: _integer(day.get(name)) for name in ("timestamp", "step")} for day in value]


_anything, _digits = _text(r"[\s\S]*"), _text(r"[0-9]{1,20}")
# Opaque ids: letters, digits and what base64url uses. Samples show those of "group" also empty.
_group, _group_or_empty = _text(r"[A-Za-z0-9_=+/-]{1,128}"), _text(r"[A-Za-z0-9_=+/-]{0,128}")

# What decryption yields: kind → its documented members.
KINDS: dict[str, dict[str, Read]] = {
    "user": {
        "gender": _integer,
        **dict.fromkeys(("openId", "unionId", "nickName", "avatarUrl"), _anything),
        **dict.fromkeys(("language", "country", "province", "city"), _anything),
    },
    "phone": {
        "phoneNumber": _text(r"\+?[0-9]{1,24}"),
        "purePhoneNumber": _digits,
        "countryCode": _country_code,
    },
    "werun": {"stepInfoList": _days},
    # A private message (私密消息) has no group, but a ticket of undocumented form.
    "share": {"openGId": _group, "msgTicket": _text(r"[!-~]{1,512}")},
    "group": {
        **dict.fromkeys(("opengid", "open_single_roomid", "group_openid"), _group_or_empty),
        "chat_type": _integer,
    },
}
_EMPTY_IS_NONE = (("unionId", ""), ("openGId", ""))
_MEMBERS = {name for members in KINDS.values() for name in members}
_FOREIGN = {kind: _MEMBERS - members.keys() for kind, members in KINDS.items()}


def _is_complete(kind: str, fields: Fields) -> bool:
    match kind:
        case "user":
            return "nickName" in fields and "avatarUrl" in fields
        case "phone":
            if len(fields) < 3:
                return False
            number, pure, country = (fields[name] for name in KINDS["phone"])
            return number in (pure, country + pure, f"+{country}{pure}")
        case "group":
            # A chat of two has the second id, any other the first (WeChat, «wx.getGroupEnterInfo»).
            return bool(fields.get("opengid") or fields.get("open_single_roomid"))
        case _:
            return bool(fields)


def documented(kind: str, fields: Any, appid: str) -> Fields:
    """Give the documented members alone, complete and well-formed, of data made for an app."""
    watermark = fields.get("watermark") if isinstance(fields, dict) else None
    if not isinstance(watermark, dict) or watermark.get("appid") != appid:
        raise ValueError
    sent = {item[0] for item in fields.items() if item not in _EMPTY_IS_NONE}
    found = {name: read(fields[name]) for name, read in KINDS[kind].items() if name in sent}
    if not _is_complete(kind, found):
        raise ValueError
    return found


def read(plaintext: bytes, kind: str, *, whose: Identity, now: float, max_age: float) -> Fields:
    """Read the plaintext of one kind, whose watermark is at most `max_age` seconds old."""
    if not (plaintext.startswith(b"{") and plaintext.endswith(b"}")) or kind not in KINDS:
        raise ValueError
    fields = strict_json.load_object(plaintext)
    if not _FOREIGN[kind].isdisjoint(fields):
        raise ValueError
    found = documented(kind, fields, whose.appid)
    if not now - max_age <= _integer(fields["watermark"].get("timestamp")) <= now + CLOCK_SKEW:
        raise ValueError
    # A session older than the binding that gave its user a unionid must log in again.
    for name, own in (("openId", whose.openid), ("unionId", whose.unionid)):
        if found.get(name, own) != own:
            raise ValueError
    return found
