"""The session store, on moto and on DynamoDB Local, which refuses what moto lets pass."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from chalicelib.errors import InvalidToken, TooManyRequests
from chalicelib.sessions.sessions import MAX_FAILURES, Session
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.settings import MAX_TTL
from tests.store.store import APPID, KEY, KEY2, KEY3, OTHER_APPID, TTL, Store, stores
from tests.support.fakes import NOW, Clock

UNIONID = "o-union_1"
WINDOW, WINDOW_END = b"decrypt-failures-3166666", 1_900_000_200


@pytest.fixture(scope="module")
def engine(engine_url: str) -> Iterator[Callable[..., Store]]:
    with stores(engine_url) as made:
        yield made


@pytest.fixture
def store(engine: Callable[..., Store], clock: Clock) -> Store:
    return engine(clock)


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


def test_a_session_of_an_app_that_is_no_longer_served_is_refused(
    engine: Callable[..., Store], store: Store
) -> None:
    with pytest.raises(InvalidToken) as refused:
        engine(store.clock, [OTHER_APPID]).sessions.find(store.login())
    assert refused.value.evidence == {}


def test_a_session_ends_once_and_others_live(store: Store) -> None:
    token, other = store.login(KEY), store.login(KEY2)
    store.sessions.end(token)
    for act in (store.sessions.end, store.sessions.end_all):
        with pytest.raises(InvalidToken):
            act(token)
    assert (store.is_live(token), store.keys(other)) == (False, (KEY2,))


@pytest.mark.parametrize("by", ["token", "name"])
def test_all_sessions_of_one_user_end_and_nothing_else(store: Store, by: str) -> None:
    tokens = [store.login() for _ in range(30)]  # more than one batch takes
    store.fail(tokens[0])
    store.change(tokens[7], appid={"N": "7"}, expires_at={"S": "soon"})
    others = [store.elsewhere(), store.elsewhere(appid=OTHER_APPID, user="")]
    if by == "token":
        store.sessions.end_all(tokens[1])
    else:
        for _ in range(2):  # the message may come again
            store.sessions.end_user(APPID, store.openid)
    assert store.failures() == {WINDOW: 1}
    assert len(store.partition()) == 1
    assert all(map(store.is_live, others))


@pytest.mark.parametrize("act", ["find", "find_with_keys", "end", "end_all"])
def test_a_session_lives_to_the_second_and_is_then_refused_for_everything(
    store: Store, act: str
) -> None:
    token = store.login()
    store.clock.advance(TTL - 0.5)
    assert store.is_live(token)
    store.clock.advance(0.5)
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


def test_the_replaced_session_dies_and_leaves_its_own_key_for_ten_minutes(store: Store) -> None:
    old = store.login(KEY2, replaces=store.login(KEY).text)
    new = store.login(KEY3, replaces=old.text)
    assert not store.is_live(old)
    for passed, keys in ((599, (KEY3, KEY2)), (1, (KEY3,))):
        store.clock.advance(passed)
        assert store.keys(new) == keys


def test_the_same_key_again_keeps_the_older_one_as_long_as_it_had(store: Store) -> None:
    assert store.keys(store.login(KEY, replaces=store.login(KEY).text)) == (KEY,)
    second = store.login(KEY2, replaces=store.login(KEY).text)
    store.clock.advance(100)
    third = store.login(KEY2, replaces=second.text)
    store.clock.advance(499)
    assert store.keys(third) == (KEY2, KEY)
    store.clock.advance(1)
    assert store.keys(third) == (KEY2,)


@pytest.mark.parametrize(
    "replaces",
    [None, 5, True, [], {}, "", "wxg_", "Bearer x", "wxg_" + "A" * 72, "wxg_" + "é" * 72],
)
def test_what_is_not_a_token_replaces_nothing(store: Store, replaces: object) -> None:
    assert store.keys(store.login(replaces=replaces)) == (KEY,)


@pytest.mark.parametrize("whose", [{"user": "x"}, {"appid": OTHER_APPID, "user": ""}], ids=str)
def test_another_users_or_apps_token_is_not_replaced(store: Store, whose: dict[str, str]) -> None:
    theirs = store.elsewhere(**whose)
    assert store.keys(store.login(KEY2, replaces=theirs.text)) == (KEY2,)
    assert store.is_live(theirs)


def test_a_session_that_is_replaced_expired_or_malformed_leaves_nothing(store: Store) -> None:
    old, malformed = store.login(KEY), store.login(KEY)
    store.change(malformed, sealed_key={"B": b"\0" * 52})
    first, *others = (store.login(KEY2, replaces=t.text) for t in (old, old, malformed))
    assert (store.keys(first), *map(store.keys, others)) == ((KEY2, KEY), (KEY2,), (KEY2,))
    store.clock.advance(TTL)
    assert store.keys(store.login(KEY2, replaces=first.text)) == (KEY2,)


MALFORMED: dict[str, list[Any]] = {
    "version": [None, {"S": "1"}],
    "expires_at": [
        *(None, {"S": str(NOW + TTL)}),
        *({"N": str((NOW + TTL) * 1000)}, {"N": str(NOW + 2 * MAX_TTL + 1)}),
    ],
    "appid": [None, {"S": OTHER_APPID}, {"B": b"w"}],
    "openid": [None, {"S": "o\r\nX-Evil: 1"}, {"S": "oother"}, {"N": "1"}],
    "unionid": [{"N": "1"}],
}
MALFORMED_KEYS: dict[str, list[Any]] = {
    "sealed_key": [None, {"S": "text"}, {"B": b"\0"}, {"B": b"\0" * 52}],
    "previous_key": [{"B": b"\0" * 52}],
    "previous_until": [None, {"S": "soon"}],
}


def refused(store: Store, read: Callable[[Token], object], token: Token) -> None:
    with pytest.raises(InvalidToken) as caught:
        read(token)
    assert caught.value.evidence == {"reason": "item is malformed"}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_token_of_a_malformed_item_is_refused_with_an_alert(store: Store, name: str) -> None:
    for value in MALFORMED[name]:
        token = store.login()
        store.change(token, **{name: value})
        refused(store, store.sessions.find, token)
        told = {"user": token.alias, "reason": "item is malformed"}
        assert store.alerts.pop() == ("MalformedItem", told)


@pytest.mark.parametrize("name", MALFORMED_KEYS)
def test_a_token_whose_keys_are_malformed_decrypts_nothing(store: Store, name: str) -> None:
    for value in MALFORMED_KEYS[name]:
        token = store.login(KEY2, replaces=store.login(KEY).text)
        store.change(token, **{name: value})
        refused(store, store.sessions.find_with_keys, token)
        assert store.alerts.pop()


def test_a_logout_deletes_an_item_of_another_release_and_alerts_nobody(store: Store) -> None:
    token = store.login()
    store.change(token, version={"N": "2"})
    refused(store, store.sessions.end, token)
    assert (store.partition(), store.alerts) == ([], [])


def test_a_key_or_session_that_was_moved_does_not_open(store: Store) -> None:
    mine, other = store.login(KEY), store.login(KEY2)
    theirs = Token.new(user_reference(APPID, "o-thief"))
    item = store.raw(mine.item)
    store.put(**{**item, "user": {"B": theirs.user}, "item": {"B": theirs.item}})
    refused(store, store.sessions.find, theirs)
    store.change(mine, sealed_key=store.raw(other.item)["sealed_key"])
    refused(store, store.sessions.find_with_keys, mine)


def test_twice_the_longest_life_and_attributes_of_a_later_release_are_accepted(
    store: Store,
) -> None:
    token = store.login()
    device, expires_at = {"M": {"model": {"S": "x"}}}, {"N": str(NOW + 2 * MAX_TTL)}
    store.change(token, device=device, expires_at=expires_at)
    assert store.keys(token) == (KEY,)


def test_failures_are_counted_in_windows_of_ten_minutes(store: Store) -> None:
    token = store.login()
    for passed in (0, 199, 1):
        store.clock.advance(passed)
        store.fail(token)
    assert store.failures() == {WINDOW: 2, b"decrypt-failures-3166667": 1}


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
    with stores(dynamodb_local_url) as made:
        store = made(clock)
        token = store.login()

        def is_answered(_: int) -> bool:
            with suppress(TooManyRequests):
                store.sessions.count_failure(token)
                return True
            return False

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(is_answered, range(24))) == MAX_FAILURES
        assert store.failures() == {WINDOW: 24}
