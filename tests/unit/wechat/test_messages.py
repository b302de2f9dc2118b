"""What a push says: JSON and XML, whom it concerns, and an id that a repeat shares."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.wechat.messages import MAX_TAGS, parse, read
from simulator.wechat.push import xml

APPID = "wx4f4bc4dec97d474b"
EVENT = {"FromUserName": "o-push-service", "MsgType": "event", "CreateTime": 1714112445}
CANCELLED = b"user_authorization_cancellation"
REVOKED = {**EVENT, "Event": "user_authorization_revoke", "OpenID": "o-ann", "RevokeInfo": "1"}


def of_xml(inside: str) -> Any:
    return parse(f"<xml>{inside}</xml>".encode())


def test_elements_become_members_a_list_or_objects_and_all_text_stays_text() -> None:
    text = "<A><![CDATA[很好 <b>]]></A><B>17</B><C/><D> x </D>"
    assert of_xml(text) == {"A": "很好 <b>", "B": "17", "C": "", "D": " x "}
    inside = "<List><Id>1</Id></List><List><Id>2</Id><Id>3</Id></List><One>\n<Id>4</Id>\n</One>"
    assert of_xml(inside) == {"List": [{"Id": "1"}, {"Id": ["2", "3"]}], "One": {"Id": "4"}}
    data = b'<?xml version="1.0" encoding="utf-8"?><xml><!-- x --><A>&lt;&#x5f88;&amp;</A></xml>'
    assert parse(data) == {"A": "<很&"}


@pytest.mark.parametrize(
    "inside",
    [
        *("text", "<A>", "<A></B>", "<A>&e;</A>", "<A>&#xD800;</A>", "\x00", "<A>\x01</A>"),
        *("<A>" * 32 + "</A>" * 32, "<A/>" * (MAX_TAGS - 1)),
    ],
    ids=range(9),
)
def test_what_is_not_well_formed_too_deep_or_too_long_is_refused(inside: str) -> None:
    of_xml("<A>" * 31 + "</A>" * 31)
    of_xml("<A/>" * (MAX_TAGS - 2))
    with pytest.raises(ValueError, match=r"^$|invalid|not well"):
        of_xml(inside)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_categories=["C"]), min_size=1).filter(str.strip),
        min_size=1,
    )
)
def test_a_message_says_the_same_in_xml_and_in_json(fields: dict[str, str]) -> None:
    in_xml, in_json = read(APPID, xml(fields).encode()), read(APPID, json.dumps(fields).encode())
    assert (in_xml.body, in_xml.id, in_xml.openid) == (in_json.body, in_json.id, in_json.openid)


def test_blanks_around_names_and_the_openid_are_trimmed() -> None:
    message = read(APPID, b'{"MsgType":"event"," OpenID":" o-ann "," Event ":"%s "}' % CANCELLED)
    assert (message.openid, message.is_cancellation) == ("o-ann", True)
    assert list(json.loads(message.body).items()) == [
        ("MsgType", "event"),
        ("OpenID", " o-ann "),
        ("Event", f"{CANCELLED.decode()} "),
    ]


def test_two_names_that_differ_by_blanks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^$"):
        read(APPID, b'{"OpenID":"o-ann"," OpenID":"o-ben"}')


def test_a_message_may_begin_with_blanks_and_its_chinese_is_delivered_as_it_is() -> None:
    assert read(APPID, ' \n{"Content":"\\u5f88好"}'.encode()).body == '{"Content":"很好"}'


def test_a_repeat_has_the_same_id_and_anything_else_another() -> None:
    first = read(APPID, json.dumps(REVOKED).encode()).id
    again = dict(reversed(REVOKED.items()))
    assert read(APPID, json.dumps(again, indent=1).encode()).id == first
    others = [{**REVOKED, name: "other"} for name in REVOKED]
    ids = {read(APPID, json.dumps(other).encode()).id for other in others}
    ids.add(read("wx-other", json.dumps(REVOKED).encode()).id)
    assert len(ids - {first}) == len(REVOKED) + 1
    assert len(first) == 64


# The FromUserName of an event of consent or payment is WeChat's own account, and looks like a user.
SENT_BY_USER = [{"MsgType": "text"}] + [
    {"MsgType": "event", "Event": event}
    for event in ("user_enter_tempsession", "subscribe_msg_popup_event")
]
CONCERNS: list[tuple[dict[str, Any], str | None]] = [
    (REVOKED, "o-ann"),
    ({**REVOKED, "OpenID": ""}, None),
    ({**EVENT, "Event": "user_info_modified"}, None),
    ({**EVENT, "Event": "xpay_goods_deliver_notify", "OpenId": "o-ann"}, "o-ann"),
    *(({"FromUserName": "o-ann", **fields}, "o-ann") for fields in SENT_BY_USER),
    *(({"FromUserName": "o-ann", "OpenID": "o-ben", **fields}, "o-ben") for fields in SENT_BY_USER),
    *(
        ({"MsgType": "text", "OpenID": value}, None)
        for value in ("o\r\nX-WX-OPENID: o-ben", "很", "a b", "x" * 129, 7, ["o-ann"])
    ),
    ({"FromUserName": "o-ann"}, None),
]


@pytest.mark.parametrize(("fields", "openid"), CONCERNS)
def test_a_message_concerns_its_openid_or_the_user_who_sent_it(
    fields: dict[str, Any], openid: str | None
) -> None:
    message = read(APPID, json.dumps(fields).encode())
    assert (message.openid, message.is_cancellation) == (openid, False)
