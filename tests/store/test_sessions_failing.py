"""The session store when DynamoDB fails, loses its answers, or serves others meanwhile."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any

import pytest

from chalicelib.deadlines import NO_DEADLINE, STORE_ATTEMPT, STORE_ATTEMPTS, Deadline
from chalicelib.errors import DeadlineExceeded, InvalidToken, Misconfigured, StoreUnavailable
from chalicelib.identity import Identity
from chalicelib.sessions.table import Table
from chalicelib.sessions.tokens import Token
from tests.store.store import APPID, KEY, KEY2, Store, stores
from tests.support import aws_proxy
from tests.support.aws_proxy import (
    AwsProxy,
    answering,
    cancelling,
    done_but_cut,
    let_through,
    refusing,
)
from tests.support.fakes import Clock

BROKEN = refusing("InternalServerError", status=500)
CONFLICT = cancelling("None", "TransactionConflict")
OPERATIONS = ["PutItem", "UpdateItem", "DeleteItem", *aws_proxy.READS]


def calls_of(store: Store) -> list[tuple[str, dict[str, Any]]]:
    return [(done.name, done.parameters) for done in store.engine.operations]


@pytest.fixture(scope="module")
def failing(moto_url: str) -> Iterator[Callable[..., Store]]:
    """What makes stores behind an engine that fails on demand."""
    with closing(AwsProxy(moto_url)) as engine, stores(moto_url, engine) as made:
        yield made


@pytest.fixture
def store(failing: Callable[..., Store], clock: Clock) -> Store:
    made = failing(clock)
    made.engine.faults.clear()
    made.engine.operations.clear()
    return made


def acts(store: Store) -> dict[str, Callable[[], object]]:
    """Every operation of the table, by the session operation that needs it."""
    token, ended, other = store.login(), store.login(), store.login()
    return {
        "PutItem": store.login,
        "GetItem": lambda: store.sessions.find(token),
        "BatchGetItem": lambda: store.sessions.find_with_keys(token),
        "UpdateItem": lambda: store.sessions.count_failure(token),
        "DeleteItem": lambda: store.sessions.end(ended),
        "Query": lambda: store.sessions.end_all(other),
    }


def test_ending_a_user_needs_two_rights_and_reads_no_sealed_key(store: Store) -> None:
    """TransactWriteItems needs no right of its own, but those of the parts (AWS, IAM for it)."""
    store.login()
    store.engine.taken()
    store.sessions.end_user(APPID, store.openid)
    operations, (first, ends, last) = zip(*calls_of(store), strict=True)
    assert operations == ("Query", "TransactWriteItems", "Query")
    assert [list(item) for item in ends["TransactItems"]] == [["Delete"]]
    names = [set(query["ExpressionAttributeNames"].values()) for query in (first, last)]
    assert names == [{"user", "item"}] * 2


def test_a_user_who_logs_out_meanwhile_is_ended_all_the_same(store: Store) -> None:
    store.login()
    store.engine.then(let_through, CONFLICT)
    store.sessions.end_user(APPID, store.openid)
    assert store.partition() == []


@pytest.mark.parametrize("before", [[], [let_through]], ids=["Query", "TransactWriteItems"])
def test_a_store_that_fails_does_not_pass_for_a_user_who_has_gone(
    store: Store, before: list[Any]
) -> None:
    store.login()
    store.engine.then(*before, *[BROKEN] * STORE_ATTEMPTS)
    with pytest.raises(StoreUnavailable):
        store.sessions.end_user(APPID, store.openid)


def test_every_read_is_consistent(store: Store) -> None:
    token = store.login()
    store.sessions.find(token)
    store.keys(token)
    store.login(replaces=token.text)
    store.sessions.end_all(store.login())
    reads = [json.dumps(members) for name, members in calls_of(store) if name in aws_proxy.READS]
    assert len(reads) == 4
    assert all('"ConsistentRead": true' in read for read in reads)


def test_finding_who_it_is_reads_no_sealed_key(store: Store) -> None:
    token = store.login()
    store.engine.taken()
    store.sessions.warm(NO_DEADLINE)
    store.sessions.find(token)
    store.sessions.end_all(token)
    read = [
        set(m["ExpressionAttributeNames"].values())
        for n, m in calls_of(store)
        if n in aws_proxy.READS
    ]
    identity = {"user", "item", "version", "appid", "openid", "unionid", "expires_at"}
    assert read == [identity] * 3


def test_only_a_token_of_this_user_is_looked_up_when_it_is_replaced(store: Store) -> None:
    store.login(replaces="wxg_junk")
    store.login(replaces=Token.new(b"x" * 16).text)
    assert store.engine.taken() == ["PutItem", "PutItem"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_that_lasts_is_given_up_after_three_attempts(store: Store, operation: str) -> None:
    act = acts(store)[operation]
    store.engine.taken()
    store.engine.then(*[BROKEN] * STORE_ATTEMPTS)
    with pytest.raises(StoreUnavailable) as caught:
        act()
    assert caught.value.evidence == {"reason": "InternalServerError"}
    assert store.engine.taken() == [operation] * STORE_ATTEMPTS


def test_a_region_that_does_not_exist_is_for_the_operator_to_repair() -> None:
    with pytest.raises(Misconfigured) as caught:
        Table("any", "no region")
    assert caught.value.evidence == {"reason": "InvalidRegionError"}


@pytest.mark.parametrize("answer", [aws_proxy.page, aws_proxy.breaking_off])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_incomplete_answer_is_not_taken_for_an_empty_one(
    store: Store, operation: str, answer: aws_proxy.Fault
) -> None:
    act = acts(store)[operation]
    store.engine.then(answer)
    with pytest.raises(StoreUnavailable) as caught:
        act()
    assert caught.value.evidence == {"reason": "answer is incomplete"}


def test_a_login_whose_answer_was_lost_is_repeated_and_stored_once(store: Store) -> None:
    store.engine.then(done_but_cut)
    assert store.is_live(store.login())
    assert len(store.partition()) == 1


@pytest.mark.dynamodb_local
def test_a_replacement_whose_answer_was_lost_is_repeated_and_made_once(
    dynamodb_local_url: str, clock: Clock
) -> None:
    with (
        closing(AwsProxy(dynamodb_local_url)) as engine,
        stores(dynamodb_local_url, engine) as made,
    ):
        store = made(clock)
        old = store.login(KEY)
        store.engine.then(let_through, done_but_cut)
        assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2, KEY)
        assert len(store.partition()) == 1


def test_a_replacement_that_lost_to_a_logout_is_a_plain_session(store: Store) -> None:
    old = store.login(KEY)
    store.engine.then(let_through, aws_proxy.after(lambda: store.delete(old)))
    token = store.login(KEY2, replaces=old.text)
    assert (store.keys(token), store.is_live(old)) == ((KEY2,), False)


def test_a_replacement_that_meets_a_conflict_each_time_is_given_up(store: Store) -> None:
    old = store.login(KEY)
    store.engine.then(*[let_through, CONFLICT] * STORE_ATTEMPTS)
    with pytest.raises(StoreUnavailable) as caught:
        store.login(KEY2, replaces=old.text)
    assert caught.value.evidence == {"reason": "conflict"}


def test_a_login_needs_time_for_one_attempt_or_writes_nothing(store: Store) -> None:
    def create(left: float) -> Token:
        who, deadline = Identity(APPID, store.openid, None), Deadline(left, clock=lambda: 0.0)
        return store.sessions.create(who, KEY, None, deadline)

    with pytest.raises(DeadlineExceeded):
        create(STORE_ATTEMPT - 0.01)
    assert store.engine.taken() == []
    assert store.is_live(create(STORE_ATTEMPT))


def test_a_logout_whose_answer_was_lost_is_refused_and_the_session_is_dead(store: Store) -> None:
    token = store.login()
    store.engine.then(done_but_cut)
    with pytest.raises(InvalidToken):
        store.sessions.end(token)
    assert not store.is_live(token)


@pytest.mark.parametrize("fault", [BROKEN, done_but_cut])
def test_a_logout_everywhere_that_failed_can_be_repeated(
    store: Store, fault: aws_proxy.Fault
) -> None:
    token, other = store.login(), store.login()
    store.engine.then(let_through, *[fault] * STORE_ATTEMPTS)
    with pytest.raises(StoreUnavailable):
        store.sessions.end_all(token)
    store.sessions.end_all(token)
    assert (store.is_live(token), store.is_live(other)) == (False, False)


def test_a_logout_everywhere_that_lost_to_a_logout_is_done(store: Store) -> None:
    token = store.login()
    store.engine.then(let_through, aws_proxy.after(lambda: store.delete(token)))
    store.sessions.end_all(token)
    assert store.partition() == []


def test_a_logout_everywhere_takes_as_many_batches_as_it_needs(store: Store) -> None:
    tokens = [store.login() for _ in range(52)]
    store.engine.taken()
    store.sessions.end_all(tokens[0])
    batches = [m["RequestItems"][store.table] for n, m in calls_of(store) if n == "BatchWriteItem"]
    assert [len(batch) for batch in batches] == [25, 25, 1]
    assert store.partition() == []


def capacity(**members: object) -> aws_proxy.Fault:
    """Answer a batch as DynamoDB does, with the capacity that was consumed."""
    return answering({"ConsumedCapacity": [], **members})


def key_in_json(store: Store, item: bytes) -> dict[str, Any]:
    key = store.key_of(item)
    return {n: {"B": base64.b64encode(v["B"]).decode()} for n, v in key.items()}


def not_deleted(store: Store, token: Token) -> aws_proxy.Fault:
    request = {"DeleteRequest": {"Key": key_in_json(store, token.item)}}
    return capacity(UnprocessedItems={store.table: [request]})


def test_what_a_batch_left_over_is_deleted_by_the_next(store: Store) -> None:
    token, other = store.login(), store.login()
    store.engine.taken()
    store.engine.then(let_through, not_deleted(store, other), not_deleted(store, other))
    store.sessions.end_all(token)
    assert store.engine.taken() == ["Query", *["BatchWriteItem"] * 3, "DeleteItem"]
    assert store.partition() == []


def test_a_batch_that_is_never_done_ends_neither_the_token(store: Store) -> None:
    token, other = store.login(), store.login()
    store.engine.then(let_through, *[not_deleted(store, other)] * STORE_ATTEMPTS)
    with pytest.raises(StoreUnavailable) as caught:
        store.sessions.end_all(token)
    assert caught.value.evidence == {"reason": "UnprocessedItems"}
    assert (store.is_live(token), store.is_live(other)) == (True, True)


def test_sessions_on_a_second_page_are_ended_too(store: Store) -> None:
    token, other = store.login(), store.login()
    key = key_in_json(store, b"\0")
    store.engine.taken()
    empty = {"Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": key}
    store.engine.then(answering({"ConsumedCapacity": {}, **empty}))
    store.sessions.end_all(token)
    assert [m.get("ExclusiveStartKey") for n, m in calls_of(store) if n == "Query"] == [None, key]
    assert not store.is_live(other)


def test_keys_that_dynamodb_left_out_are_a_store_fault(store: Store) -> None:
    token = store.login()
    unprocessed = {store.table: {"Keys": [key_in_json(store, token.item)]}}
    store.engine.then(capacity(Responses={store.table: []}, UnprocessedKeys=unprocessed))
    with pytest.raises(StoreUnavailable) as caught:
        store.sessions.find_with_keys(token)
    assert caught.value.evidence == {"reason": "UnprocessedKeys"}


def test_a_count_whose_answer_was_lost_is_never_too_low(store: Store) -> None:
    token = store.login()
    store.engine.then(done_but_cut)
    store.sessions.count_failure(token)
    assert list(store.failures().values()) == [2]


def client_of(table: Table) -> Any:
    return vars(table)["_table"].connection.client


def test_the_sdk_has_our_region_timeouts_and_attempts() -> None:
    meta = client_of(Table("any", "eu-central-1")).meta
    assert meta.region_name == "eu-central-1"
    assert (meta.config.connect_timeout, meta.config.read_timeout) == (STORE_ATTEMPT, STORE_ATTEMPT)
    assert meta.config.retries == {"total_max_attempts": STORE_ATTEMPTS, "mode": "standard"}


def test_threads_that_begin_together_share_one_client() -> None:
    table, begun = Table("any", "us-east-1"), Barrier(8)

    def client(_: int) -> int:
        begun.wait(10)
        return id(client_of(table))

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(client, range(8)))) == 1
