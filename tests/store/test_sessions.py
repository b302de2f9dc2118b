"""The session store, on moto and on DynamoDB Local, which refuses what moto lets pass."""

import base64
import hashlib
import itertools
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from chalicelib.errors import InvalidToken, Misconfigured, TooManyRequests
from chalicelib.sessions import sessions
from chalicelib.sessions.sessions import Failures, Item, Session, Sessions
from chalicelib.sessions.tokens import MAX_TTL, Token, user_reference
from simulator import aws
from tests.support.engines import new_table
from tests.support.fakes import NOW, Clock
from tests.support.front_door import FrontDoor
from tests.support.store import APPID, KEY, KEY2, KEY3, OTHER_APPID, TTL, Store, bound, store_on

UNIONID = "o-union_1"


@pytest.fixture(scope="module")
def engine(engine_url: str) -> Iterator[tuple[type[Item], Any]]:
    with closing(aws.client("dynamodb", engine_url)) as dynamodb:
        yield bound(engine_url, new_table(engine_url)), dynamodb


@pytest.fixture
def store(engine: tuple[type[Item], Any], clock: Clock) -> Store:
    return store_on(*engine, clock)


# --- login, logout -------------------------------------------------------------------------------


def test_a_token_is_found_as_what_it_stands_for(store: Store) -> None:
    found = store.sessions.find(store.login(unionid=UNIONID))
    assert found == Session(APPID, store.openid, UNIONID, store.user)


def test_a_user_without_unionid_has_none(store: Store) -> None:
    assert store.sessions.find(store.login()).unionid is None


def test_session_keys_are_found_where_they_are_asked_for(store: Store) -> None:
    token = store.login()
    assert store.keys(token) == (KEY,)
    assert store.sessions.find(token).session_keys == ()


def test_a_text_form_finds_the_same_session(store: Store) -> None:
    assert store.is_live(Token.parse(store.login().text))


def test_a_token_that_was_never_given_is_refused(store: Store) -> None:
    with pytest.raises(InvalidToken):
        store.sessions.find_with_keys(Token.new(store.user))
    assert not store.is_live(Token.new(store.user))


def test_logins_do_not_disturb_each_other(store: Store) -> None:
    first, second = store.login(KEY), store.login(KEY2)
    assert (store.keys(first), store.keys(second)) == ((KEY,), (KEY2,))


def test_a_session_of_an_app_that_is_no_longer_served_is_refused(store: Store) -> None:
    token = store.login()
    others = Sessions(_items(store), [OTHER_APPID], TTL, store.clock)
    with pytest.raises(InvalidToken):
        others.find(token)


def _items(store: Store) -> type[Item]:
    items: type[Item] = vars(store.sessions)["_items"]
    return items


def test_a_session_tells_nothing_of_itself(store: Store) -> None:
    found, _ = store.sessions.find_with_keys(store.login())
    assert repr(found) == "Session(…)"


def test_an_ended_session_is_refused_and_others_live(store: Store) -> None:
    token, other = store.login(), store.login()
    store.sessions.end(token)
    assert (store.is_live(token), store.is_live(other)) == (False, True)


def test_a_session_ends_once(store: Store) -> None:
    token = store.login()
    store.sessions.end(token)
    with pytest.raises(InvalidToken):
        store.sessions.end(token)


def test_logout_everywhere_ends_all_of_this_user_alone(store: Store) -> None:
    tokens = [store.login() for _ in range(3)]
    bystander = store.sessions.create(APPID, f"{store.openid}x", None, KEY, None)
    elsewhere = store.sessions.create(OTHER_APPID, store.openid, None, KEY, None)
    store.sessions.end_all(tokens[1])
    assert [store.is_live(token) for token in tokens] == [False] * 3
    assert store.is_live(bystander)
    assert store.is_live(elsewhere)


def test_logout_everywhere_ends_more_than_a_batch_takes(store: Store) -> None:
    tokens = [store.login() for _ in range(30)]
    store.sessions.end_all(tokens[0])
    assert store.partition() == []


def test_logout_everywhere_ends_odd_items_too(store: Store) -> None:
    token, odd = store.login(), store.login()
    store.change(odd, appid={"N": "7"}, expires_at={"S": "soon"})
    store.sessions.end_all(token)
    assert store.partition() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", {"N": "2"}),
        ("appid", {"S": "wxother"}),
        ("openid", None),
        ("expires_at", {"N": str((NOW + TTL) * 1000)}),
    ],
)
def test_a_logout_refuses_a_token_that_all_else_refuses_and_ends_it(
    store: Store, name: str, value: Any
) -> None:
    token = store.login()
    store.change(token, **{name: value})
    with pytest.raises(InvalidToken):
        store.sessions.end(token)
    assert store.partition() == []


def test_a_dead_token_ends_nothing_anywhere(store: Store) -> None:
    token, other = store.login(), store.login()
    store.sessions.end(token)
    with pytest.raises(InvalidToken):
        store.sessions.end_all(token)
    assert store.is_live(other)


def test_logout_everywhere_keeps_the_count_of_failures(store: Store) -> None:
    token = store.login()
    store.fail(token)
    store.sessions.end_all(token)
    assert store.failures(store.login()).count == 1


# --- expiry --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "live"), [(0, True), (TTL - 1, True), (TTL, False)])
def test_a_session_lives_to_the_second(store: Store, age: int, live: bool) -> None:
    token = store.login()
    store.clock.advance(age)
    assert store.is_live(token) is live


@pytest.mark.parametrize("act", ["find", "find_with_keys", "end", "end_all"])
def test_an_expired_session_is_refused_for_everything(store: Store, act: str) -> None:
    token = store.login()
    store.clock.advance(TTL)
    with pytest.raises(InvalidToken):
        getattr(store.sessions, act)(token)


def test_an_expiry_of_twice_the_longest_life_is_believed(store: Store) -> None:
    token = store.login()
    store.change(token, expires_at={"N": str(NOW + 2 * MAX_TTL)})
    assert store.is_live(token)


def test_the_last_half_second_counts(store: Store) -> None:
    token = store.login()
    store.clock.advance(TTL - 0.5)
    assert store.is_live(token)
    store.sessions.end(token)


def test_every_item_has_the_attribute_that_cleans_it_up(store: Store) -> None:
    store.fail(store.login(replaces=store.login(KEY).text, session_key=KEY2))
    expiries = sorted(int(item["expires_at"]["N"]) for item in store.partition())
    assert expiries == [NOW + sessions.FAILURE_WINDOW, NOW + TTL]


def test_an_item_has_the_attributes_of_its_schema(store: Store) -> None:
    item = store.raw(store.login(unionid=UNIONID).item)
    types = {name: next(iter(value)) for name, value in item.items()}
    assert types == {
        **dict.fromkeys(("user", "item", "sealed_key"), "B"),
        **dict.fromkeys(("appid", "openid", "unionid"), "S"),
        **dict.fromkeys(("version", "created_at", "expires_at"), "N"),
    }
    assert item["version"] == {"N": "1"}


# --- a login that replaces -----------------------------------------------------------------------


def test_the_replaced_session_dies_and_leaves_its_key(store: Store) -> None:
    old = store.login(KEY)
    new = store.login(KEY2, replaces=old.text)
    assert not store.is_live(old)
    assert store.keys(new) == (KEY2, KEY)


def test_a_session_that_replaces_another_stands_for_the_same(store: Store) -> None:
    token = store.login(replaces=store.login(unionid=UNIONID).text, unionid=UNIONID)
    assert store.sessions.find(token) == Session(APPID, store.openid, UNIONID, store.user)


@pytest.mark.parametrize(("age", "keys"), [(599, (KEY2, KEY)), (600, (KEY2,))])
def test_a_previous_key_opens_for_ten_minutes(
    store: Store, age: int, keys: tuple[str, ...]
) -> None:
    token = store.login(KEY2, replaces=store.login(KEY).text)
    store.clock.advance(age)
    assert store.keys(token) == keys


def test_the_key_before_the_previous_one_is_gone(store: Store) -> None:
    second = store.login(KEY2, replaces=store.login(KEY).text)
    assert store.keys(store.login(KEY3, replaces=second.text)) == (KEY3, KEY2)


def test_the_same_key_again_keeps_the_older_one_as_long_as_it_had(store: Store) -> None:
    second = store.login(KEY2, replaces=store.login(KEY).text)
    store.clock.advance(100)
    third = store.login(KEY2, replaces=second.text)
    store.clock.advance(499)
    assert store.keys(third) == (KEY2, KEY)
    store.clock.advance(1)
    assert store.keys(third) == (KEY2,)


def test_the_same_key_again_without_an_older_one_is_one_key(store: Store) -> None:
    assert store.keys(store.login(KEY, replaces=store.login(KEY).text)) == (KEY,)


@pytest.mark.parametrize(
    "replaces",
    [None, 5, True, [], {}, "", "wxg_", "Bearer x", "wxg_" + "A" * 72, "wxg_" + "é" * 72],
)
def test_what_is_no_token_replaces_nothing(store: Store, replaces: object) -> None:
    assert store.keys(store.login(replaces=replaces)) == (KEY,)


def test_an_expired_token_replaces_nothing(store: Store) -> None:
    old = store.login(KEY)
    store.clock.advance(TTL)
    assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2,)


def test_an_ended_token_replaces_nothing(store: Store) -> None:
    old = store.login(KEY)
    store.sessions.end(old)
    assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2,)


def test_another_users_token_is_not_replaced(store: Store) -> None:
    theirs = store.sessions.create(APPID, f"{store.openid}x", None, KEY, None)
    assert store.keys(store.login(KEY2, replaces=theirs.text)) == (KEY2,)
    assert store.is_live(theirs)


def test_a_token_of_another_app_is_not_replaced(store: Store) -> None:
    elsewhere = store.sessions.create(OTHER_APPID, store.openid, None, KEY, None)
    assert store.keys(store.login(KEY2, replaces=elsewhere.text)) == (KEY2,)
    assert store.is_live(elsewhere)


def test_a_token_can_be_replaced_once(store: Store) -> None:
    old = store.login(KEY)
    first, second = (store.login(KEY2, replaces=old.text) for _ in range(2))
    assert (store.keys(first), store.keys(second)) == ((KEY2, KEY), (KEY2,))


def test_a_replaced_session_whose_key_does_not_open_leaves_nothing(store: Store) -> None:
    old = store.login(KEY)
    store.change(old, sealed_key={"B": b"\0" * 52})
    assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2,)
    assert not store.is_live(old)


# --- items of a foreign hand ---------------------------------------------------------------------

MILLISECONDS = {"N": str((NOW + TTL) * 1000)}


def _each(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


ODD_FOR_ALL = [
    *_each("version", None, {"N": "0"}, {"N": "99"}, {"S": "1"}, {"BOOL": True}),
    *_each("expires_at", None, MILLISECONDS, {"S": str(NOW + TTL)}, {"NULL": True}),
    *_each("expires_at", {"N": f"{NOW + TTL}.5"}, {"N": str(NOW + 2 * MAX_TTL + 1)}),
    *_each("appid", None, {"S": OTHER_APPID}, {"S": "wxother"}, {"N": "1"}, {"B": b"w"}),
    *_each("openid", None, {"S": "o\r\nX-Evil: 1"}, {"S": "oother"}, {"N": "1"}),
    *_each("openid", {"SS": ["o"]}, {"S": "o" * 129}, {"M": {}}),
    *_each("unionid", {"S": "o\r\nX: 1"}, {"S": "o o"}, {"N": "1"}, {"L": []}),
]
ODD_FOR_KEYS = [
    *_each("sealed_key", None, {"S": "text"}, {"N": "1"}, {"B": b""}, {"B": b"\0"}),
    *_each("sealed_key", {"B": b"\0" * 52}),
    *_each("previous_key", {"S": "text"}),
    *_each("previous_until", {"S": "soon"}),
]


@pytest.mark.parametrize(("name", "value"), ODD_FOR_ALL)
def test_a_token_of_an_odd_item_is_refused(store: Store, name: str, value: Any) -> None:
    token = store.login()
    store.change(token, **{name: value})
    for read in (store.sessions.find, store.sessions.find_with_keys):
        with pytest.raises(InvalidToken):
            read(token)


def test_the_log_learns_of_odd_items_not_of_dead_tokens(store: Store) -> None:
    odd, expired = store.login(), store.login()
    store.change(odd, openid=None)
    assert evidence_of(store, odd) == {"reason": "item is malformed"}
    assert evidence_of(store, Token.new(store.user)) == {}
    store.clock.advance(TTL)
    assert evidence_of(store, expired) == {}


def test_the_operator_is_told_of_an_item_that_a_foreign_hand_has_touched(store: Store) -> None:
    token = store.login()
    store.change(token, openid=None)
    evidence_of(store, token)
    user = hashlib.sha256(token.user).hexdigest()[:12]
    what = {"what": "MalformedItem", "user": user, "reason": "item is malformed"}
    assert store.alerts == [what]


def test_the_alarm_names_the_user_as_the_requests_line_does(
    front_door: FrontDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    token = Token.parse(front_door.login())
    with closing(aws.client("dynamodb", front_door.aws_url)) as dynamodb:
        dynamodb.update_item(
            TableName=os.environ["SESSIONS_TABLE"],
            Key={"user": {"B": token.user}, "item": {"B": token.item}},
            UpdateExpression="REMOVE openid",
        )
    capsys.readouterr()
    assert front_door.send("GET", "/api/me", token=token.text).code == "InvalidToken"
    alarm, request = map(json.loads, capsys.readouterr().out.splitlines())
    assert (alarm["alert"], alarm["user"]) == ("MalformedItem", request["user"])
    assert alarm["reason"] == request["reason"] == "item is malformed"


def alert_of(token: Token, reason: str) -> dict[str, str]:
    return {"what": "MalformedItem", "user": token.alias, "reason": reason}


@pytest.mark.parametrize(
    "act",
    [
        lambda store, token: store.sessions.find_with_keys(token),
        lambda store, token: store.sessions.end(token),
        lambda store, token: store.sessions.end_all(token),
    ],
)
def test_the_operator_is_told_once_whatever_was_asked(store: Store, act: Any) -> None:
    token = store.login()
    store.change(token, expires_at={"N": str((NOW + TTL) * 1000)}, sealed_key={"B": b"junk"})
    with pytest.raises(InvalidToken):
        act(store, token)
    assert store.alerts == [alert_of(token, "item is malformed")]


@pytest.mark.parametrize("version", ["0", "2"])
def test_an_item_of_another_release_is_refused_without_an_alarm(store: Store, version: str) -> None:
    token = store.login()
    store.change(token, version={"N": version}, openid=None)
    assert evidence_of(store, token) == {"reason": "item is malformed"}
    assert store.alerts == []


@pytest.mark.parametrize("version", [None, {"S": "1"}, {"N": "1.5"}])
def test_a_version_that_no_release_wrote_is_an_alarm(store: Store, version: Any) -> None:
    token = store.login()
    store.change(token, version=version)
    assert evidence_of(store, token) == {"reason": "item is malformed"}
    assert len(store.alerts) == 1


def test_what_time_and_configuration_explain_is_no_alarm(store: Store) -> None:
    token = store.login()
    others = store_on(_items(store), store.dynamodb, store.clock)
    vars(others.sessions)["_appids"] = {OTHER_APPID}
    evidence_of(others, token)
    evidence_of(others, Token.new(store.user))
    store.clock.advance(TTL)
    evidence_of(store, token)
    assert store.alerts == others.alerts == []


def evidence_of(store: Store, token: Token) -> dict[str, object]:
    with pytest.raises(InvalidToken) as refused:
        store.sessions.find(token)
    return refused.value.evidence


@pytest.mark.parametrize(("name", "value"), ODD_FOR_KEYS)
def test_a_token_whose_keys_are_odd_decrypts_nothing(store: Store, name: str, value: Any) -> None:
    token = store.login(KEY2, replaces=store.login(KEY).text)
    store.change(token, **{name: value})
    with pytest.raises(InvalidToken) as refused:
        store.sessions.find_with_keys(token)
    assert refused.value.evidence == {"reason": "item is malformed"}
    assert store.alerts == [alert_of(token, "item is malformed")]
    assert store.is_live(token)


@pytest.mark.parametrize("junk", [b"", b"\0", b"\0" * 52])
def test_a_previous_key_that_does_not_open_leaves_the_current_one(
    store: Store, junk: bytes
) -> None:
    token = store.login(KEY2, replaces=store.login(KEY).text)
    store.change(token, previous_key={"B": junk})
    assert store.keys(token) == (KEY2,)
    assert store.alerts == [alert_of(token, "previous_key does not open")]


@pytest.mark.parametrize("until", ["true", "[1]", f"{NOW + 60}.5"])
def test_a_previous_key_until_no_whole_second_opens_nothing(store: Store, until: str) -> None:
    answered: Any = {"previous_until": {"N": until}, "previous_key": {"B": b"x"}}
    token = store.login()
    item = Item.from_raw_data({**store.raw(token.item), **answered})
    assert store.sessions._session_keys(item, token) == (KEY,)


@pytest.mark.parametrize("missing", ["previous_key", "previous_until"])
def test_half_a_previous_key_opens_nothing(store: Store, missing: str) -> None:
    token = store.login(KEY2, replaces=store.login(KEY).text)
    store.change(token, **{missing: None})
    assert store.keys(token) == (KEY2,)


def test_an_item_with_its_keys_alone_is_refused(store: Store) -> None:
    token = store.login()
    store.put(**store.key_of(token.item))
    assert not store.is_live(token)


def test_a_session_that_was_put_in_anothers_place_does_not_open(store: Store) -> None:
    mine, other = store.login(KEY), store.login(KEY2)
    store.change(mine, sealed_key=store.raw(other.item)["sealed_key"])
    with pytest.raises(InvalidToken):
        store.sessions.find_with_keys(mine)


def test_a_session_that_was_moved_to_another_user_is_refused(store: Store) -> None:
    theirs = Token.new(user_reference(APPID, "o-thief"))
    store.put(**{**store.raw(store.login().item), "user": {"B": theirs.user}})
    store.put(
        **{
            **store.raw(store.login().item),
            "user": {"B": theirs.user},
            "item": {"B": theirs.item},
        }
    )
    assert not store.is_live(theirs)


def test_unknown_attributes_of_a_later_version_are_no_hindrance(store: Store) -> None:
    token = store.login()
    store.change(token, device={"M": {"model": {"S": "x"}}})
    assert store.keys(token) == (KEY,)


def test_the_table_alone_gives_neither_token_nor_session_key(store: Store) -> None:
    tokens = [store.login(KEY, unionid=UNIONID)]
    tokens.append(store.login(KEY2, replaces=tokens[0].text))
    store.fail(tokens[1])
    dump = b"\0".join(_bytes_of(item) for item in store.partition())
    for secret in _all_forms(tokens, [KEY, KEY2]):
        assert secret not in dump


def _bytes_of(item: dict[str, Any]) -> bytes:
    values = [value for typed in item.values() for value in typed.values()]
    return b"\0".join(v if isinstance(v, bytes) else str(v).encode() for v in values)


def _all_forms(tokens: list[Token], session_keys: list[str]) -> list[bytes]:
    forms = [form for token in tokens for form in (token.text.encode(), token.secret)]
    forms += [token.secret.hex().encode() for token in tokens]
    for key in session_keys:
        raw = base64.b64decode(key)
        forms += [key.encode(), raw, raw.hex().encode(), base64.urlsafe_b64encode(raw)]
    return forms


# --- the count of failures -----------------------------------------------------------------------


def test_failures_are_counted_within_their_window(store: Store) -> None:
    token = store.login()
    assert store.failures(token) == Failures()
    store.fail(token)
    store.clock.advance(599)
    store.fail(token)
    assert store.failures(token) == Failures(2, NOW + 600)


def test_ten_failures_are_too_many(store: Store) -> None:
    token = store.login()
    for _ in range(9):
        store.fail(token)
    assert not store.failures(token).too_many
    store.fail(token)
    assert store.failures(token).too_many


def test_a_new_window_starts_when_the_old_one_ends(store: Store) -> None:
    token = store.login()
    for _ in range(10):
        store.fail(token)
    store.clock.advance(600)
    assert store.failures(token) == Failures()
    store.fail(token)
    assert store.failures(token) == Failures(1, NOW + 1200)


def test_failures_belong_to_the_user_not_to_the_session(store: Store) -> None:
    store.fail(store.login())
    assert store.failures(store.login()).count == 1
    bystander = store.sessions.create(APPID, f"{store.openid}x", None, KEY, None)
    assert store.failures(bystander).count == 0


def test_a_failure_that_lost_the_race_for_a_new_window_is_counted(store: Store) -> None:
    token = store.login()
    session, none_yet = store.sessions.find_with_keys(token)
    store.sessions.count_failure(session, none_yet)
    store.sessions.count_failure(session, none_yet)
    assert store.failures(token).count == 2


def test_a_failure_after_the_window_that_was_read_opens_another(store: Store) -> None:
    token = store.login()
    store.fail(token)
    session, seen = store.sessions.find_with_keys(token)
    store.clock.advance(600)
    store.sessions.count_failure(session, seen)
    assert store.failures(token) == Failures(1, NOW + 1200)


SOON = {"N": str(NOW + 60)}
NO_WINDOWS: list[dict[str, Any]] = [
    {},
    {"expires_at": SOON},
    {"failures": {"N": "10"}},
    {"failures": {"N": "10"}, "expires_at": {"S": "soon"}},
    {"failures": {"S": "many"}, "expires_at": SOON},
    {"failures": {"NS": ["10"]}, "expires_at": SOON},
    {"failures": {"N": "10"}, "expires_at": {"N": str(NOW)}},
    {"failures": {"N": "10"}, "expires_at": {"N": str(NOW + 661)}},
    {"failures": {"N": "10"}, "expires_at": {"N": str((NOW + 600) * 1000)}},
    {"failures": {"N": "10"}, "expires_at": {"N": "9.9E+125"}},
]


@pytest.mark.parametrize("attributes", NO_WINDOWS)
def test_a_counter_without_a_window_is_begun_anew(store: Store, attributes: dict[str, Any]) -> None:
    token = store.login()
    store.counter(**attributes)
    assert store.failures(token) == Failures()
    for count in (1, 2):
        store.fail(token)
        assert store.failures(token) == Failures(count, NOW + 600)


def test_a_window_may_be_of_a_clock_that_is_a_minute_ahead(store: Store) -> None:
    token = store.login()
    store.counter(failures={"N": "9"}, expires_at={"N": str(NOW + 660)})
    store.fail(token)
    assert store.failures(token) == Failures(10, NOW + 660)


def test_a_window_of_broken_seconds_counts_on(store: Store) -> None:
    token = store.login()
    store.counter(failures={"N": "10"}, expires_at={"N": f"{NOW + 60}.5"})
    with pytest.raises(TooManyRequests):
        store.fail(token)


def test_after_the_clock_jumped_back_nobody_waits_longer_than_the_window(store: Store) -> None:
    token = store.login()
    for _ in range(10):
        store.fail(token)
    store.clock.advance(-3600)
    assert not store.failures(token).too_many
    store.fail(token)
    assert store.failures(token) == Failures(1, NOW - 3600 + 600)


def test_a_failure_beyond_the_tenth_of_a_window_is_told_to_wait(store: Store) -> None:
    token = store.login()
    seen = store.sessions.find_with_keys(token)
    for _ in range(10):
        store.sessions.count_failure(*seen)
    store.clock.advance(100)
    with pytest.raises(TooManyRequests) as refused:
        store.sessions.count_failure(*seen)
    assert refused.value.headers == {"Retry-After": "500"}


@pytest.mark.parametrize(("now", "seconds"), [(0, 600), (599.5, 1), (600, 1), (700, 1)])
def test_who_must_wait_waits_until_the_window_ends(now: float, seconds: int) -> None:
    assert Failures(10, 600).seconds_left(now) == seconds


@pytest.mark.dynamodb_local
def test_of_parallel_failures_ten_are_answered_and_all_are_counted(
    dynamodb_local_url: str, clock: Clock
) -> None:
    with closing(aws.client("dynamodb", dynamodb_local_url)) as dynamodb:
        items = bound(dynamodb_local_url, new_table(dynamodb_local_url))
        store = store_on(items, dynamodb, clock)
        token = store.login()
        seen = store.sessions.find_with_keys(token)

        def is_answered(_: int) -> bool:
            with suppress(TooManyRequests):
                store.sessions.count_failure(*seen)
                return True
            return False

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(is_answered, range(24))) == 10
        assert store.failures(token).count == 24


# --- the client ---------------------------------------------------------------------------------


def test_the_client_has_our_region_times_and_tries() -> None:
    client = sessions.table("any", "eu-central-1")._get_connection().connection.client
    config: Any = client.meta.config
    assert client.meta.region_name == "eu-central-1"
    assert (config.connect_timeout, config.read_timeout) == (1.0, 1.0)
    assert config.retries["total_max_attempts"] == 1


def test_a_region_that_is_none_is_the_operators_affair(clock: Clock) -> None:
    nowhere = Sessions(sessions.table("any", "no region"), [APPID], TTL, clock)
    with pytest.raises(Misconfigured) as caught:
        nowhere.find(Token.new(bytes(16)))
    assert caught.value.evidence == {"reason": "InvalidRegionError"}


# --- races ---------------------------------------------------------------------------------------


def test_of_threads_that_begin_together_one_makes_the_client() -> None:
    items, begun = sessions.table("any", "us-east-1"), threading.Barrier(8)

    def makes_one(_: int) -> bool:
        begun.wait(10)
        # PynamoDB gives a thread an SDK session when it makes a client there.
        return hasattr(items._get_connection().connection._local, "session")

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(makes_one, range(8))) == 1


def test_no_request_is_served_after_a_logout_has_answered(store: Store) -> None:
    token, ended = store.login(), threading.Event()
    begun = threading.Barrier(5)

    def asks(_: int) -> list[tuple[bool, bool]]:
        seen = [(ended.is_set(), store.is_live(token))]
        begun.wait(10)
        while sum(after for after, _ in seen) < 50:
            seen.append((ended.is_set(), store.is_live(token)))
        return seen

    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(asks, range(4))
        begun.wait(10)
        store.sessions.end(token)
        ended.set()
    seen = list(itertools.chain(*answers))
    assert (False, True) in seen
    assert seen.count((True, False)) == 200
    assert (True, True) not in seen


def test_a_counted_failure_raises_no_session_from_the_dead(store: Store) -> None:
    token = store.login()
    seen = store.sessions.find_with_keys(token)
    store.sessions.end(token)
    store.sessions.count_failure(*seen)
    assert not store.is_live(token)
    assert [item["item"] for item in store.partition()] == [{"B": sessions.FAILURES_ITEM}]


def test_a_login_raises_no_session_from_the_dead(store: Store) -> None:
    old = store.login()
    store.sessions.end(old)
    store.login(replaces=old.text)
    assert not store.is_live(old)
