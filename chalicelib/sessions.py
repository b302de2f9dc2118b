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
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import BotoCoreError
from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import PutError, PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib.aws import held
from chalicelib.errors import AWS_OPERATORS_FAULTS, InvalidToken, Misconfigured, StoreUnavailable
from chalicelib.tokens import MAX_TTL, Token, user_reference

VERSION = 1
"""Of the items' schema; an item of another version is a refused token."""

INHERITED_LIFE = 600
"""Seconds that a replaced session's session_key still opens data."""

FAILURE_WINDOW = 600
MAX_FAILURES = 10
"""Failed decryptions of one user in FAILURE_WINDOW seconds, then TooManyRequests."""

TIMEOUT = 1.0
"""Seconds of one attempt in all: look-up, connection and the whole answer."""

RETRIES = 1
"""By the SDK, within three seconds in all."""

CONFLICT_TRIES = 3

FAILURES_ITEM = b"decrypt-failures"

_IDENTITY = ("user", "item", "version", "appid", "openid", "unionid", "expires_at")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_connecting = threading.Lock()


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
        try:
            return super().from_raw_data(data)
        except (TypeError, ValueError):
            return super().from_raw_data({name: data[name] for name in ("user", "item")})

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
            max_retry_attempts=RETRIES,
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


@contextmanager
def _translated() -> Iterator[None]:
    """Turn a store fault into 503, or 500 where the operator must act; never into 401."""
    try:
        yield
    except PynamoDBException as error:
        reason = _reason(error)
        fault = Misconfigured if reason in AWS_OPERATORS_FAULTS else StoreUnavailable
        raise fault(reason=reason) from error
    except KeyError:  # of a member that every answer of DynamoDB's has
        raise StoreUnavailable(reason="answer is incomplete") from None


class Sessions:
    """The session store. Times are epoch seconds of `clock`; `ttl` is a token's life in seconds."""

    def __init__(
        self,
        items: type[Item],
        appids: Sequence[str],
        ttl: int,
        clock: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._items = items
        self._appids = frozenset(appids)
        self.ttl = ttl
        self._clock = clock
        self._pause = pause

    # --- login and logout ---

    def create(
        self, appid: str, openid: str, unionid: str | None, session_key: str, replaces: object
    ) -> Token:
        """Store a new session and give its token; one write, unless it replaces a live session.

        A live `replaces` of the same user and app dies in the same transaction, and leaves its
        session_key for INHERITED_LIFE seconds. Any other value is ignored.

        Raises:
            StoreUnavailable, Misconfigured: nothing is stored that a token could open.
        """
        user = user_reference(appid, openid)
        old = self._replaced(user, replaces)
        if old is not None:
            token = self._replace(old, appid, openid, unionid, session_key)
            if token is not None:
                return token
        for _ in range(2):  # a token that was given before is a fault of the system's generator
            token = Token.new(user)
            if self._put(self._item(token, appid, openid, unionid, session_key)):
                return token
        raise StoreUnavailable(reason="tokens collide")

    def end(self, token: Token) -> None:
        """End one session, exactly; one write.

        Raises:
            InvalidToken: if it was not live.
        """
        try:
            with _translated():
                self._items(token.user, token.item).delete(condition=self._is_live())
        except StoreUnavailable as error:
            if not _condition_failed(error.__cause__):
                raise
            # The SDK's second try of a deletion whose answer was lost finds it done.
            if not _tried_again(error.__cause__):
                raise InvalidToken from None

    def end_all(self, token: Token) -> None:
        """End every session of the token's user: one consistent query, then the deletions.

        Raises:
            InvalidToken: if the token itself was not live.
            StoreUnavailable, Misconfigured: the token lives on, to try again with.
        """
        with _translated():
            found = {
                item.item: item
                for item in self._items.query(
                    token.user, consistent_read=True, attributes_to_get=list(_IDENTITY)
                )
            }
        self._session(found.pop(token.item, self._items()), token)
        found.pop(FAILURES_ITEM, None)
        with _translated():
            with self._items.batch_write() as batch:
                for item in found.values():
                    batch.delete(item)
            # Last, since a batch may be done in part: nobody else could end what is left.
            self._items(token.user, token.item).delete()

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
        found = self._get_both(token)
        item = found.get(token.item, self._items())
        session = self._session(item, token)
        keys = tuple(self._session_keys(item, token))
        return replace(session, session_keys=keys), self._failures(found.get(FAILURES_ITEM))

    def count_failure(self, session: Session, failures: Failures) -> None:
        """Count one failed decryption: one write, whatever failed.

        Raises:
            StoreUnavailable, Misconfigured: a failure that is not counted is not answered.
        """
        counter = self._items(session.user, FAILURES_ITEM)
        now = int(self._clock())
        expires = self._items.expires_at
        begin: tuple[list[Action], Condition] = (
            [self._items.failures.set(1), expires.set(now + FAILURE_WINDOW)],
            expires.does_not_exist() | (expires <= now),
        )
        go_on: tuple[list[Action], Condition] = ([self._items.failures.add(1)], expires > now)
        # What the read saw comes first; a parallel failure may have opened the window meanwhile.
        for actions, condition in (go_on, begin, go_on) if failures.until else (begin, go_on):
            try:
                with _translated():
                    counter.update(actions=actions, condition=condition)
            except StoreUnavailable as error:
                if not _condition_failed(error.__cause__):
                    raise
            else:
                return
        raise StoreUnavailable(reason="failure counter is malformed")

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

    def _put(self, item: Item) -> bool:
        """Store an item where there is none; tell whether it is stored."""
        with _translated():
            try:
                item.save(condition=self._items.item.does_not_exist())
            except PutError as error:
                if not _condition_failed(error):
                    raise
                # The SDK's second try of a put whose answer was lost meets its own item.
                return self._is_stored(item)
        return True

    def _is_stored(self, item: Item) -> bool:
        try:
            stored = self._items.get(item.user, item.item, consistent_read=True)
        except self._items.DoesNotExist:
            return False
        return bool(stored.sealed_key == item.sealed_key)

    def _replaced(self, user: bytes, replaces: object) -> "tuple[Token, Item] | None":
        """The live session that a login replaces, or None; read only where the user fits."""
        try:
            token = Token.parse(replaces) if isinstance(replaces, str) else None
            if token is None or token.user != user:
                return None
            item = self._get(token, None)
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
    ) -> Token | None:
        """Swap sessions in one transaction; None where the old one died meanwhile."""
        old_token, old_item = old
        token = Token.new(old_token.user)
        item = self._item(token, appid, openid, unionid, session_key)
        inherited = self._inherited(old_item, old_token, session_key)
        if inherited is not None:
            item.previous_key = token.seal(inherited[0], "previous")
            item.previous_until = inherited[1]
        tries = 0
        while True:
            tries += 1
            try:
                with _translated(), TransactWrite(connection=self._table().connection) as swap:
                    swap.save(item)
                    swap.delete(
                        self._items(old_token.user, old_token.item), condition=self._is_live()
                    )
            except StoreUnavailable as error:
                reasons = _cancellation(error.__cause__)
                if "ConditionalCheckFailed" in reasons:
                    return None
                if "TransactionConflict" not in reasons or tries == CONFLICT_TRIES:
                    raise
                self._pause(0.05 * tries)
            else:
                return token

    def _inherited(self, item: Item, token: Token, new_key: str) -> tuple[str, int] | None:
        """The key that the new session inherits, and until when.

        WeChat may hand out the same key again; then what matters is the one before it.
        """
        try:
            keys = list(self._session_keys(item, token))
        except InvalidToken:  # an odd item ends all the same, and leaves nothing
            return None
        until = int(self._clock()) + INHERITED_LIFE
        if keys[0] != new_key:
            return keys[0], until
        if len(keys) > 1:
            return keys[1], int(item.previous_until)
        return None

    def _table(self) -> TableConnection:
        return self._items._get_connection()

    def _is_live(self) -> Condition:
        return self._items.expires_at > int(self._clock())

    def _get(self, token: Token, attributes: Sequence[str] | None) -> Item:
        """Get an item, or an empty one: what is not there is as odd as what is wrong."""
        with _translated():
            try:
                return self._items.get(
                    token.user,
                    token.item,
                    consistent_read=True,
                    attributes_to_get=list(attributes) if attributes else None,
                )
            except self._items.DoesNotExist:
                return self._items()

    def _get_both(self, token: Token) -> dict[bytes, Item]:
        """Get the session and the failure counter; PynamoDB's batch_get has no end to its tries."""
        wanted: Any = [
            {"user": {"B": token.user}, "item": {"B": item}} for item in (token.item, FAILURES_ITEM)
        ]
        found: dict[bytes, Item] = {}
        for _ in range(1 + RETRIES):
            with _translated():
                answer = self._table().batch_get_item(wanted, consistent_read=True)
                returned = answer["Responses"][self._table().table_name]
                unprocessed = answer["UnprocessedKeys"]
            for data in returned:
                item = self._items.from_raw_data(data)
                found[item.item] = item
            wanted = unprocessed.get(self._table().table_name, {}).get("Keys")
            if not wanted:
                return found
            self._pause(0.05)
        raise StoreUnavailable(reason="UnprocessedKeys")

    def _session(self, item: Item, token: Token) -> Session:
        """Read an item as a session; whatever is odd about it, the token is refused.

        An item that no clock and no configuration explains is told to the log: a foreign hand.
        """
        if item.item is None:  # not there
            raise InvalidToken
        if not self._is_whole(item, token):
            raise InvalidToken(reason="item is malformed")
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

    def _session_keys(self, item: Item, token: Token) -> Iterator[str]:
        if item.sealed_key is None:
            raise InvalidToken(reason="item is malformed")
        yield token.unseal(item.sealed_key, "current")
        if item.previous_key is None or item.previous_until is None:
            return
        if item.previous_until > self._clock():
            yield token.unseal(item.previous_key, "previous")

    def _failures(self, item: Item | None) -> Failures:
        if item is None or item.expires_at is None or item.expires_at <= self._clock():
            return Failures()
        return Failures(int(item.failures or 0), int(item.expires_at))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def _reason(error: PynamoDBException) -> str:
    """Name the cause: AWS's error code, or the class of the error where AWS said nothing.

    PynamoDB's cause_response_code breaks on a lost connection, whose response is None.
    """
    response: Mapping[str, Any] = getattr(error.cause, "response", None) or {}
    return response.get("Error", {}).get("Code") or type(error.cause or error).__name__


def _condition_failed(error: BaseException | None) -> bool:
    failed = "ConditionalCheckFailedException"
    return isinstance(error, PynamoDBException) and _reason(error) == failed


def _tried_again(error: Any) -> bool:
    """Tell whether the SDK had tried before; PynamoDB's error hides the one of botocore's."""
    return bool(error.cause.__cause__.response["ResponseMetadata"].get("RetryAttempts"))


def _cancellation(error: BaseException | None) -> list[str]:
    reasons = getattr(error, "cancellation_reasons", ())
    return [reason.code for reason in reasons if reason is not None]
