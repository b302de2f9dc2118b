"""The session store, on moto and on DynamoDB Local, which refuses what moto lets pass."""

import base64
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from chalicelib.deadlines import NO_DEADLINE
from chalicelib.errors import InvalidToken, TooManyRequests
from chalicelib.sessions.failures import MAX_FAILURES, Failures, window
from chalicelib.sessions.sessions import Session, Sessions
from chalicelib.sessions.table import Table
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.settings import MAX_TTL
from simulator import aws
from tests.conftest import new_table
from tests.support.fakes import NOW, Clock
from tests.support.store import (
    APPID,
    KEY,
    KEY2,
    KEY3,
    OTHER_APPID,
    TTL,
    Store,
    store_on,
    table_at,
)

UNIONID = "o-union_1"
_, WINDOW_END = window(NOW)


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


def test_a_token_is_found_as_what_it_stands_for(store: Store) -> None:
    found = store.sessions.find(store.login(unionid=UNIONID))
    assert found == Session(APPID, store.openid, UNIONID, store.user)


def test_a_user_without_unionid_has_none(store: Store) -> None:
    assert store.sessions.find(store.login()).unionid is None


def test_session_keys_are_read_only_if_they_are_needed(store: Store) -> None:
    token = store.login()
    assert store.keys(token) == (KEY,)
    assert store.sessions.find(token).session_keys == ()


def test_a_text_form_finds_the_same_session(store: Store) -> None:
    assert store.is_live(Token.parse(store.login().text))


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
    others = Sessions(engine[0], [OTHER_APPID], TTL, store.clock)
    with pytest.raises(InvalidToken) as refused:
        others.find(token)
    assert refused.value.evidence == {}


def test_the_repr_of_a_session_hides_it(store: Store) -> None:
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


def test_logout_everywhere_ends_malformed_items_too(store: Store) -> None:
    token, malformed = store.login(), store.login()
    store.change(malformed, appid={"N": "7"}, expires_at={"S": "soon"})
    store.sessions.end_all(token)
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


def test_a_user_who_is_gone_has_no_session_left_and_others_have_theirs(store: Store) -> None:
    tokens = [store.login() for _ in range(3)]
    store.fail(tokens[0])
    bystander = store.sessions.create(APPID, f"{store.openid}x", None, KEY, None)
    elsewhere = store.sessions.create(OTHER_APPID, store.openid, None, KEY, None)
    store.change(tokens[2], appid={"N": "7"})
    for _ in range(2):  # the message may come again
        store.sessions.end_user(APPID, store.openid)
        assert [store.is_live(token) for token in tokens] == [False] * 3
    assert store.is_live(bystander)
    assert store.is_live(elsewhere)
    assert store.failures(store.login()).count == 1


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


def test_every_item_has_the_attribute_that_cleans_it_up(store: Store) -> None:
    store.fail(store.login(replaces=store.login(KEY).text, session_key=KEY2))
    expiries = sorted(int(item["expires_at"]["N"]) for item in store.partition())
    assert expiries == [WINDOW_END, NOW + TTL]


def test_an_item_has_the_attributes_of_its_schema(store: Store) -> None:
    item = store.raw(store.login(unionid=UNIONID).item)
    types = {name: next(iter(value)) for name, value in item.items()}
    assert types == {
        **dict.fromkeys(("user", "item", "sealed_key"), "B"),
        **dict.fromkeys(("appid", "openid", "unionid"), "S"),
        **dict.fromkeys(("version", "created_at", "expires_at"), "N"),
    }
    assert (item["version"], item["created_at"]) == ({"N": "1"}, {"N": str(NOW)})


# --- a login that replaces -----------------------------------------------------------------------


def test_the_replaced_session_dies_and_leaves_its_key(store: Store) -> None:
    old = store.login(KEY)
    new = store.login(KEY2, replaces=old.text)
    assert not store.is_live(old)
    assert store.keys(new) == (KEY2, KEY)


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
def test_what_is_not_a_token_replaces_nothing(store: Store, replaces: object) -> None:
    assert store.keys(store.login(replaces=replaces)) == (KEY,)


def test_an_expired_token_replaces_nothing(store: Store) -> None:
    old = store.login(KEY)
    store.clock.advance(TTL)
    assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2,)


def test_an_ended_token_replaces_nothing_and_stays_dead(store: Store) -> None:
    old = store.login(KEY)
    store.sessions.end(old)
    assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2,)
    assert not store.is_live(old)


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


# --- items that do not parse ---------------------------------------------------------------------


def _each(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


MALFORMED = [
    *_each("version", None, {"S": "1"}),
    *_each("expires_at", None, {"S": str(NOW + TTL)}, {"N": f"{NOW + TTL}.5"}),
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
    assert store.failures(token) == Failures(0, WINDOW_END)
    store.fail(token)
    store.clock.advance(WINDOW_END - NOW - 1)
    store.fail(token)
    assert store.failures(token) == Failures(2, WINDOW_END)


def test_a_new_window_starts_when_the_old_one_ends(store: Store) -> None:
    token = store.login()
    store.fail(token, MAX_FAILURES)
    store.clock.advance(WINDOW_END - NOW)
    store.fail(token)
    assert store.failures(token) == Failures(1, WINDOW_END + 600)


def test_ten_failures_are_too_many(store: Store) -> None:
    token = store.login()
    store.fail(token, 9)
    assert not store.failures(token).too_many
    store.fail(token)
    assert store.failures(token).too_many


def test_failures_belong_to_the_user_not_to_the_session(store: Store) -> None:
    store.fail(store.login())
    assert store.failures(store.login()).count == 1
    bystander = store.sessions.create(APPID, f"{store.openid}x", None, KEY, None)
    assert store.failures(bystander).count == 0


def test_the_eleventh_failure_of_a_window_must_wait_for_its_end(store: Store) -> None:
    token = store.login()
    store.fail(token, MAX_FAILURES)
    store.clock.advance(100.5)
    with pytest.raises(TooManyRequests) as caught:
        store.fail(token)
    assert caught.value.headers == {"Retry-After": str(WINDOW_END - NOW - 100)}


@pytest.mark.dynamodb_local
def test_of_parallel_failures_ten_are_answered_and_all_are_counted(
    dynamodb_local_url: str, clock: Clock
) -> None:
    with closing(aws.client("dynamodb", dynamodb_local_url)) as dynamodb:
        name = new_table(dynamodb_local_url)
        store = store_on(table_at(dynamodb_local_url, name), name, dynamodb, clock)
        token = store.login()
        session = store.sessions.find(token)

        def is_answered(_: int) -> bool:
            with suppress(TooManyRequests):
                store.sessions.count_failure(session)
                return True
            return False

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(is_answered, range(24))) == MAX_FAILURES
        assert store.failures(token).count == 24


# --- races ---------------------------------------------------------------------------------------


def test_no_request_is_served_after_a_logout_has_answered(store: Store) -> None:
    token, ended = store.login(), threading.Event()
    begun = threading.Barrier(5)

    def reads(_: int) -> list[tuple[bool, bool]]:
        seen = [(ended.is_set(), store.is_live(token))]
        begun.wait(10)
        while sum(after for after, _ in seen) < 50:
            seen.append((ended.is_set(), store.is_live(token)))
        return seen

    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(reads, range(4))
        begun.wait(10)
        store.sessions.end(token)
        ended.set()
    seen = list(itertools.chain(*answers))
    assert (False, True) in seen
    assert seen.count((True, False)) == 200
    assert (True, True) not in seen


def test_a_counted_failure_brings_no_session_back(store: Store) -> None:
    token = store.login()
    session = store.sessions.find(token)
    store.sessions.end(token)
    store.sessions.count_failure(session)
    assert [item["item"]["B"] for item in store.partition()] == [window(NOW)[0]]
