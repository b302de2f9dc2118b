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


def openid(**fields: Any) -> str | None:
    return read(APPID, json.dumps(fields).encode()).openid


def of_xml(inside: str) -> Any:
    return parse(f"<xml>{inside}</xml>".encode())


# --- XML becomes JSON ---


def test_elements_become_members_and_all_text_stays_text() -> None:
    assert of_xml("<A><![CDATA[很好 <b>]]></A><B>17</B><C/><D> x </D>") == {
        "A": "很好 <b>",
        "B": "17",
        "C": "",
        "D": " x ",
    }


def test_elements_of_one_name_become_a_list_and_nested_ones_objects() -> None:
    inside = "<List><Id>1</Id></List><List><Id>2</Id><Id>3</Id></List><One>\n<Id>4</Id>\n</One>"
    assert of_xml(inside) == {"List": [{"Id": "1"}, {"Id": ["2", "3"]}], "One": {"Id": "4"}}


def test_a_declaration_comments_and_the_five_references_are_xml() -> None:
    data = b'<?xml version="1.0" encoding="utf-8"?><xml><!-- x --><A>&lt;&#x5f88;&amp;</A></xml>'
    assert parse(data) == {"A": "<很&"}


@pytest.mark.parametrize(
    "inside", ["text", "<A>", "<A></B>", "<A>&e;</A>", "<A>&#xD800;</A>", "\x00", "<A>\x01</A>"]
)
def test_what_is_not_well_formed_is_refused(inside: str) -> None:
    with pytest.raises(ValueError, match=r"^$|invalid|not well"):
        of_xml(inside)


def test_elements_are_nested_as_deep_as_json_may_be_and_counted() -> None:
    of_xml("<A>" * 31 + "</A>" * 31)
    with pytest.raises(ValueError, match=r"^$|invalid|not well"):
        of_xml("<A>" * 32 + "</A>" * 32)
    of_xml("<A/>" * (MAX_TAGS - 2))
    with pytest.raises(ValueError, match=r"^$|invalid|not well"):
        of_xml("<A/>" * (MAX_TAGS - 1))


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


# --- the message ---


def test_blanks_around_names_and_the_openid_are_trimmed() -> None:
    message = read(APPID, b'{"MsgType":"event"," OpenID":" o-ann "," Event ":"%s "}' % CANCELLED)
    assert (message.openid, message.is_cancellation) == ("o-ann", True)
    assert list(json.loads(message.body).items()) == [
        ("MsgType", "event"),
        ("OpenID", " o-ann "),
        ("Event", f"{CANCELLED.decode()} "),
    ]


def test_two_names_that_differ_by_blanks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^$|invalid|not well"):
        read(APPID, b'{"OpenID":"o-ann"," OpenID":"o-ben"}')


def test_to_take_consent_back_is_no_cancellation() -> None:
    assert not read(APPID, json.dumps(REVOKED).encode()).is_cancellation


def test_a_message_may_begin_with_blanks() -> None:
    assert parse(b' \n{"A":1}') == {"A": 1}


def test_chinese_text_is_delivered_as_it_is() -> None:
    assert read(APPID, '{"Content":"\\u5f88好"}'.encode()).body == '{"Content":"很好"}'


def test_a_repeat_has_the_same_id_and_anything_else_another() -> None:
    first = read(APPID, json.dumps(REVOKED).encode()).id
    again = dict(reversed(REVOKED.items()))
    assert read(APPID, json.dumps(again, indent=1).encode()).id == first
    others = [{**REVOKED, name: "other"} for name in REVOKED]
    ids = {read(APPID, json.dumps(other).encode()).id for other in others}
    ids.add(read("wx-other", json.dumps(REVOKED).encode()).id)
    assert len(ids - {first}) == len(REVOKED) + 1
    assert len(first) == 64


# --- whom it concerns ---


def test_the_user_of_an_event_of_consent_is_its_openid() -> None:
    assert openid(**REVOKED) == "o-ann"


def test_without_an_openid_an_event_of_consent_concerns_nobody() -> None:
    """Its FromUserName is WeChat's push service, and looks like a user's."""
    assert openid(**{**REVOKED, "OpenID": ""}) is None
    assert openid(**EVENT, Event="user_info_modified") is None


def test_the_user_of_an_event_of_payment_is_its_openid_of_another_spelling() -> None:
    assert openid(**EVENT, Event="xpay_goods_deliver_notify", OpenId="o-ann") == "o-ann"


@pytest.mark.parametrize(
    "fields",
    [
        {"MsgType": "text", "Content": "hello"},
        {"MsgType": "event", "Event": "user_enter_tempsession"},
        {"MsgType": "event", "Event": "subscribe_msg_popup_event"},
    ],
)
def test_a_message_that_a_user_sent_concerns_its_sender(fields: dict[str, str]) -> None:
    assert openid(FromUserName="o-ann", **fields) == "o-ann"
    assert openid(FromUserName="o-ann", OpenID="o-ben", **fields) == "o-ben"


@pytest.mark.parametrize("value", ["o\r\nX-WX-OPENID: o-ben", "很", "a b", "x" * 129, 7, ["o-ann"]])
def test_what_is_no_openid_names_nobody(value: object) -> None:
    assert openid(MsgType="text", OpenID=value) is None


def test_a_message_without_a_type_names_no_sender() -> None:
    assert openid(FromUserName="o-ann") is None
