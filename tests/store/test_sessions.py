"""The session store, on moto and on DynamoDB Local, which refuses what moto lets pass."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from chalicelib.deadlines import NO_DEADLINE
from chalicelib.errors import InvalidToken, TooManyRequests
from chalicelib.sessions.sessions import MAX_FAILURES, Session, Sessions
from chalicelib.sessions.table import Table
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.settings import MAX_TTL
from simulator import aws
from tests.store.store import APPID, KEY, KEY2, KEY3, OTHER_APPID, TTL, Store, store_on, table_at
from tests.support.engines import new_table
from tests.support.fakes import NOW, Alerts, Clock

UNIONID = "o-union_1"
WINDOW, WINDOW_END = b"decrypt-failures-3166666", 1_900_000_200


@pytest.fixture(scope="module")
def engine(engine_url: str) -> Iterator[tuple[Table, str, Any]]:
    """A table, its name, and a client beside it."""
    name = new_table(engine_url)
    with closing(aws.client("dynamodb", engine_url)) as dynamodb:
        yield table_at(engine_url, name), name, dynamodb


@pytest.fixture
def store(engine: tuple[Table, str, Any], clock: Clock) -> Store:
    return store_on(*engine, clock)


# --- login, logout -------------------------------------------------------------------------------


@pytest.mark.parametrize("unionid", [UNIONID, None])
def test_a_token_is_found_as_what_it_stands_for(store: Store, unionid: str | None) -> None:
    token = Token.parse(store.login(unionid=unionid).text)
    assert store.sessions.find(token) == Session(APPID, store.openid, unionid)
    assert store.sessions.find_with_keys(token) == Session(APPID, store.openid, unionid, (KEY,))
    assert KEY not in repr(store.sessions.find_with_keys(token))


def test_a_token_that_was_never_given_is_refused_without_an_alert(store: Store) -> None:
    for read in (store.sessions.find, store.sessions.find_with_keys, store.sessions.end):
        with pytest.raises(InvalidToken) as refused:
            read(Token.new(store.user))
        assert refused.value.evidence == {}
    assert store.alerts == []


def test_logins_do_not_disturb_each_other(store: Store) -> None:
    first, second = store.login(KEY), store.login(KEY2)
    assert (store.keys(first), store.keys(second)) == ((KEY,), (KEY2,))


def test_a_session_of_an_app_that_is_no_longer_served_is_refused(
    engine: tuple[Table, str, Any], store: Store
) -> None:
    token = store.login()
    others = Sessions(engine[0], [OTHER_APPID], TTL, store.clock, Alerts())
    with pytest.raises(InvalidToken) as refused:
        others.find(token)
    assert refused.value.evidence == {}


def test_a_session_ends_once_and_others_live(store: Store) -> None:
    token, other = store.login(), store.login()
    store.sessions.end(token)
    assert (store.is_live(token), store.is_live(other)) == (False, True)
    with pytest.raises(InvalidToken):
        store.sessions.end(token)


def test_logout_everywhere_ends_all_of_this_user_alone(store: Store) -> None:
    tokens = [store.login() for _ in range(30)]  # more than one batch takes
    store.change(tokens[7], appid={"N": "7"}, expires_at={"S": "soon"})
    others = [store.elsewhere(), store.elsewhere(appid=OTHER_APPID, user="")]
    store.sessions.end_all(tokens[1])
    assert store.partition() == []
    assert all(map(store.is_live, others))


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
    assert store.failures() == {WINDOW: 1}


def test_a_user_who_is_gone_has_no_session_left_and_others_have_theirs(store: Store) -> None:
    tokens = [store.login() for _ in range(3)]
    store.fail(tokens[0])
    bystander = store.elsewhere()
    elsewhere = store.elsewhere(appid=OTHER_APPID, user="")
    store.change(tokens[2], appid={"N": "7"})
    for _ in range(2):  # the message may come again
        store.sessions.end_user(APPID, store.openid)
        assert [store.is_live(token) for token in tokens] == [False] * 3
    assert store.is_live(bystander)
    assert store.is_live(elsewhere)
    assert store.failures() == {WINDOW: 1}


def test_more_sessions_than_a_transaction_takes_end_with_their_user(store: Store) -> None:
    for _ in range(30):
        store.login()
    store.sessions.end_user(APPID, store.openid)
    assert store.partition() == []


def test_warming_up_reads_and_changes_nothing(store: Store) -> None:
    store.sessions.warm(NO_DEADLINE)
    assert store.partition() == []


# --- expiry --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "live"), [(0, True), (TTL - 1, True), (TTL - 0.5, True), (TTL, False)]
)
def test_a_session_lives_to_the_second(store: Store, age: float, live: bool) -> None:
    token = store.login()
    store.clock.advance(age)
    assert store.is_live(token) is live


@pytest.mark.parametrize("act", ["find", "find_with_keys", "end", "end_all"])
def test_an_expired_session_is_refused_for_everything(store: Store, act: str) -> None:
    token = store.login()
    store.clock.advance(TTL)
    with pytest.raises(InvalidToken):
        getattr(store.sessions, act)(token)
    assert store.alerts == []


def test_an_item_has_the_attributes_of_its_schema_and_of_its_clean_up(store: Store) -> None:
    token = store.login(unionid=UNIONID)
    store.fail(token)
    item = store.raw(token.item)
    types = {name: next(iter(value)) for name, value in item.items()}
    assert types == {
        **dict.fromkeys(("user", "item", "sealed_key"), "B"),
        **dict.fromkeys(("appid", "openid", "unionid"), "S"),
        **dict.fromkeys(("version", "created_at", "expires_at"), "N"),
    }
    assert (item["version"], item["created_at"]) == ({"N": "1"}, {"N": str(NOW)})
    expiries = sorted(int(item["expires_at"]["N"]) for item in store.partition())
    assert expiries == [WINDOW_END, NOW + TTL]


# --- a login that replaces -----------------------------------------------------------------------


@pytest.mark.parametrize(("age", "keys"), [(599, (KEY2, KEY)), (600, (KEY2,))])
def test_the_replaced_session_dies_and_leaves_its_key_for_ten_minutes(
    store: Store, age: int, keys: tuple[str, ...]
) -> None:
    old = store.login(KEY)
    new = store.login(KEY2, replaces=old.text)
    assert not store.is_live(old)
    store.clock.advance(age)
    assert store.keys(new) == keys


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
def test_what_is_not_a_token_replaces_nothing(store: Store, replaces: object) -> None:
    assert store.keys(store.login(replaces=replaces)) == (KEY,)


def test_an_expired_token_replaces_nothing(store: Store) -> None:
    old = store.login(KEY)
    store.clock.advance(TTL)
    assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2,)


@pytest.mark.parametrize("whose", [{"user": "x"}, {"appid": OTHER_APPID, "user": ""}], ids=str)
def test_another_users_or_apps_token_is_not_replaced(store: Store, whose: dict[str, str]) -> None:
    theirs = store.elsewhere(**whose)
    assert store.keys(store.login(KEY2, replaces=theirs.text)) == (KEY2,)
    assert store.is_live(theirs)


def test_a_token_can_be_replaced_once(store: Store) -> None:
    old = store.login(KEY)
    first, second = (store.login(KEY2, replaces=old.text) for _ in range(2))
    assert (store.keys(first), store.keys(second)) == ((KEY2, KEY), (KEY2,))
    assert not store.is_live(old)


# --- items that do not parse ---------------------------------------------------------------------


def _each(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


MALFORMED = [
    *_each("version", None, {"S": "1"}),
    *_each("expires_at", None, {"S": str(NOW + TTL)}),
    *_each("expires_at", {"N": str((NOW + TTL) * 1000)}, {"N": str(NOW + 2 * MAX_TTL + 1)}),
    *_each("appid", None, {"S": OTHER_APPID}, {"B": b"w"}),
    *_each("openid", None, {"S": "o\r\nX-Evil: 1"}, {"S": "oother"}, {"N": "1"}),
    *_each("unionid", {"N": "1"}),
]
MALFORMED_KEYS = [
    *_each("sealed_key", None, {"S": "text"}, {"B": b"\0"}, {"B": b"\0" * 52}),
    *_each("previous_key", {"B": b"\0" * 52}),
    *_each("previous_until", None, {"S": "soon"}),
]


def refused(store: Store, read: Callable[[Token], object], token: Token) -> None:
    with pytest.raises(InvalidToken) as caught:
        read(token)
    assert caught.value.evidence == {"reason": "item is malformed"}


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_token_of_a_malformed_item_is_refused_with_an_alert(
    store: Store, name: str, value: Any
) -> None:
    token = store.login()
    store.change(token, **{name: value})
    refused(store, store.sessions.find, token)
    assert store.alerts == [
        {"what": "MalformedItem", "user": token.alias, "reason": "item is malformed"}
    ]


@pytest.mark.parametrize(("name", "value"), MALFORMED_KEYS)
def test_a_token_whose_keys_are_malformed_decrypts_nothing(
    store: Store, name: str, value: Any
) -> None:
    token = store.login(KEY2, replaces=store.login(KEY).text)
    store.change(token, **{name: value})
    refused(store, store.sessions.find_with_keys, token)
    assert len(store.alerts) == 1


@pytest.mark.parametrize("version", ["0", "2"])
def test_an_item_of_another_release_is_refused_without_an_alert(store: Store, version: str) -> None:
    token = store.login()
    store.change(token, version={"N": version})
    refused(store, store.sessions.find, token)
    assert store.alerts == []


def test_a_logout_refuses_a_malformed_item_and_deletes_it(store: Store) -> None:
    token = store.login()
    store.change(token, openid=None)
    refused(store, store.sessions.end, token)
    assert store.partition() == []


def test_a_malformed_session_leaves_no_key_to_the_next(store: Store) -> None:
    old = store.login(KEY)
    store.change(old, sealed_key={"B": b"\0" * 52})
    assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2,)


def test_an_expiry_of_twice_the_longest_life_is_accepted(store: Store) -> None:
    token = store.login()
    store.change(token, expires_at={"N": str(NOW + 2 * MAX_TTL)})
    assert store.is_live(token)


def test_a_key_that_was_put_into_another_session_does_not_open(store: Store) -> None:
    mine, other = store.login(KEY), store.login(KEY2)
    store.change(mine, sealed_key=store.raw(other.item)["sealed_key"])
    refused(store, store.sessions.find_with_keys, mine)


def test_a_session_that_was_moved_to_another_user_is_refused(store: Store) -> None:
    theirs = Token.new(user_reference(APPID, "o-thief"))
    item = store.raw(store.login().item)
    store.put(**{**item, "user": {"B": theirs.user}, "item": {"B": theirs.item}})
    refused(store, store.sessions.find, theirs)


def test_attributes_of_a_later_release_are_ignored(store: Store) -> None:
    token = store.login()
    store.change(token, device={"M": {"model": {"S": "x"}}})
    assert store.keys(token) == (KEY,)


# --- the count of failures -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "counts"), [(199, {WINDOW: 2}), (200, {WINDOW: 1, b"decrypt-failures-3166667": 1})]
)
def test_failures_are_counted_in_windows_of_ten_minutes(
    store: Store, age: int, counts: dict[bytes, int]
) -> None:
    token = store.login()
    store.fail(token)
    store.clock.advance(age)
    store.fail(token)
    assert store.failures() == counts


def test_ten_failures_are_answered_and_more_must_wait_for_the_next_window(store: Store) -> None:
    token, bystander = store.login(), store.elsewhere()
    store.fail(store.login(), 9)  # they belong to the user, not to the session
    assert store.keys(token) == (KEY,)
    store.fail(token)
    store.clock.advance(100.5)
    for refused_call in (store.sessions.find_with_keys, store.sessions.count_failure):
        with pytest.raises(TooManyRequests) as caught:
            refused_call(token)
        assert caught.value.headers == {"Retry-After": str(WINDOW_END - NOW - 100)}
    assert store.sessions.find_with_keys(token, limited=False).session_keys == (KEY,)
    assert store.keys(bystander) == (KEY,)
    store.clock.advance(99.5)
    assert store.keys(token) == (KEY,)


@pytest.mark.dynamodb_local
def test_of_parallel_failures_ten_are_answered_and_all_are_counted(
    dynamodb_local_url: str, clock: Clock
) -> None:
    with closing(aws.client("dynamodb", dynamodb_local_url)) as dynamodb:
        name = new_table(dynamodb_local_url)
        store = store_on(table_at(dynamodb_local_url, name), name, dynamodb, clock)
        token = store.login()

        def is_answered(_: int) -> bool:
            with suppress(TooManyRequests):
                store.sessions.count_failure(token)
                return True
            return False

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(is_answered, range(24))) == MAX_FAILURES
        assert store.failures() == {WINDOW: 24}
