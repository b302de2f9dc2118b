"""Sessions: made by a login, found by their token, ended by a logout or by the clock.

The table alone reveals neither token nor session_key: tokens are stored as hashes, and session_keys
sealed under a key that only the token gives.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.deadlines import NO_DEADLINE, STORE_ATTEMPT, STORE_ATTEMPTS, Deadline
from chalicelib.errors import DeadlineExceeded, InvalidToken, StoreUnavailable, TooManyRequests
from chalicelib.sessions.failures import MAX_FAILURES, PREFIX, Failures, window
from chalicelib.sessions.table import IDENTITY, KEYS, Attributes, Conflict, Item, Table
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.settings import MAX_TTL

VERSION = 1
"""Of the items' schema; the token of an item of another version is refused."""

INHERITED_LIFE = 600
"""Seconds that the session_key of a replaced session still opens data."""


@dataclass(frozen=True)
class Session:
    """What a token stands for; only find_with_keys gives session_keys, the current one first."""

    appid: str
    openid: str
    unionid: str | None
    user: bytes
    session_keys: tuple[str, ...] = ()
    previous_until: int = 0  # the second key opens data until then (epoch seconds)

    def __repr__(self) -> str:
        return "Session(…)"


class Sessions:
    """The session store; `ttl` is the life of a token in seconds, `clock` gives epoch seconds.

    Every method raises StoreUnavailable, or Misconfigured if only the operator can help; those that
    take a token raise InvalidToken unless it is live. `alert` reports items that do not parse.
    """

    def __init__(
        self,
        table: Table,
        appids: Sequence[str],
        ttl: int,
        clock: Callable[[], float],
        alert: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self.ttl = ttl
        self._table, self._appids = table, frozenset(appids)
        self._clock, self._alert = clock, alert

    def warm(self, _deadline: Deadline) -> None:
        """Open the connection ahead: read what the proxy may read, of a key that does not exist."""
        self._table.get(bytes(16), bytes(32), IDENTITY)

    def create(
        self,
        appid: str,
        openid: str,
        unionid: str | None,
        session_key: str,
        replaces: object,
        deadline: Deadline = NO_DEADLINE,
    ) -> Token:
        """Store a session and give its token: one write, after one read if it may replace another.

        If `replaces` is the text of a live token of the same user and app, that session dies in
        the same write, and its session_key is inherited. Anything else is ignored.

        Raises:
            DeadlineExceeded: if an attempt to write might end too late; nothing is stored.
        """
        user = user_reference(appid, openid)
        who: dict[str, Any] = {"appid": appid, "openid": openid, "unionid": unionid}
        for _ in range(STORE_ATTEMPTS):
            old = self._replaced(user, replaces)
            token, now = Token.new(user), int(self._clock())
            keys = _sealed(token, session_key, old and old[1], now)
            keys |= {"version": VERSION, "created_at": now, "expires_at": now + self.ttl}
            item = Item(user, token.item, **who, **keys)
            if deadline.remaining() < STORE_ATTEMPT:
                raise DeadlineExceeded
            # After a conflict everything is read again: the old session may have ended.
            with suppress(Conflict):
                self._table.put(item, old and old[0].item)
                return token
        raise StoreUnavailable(reason="conflict")

    def end(self, token: Token) -> None:
        """End a session: one write.

        If the answer of an attempt is lost, the SDK's next one finds nothing, and InvalidToken is
        raised: the session is dead, but this call did not see it live.
        """
        self._session(self._table.delete(token.user, token.item), token)

    def end_all(self, token: Token) -> None:
        """End all sessions of the token's user: one query, then the deletions.

        The token's own dies last, so a logout that failed can be repeated.
        """
        found = self._table.query(token.user, IDENTITY)
        self._session(found.pop(token.item, None), token)
        self._table.delete_all(token.user, [key for key in found if not key.startswith(PREFIX)])
        with suppress(InvalidToken):  # another logout was quicker
            self.end(token)

    def end_user(self, appid: str, openid: str) -> None:
        """End all sessions of a user, by name: queries and deletions until none is left."""
        user = user_reference(appid, openid)
        while keys := [k for k in self._table.query(user, KEYS) if not k.startswith(PREFIX)]:
            with suppress(Conflict):  # a login or logout at the same time
                self._table.delete_together(user, keys)

    def find(self, token: Token) -> Session:
        """Find who a token stands for: one read, without the sealed keys."""
        return self._session(self._table.get(token.user, token.item, IDENTITY), token)

    def find_with_keys(self, token: Token) -> tuple[Session, Failures]:
        """Find a session with its keys, and the user's failed decryptions: one round trip."""
        key, until = window(self._clock())
        found = self._table.get_all(token.user, [token.item, key])
        session = self._session(found.get(token.item), token, with_keys=True)
        return session, Failures(int(found[key]["failures"]["N"]) if key in found else 0, until)

    def count_failure(self, session: Session) -> None:
        """Count a failed decryption, before it is answered: one write.

        Raises:
            TooManyRequests: if parallel ones have used up the window meanwhile.
        """
        now = self._clock()
        key, until = window(now)
        counted = Failures(self._table.count(session.user, key, until), until)
        if counted.count > MAX_FAILURES:
            raise TooManyRequests(retry_after=counted.seconds_left(now))

    def _replaced(self, user: bytes, replaces: object) -> tuple[Token, Session] | None:
        """Read the live session of this user that a login replaces."""
        with suppress(InvalidToken):
            token = Token.parse(replaces) if isinstance(replaces, str) else None
            if token and token.user == user:
                found = self._table.get(user, token.item)
                return token, self._session(found, token, with_keys=True)
        return None

    def _session(
        self, found: Attributes | None, token: Token, *, with_keys: bool = False
    ) -> Session:
        """Read an item: one that does not parse is a refused token, and an alert."""
        if found is None:
            raise InvalidToken
        now = self._clock()
        try:
            item = Item.from_raw_data(found)
            _check(item, token, now)
            keys = _session_keys(item, token, now) if with_keys else ()
        except (InvalidToken, TypeError, ValueError):
            reason = "item is malformed"
            # Another release may write items of another version: no cause for an alert.
            if found.get("version", {}).get("N", str(VERSION)) == str(VERSION):
                self._alert("MalformedItem", user=token.alias, reason=reason)
            raise InvalidToken(reason=reason) from None
        if item.expires_at <= now or item.appid not in self._appids:
            raise InvalidToken
        until = int(item.previous_until or 0)
        return Session(item.appid, item.openid, item.unionid, item.user, keys, until)


def _check(item: Item, token: Token, now: float) -> None:
    whole = item.version == VERSION and type(item.expires_at) is int
    # An expiry beyond any life of a token is in milliseconds.
    if not whole or item.expires_at > now + 2 * MAX_TTL:
        raise ValueError
    if user_reference(item.appid, item.openid) != token.user:
        raise ValueError


def _session_keys(item: Item, token: Token, now: float) -> tuple[str, ...]:
    current = token.unseal(item.sealed_key, "current")
    if item.previous_key is None or item.previous_until <= now:
        return (current,)
    return current, token.unseal(item.previous_key, "previous")


def _sealed(token: Token, session_key: str, old: Session | None, now: int) -> dict[str, Any]:
    """Seal the session_key, and the one that is inherited from a session that is replaced."""
    sealed: dict[str, Any] = {"sealed_key": token.seal(session_key, "current")}
    keys, until = old.session_keys if old else (), now + INHERITED_LIFE
    if old and keys[0] == session_key:  # WeChat gave the same key again: the one before it counts
        keys, until = keys[1:], old.previous_until
    if keys:
        sealed |= {"previous_key": token.seal(keys[0], "previous"), "previous_until": until}
    return sealed
