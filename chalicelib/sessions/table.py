"""The table in DynamoDB: its items, its operations, and the one place that translates its faults.

    user (partition key)    item (sort key)                      what
    16-byte user reference  SHA-256 of the token, 32 bytes       a session
    16-byte user reference  b"decrypt-failures-<window number>"  a failure counter

No index; every read is consistent. `expires_at` is the TTL attribute, and TTL deletes late: readers
compare it with the clock. Timeouts and retries are the SDK's, and every write may be repeated.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.connection import TableConnection
from pynamodb.connection.base import MetaTable
from pynamodb.exceptions import PynamoDBException
from pynamodb.models import Model
from pynamodb.pagination import ResultIterator

from chalicelib.deadlines import STORE_ATTEMPT, STORE_ATTEMPTS
from chalicelib.errors import StoreUnavailable
from chalicelib.network.aws_clients import USER_AGENT
from chalicelib.network.aws_errors import reason, translated

# All that the proxy's Lambda function reads: its role forbids the other attributes.
IDENTITY = ["user", "item", "version", "appid", "openid", "unionid", "expires_at"]
KEYS = ["user", "item"]  # all that the function that ends a user's sessions reads
BATCH = 25  # DynamoDB's limit of one BatchWriteItem; a transaction may have 100 parts
Attributes = dict[str, dict[str, Any]]  # an item as DynamoDB gives it: name → {type: value}
_KEYS = {"user": "HASH", "item": "RANGE"}
_SCHEMA = {
    "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in _KEYS.items()],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "B"} for name in _KEYS],
}
_CONFLICTS = {"ConditionalCheckFailedException", "ConditionalCheckFailed", "TransactionConflict"}


class Item(Model):
    """An item of the table: a session, or the failures of a user in one window."""

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


class Conflict(Exception):
    """A write was refused and not done, because another one came first."""


class Table:
    """One table and one client, shared by threads.

    Every method raises StoreUnavailable, or Misconfigured if only the operator can help.
    """

    def __init__(self, name: str, region: str | None) -> None:
        self._name = name
        # Any: PynamoDB's annotations allow only text for keys.
        self._table: Any = TableConnection(
            name,
            region,
            connect_timeout_seconds=STORE_ATTEMPT,
            read_timeout_seconds=STORE_ATTEMPT,
            max_retry_attempts=STORE_ATTEMPTS - 1,
            meta_table=MetaTable({"TableName": name, **_SCHEMA}),
        )
        # Other clients share it: a session of their own would parse the SDK's endpoint data again.
        self.sdk_session = self._table.connection.session
        self.sdk_session.set_default_client_config(Config(user_agent=USER_AGENT))
        with _translated():
            # PynamoDB would build it in the first operation, once per thread that starts together.
            self._table.connection.client  # noqa: B018 - read for what it builds

    def close(self) -> None:
        """Drop the idle connections, as after a restore from a snapshot."""
        self._table.connection.client.close()

    def get(self, user: bytes, item: bytes, names: Sequence[str] = ()) -> Attributes | None:
        """Read an item, or its attributes of these names."""
        options: dict[str, Any] = {"TableName": self._name, "Key": _key(user, item)}
        options |= {"ConsistentRead": True, "ReturnConsumedCapacity": "TOTAL"}
        if names:
            place = {f"#{n}": name for n, name in enumerate(names)}
            options |= {"ProjectionExpression": ", ".join(place), "ExpressionAttributeNames": place}
        # Reads go by PynamoDB's client: its own operations take a twentieth more.
        return self._call(self._table.connection.client.get_item, **options).get("Item")

    def get_all(self, user: bytes, items: Sequence[bytes]) -> dict[bytes, Attributes]:
        """Read items of a user in one round trip; those that exist, by sort key."""
        wanted = {"Keys": [_key(user, item) for item in items], "ConsistentRead": True}
        with _translated():
            answer = self._table.connection.client.batch_get_item(RequestItems={self._name: wanted})
        if (left := answer.get("UnprocessedKeys")) != {}:  # a whole answer has it, if only empty
            raise StoreUnavailable(reason="UnprocessedKeys" if left else "answer is incomplete")
        return {found["item"]["B"]: found for found in answer["Responses"][self._name]}

    def query(self, user: bytes, names: list[str]) -> dict[bytes, Attributes]:
        """Read the attributes of these names of all items of a user, by sort key."""
        query = partial(self._call, self._table.query)
        options = {"consistent_read": True, "attributes_to_get": names}
        found: Iterator[Attributes] = ResultIterator(query, (user,), options)
        return {item["item"]["B"]: item for item in found}

    def put(self, session: Item, replacing: bytes | None = None) -> None:
        """Store a session, and delete the one of this sort key of the same user: both or none.

        A retry after a lost answer succeeds: the item is ours by its sealed_key, and the SDK sends
        the same ClientRequestToken. Conflict is raised if another item has the key, or if what is
        replaced is gone or being written.
        """
        mine = Item.item.does_not_exist() | (Item.sealed_key == session.sealed_key)
        new = {"attributes": session.serialize(), "condition": mine}
        if replacing is None:
            self._call(self._table.put_item, session.user, session.item, **new)
            return
        parts = self._table.get_operation_kwargs
        put = parts(session.user, session.item, key="Item", **new)
        delete = parts(session.user, replacing, condition=Item.item.exists())
        self._call(self._table.connection.transact_write_items, (), [delete], [put], ())

    def delete(self, user: bytes, item: bytes) -> Attributes | None:
        """Delete an item and give what it was; None if there was none."""
        answer = self._call(self._table.delete_item, user, item, return_values="ALL_OLD")
        return answer.get("Attributes")

    def delete_all(self, user: bytes, items: Sequence[bytes]) -> None:
        """Delete items in batches; what DynamoDB leaves over comes last, STORE_ATTEMPTS times."""
        keys, attempts = [_key(user, item) for item in items], STORE_ATTEMPTS
        while keys:
            batch, keys = keys[:BATCH], keys[BATCH:]
            answer = self._call(self._table.batch_write_item, delete_items=batch)
            left = answer["UnprocessedItems"].get(self._name, [])
            keys += [request["DeleteRequest"]["Key"] for request in left]
            attempts -= bool(left)
            if not attempts:
                raise StoreUnavailable(reason="UnprocessedItems")

    def delete_together(self, user: bytes, items: Sequence[bytes]) -> None:
        """Delete items in transactions, for which DeleteItem is the only right that is needed.

        Conflict is raised if one of them is being written.
        """
        for first in range(0, len(items), BATCH):
            some = items[first : first + BATCH]
            parts = [self._table.get_operation_kwargs(user, item) for item in some]
            self._call(self._table.connection.transact_write_items, (), parts, (), ())

    def count(self, user: bytes, item: bytes, expires_at: int) -> int:
        """Add one to a counter and give the sum; a retry after a lost answer adds another one."""
        actions = [Item.failures.add(1), Item.expires_at.set(expires_at)]
        answer = self._call(
            self._table.update_item, user, item, actions=actions, return_values="UPDATED_NEW"
        )
        return int(answer["Attributes"]["failures"]["N"])

    def _call(self, operation: Callable[..., Any], *args: Any, **options: Any) -> dict[str, Any]:
        with _translated():
            answer: dict[str, Any] = operation(*args, **options)
        # It is always requested. The SDK takes a truncated answer for an empty one: the
        # session would not exist, the deletion would be done.
        if "ConsumedCapacity" not in answer:
            raise StoreUnavailable(reason="answer is incomplete")
        return answer


def _key(user: bytes, item: bytes) -> Attributes:
    return {"user": {"B": user}, "item": {"B": item}}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (PynamoDBException, BotoCoreError, ClientError) as error:
        cause = getattr(error, "cause", None) or error
        cancelled = getattr(error, "cancellation_reasons", ())
        if _CONFLICTS & {reason(cause), *(each.code for each in cancelled if each)}:
            raise Conflict from error
        raise translated(cause, StoreUnavailable) from error
