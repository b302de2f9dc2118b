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

from chalicelib.errors import DeadlineExceeded, GateError, InvalidToken, StoreUnavailable
from chalicelib.sessions import sessions
from chalicelib.sessions.sessions import MARGIN, PAUSE, TIMEOUT, Item, Sessions
from chalicelib.sessions.tokens import Token, user_reference
from simulator import aws
from tests.support import aws_proxy
from tests.support.aws_proxy import AwsProxy
from tests.support.engines import new_table
from tests.support.fakes import NOW, Clock
from tests.support.loopback import full_backlog
from tests.support.store import APPID, KEY, KEY2, TTL, Store, bound, store_on


@pytest.fixture(scope="module")
def failing(moto_url: str) -> Iterator[tuple[AwsProxy, type[Item], Any]]:
    engine = AwsProxy(moto_url)
    with closing(aws.client("dynamodb", moto_url)) as dynamodb:
        yield engine, bound(engine.url, new_table(moto_url)), dynamodb
    engine.close()


@pytest.fixture
def faulty(failing: tuple[AwsProxy, type[Item], Any]) -> AwsProxy:
    """The engine that fails on cue, with no cue given yet."""
    engine = failing[0]
    engine.faults.clear()
    engine.taken()
    return engine


@pytest.fixture
def shaky(faulty: AwsProxy, failing: tuple[AwsProxy, type[Item], Any], clock: Clock) -> Store:
    """A store on that engine."""
    return store_on(*failing[1:], clock)


def test_every_read_is_consistent(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    shaky.sessions.find(token)
    shaky.keys(token)
    shaky.login(replaces=token.text)
    shaky.sessions.end_all(shaky.login())
    faulty.then(aws_proxy.done_but_cut)
    shaky.login()
    calls = [json.dumps(members) for name, members in calls_of(faulty) if name in READS]
    assert len(calls) == 5
    assert all('"ConsistentRead": true' in call for call in calls)


def calls_of(proxy: AwsProxy) -> list[tuple[str, dict[str, Any]]]:
    return [(done.name, done.parameters) for done in proxy.operations]


READS = {"GetItem", "BatchGetItem", "Query"}


def test_a_login_never_writes_over_an_item(shaky: Store, faulty: AwsProxy) -> None:
    shaky.login()
    [(_, members)] = calls_of(faulty)
    assert members["ConditionExpression"] == "attribute_not_exists (#0)"
    assert members["ExpressionAttributeNames"] == {"#0": "item"}


def test_finding_who_it_is_asks_for_no_sealed_key(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    faulty.taken()
    shaky.sessions.find(token)
    shaky.sessions.end_all(token)
    asked = [set(m["ExpressionAttributeNames"].values()) for n, m in calls_of(faulty) if n in READS]
    identity = {"user", "item", "version", "appid", "openid", "unionid", "expires_at"}
    assert asked == [identity, identity]


def test_the_operations_are_as_few_as_promised(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    assert faulty.taken() == ["PutItem"]
    shaky.sessions.find(token)
    assert faulty.taken() == ["GetItem"]
    session, failures = shaky.sessions.find_with_keys(token)
    assert faulty.taken() == ["BatchGetItem"]
    shaky.sessions.count_failure(session, failures)
    assert faulty.taken() == ["UpdateItem"]
    token = shaky.login(replaces=token.text)
    assert faulty.taken() == ["GetItem", "TransactWriteItems"]
    shaky.sessions.end(token)
    assert faulty.taken() == ["DeleteItem"]


def test_junk_that_is_replaced_costs_no_read(shaky: Store, faulty: AwsProxy) -> None:
    shaky.login(replaces="wxg_junk")
    shaky.login(replaces=Token.new(b"x" * 16).text)
    assert faulty.taken() == ["PutItem", "PutItem"]


PAGE = aws_proxy.page
BROKEN = aws_proxy.refusing("InternalServerError", status=500)
COLLISION = aws_proxy.refusing("ConditionalCheckFailedException")


def test_a_broken_answer_to_a_read_ends_no_session(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    faulty.then(PAGE, PAGE, PAGE)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.find(token)
    assert caught.value.evidence == {"reason": "BrokenAnswer", "tries": 3}
    faulty.then(PAGE, PAGE, PAGE)
    with pytest.raises(StoreUnavailable):
        shaky.sessions.find_with_keys(token)
    assert shaky.is_live(token)


def test_a_broken_answer_to_a_write_gives_no_token(shaky: Store, faulty: AwsProxy) -> None:
    faulty.then(PAGE, PAGE, PAGE)
    with pytest.raises(StoreUnavailable):
        shaky.login()
    assert shaky.partition() == []


def test_a_read_whose_first_answer_breaks_is_made_again(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    faulty.taken()
    faulty.then(PAGE)
    assert shaky.sessions.find(token).openid == shaky.openid
    assert faulty.taken() == ["GetItem", "GetItem"]


ANOTHER: dict[str, Any] = {"user": {"B": "dQ=="}, "item": {"B": "aQ=="}}


def _found(item: Any) -> dict[str, Any]:
    return {"Responses": {"TABLE": [item]}, "UnprocessedKeys": {}}


def _left(left: Any) -> dict[str, Any]:
    return {"Responses": {"TABLE": []}, "UnprocessedKeys": {"TABLE": left}}


def _page(items: Any, **members: Any) -> dict[str, Any]:
    return {"Items": items, "Count": 1, "ScannedCount": 1, **members}


MISSHAPEN: dict[str, list[Any]] = {
    "find": [
        {"Item": []},
        {"Item": "x"},
        {"Item": {}},
        {"Item": {"openid": {"S": "o"}}},
        {"Item": ANOTHER},
        {"Item": {**ANOTHER, "openid": "x"}},
        {"Item": {**ANOTHER, "user": {"S": "x"}}},
    ],
    "find_with_keys": [
        {},
        {"Responses": {"TABLE": "x"}, "UnprocessedKeys": {}},
        {"Responses": {}, "UnprocessedKeys": {}},
        {"Responses": {"TABLE": []}},
        *map(_found, (None, 5, {}, {**ANOTHER, "item": {"N": "1"}})),
        *map(_left, ([], {"Keys": [5]}, {})),
    ],
    "end_all": [
        {},
        {"Count": 0, "ScannedCount": 0},
        *map(_page, ("x", [5], [None], [{}])),
        _page([], LastEvaluatedKey=5),
    ],
    "end": [{}, {"Attributes": []}, {"Attributes": {}}, {"Attributes": ANOTHER}],
    "count_failure": [
        {},
        {"Attributes": []},
        {"Attributes": {}},
        {"Attributes": {**ANOTHER, "failures": {"S": "x"}}},
        {"Attributes": {**ANOTHER, "failures": {"N": "1E999"}, "expires_at": {"N": "1"}}},
    ],
    "create": [{"Attributes": []}],
}
CASES = [(act, body) for act, bodies in MISSHAPEN.items() for body in bodies]


@pytest.mark.parametrize(("act", "body"), CASES)
def test_a_misshapen_answer_is_a_store_fault_and_nothing_is_done_by_half(
    shaky: Store, faulty: AwsProxy, act: str, body: Any
) -> None:
    token = shaky.login()
    acts = _acts(shaky, token)
    answer = json.loads(json.dumps(body).replace("TABLE", shaky.table))
    faulty.then(*[aws_proxy.answering(answer)] * 3)
    with pytest.raises(StoreUnavailable) as caught:
        acts[act]()
    assert caught.value.evidence["tries"] == 3
    assert shaky.is_live(token)
    assert shaky.alerts == []


def _acts(store: Store, token: Token) -> dict[str, Callable[[], object]]:
    seen = store.sessions.find_with_keys(token)
    return {
        "find": lambda: store.sessions.find(token),
        "find_with_keys": lambda: store.sessions.find_with_keys(token),
        "count_failure": lambda: store.sessions.count_failure(*seen),
        "end": lambda: store.sessions.end(token),
        "end_all": lambda: store.sessions.end_all(token),
        "create": store.login,
        "replace": lambda: store.login(KEY2, replaces=token.text),
    }


def _odd_error(status: int, **members: object) -> aws_proxy.Fault:
    return aws_proxy.answering(
        {"__type": "x#TransactionCanceledException", **members}, status=status
    )


ODD_ERRORS: dict[str, aws_proxy.Fault] = {
    "a number": _odd_error(400, __type=5),
    "an object": _odd_error(400, __type={"S": "x"}),
    "a list": _odd_error(500, __type=["x"]),
    "a redirection": _odd_error(300, __type=5),
    "no reasons": _odd_error(400, CancellationReasons=[{}, {}]),
    "text for reasons": _odd_error(400, CancellationReasons="x"),
    "texts for reasons": _odd_error(400, CancellationReasons=["x"]),
    "null for a reason": _odd_error(400, CancellationReasons=[None]),
    "a list for a code": _odd_error(400, CancellationReasons=[{"Code": []}]),
}


@pytest.mark.parametrize("kind", ODD_ERRORS)
def test_an_odd_error_is_a_store_fault_whatever_was_asked(
    shaky: Store, faulty: AwsProxy, kind: str
) -> None:
    token = shaky.login()
    for act in _acts(shaky, token).values():
        faulty.then(*[ODD_ERRORS[kind]] * 3)
        with pytest.raises(StoreUnavailable):
            act()
        faulty.faults.clear()
    assert shaky.is_live(token)


@pytest.mark.parametrize("kind", ODD_ERRORS)
def test_an_odd_error_swaps_no_session(shaky: Store, faulty: AwsProxy, kind: str) -> None:
    old = shaky.login(KEY)
    faulty.then(aws_proxy.let_through, *[ODD_ERRORS[kind]] * 3)
    with pytest.raises(StoreUnavailable):
        shaky.login(KEY2, replaces=old.text)
    faulty.faults.clear()
    assert (shaky.is_live(old), len(shaky.partition())) == (True, 1)


def test_the_log_learns_what_a_misshapen_answer_broke(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    faulty.then(*[aws_proxy.answering({})] * 3)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.find_with_keys(token)
    told = {"reason": "answer is malformed", "error": "KeyError", "tries": 3}
    assert caught.value.evidence == told


CONFLICT = aws_proxy.cancelling("None", "TransactionConflict")


def test_a_transaction_that_meets_another_is_tried_again(shaky: Store, faulty: AwsProxy) -> None:
    old = shaky.login(KEY)
    faulty.then(aws_proxy.let_through, CONFLICT, CONFLICT)
    assert shaky.keys(shaky.login(KEY2, replaces=old.text)) == (KEY2, KEY)
    assert len(shaky.pauses) == 2


def test_a_transaction_that_meets_others_three_times_is_given_up(
    shaky: Store, faulty: AwsProxy
) -> None:
    old = shaky.login(KEY)
    faulty.then(aws_proxy.let_through, CONFLICT, CONFLICT, CONFLICT)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.login(KEY2, replaces=old.text)
    assert caught.value.evidence == {"reason": "TransactionConflict", "tries": 3}
    assert shaky.is_live(old)
    assert len(shaky.partition()) == 1


def test_a_transaction_that_fails_otherwise_is_given_up(shaky: Store, faulty: AwsProxy) -> None:
    old = shaky.login(KEY)
    faulty.then(aws_proxy.let_through, aws_proxy.cancelling("ThrottlingError", "None"))
    with pytest.raises(StoreUnavailable):
        shaky.login(KEY2, replaces=old.text)
    assert shaky.pauses == []


def test_a_swap_is_tried_again_as_the_same_swap(shaky: Store, faulty: AwsProxy) -> None:
    old = shaky.login(KEY)
    faulty.then(aws_proxy.let_through, CONFLICT, BROKEN)
    shaky.login(KEY2, replaces=old.text)
    again = shaky.login(KEY)
    shaky.login(KEY2, replaces=again.text)
    swaps = [members for name, members in calls_of(faulty) if name == "TransactWriteItems"]
    first, *others, last = swaps
    assert others == [first, first]
    assert first["ClientRequestToken"] != last["ClientRequestToken"]


@pytest.mark.dynamodb_local
def test_a_swap_whose_answer_was_lost_is_found_to_be_done(
    dynamodb_local_url: str, clock: Clock
) -> None:
    with closing(AwsProxy(dynamodb_local_url)) as engine:
        items = bound(engine.url, new_table(dynamodb_local_url))
        with closing(aws.client("dynamodb", dynamodb_local_url)) as dynamodb:
            store = store_on(items, dynamodb, clock)
            old = store.login(KEY)
            engine.then(aws_proxy.let_through, aws_proxy.done_but_cut)
            assert store.keys(store.login(KEY2, replaces=old.text)) == (KEY2, KEY)
            assert len(store.partition()) == 1


def test_a_transaction_that_lost_to_a_logout_stores_a_plain_session(
    shaky: Store, faulty: AwsProxy
) -> None:
    old = shaky.login(KEY)
    faulty.then(aws_proxy.let_through, aws_proxy.after(lambda: shaky.delete(old)))
    token = shaky.login(KEY2, replaces=old.text)
    assert not shaky.is_live(old)
    assert shaky.keys(token) == (KEY2,)


def test_keys_that_dynamodb_left_out_are_asked_for_again(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    shaky.fail(token)
    faulty.taken()
    faulty.then(_left_out(shaky, token))
    assert shaky.failures(token).count == 1
    assert faulty.taken() == ["BatchGetItem", "BatchGetItem"]
    assert len(shaky.pauses) == 1


def test_keys_that_dynamodb_leaves_out_again_and_again_are_a_store_fault(
    shaky: Store, faulty: AwsProxy
) -> None:
    token = shaky.login()
    faulty.taken()
    faulty.then(*[_left_out(shaky, token)] * 5)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.find_with_keys(token)
    assert caught.value.evidence == {"reason": "UnprocessedKeys", "tries": 3}
    assert len(faulty.taken()) == 3


def _left_out(store: Store, token: Token) -> aws_proxy.Fault:
    keys = [
        {n: {"B": base64.b64encode(v["B"]).decode()} for n, v in store.key_of(item).items()}
        for item in (token.item, sessions.FAILURES_ITEM)
    ]
    unprocessed = {store.table: {"Keys": keys, "ConsistentRead": True}}
    return aws_proxy.answering({"Responses": {store.table: []}, "UnprocessedKeys": unprocessed})


@pytest.mark.parametrize(
    "fault",
    [
        aws_proxy.refusing("InternalServerError", status=500),
        aws_proxy.done_but_cut,
    ],
)
def test_a_logout_everywhere_that_failed_can_be_repeated(
    shaky: Store, faulty: AwsProxy, fault: aws_proxy.Fault
) -> None:
    token, other = shaky.login(), shaky.login()
    faulty.then(aws_proxy.let_through, fault, fault, fault)
    with pytest.raises(StoreUnavailable):
        shaky.sessions.end_all(token)
    shaky.sessions.end_all(token)
    assert (shaky.is_live(token), shaky.is_live(other)) == (False, False)


def test_a_logout_that_the_store_did_not_take_is_no_logout(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    faulty.then(BROKEN, BROKEN, BROKEN)
    with pytest.raises(StoreUnavailable):
        shaky.sessions.end(token)
    assert shaky.is_live(token)


def _not_deleted(store: Store, *tokens: Token) -> aws_proxy.Fault:
    """Say that a batch was done, but for these."""
    keys = [
        {n: {"B": base64.b64encode(v["B"]).decode()} for n, v in store.key_of(token.item).items()}
        for token in tokens
    ]
    left = {store.table: [{"DeleteRequest": {"Key": key}} for key in keys]}
    return aws_proxy.answering({"UnprocessedItems": left})


def test_what_a_batch_left_over_is_deleted_by_the_next(shaky: Store, faulty: AwsProxy) -> None:
    token, other = shaky.login(), shaky.login()
    faulty.taken()
    faulty.then(aws_proxy.let_through, _not_deleted(shaky, other))
    shaky.sessions.end_all(token)
    assert faulty.taken() == ["Query", "BatchWriteItem", "BatchWriteItem", "DeleteItem"]
    assert shaky.partition() == []


def test_a_batch_that_is_never_done_ends_the_token_no_more_than_the_others(
    shaky: Store, faulty: AwsProxy
) -> None:
    token, other = shaky.login(), shaky.login()
    faulty.then(aws_proxy.let_through, *[_not_deleted(shaky, other)] * 3)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.end_all(token)
    assert caught.value.evidence == {"reason": "UnprocessedItems", "tries": 3}
    assert (shaky.is_live(token), shaky.is_live(other)) == (True, True)


@pytest.mark.parametrize("answer", [{}, {"UnprocessedItems": None}, {"UnprocessedItems": "x"}])
def test_a_batch_that_does_not_say_what_is_left_is_not_believed(
    shaky: Store, faulty: AwsProxy, answer: object
) -> None:
    token, other = shaky.login(), shaky.login()
    faulty.then(aws_proxy.let_through, *[aws_proxy.answering(answer)] * 3)
    with pytest.raises(StoreUnavailable):
        shaky.sessions.end_all(token)
    assert (shaky.is_live(token), shaky.is_live(other)) == (True, True)


def test_a_logout_everywhere_takes_as_many_batches_as_it_needs(
    shaky: Store, faulty: AwsProxy
) -> None:
    tokens = [shaky.login() for _ in range(52)]
    faulty.taken()
    shaky.sessions.end_all(tokens[0])
    batches = [m["RequestItems"][shaky.table] for n, m in calls_of(faulty) if n == "BatchWriteItem"]
    assert [len(batch) for batch in batches] == [25, 25, 1]
    assert shaky.partition() == []


def test_a_user_of_many_pages_is_ended_whole(shaky: Store, faulty: AwsProxy) -> None:
    token, other = shaky.login(), shaky.login()
    key = {n: {"B": base64.b64encode(v["B"]).decode()} for n, v in shaky.key_of(b"\0").items()}
    empty = {"Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": key}
    faulty.taken()
    faulty.then(aws_proxy.answering(empty))
    shaky.sessions.end_all(token)
    assert [m.get("ExclusiveStartKey") for n, m in calls_of(faulty) if n == "Query"] == [None, key]
    assert not shaky.is_live(other)


def test_a_logout_everywhere_that_lost_to_a_logout_is_done(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    faulty.then(aws_proxy.let_through, aws_proxy.after(lambda: shaky.delete(token)))
    shaky.sessions.end_all(token)
    assert shaky.partition() == []


def test_a_window_that_opens_between_two_tries_is_counted_in(
    shaky: Store, faulty: AwsProxy
) -> None:
    token = shaky.login()
    shaky.fail(token)
    session, seen = shaky.sessions.find_with_keys(token)
    shaky.clock.advance(600)
    faulty.then(aws_proxy.let_through, aws_proxy.after(lambda: _open_window(shaky)))
    shaky.sessions.count_failure(session, seen)
    assert shaky.failures(token).count == 6


def test_a_count_that_meets_no_condition_is_given_up(shaky: Store, faulty: AwsProxy) -> None:
    session, none_yet = shaky.sessions.find_with_keys(shaky.login())
    faulty.then(COLLISION, COLLISION, COLLISION)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.sessions.count_failure(session, none_yet)
    assert caught.value.evidence == {"reason": "failure counter changes", "tries": 3}


@pytest.mark.parametrize("fault", [BROKEN, aws_proxy.refusing("ThrottlingException")])
def test_a_count_that_failed_is_tried_again_as_it_was(
    shaky: Store, faulty: AwsProxy, fault: aws_proxy.Fault
) -> None:
    seen = shaky.sessions.find_with_keys(shaky.login())
    faulty.taken()
    faulty.then(fault)
    shaky.sessions.count_failure(*seen)
    (_, first), (_, second) = calls_of(faulty)
    assert first == second


def test_a_count_whose_answer_was_lost_never_counts_too_little(
    shaky: Store, faulty: AwsProxy
) -> None:
    token = shaky.login()
    shaky.fail(token)
    seen = shaky.sessions.find_with_keys(token)
    faulty.then(aws_proxy.done_but_cut)
    shaky.sessions.count_failure(*seen)
    assert shaky.failures(token).count == 3


def _open_window(store: Store) -> None:
    store.counter(expires_at={"N": str(NOW + 1200)}, failures={"N": "5"})


# --- how often, and for how long -----------------------------------------------------------------


@dataclass
class Patience:
    """A clock of deadlines; each operation of the store takes what a test says."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, seconds: float, act: aws_proxy.Fault) -> aws_proxy.Fault:
        """Let time pass before an act."""

        def later(*exchange: Any) -> None:
            self.now += seconds
            act(*exchange)

        return later


@pytest.fixture
def patience() -> Patience:
    return Patience()


@pytest.fixture
def timed(
    patience: Patience,
    faulty: AwsProxy,
    failing: tuple[AwsProxy, type[Item], Any],
    clock: Clock,
) -> Store:
    """A store on the failing engine, whose deadlines go by `patience`."""
    return store_on(*failing[1:], clock, patience)


FAULTS_THAT_PASS: dict[str, Callable[[Store, Token], aws_proxy.Fault]] = {
    "cut": lambda *_: aws_proxy.dead,
    "a page": lambda *_: PAGE,
    "throttled": lambda *_: aws_proxy.refusing("ThrottlingException"),
    "unprocessed": _left_out,
}


@pytest.mark.parametrize("second", FAULTS_THAT_PASS)
@pytest.mark.parametrize("first", FAULTS_THAT_PASS)
def test_three_tries_are_all_whatever_failed(
    timed: Store, faulty: AwsProxy, first: str, second: str
) -> None:
    token = timed.login()
    faulty.taken()
    alternating = [FAULTS_THAT_PASS[kind](timed, token) for kind in (first, second)] * 3
    faulty.then(*alternating)
    with pytest.raises(StoreUnavailable):
        timed.sessions.find_with_keys(token)
    assert faulty.taken() == ["BatchGetItem"] * 3
    waits = timed.pauses
    assert len(waits) == 2
    assert PAUSE / 2 <= waits[0] <= PAUSE * 1.5
    assert PAUSE <= waits[1] <= PAUSE * 3


def test_a_swap_has_three_tries_in_all(timed: Store, faulty: AwsProxy) -> None:
    old = timed.login()
    faulty.taken()
    faulty.then(aws_proxy.let_through, *[CONFLICT, PAGE] * 3)
    with pytest.raises(StoreUnavailable):
        timed.login(replaces=old.text)
    assert faulty.taken() == ["GetItem"] + ["TransactWriteItems"] * 3


def test_no_two_wait_alike(timed: Store, faulty: AwsProxy) -> None:
    token = timed.login()
    for _ in range(5):
        faulty.then(aws_proxy.refusing("ThrottlingException"))
        timed.sessions.find(token)
    assert len(set(timed.pauses)) == 5


@pytest.mark.parametrize(("took", "tries"), [(0.94, 3), (0.96, 2), (1.89, 2), (1.91, 1)])
def test_no_try_is_begun_that_might_end_after_the_operations_time(
    timed: Store, faulty: AwsProxy, patience: Patience, took: float, tries: int
) -> None:
    token = timed.login()
    faulty.taken()
    faulty.then(*[patience.taking(took, BROKEN)] * 3)
    with pytest.raises(StoreUnavailable) as caught:
        timed.sessions.find(token)
    assert caught.value.evidence == {"reason": "InternalServerError", "tries": tries}
    assert len(faulty.taken()) == tries


@pytest.mark.parametrize("left", [1.09, 0.0, -1.0])
def test_without_time_for_a_try_nothing_is_asked(
    timed: Store, faulty: AwsProxy, left: float
) -> None:
    for replaces in (None, Token.new(timed.user).text):
        with pytest.raises(DeadlineExceeded):
            timed.sessions.create(APPID, timed.openid, None, KEY, replaces, lambda: left)
    assert faulty.taken() == []


def test_time_for_one_try_is_enough(timed: Store) -> None:
    enough = TIMEOUT + MARGIN
    token = timed.sessions.create(APPID, timed.openid, None, KEY, None, lambda: enough)
    assert timed.is_live(token)


def test_a_login_ends_in_its_time_however_slow_the_store_is(
    timed: Store, faulty: AwsProxy, patience: Patience
) -> None:
    old = timed.login(KEY)
    faulty.taken()
    slow = patience.taking(0.9, aws_proxy.let_through)
    faulty.then(patience.taking(0.5, BROKEN), slow, slow)
    with pytest.raises(DeadlineExceeded):
        timed.sessions.create(APPID, timed.openid, None, KEY2, old.text, lambda: 2.4 - patience.now)
    assert faulty.taken() == ["GetItem", "GetItem"]
    assert timed.is_live(old)


@pytest.mark.parametrize(
    ("acts", "asked"),
    [
        ([BROKEN], ["PutItem"]),
        ([COLLISION], ["PutItem"]),
        ([aws_proxy.let_through, BROKEN], ["GetItem", "TransactWriteItems"]),
    ],
)
def test_every_operation_of_a_login_minds_the_time_that_is_left(
    timed: Store,
    faulty: AwsProxy,
    patience: Patience,
    acts: list[aws_proxy.Fault],
    asked: list[str],
) -> None:
    old = timed.login(KEY) if len(acts) > 1 else None
    faulty.taken()
    faulty.then(*[patience.taking(0.5, act) for act in acts])
    left, replaces = 1.1 + 0.5 * len(acts) - 0.01, old and old.text
    with pytest.raises((StoreUnavailable, DeadlineExceeded)):
        timed.sessions.create(
            APPID, timed.openid, None, KEY2, replaces, lambda: left - patience.now
        )
    assert faulty.taken() == asked


# --- the corpus of faults ------------------------------------------------------------------------

CORPUS = json.loads((Path(__file__).parents[1] / "corpus/faults.json").read_text())["faults"]
OUTCOMES = {fault["id"]: fault["outcome"] for fault in CORPUS if fault["area"] == "dynamodb"}

BUDGET = 3.5
"""Seconds: what an operation may take, and what a busy machine takes."""


@dataclass
class Case:
    """A store with a live session, and the engine that will fail it."""

    store: Store
    engine: AwsProxy
    token: Token

    def find(self, *acts: aws_proxy.Fault) -> object:
        self.engine.then(*acts)
        return self.store.sessions.find(self.token)

    def login(self, *acts: aws_proxy.Fault) -> object:
        self.engine.then(*acts)
        return self.store.login(KEY2)

    def replace(self, *acts: aws_proxy.Fault) -> object:
        self.engine.then(aws_proxy.let_through, *acts)
        return self.store.login(KEY2, replaces=self.token.text)

    def read_odd(self, **attributes: Any) -> object:
        self.store.change(self.token, **attributes)
        return self.store.sessions.find(self.token)

    def stored(self) -> int:
        return len(self.store.partition())


THROTTLED = aws_proxy.refusing("ProvisionedThroughputExceededException")
MISSING = aws_proxy.refusing("ResourceNotFoundException")
DENIED = aws_proxy.refusing("AccessDeniedException")


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
    "DDB-02": (lambda c: c.find(*[aws_proxy.refusing("ThrottlingException")] * 5), 1),
    "DDB-03": (lambda c: c.find(*[BROKEN] * 5), 1),
    "DDB-04": (lambda c: c.find(*[aws_proxy.never_answering] * 5), 1),
    "DDB-05": (lambda c: c.login(aws_proxy.done_but_cut), 2),
    "DDB-07": (lambda c: c.login(COLLISION), 2),
    "DDB-08": (lambda c: c.replace(*[CONFLICT] * 5), 1),
    "DDB-09": (lambda c: c.replace(aws_proxy.cancelling("None", "ProvisionedThroughput")), 1),
    "DDB-11": (lambda c: c.find(*[MISSING] * 5), 1),
    "DDB-12": (lambda c: c.login(*[DENIED] * 5), 1),
    "DDB-16": (lambda c: (c.find(aws_proxy.answering_then_closing), c.find()), 1),
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
    shaky: Store, faulty: AwsProxy, name: str
) -> None:
    happens, items = FAULTS[name]
    case = Case(shaky, faulty, shaky.login())
    started = time.monotonic()
    assert _outcome(lambda: happens(case)) in _allowed(name)
    assert time.monotonic() - started < BUDGET
    faulty.faults.clear()
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


def test_a_put_whose_answer_was_lost_is_found_to_be_done(shaky: Store, faulty: AwsProxy) -> None:
    faulty.then(aws_proxy.done_but_cut)
    assert shaky.keys(shaky.login(KEY)) == (KEY,)


def test_a_logout_whose_answer_was_lost_is_found_to_be_done(shaky: Store, faulty: AwsProxy) -> None:
    token = shaky.login()
    faulty.taken()
    faulty.then(aws_proxy.done_but_cut)
    shaky.sessions.end(token)
    assert faulty.taken() == ["DeleteItem", "DeleteItem"]
    assert not shaky.is_live(token)
    with pytest.raises(InvalidToken):
        shaky.sessions.end(token)


def test_two_sessions_never_share_an_item(shaky: Store, faulty: AwsProxy) -> None:
    faulty.then(COLLISION, aws_proxy.let_through, COLLISION)
    with pytest.raises(StoreUnavailable) as caught:
        shaky.login()
    assert caught.value.evidence == {"reason": "tokens collide"}
    assert shaky.partition() == []
