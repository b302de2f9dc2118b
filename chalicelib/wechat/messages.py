"""The message in a push: JSON, or XML turned into it; whom it concerns, and its id.

Source: WeChat, «消息推送», «授权用户信息变更», «小程序订阅消息», «接收消息和事件».
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from defusedxml.ElementTree import ParseError, fromstring

from chalicelib import strict_json

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # nosec B405 - a type; defusedxml parses

PLAIN = {"FromUserName", "CreateTime", "MsgType", "Event"}  # in a message that is not encrypted
MAX_TAGS = 10_000  # of an XML document; WeChat's have a few dozen
# Events whose FromUserName is the user; in those of consent, for one, it is WeChat's own.
_SENT_BY_USER = {
    *("user_enter_tempsession", "subscribe_msg_popup_event"),
    *("subscribe_msg_change_event", "subscribe_msg_sent_event"),
}
_OPENID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, repr=False)
class Message:
    """A verified message: `body` is one JSON object, `openid` the user concerned, if there is one.

    `id` is made of the content: the same message, sent again, has the same one. A cancellation says
    that the user closed the WeChat account.
    """

    appid: str
    openid: str | None
    body: str
    id: str
    is_cancellation: bool


def read(appid: str, data: bytes) -> Message:
    """Read what an envelope held. Blanks around names, and around the values used here, go.

    Raises:
        ValueError: if it is neither a JSON object nor XML.
    """
    parsed = parse(data)
    fields = {name.strip(): value for name, value in parsed.items()}
    if len(fields) != len(parsed):
        raise ValueError
    canonical = json.dumps(fields, sort_keys=True)
    return Message(
        appid=appid,
        openid=_openid(fields),
        body=json.dumps(fields, ensure_ascii=False, separators=(",", ":")),
        id=hashlib.sha256(f"{appid}\0{canonical}".encode()).hexdigest(),
        is_cancellation=_text(fields, "Event") == "user_authorization_cancellation",
    )


def parse(data: bytes) -> dict[str, Any]:
    """Parse a JSON object, or the children of an XML element named xml.

    Elements with children become objects, those of one name a list; attributes are dropped.

    Raises:
        ValueError: for every fault, and for XML with a DTD.
    """
    if data.lstrip().startswith(b"{"):
        return strict_json.load_object(data)
    text = data.decode()
    if text.count("<") > MAX_TAGS:
        raise ValueError
    try:
        root = fromstring(text, forbid_dtd=True)
    except ParseError:  # a SyntaxError
        raise ValueError from None
    value = _value(root)
    if root.tag != "xml" or not isinstance(value, dict):
        raise ValueError
    return value


def _value(element: "Element", depth: int = 1) -> Any:
    if depth > strict_json.MAX_DEPTH:
        raise ValueError
    members: dict[str, list[Any]] = {}
    for child in element:
        members.setdefault(child.tag, []).append(_value(child, depth + 1))
    found = {name: all_ if len(all_) > 1 else all_[0] for name, all_ in members.items()}
    return found or element.text or ""


def _text(fields: dict[str, Any], *names: str) -> str:
    """Give the first of these members that is a text with more than blanks, or ""."""
    texts = [value.strip() for name in names if isinstance(value := fields.get(name), str)]
    return next(filter(None, texts), "")


def _openid(fields: dict[str, Any]) -> str | None:
    kind, event = _text(fields, "MsgType"), _text(fields, "Event")
    names = ["OpenID", "OpenId"]  # the latter in events of payment
    if event in _SENT_BY_USER or kind not in ("", "event"):
        names.append("FromUserName")
    openid = _text(fields, *names)
    return openid if _OPENID.fullmatch(openid) else None
