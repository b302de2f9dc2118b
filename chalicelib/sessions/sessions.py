"""Sessions in DynamoDB: one table, no index, consistent reads, and a clock that decides.

    user (partition key)   item (sort key)              what
    16-byte user reference  SHA-256 of the token, 32 B   a session
    16-byte user reference  b"decrypt-failures"          the failure counter of this user

From the table alone no token and no session_key can be had: tokens are hashed, and session_keys
sealed under a key that only the token gives. `expires_at` is DynamoDB's TTL attribute, but TTL
is days late, so every read compares it with the clock. Only `projection` of an item reaches the
proxy's Lambda function; its role cannot read the sealed keys.
"""

import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError
from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import PynamoDBException, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib.errors import (
    AWS_OPERATORS_FAULTS,
    DeadlineExceeded,
    GateError,
    InvalidToken,
    Misconfigured,
    StoreUnavailable,
    TooManyRequests,
)
from chalicelib.network.aws import held
from chalicelib.sessions.tokens import MAX_TTL, Token, user_reference

VERSION = 1
"""Of the items' schema; an item of another version is a refused token."""

INHERITED_LIFE = 600
"""Seconds that a replaced session's session_key still opens data."""

FAILURE_WINDOW = 600
MAX_FAILURES = 10
"""Failed decryptions of one user in FAILURE_WINDOW seconds, then TooManyRequests."""

CLOCKS_DIFFER = 60
"""Seconds. A window that ends later than in FAILURE_WINDOW and these is none: the clock jumped
back, or a foreign hand wrote it; the next failure begins another."""

TIMEOUT = 1.0
"""Seconds of one try in all: look-up, connection and the whole answer."""

TRIES = 3
PATIENCE = 3.0
"""Tries of an operation, whatever failed, and its seconds in all; the SDK makes no tries."""

MARGIN = 0.1
"""Seconds for what surrounds a try; one that might end too late is not begun."""

PAUSE = 0.05
"""Seconds before the second try, give or take half; twice that before the third."""

BATCH = 25
"""Items of one BatchWriteItem."""

FAILURES_ITEM = b"decrypt-failures"
MALFORMED = "item is malformed"
CONDITION_FAILED = "ConditionalCheckFailedException"

_IDENTITY = ["user", "item", "version", "appid", "openid", "unionid", "expires_at"]
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_connecting = threading.Lock()
_jitter = secrets.SystemRandom().uniform
_Found = TypeVar("_Found")

Remaining = Callable[[], float]
"""Seconds that are left."""

_MISSHAPEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What botocore, PynamoDB and we run into where an answer has not the shape of DynamoDB's."""

_TOLD = (CONDITION_FAILED, "TransactionCanceledException")
"""Refusals that another try would only hear again."""


def _unhurried() -> float:
    return inf


class Item(Model):
    """An item of the table; every attribute but the keys may be missing from a foreign one."""

    user = BinaryAttribute(hash_key=True, legacy_encoding=False)
    item = BinaryAttribute(range_key=True, legacy_encoding=False)
    version = NumberAttribute(null=True)
    appid = UnicodeAttribute(null=True)
    openid = UnicodeAttribute(null=True)
    unionid = UnicodeAttribute(null=True)
    sealed_key = BinaryAttribute(null=True, legacy_encoding=False)
    previous_key = BinaryAttribute(null=True, legacy_encoding=False)
    previous_until = NumberAttribute(null=True)
    failures = NumberAttribute(null=True)
    created_at = NumberAttribute(null=True)
    expires_at = NumberAttribute(null=True)

    @classmethod
    def from_raw_data(cls, data: dict[str, Any]) -> "Item":
        """Read an item; of one that holds a wrong type, a foreign hand's, only the keys count."""
        keys = {name: data[name] for name in ("user", "item")}
        try:
            return super().from_raw_data(data)
        except (TypeError, ValueError):
            return super().from_raw_data(keys)

    @classmethod
    def _get_connection(cls) -> TableConnection:
        # Of threads that begin together each would make a client of its own: 8 MB, a tenth of a
        # second. What fails here fails again in the operation, whose error is translated.
        with _connecting, suppress(BotoCoreError):
            held(super()._get_connection().connection.client, TIMEOUT)
        return super()._get_connection()


def table(name: str, region: str | None) -> type[Item]:
    """Bind the items to a table; a connection is made when the first request needs it."""

    class Bound(Item):
        Meta = SimpleNamespace(
            table_name=name,
            region=region,
            connect_timeout_seconds=TIMEOUT,
            read_timeout_seconds=TIMEOUT,
            max_retry_attempts=0,
        )

    return Bound


@dataclass(frozen=True)
class Session:
    """What a token stands for; session_keys, newest first, only where they were asked for."""

    appid: str
    openid: str
    unionid: str | None
    user: bytes
    session_keys: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Session(…)"


@dataclass(frozen=True)
class Failures:
    """The failed decryptions of a user: how many in the window that ends at `until`."""

    count: int = 0
    until: int = 0

    @property
    def too_many(self) -> bool:
        """Whether this user must wait until `until`."""
        return self.count >= MAX_FAILURES

    def seconds_left(self, now: float) -> int:
        """Give what a user must wait, at least a second."""
        return max(1, self.until - int(now))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn a store fault into 503, or 500 where the operator must act; never into 401."""
    try:
        yield
    except PynamoDBException as error:
        reason = _reason(error)
        fault = Misconfigured if reason in AWS_OPERATORS_FAULTS else StoreUnavailable
        raise fault(reason=reason) from error
    except _MISSHAPEN as error:
        raise StoreUnavailable(reason="answer is malformed", error=type(error).__name__) from error


class Sessions:
    """The session store. Times are epoch seconds of `clock`; `ttl` is a token's life in seconds."""

    def __init__(
        self,
        items: type[Item],
        appids: Sequence[str],
        ttl: int,
        clock: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        alert: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self._items = items
        self._appids = frozenset(appids)
        self.ttl = ttl
        self._clock = clock
        self._pause = pause
        self._monotonic = monotonic
        self._alert = alert

    # --- login and logout ---

    def create(
        self,
        appid: str,
        openid: str,
        unionid: str | None,
        session_key: str,
        replaces: object,
        remaining: Remaining = _unhurried,
    ) -> Token:
        """Store a new session and give its token; one write, unless it replaces a live session.

        A live `replaces` of the same user and app dies in the same transaction, and leaves its
        session_key for INHERITED_LIFE seconds. Any other value is ignored.

        Raises:
            StoreUnavailable, Misconfigured, DeadlineExceeded: nothing is stored that a token
            could open.
        """
        user = user_reference(appid, openid)
        old = self._replaced(user, replaces, remaining)
        if old is not None:
            token = self._replace(old, appid, openid, unionid, session_key, remaining)
            if token is not None:
                return token
        for _ in range(2):  # a token that was given before is a fault of the system's generator
            token = Token.new(user)
            item = self._item(token, appid, openid, unionid, session_key)
            if self._put(token, item, remaining):
                return token
        raise StoreUnavailable(reason="tokens collide")

    def end(self, token: Token) -> None:
        """End one session, exactly; one write.

        Raises:
            InvalidToken: if it was not live; one that was expired or odd is gone all the same.
        """

        def delete() -> Item:
            answer = self._table().delete_item(
                token.user,
                token.item,
                condition=self._items.item.exists(),
                return_values="ALL_OLD",
            )
            return self._read(token, answer["Attributes"])

        try:
            ended = self._asked(delete)
        except StoreUnavailable as error:
            if not _condition_failed(error):
                raise
            # A second try of a deletion whose answer was lost finds it done.
            if error.evidence["tries"] == 1:
                raise InvalidToken from None
        else:
            self._session(ended, token)

    def end_all(self, token: Token) -> None:
        """End every session of the token's user: one consistent query, then the deletions.

        Raises:
            InvalidToken: if the token itself was not live.
            StoreUnavailable, Misconfigured: the token lives on, to try again with.
        """
        found = self._asked(lambda: self._query(token.user))
        self._session(found.pop(token.item, self._items()), token)
        others = [_key(token.user, item) for item in found if item != FAILURES_ITEM]
        for start in range(0, len(others), BATCH):
            self._asked(partial(self._delete, others[start : start + BATCH]))
        # Last, since a batch may be done in part: nobody else could end what is left.
        with suppress(InvalidToken):  # another logout was quicker
            self.end(token)

    # --- requests ---

    def find(self, token: Token) -> Session:
        """Find who a token stands for: one consistent read, without the sealed keys.

        Raises:
            InvalidToken: if it is unknown, expired, of an app not served, or its item is odd.
            StoreUnavailable, Misconfigured: the store did not answer.
        """
        return self._session(self._get(token, _IDENTITY), token)

    def find_with_keys(self, token: Token) -> tuple[Session, Failures]:
        """Find a session with its session_keys, and the user's failures: one round trip.

        Raises:
            As find.
        """
        found = self._asked(lambda: self._get_both(token))
        item = found.get(token.item, self._items())
        session = self._session(item, token)
        keys = self._session_keys(item, token)
        return replace(session, session_keys=keys), self._failures(found.get(FAILURES_ITEM))

    def count_failure(self, session: Session, failures: Failures) -> None:
        """Count one failed decryption: one write, whatever failed.

        One whose answer was lost is counted again: a user may have fewer tries, never more.

        Raises:
            TooManyRequests: parallel failures were counted meanwhile; no more than MAX_FAILURES
                of a window are answered otherwise.
            StoreUnavailable, Misconfigured: a failure that is not counted is not answered.
        """
        now = int(self._clock())
        is_window = self._is_window(now)
        begin: list[Action] = [
            self._items.failures.set(1),
            self._items.expires_at.set(now + FAILURE_WINDOW),
        ]
        go_on: list[Action] = [self._items.failures.add(1)]
        # What the read saw comes first; meanwhile a window may have ended, or a parallel failure
        # have begun one.
        begun = bool(failures.until)

        def update() -> Failures:
            nonlocal begun
            counter = self._items(session.user, FAILURES_ITEM)
            try:
                if begun:
                    counter.update(go_on, is_window)
                else:
                    counter.update(begin, ~is_window)
            except UpdateError as error:
                if _reason(error) != CONDITION_FAILED:
                    raise
                begun = not begun
                raise StoreUnavailable(reason="failure counter changes") from error
            return Failures(int(counter.failures), int(counter.expires_at))

        counted = self._asked(update)
        if counted.count > MAX_FAILURES:
            raise TooManyRequests(retry_after=counted.seconds_left(now))

    # --- inside ---

    def _item(
        self, token: Token, appid: str, openid: str, unionid: str | None, session_key: str
    ) -> Item:
        now = int(self._clock())
        return self._items(
            token.user,
            token.item,
            version=VERSION,
            appid=appid,
            openid=openid,
            unionid=unionid,
            sealed_key=token.seal(session_key, "current"),
            created_at=now,
            expires_at=now + self.ttl,
        )

    def _put(self, token: Token, item: Item, remaining: Remaining) -> bool:
        """Store an item where there is none; tell whether it is stored."""
        absent = self._items.item.does_not_exist()
        try:
            self._asked(lambda: item.save(condition=absent), remaining)
        except StoreUnavailable as error:
            if not _condition_failed(error):
                raise
            # A second try of a put whose answer was lost meets its own item.
            return bool(self._get(token, None, remaining).sealed_key == item.sealed_key)
        return True

    def _replaced(
        self, user: bytes, replaces: object, remaining: Remaining
    ) -> tuple[Token, Item] | None:
        """The live session that a login replaces, or None; read only where the user fits."""
        try:
            token = Token.parse(replaces) if isinstance(replaces, str) else None
            if token is None or token.user != user:
                return None
            item = self._get(token, None, remaining)
            self._session(item, token)
        except InvalidToken:
            return None
        return token, item

    def _replace(
        self,
        old: tuple[Token, Item],
        appid: str,
        openid: str,
        unionid: str | None,
        session_key: str,
        remaining: Remaining,
    ) -> Token | None:
        """Swap sessions in one transaction; None where the old one died meanwhile."""
        old_token, old_item = old
        token = Token.new(old_token.user)
        item = self._item(token, appid, openid, unionid, session_key)
        inherited = self._inherited(old_item, old_token, session_key)
        if inherited is not None:
            item.previous_key = token.seal(inherited[0], "previous")
            item.previous_until = inherited[1]
        once = str(uuid.uuid4())

        def swap() -> Token | None:
            # The same `once` in each try: a swap whose answer was lost is done, and not done again.
            both = TransactWrite(connection=self._table().connection, client_request_token=once)
            try:
                with both:
                    both.save(item)
                    both.delete(
                        self._items(old_token.user, old_token.item),
                        condition=self._items.item.exists(),
                    )
            except TransactWriteError as error:
                reasons = [reason.code for reason in error.cancellation_reasons if reason]
                if "ConditionalCheckFailed" in reasons:
                    return None
                if "TransactionConflict" in reasons:
                    raise StoreUnavailable(reason="TransactionConflict") from error
                raise
            return token

        return self._asked(swap, remaining)

    def _inherited(self, item: Item, token: Token, new_key: str) -> tuple[str, int] | None:
        """The key that the new session inherits, and until when.

        WeChat may hand out the same key again; then what matters is the one before it.
        """
        try:
            keys = self._session_keys(item, token)
        except InvalidToken:  # an odd item ends all the same, and leaves nothing
            return None
        until = int(self._clock()) + INHERITED_LIFE
        if keys[0] != new_key:
            return keys[0], until
        if len(keys) > 1:
            return keys[1], int(item.previous_until)
        return None

    def _table(self) -> Any:  # the types of TableConnection know keys of text alone
        return self._items._get_connection()

    def _is_window(self, now: int) -> Condition:
        """The condition that says of a counter what `_failures` says of an item."""
        count: Any = self._items.failures
        until: Any = self._items.expires_at
        latest = now + FAILURE_WINDOW + CLOCKS_DIFFER
        window: Condition = count.is_type() & until.is_type() & (until > now) & (until <= latest)
        return window

    def _asked(self, operation: Callable[[], _Found], remaining: Remaining = _unhurried) -> _Found:
        """Do an operation, which may be done twice: a fault that may pass is tried again.

        Raises:
            StoreUnavailable, Misconfigured: as the last try says, `tries` being its number.
            DeadlineExceeded: nothing was asked.
        """
        self._table()  # a client that cannot be made is no fault of the store's
        end = self._monotonic() + PATIENCE
        fault: GateError = DeadlineExceeded()
        for tries in range(1, 1 + TRIES):
            if tries > 1:
                self._pause(_jitter(0.5, 1.5) * PAUSE * (tries - 1))
            if min(remaining(), end - self._monotonic()) < TIMEOUT + MARGIN:
                break
            try:
                with _translated():
                    return operation()
            except StoreUnavailable as error:
                error.evidence["tries"] = tries
                if error.evidence["reason"] in _TOLD:
                    raise
                fault = error
        raise fault

    def _get(
        self,
        token: Token,
        attributes: list[str] | None,
        remaining: Remaining = _unhurried,
    ) -> Item:
        """Get an item, or an empty one: what is not there is as odd as what is wrong."""

        def get() -> Item:
            answer = self._table().get_item(
                token.user, token.item, consistent_read=True, attributes_to_get=attributes
            )
            found = answer.get("Item")
            return self._items() if found is None else self._read(token, found)

        return self._asked(get, remaining)

    def _read(self, token: Token, data: dict[str, Any]) -> Item:
        item = self._items.from_raw_data(data)
        if (item.user, item.item) != (token.user, token.item):
            raise ValueError  # another item than was asked for
        return item

    def _get_both(self, token: Token) -> dict[bytes, Item]:
        """Get the session and the failure counter; PynamoDB's batch_get has no end to its tries."""
        table = self._table()
        keys = [_key(token.user, item) for item in (token.item, FAILURES_ITEM)]
        answer = table.batch_get_item(keys, consistent_read=True)
        if answer["UnprocessedKeys"]:
            raise StoreUnavailable(reason="UnprocessedKeys")
        found = map(self._items.from_raw_data, answer["Responses"][table.table_name])
        return {item.item: item for item in found}

    def _query(self, user: bytes) -> dict[bytes, Item]:
        """Get all items of a user, without the sealed keys."""
        found: dict[bytes, Item] = {}
        start: Any = None
        while True:
            page = self._table().query(
                user, consistent_read=True, attributes_to_get=_IDENTITY, exclusive_start_key=start
            )
            for item in map(self._items.from_raw_data, page["Items"]):
                found[item.item] = item
            start = page.get("LastEvaluatedKey")
            if not start:
                return found

    def _delete(self, keys: list[dict[str, Any]]) -> None:
        """Delete a batch; PynamoDB's batch_write takes an answer without its members for done."""
        if self._table().batch_write_item(delete_items=keys)["UnprocessedItems"]:
            raise StoreUnavailable(reason="UnprocessedItems")

    def _session(self, item: Item, token: Token) -> Session:
        """Read an item as a session; whatever is odd about it, the token is refused.

        An item that no clock and no configuration explains is told to the log: a foreign hand.
        """
        if item.item is None:  # not there
            raise InvalidToken
        if not self._is_whole(item, token):
            # An older or a newer release writes items of another version; that is no alarm.
            if type(item.version) is not int or item.version == VERSION:
                self._tell(token, MALFORMED)
            raise InvalidToken(reason=MALFORMED)
        if item.expires_at <= self._clock() or item.appid not in self._appids:
            raise InvalidToken
        return Session(item.appid, item.openid, item.unionid, token.user)

    def _is_whole(self, item: Item, token: Token) -> bool:
        ids = [item.openid] if item.unionid is None else [item.openid, item.unionid]
        return (
            item.version == VERSION
            and type(item.expires_at) is int
            # An expiry beyond any TTL is milliseconds, or worse.
            and item.expires_at <= self._clock() + 2 * MAX_TTL
            and isinstance(item.appid, str)
            and all(map(_is_id, ids))
            and user_reference(item.appid, item.openid) == token.user
        )

    def _session_keys(self, item: Item, token: Token) -> tuple[str, ...]:
        """Open the sealed keys; a previous one that does not open leaves the current one."""
        try:
            current = token.unseal(item.sealed_key, "current")
        except InvalidToken:
            self._tell(token, MALFORMED)
            raise InvalidToken(reason=MALFORMED) from None
        if not isinstance(item.previous_until, int) or item.previous_until <= self._clock():
            return (current,)
        try:
            return current, token.unseal(item.previous_key, "previous")
        except InvalidToken:
            self._tell(token, "previous_key does not open")
            return (current,)

    def _tell(self, token: Token, reason: str) -> None:
        self._alert("MalformedItem", user=token.alias, reason=reason)

    def _failures(self, item: Item | None) -> Failures:
        now = int(self._clock())
        if (
            item is None
            or not isinstance(item.failures, int)
            or not isinstance(item.expires_at, int)
            or not now < item.expires_at <= now + FAILURE_WINDOW + CLOCKS_DIFFER
        ):
            return Failures()
        return Failures(item.failures, item.expires_at)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def _key(user: bytes, item: bytes) -> dict[str, dict[str, bytes]]:
    return {"user": {"B": user}, "item": {"B": item}}


def _reason(error: PynamoDBException) -> str:
    """Name the cause: AWS's error code, or the class of the error where AWS said nothing.

    PynamoDB's cause_response_code breaks on a lost connection, whose response is None.
    """
    response: Mapping[str, Any] = getattr(error.cause, "response", None) or {}
    return response.get("Error", {}).get("Code") or type(error.cause or error).__name__


def _condition_failed(fault: StoreUnavailable) -> bool:
    return fault.evidence["reason"] == CONDITION_FAILED
