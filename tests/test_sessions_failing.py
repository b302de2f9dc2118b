"""The session store when DynamoDB fails it, loses its answers, or is asked by others meanwhile."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chalicelib import sessions
from chalicelib.errors import GateError, InvalidToken, StoreUnavailable
from chalicelib.sessions import Item, Sessions
from chalicelib.tokens import Token, user_reference
from simulator import aws
from tests import faulty_engine
from tests.conftest import new_table
from tests.fakes import NOW, Clock
from tests.faulty_engine import FaultyEngine
from tests.misbehaving import full_backlog
from tests.store import APPID, KEY, KEY2, TTL, Store, bound, store_on


@pytest.fixture(scope="module")
def failing(moto_url: str) -> Iterator[tuple[FaultyEngine, type[Item], Any]]:
    engine = FaultyEngine(moto_url)
    with closing(aws.client("dynamodb", moto_url)) as dynamodb:
        yield engine, bound(engine.url, new_table(moto_url)), dynamodb
    engine.close()


@pytest.fixture
def faulty(failing: tuple[FaultyEngine, type[Item], Any]) -> FaultyEngine:
    """The engine that fails on cue, with no cue given yet."""
    engine = failing[0]
    engine.acts.clear()
    engine.calls.clear()
    return engine


@pytest.fixture
def shaky(
    faulty: FaultyEngine, failing: tuple[FaultyEngine, type[Item], Any], clock: Clock
) -> Store:
    """A store on that engine."""
    return store_on(*failing[1:], clock)


def test_every_read_is_consistent(shaky: Store, faulty: FaultyEngine) -> None:
    token = shaky.login()
    shaky.sessions.find(token)
    shaky.keys(token)
    shaky.login(replaces=token.text)
    shaky.sessions.end_all(shaky.login())
    faulty.then(faulty_engine.lose_answer)
    shaky.login()
    calls = [json.dumps(members) for name, members in faulty.calls if name in READS]
    assert len(calls) == 5
    assert all('"ConsistentRead": true' in call for call in calls)


READS = {"GetItem", "BatchGetItem", "Query"}


def test_a_login_never_writes_over_an_item(shaky: Store, faulty: FaultyEngine) -> None:
    shaky.login()
    [(_, members)] = faulty.calls
    assert members["ConditionExpression"] == "attribute_not_exists (#0)"
    assert members["ExpressionAttributeNames"] == {"#0": "item"}


def test_finding_who_it_is_asks_for_no_sealed_key(shaky: Store, faulty: FaultyEngine) -> None:
    token = shaky.login()
    faulty.operations()
    shaky.sessions.find(token)
    shaky.sessions.end_all(token)
    asked = [set(m["ExpressionAttributeNames"].values()) for n, m in faulty.calls if n in READS]
    identity = {"user", "item", "version", "appid", "openid", "unionid", "expires_at"}
    assert asked == [identity, identity]


def test_the_operations_are_as_few_as_promised(shaky: Store, faulty: FaultyEngine) -> None:
    token = shaky.login()
    assert faulty.operations() == ["PutItem"]
    shaky.sessions.find(token)
    assert faulty.operations() == ["GetItem"]
    session, failures = shaky.sessions.find_with_keys(token)
    assert faulty.operations() == ["BatchGetItem"]
    shaky.sessions.count_failure(session, failures)
    assert faulty.operations() == ["UpdateItem"]
    token = shaky.login(replaces=token.text)
    assert faulty.operations() == ["GetItem", "TransactWriteItems"]
    shaky.sessions.end(token)
    assert faulty.operations() == ["DeleteItem"]


def test_junk_that_is_replaced_costs_no_read(shaky: Store, faulty: FaultyEngine) -> None:
    shaky.login(replaces="wxg_junk")
    shaky.login(replaces=Token.new(b"x" * 16).text)
    assert faulty.operations() == ["PutItem", "PutItem"]


PAGE = faulty_engine.page


def test_a_broken_answer_to_a_read_ends_no_session(shaky: Store, faulty: FaultyEngine) -> None:
    token = shaky.login()
    faulty.then(PAGE, PAGE)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.find(token)
    assert caught.value.evidence == {"reason": "BrokenAnswer"}
    faulty.then(PAGE, PAGE)
    with pytest.raises(StoreUnavailable):
        shaky.sessions.find_with_keys(token)
    assert shaky.is_live(token)


def test_a_broken_answer_to_a_write_gives_no_token(shaky: Store, faulty: FaultyEngine) -> None:
    faulty.then(PAGE, PAGE)
    with pytest.raises(StoreUnavailable):
        shaky.login()
    assert shaky.partition() == []


def test_a_read_whose_first_answer_breaks_is_made_again(shaky: Store, faulty: FaultyEngine) -> None:
    token = shaky.login()
    faulty.operations()
    faulty.then(PAGE)
    assert shaky.sessions.find(token).openid == shaky.openid
    assert faulty.operations() == ["GetItem", "GetItem"]


def test_an_answer_that_lacks_its_members_says_nothing_of_the_session(
    shaky: Store, faulty: FaultyEngine
) -> None:
    token = shaky.login()
    session, failures = shaky.sessions.find_with_keys(token)
    for ask in (
        lambda: shaky.sessions.find_with_keys(token),
        lambda: shaky.sessions.count_failure(session, failures),
    ):
        faulty.then(faulty_engine.say({}))
        with pytest.raises(StoreUnavailable) as caught:
            ask()
        assert caught.value.evidence == {"reason": "answer is incomplete"}


def test_an_answer_in_drips_is_given_up(shaky: Store, faulty: FaultyEngine) -> None:
    token = shaky.login()
    faulty.then(faulty_engine.drips, faulty_engine.drips)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.find(token)
    assert caught.value.evidence == {"reason": "ReadTimeoutError"}


CONFLICT = faulty_engine.cancel("None", "TransactionConflict")


def test_a_transaction_that_meets_another_is_tried_again(
    shaky: Store, faulty: FaultyEngine
) -> None:
    old = shaky.login(KEY)
    faulty.then(faulty_engine.let_through, CONFLICT, CONFLICT)
    assert shaky.keys(shaky.login(KEY2, replaces=old.text)) == (KEY2, KEY)
    assert shaky.pauses == [0.05, 0.1]


def test_a_transaction_that_meets_others_three_times_is_given_up(
    shaky: Store, faulty: FaultyEngine
) -> None:
    old = shaky.login(KEY)
    faulty.then(faulty_engine.let_through, CONFLICT, CONFLICT, CONFLICT)
    with pytest.raises(StoreUnavailable):
        shaky.login(KEY2, replaces=old.text)
    assert shaky.is_live(old)
    assert len(shaky.partition()) == 1


def test_a_transaction_that_fails_otherwise_is_given_up(shaky: Store, faulty: FaultyEngine) -> None:
    old = shaky.login(KEY)
    faulty.then(faulty_engine.let_through, faulty_engine.cancel("ThrottlingError", "None"))
    with pytest.raises(StoreUnavailable):
        shaky.login(KEY2, replaces=old.text)
    assert shaky.pauses == []


def test_a_cancellation_that_lacks_its_reasons_swaps_no_session(
    shaky: Store, faulty: FaultyEngine
) -> None:
    old = shaky.login(KEY)
    mute = faulty_engine.refuse("TransactionCanceledException", CancellationReasons=[{}, {}])
    faulty.then(faulty_engine.let_through, mute)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.login(KEY2, replaces=old.text)
    assert caught.value.evidence == {"reason": "answer is incomplete"}
    assert shaky.is_live(old)


def test_a_transaction_that_lost_to_a_logout_stores_a_plain_session(
    shaky: Store, faulty: FaultyEngine
) -> None:
    old = shaky.login(KEY)
    faulty.then(faulty_engine.let_through, faulty_engine.first(lambda: shaky.delete(old)))
    token = shaky.login(KEY2, replaces=old.text)
    assert not shaky.is_live(old)
    assert shaky.keys(token) == (KEY2,)


def test_keys_that_dynamodb_left_out_are_asked_for_again(
    shaky: Store, faulty: FaultyEngine
) -> None:
    token = shaky.login()
    shaky.fail(token)
    faulty.operations()
    faulty.then(_left_out(shaky, token))
    assert shaky.failures(token).count == 1
    assert faulty.operations() == ["BatchGetItem", "BatchGetItem"]
    assert shaky.pauses == [0.05]


def test_keys_that_dynamodb_leaves_out_again_and_again_are_a_store_fault(
    shaky: Store, faulty: FaultyEngine
) -> None:
    token = shaky.login()
    faulty.operations()
    faulty.then(*[_left_out(shaky, token)] * 5)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.find_with_keys(token)
    assert caught.value.evidence == {"reason": "UnprocessedKeys"}
    assert len(faulty.operations()) == 2


def _left_out(store: Store, token: Token) -> faulty_engine.Act:
    keys = [
        {n: {"B": base64.b64encode(v["B"]).decode()} for n, v in store.key_of(item).items()}
        for item in (token.item, sessions.FAILURES_ITEM)
    ]
    unprocessed = {store.table: {"Keys": keys, "ConsistentRead": True}}
    return faulty_engine.say({"Responses": {store.table: []}, "UnprocessedKeys": unprocessed})


@pytest.mark.parametrize(
    "fault",
    [
        faulty_engine.refuse("InternalServerError", 500),
        faulty_engine.lose_answer,
    ],
)
def test_a_logout_everywhere_that_failed_can_be_repeated(
    shaky: Store, faulty: FaultyEngine, fault: faulty_engine.Act
) -> None:
    token, other = shaky.login(), shaky.login()
    faulty.then(faulty_engine.let_through, fault, fault)
    with pytest.raises(StoreUnavailable):
        shaky.sessions.end_all(token)
    shaky.sessions.end_all(token)
    assert (shaky.is_live(token), shaky.is_live(other)) == (False, False)


def test_a_logout_that_the_store_did_not_take_is_no_logout(
    shaky: Store, faulty: FaultyEngine
) -> None:
    token = shaky.login()
    faulty.then(BROKEN, BROKEN)
    with pytest.raises(StoreUnavailable):
        shaky.sessions.end(token)
    assert shaky.is_live(token)


def test_a_batch_that_was_done_in_part_can_be_repeated(shaky: Store, faulty: FaultyEngine) -> None:
    token, other = shaky.login(), shaky.login()
    key = {n: {"B": base64.b64encode(v["B"]).decode()} for n, v in shaky.key_of(other.item).items()}
    left = {shaky.table: [{"DeleteRequest": {"Key": key}}]}
    faulty.then(faulty_engine.let_through, faulty_engine.say({"UnprocessedItems": left}))
    with pytest.raises(StoreUnavailable):
        shaky.sessions.end_all(token)
    assert shaky.is_live(token)


def test_a_window_that_opens_between_two_tries_is_counted_in(
    shaky: Store, faulty: FaultyEngine
) -> None:
    token = shaky.login()
    shaky.fail(token)
    session, seen = shaky.sessions.find_with_keys(token)
    shaky.clock.advance(600)
    faulty.then(faulty_engine.let_through, faulty_engine.first(lambda: _open_window(shaky)))
    shaky.sessions.count_failure(session, seen)
    assert shaky.failures(token).count == 6


def test_a_count_that_meets_no_condition_is_given_up(shaky: Store, faulty: FaultyEngine) -> None:
    session, none_yet = shaky.sessions.find_with_keys(shaky.login())
    faulty.then(COLLISION, COLLISION)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.count_failure(session, none_yet)
    assert caught.value.evidence == {"reason": "failure counter is malformed"}


def _open_window(store: Store) -> None:
    until = {"N": str(NOW + 1200)}
    store.put(**store.key_of(sessions.FAILURES_ITEM), expires_at=until, failures={"N": "5"})


# --- the corpus of faults ------------------------------------------------------------------------

CORPUS = json.loads((Path(__file__).parent / "corpus/faults.json").read_text())["faults"]
OUTCOMES = {fault["id"]: fault["outcome"] for fault in CORPUS if fault["area"] == "dynamodb"}

BUDGET = 5.0
"""Seconds: two tries of a second, up to one between them, and what a busy machine takes."""


@dataclass
class Case:
    """A store with a live session, and the engine that will fail it."""

    store: Store
    engine: FaultyEngine
    token: Token

    def find(self, *acts: faulty_engine.Act) -> object:
        self.engine.then(*acts)
        return self.store.sessions.find(self.token)

    def login(self, *acts: faulty_engine.Act) -> object:
        self.engine.then(*acts)
        return self.store.login(KEY2)

    def replace(self, *acts: faulty_engine.Act) -> object:
        self.engine.then(faulty_engine.let_through, *acts)
        return self.store.login(KEY2, replaces=self.token.text)

    def read_odd(self, **attributes: Any) -> object:
        self.store.change(self.token, **attributes)
        return self.store.sessions.find(self.token)

    def stored(self) -> int:
        return len(self.store.partition())


THROTTLED = faulty_engine.refuse("ProvisionedThroughputExceededException")
BROKEN = faulty_engine.refuse("InternalServerError", 500)
COLLISION = faulty_engine.refuse("ConditionalCheckFailedException")
MISSING = faulty_engine.refuse("ResourceNotFoundException")
DENIED = faulty_engine.refuse("AccessDeniedException")


def _gone_before_count(case: Case) -> object:
    seen = case.store.sessions.find_with_keys(case.token)
    case.store.delete(case.token)
    case.store.sessions.count_failure(*seen)
    return case.store.sessions.find(case.token)


def _count_lost(case: Case) -> object:
    seen = case.store.sessions.find_with_keys(case.token)
    case.engine.then(*[BROKEN] * 5)
    case.store.sessions.count_failure(*seen)
    return None


FAULTS: dict[str, tuple[Callable[[Case], object], int]] = {
    "DDB-01": (lambda c: c.login(*[THROTTLED] * 5), 1),
    "DDB-02": (lambda c: c.find(*[faulty_engine.refuse("ThrottlingException")] * 5), 1),
    "DDB-03": (lambda c: c.find(*[BROKEN] * 5), 1),
    "DDB-04": (lambda c: c.find(*[faulty_engine.silence] * 5), 1),
    "DDB-05": (lambda c: c.login(faulty_engine.lose_answer), 2),
    "DDB-07": (lambda c: c.login(COLLISION), 2),
    "DDB-08": (lambda c: c.replace(*[CONFLICT] * 5), 1),
    "DDB-09": (lambda c: c.replace(faulty_engine.cancel("None", "ProvisionedThroughput")), 1),
    "DDB-11": (lambda c: c.find(*[MISSING] * 5), 1),
    "DDB-12": (lambda c: c.login(*[DENIED] * 5), 1),
    "DDB-16": (lambda c: (c.find(faulty_engine.die_after), c.find()), 1),
    "DDB-17": (lambda c: c.read_odd(expires_at=None), 1),
    "DDB-18": (lambda c: c.read_odd(openid=None), 1),
    "DDB-19": (lambda c: c.read_odd(version={"N": "0"}), 1),
    "DDB-23": (_gone_before_count, 1),
    "DDB-27": (_count_lost, 1),
}
"""What happens, and how many items the user then has."""

ELSEWHERE = {
    "DDB-15": "test_a_store_that_cannot_be_reached_is_given_up_in_time",
    "DDB-25": "test_every_read_is_consistent",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_store_ends_as_the_corpus_says(
    shaky: Store, faulty: FaultyEngine, name: str
) -> None:
    happens, items = FAULTS[name]
    case = Case(shaky, faulty, shaky.login())
    started = time.monotonic()
    assert _outcome(lambda: happens(case)) in _allowed(name)
    assert time.monotonic() - started < BUDGET
    faulty.acts.clear()
    assert case.stored() == items


def _outcome(happens: Callable[[], object]) -> tuple[int, str | None]:
    try:
        happens()
    except GateError as error:
        return error.status, error.code
    return 200, None


def _allowed(name: str) -> set[tuple[int, str | None]]:
    # Two entries leave it to us: an old schema is refused, and a count that is lost fails closed.
    own: dict[str, tuple[int, str | None]]
    own = {"DDB-19": (401, "InvalidToken"), "DDB-27": (503, "StoreUnavailable")}
    if name in own:
        return {own[name]}
    refusal = OUTCOMES[name]["code"] or "InvalidToken"
    return {(s, None if s == 200 else refusal) for s in OUTCOMES[name]["status"]}


def test_every_fault_of_the_store_in_the_corpus_is_tried() -> None:
    # DDB-24, the logout that races, is in test_sessions.py.
    assert set(OUTCOMES) == set(FAULTS) | set(ELSEWHERE) | {"DDB-24"}
    assert all(callable(globals()[test]) for test in ELSEWHERE.values())


def test_a_store_that_cannot_be_reached_is_given_up_in_time(clock: Clock) -> None:
    with pytest.MonkeyPatch.context() as patch, full_backlog() as port:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            Sessions(sessions.table("nowhere", "us-east-1"), [APPID], TTL, clock).find(
                Token.new(user_reference(APPID, "o1"))
            )
    assert time.monotonic() - started < BUDGET


def test_a_put_whose_answer_was_lost_is_found_to_be_done(
    shaky: Store, faulty: FaultyEngine
) -> None:
    faulty.then(faulty_engine.lose_answer)
    assert shaky.keys(shaky.login(KEY)) == (KEY,)


def test_a_logout_whose_answer_was_lost_is_found_to_be_done(
    shaky: Store, faulty: FaultyEngine
) -> None:
    token = shaky.login()
    faulty.operations()
    faulty.then(faulty_engine.lose_answer)
    shaky.sessions.end(token)
    assert faulty.operations() == ["DeleteItem", "DeleteItem"]
    assert not shaky.is_live(token)
    with pytest.raises(InvalidToken):
        shaky.sessions.end(token)


def test_two_sessions_never_share_an_item(shaky: Store, faulty: FaultyEngine) -> None:
    faulty.then(COLLISION, faulty_engine.let_through, COLLISION)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.login()
    assert caught.value.evidence == {"reason": "tokens collide"}
    assert shaky.partition() == []
