"""Sessions: made by a login, found by their token, ended by a logout or by the clock.

The table alone reveals neither token nor session_key: tokens are stored as hashes, and session_keys
sealed under a key that only the token gives.

At most MAX_FAILURES failed decryptions of a user are answered in one window. Windows are aligned to
the clock, and their number is part of the counter's sort key: a failure is one unconditional ADD,
and no old count has to be reset. Around the end of a window a user may so fail twice as often.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.deadlines import NO_DEADLINE, STORE_ATTEMPT, STORE_ATTEMPTS, Clock, Deadline
from chalicelib.errors import DeadlineExceeded, InvalidToken, StoreUnavailable, TooManyRequests
from chalicelib.identity import Identity
from chalicelib.sessions.table import IDENTITY, KEYS, Attributes, Conflict, Item, Table
from chalicelib.sessions.tokens import Token, user_reference
from chalicelib.settings import MAX_TTL

VERSION = 1  # of the items' schema; the token of an item of another version is refused
MAX_FAILURES, FAILURE_WINDOW = 10, 600  # seconds
FAILURES = b"decrypt-failures-"  # sort keys of counters begin so; sessions have SHA-256 digests
Alert = Callable[..., None]
INHERITED_LIFE = 600  # seconds that the session_key of a replaced session still opens data


@dataclass(frozen=True, repr=False)
class Session(Identity):
    """What a token stands for; only find_with_keys gives session_keys, the current one first."""

    session_keys: tuple[str, ...] = ()
    previous_until: float = 0  # the second key opens data until then (epoch seconds)


class Sessions:
    """The session store; `ttl` is the life of a token in seconds, `clock` gives epoch seconds.

    Every method raises StoreUnavailable, or Misconfigured if only the operator can help; those that
    take a token raise InvalidToken unless it is live. `alert` reports items that do not parse.
    """

    def __init__(
        self, table: Table, appids: Sequence[str], ttl: int, clock: Clock, alert: Alert
    ) -> None:
        self.ttl = ttl
        self._table, self._appids, self._clock, self._alert = table, appids, clock, alert

    def warm(self, _deadline: Deadline) -> None:
        """Open the connection ahead: read what the proxy may read, of a key that does not exist."""
        self._table.get(bytes(16), bytes(32), IDENTITY)

    def create(
        self, who: Identity, session_key: str, replaces: object, deadline: Deadline = NO_DEADLINE
    ) -> Token:
        """Store a session and give its token: one write, after one read if it may replace another.

        If `replaces` is the text of a live token of the same user and app, that session dies in
        the same write, and its session_key is inherited. Anything else is ignored.
        DeadlineExceeded is raised, and nothing stored, if an attempt to write might end too late.
        """
        user = user_reference(who.appid, who.openid)
        for _ in range(STORE_ATTEMPTS):
            replaced, old = self._replaced(user, replaces)
            token, now = Token.new(user), int(self._clock())
            item = Item(user, token.item, appid=who.appid, openid=who.openid, unionid=who.unionid)
            item.version, item.created_at, item.expires_at = VERSION, now, now + self.ttl
            _seal(item, token, session_key, old)
            if deadline.remaining() < STORE_ATTEMPT:
                raise DeadlineExceeded
            # After a conflict everything is read again: the old session may have ended.
            with suppress(Conflict):
                self._table.put(item, replaced)
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
        self._table.delete_all(token.user, [key for key in found if not key.startswith(FAILURES)])
        with suppress(InvalidToken):  # another logout was quicker
            self.end(token)

    def end_user(self, appid: str, openid: str) -> None:
        """End all sessions of a user, by name: queries and deletions until none is left."""
        user = user_reference(appid, openid)
        while keys := [k for k in self._table.query(user, KEYS) if not k.startswith(FAILURES)]:
            with suppress(Conflict):  # a login or logout at the same time
                self._table.delete_together(user, keys)

    def find(self, token: Token) -> Session:
        """Find who a token stands for: one read, without the sealed keys."""
        return self._session(self._table.get(token.user, token.item, IDENTITY), token)

    def find_with_keys(self, token: Token, *, limited: bool = True) -> Session:
        """Find a session with its keys: one round trip.

        If `limited`, TooManyRequests is raised after too many failed decryptions of the user.
        """
        now = self._clock()
        key, seconds_left = _window(now)
        found = self._table.get_all(token.user, [token.item, key])
        session = self._session(found.get(token.item), token, with_keys=True)
        if limited and key in found and int(found[key]["failures"]["N"]) >= MAX_FAILURES:
            raise TooManyRequests(retry_after=seconds_left)
        return session

    def count_failure(self, token: Token) -> None:
        """Count a failed decryption, before it is answered: one write.

        TooManyRequests is raised if parallel ones have used up the window meanwhile.
        """
        now = self._clock()
        key, seconds_left = _window(now)
        if self._table.count(token.user, key, int(now) + seconds_left) > MAX_FAILURES:
            raise TooManyRequests(retry_after=seconds_left)

    def _replaced(self, user: bytes, replaces: object) -> tuple[bytes | None, Session | None]:
        """Read the live session of this user that a login replaces: its sort key, and itself."""
        with suppress(InvalidToken):
            token = Token.parse(replaces)
            if token.user == user:
                found = self._table.get(user, token.item)
                return token.item, self._session(found, token, with_keys=True)
        return None, None

    def _session(
        self, found: Attributes | None, token: Token, *, with_keys: bool = False
    ) -> Session:
        """Read an item: one that does not parse is a refused token, and an alert."""
        if found is None:
            raise InvalidToken
        now = self._clock()
        try:
            session, expires_at = _parsed(found, token, now, with_keys=with_keys)
        except (KeyError, TypeError, ValueError):
            reason = "item is malformed"
            # Another release may write items of another version: no cause for an alert.
            if found.get("version", {}).get("N", str(VERSION)) == str(VERSION):
                self._alert("MalformedItem", user=token.alias, reason=reason)
            raise InvalidToken(reason=reason) from None
        if expires_at <= now or session.appid not in self._appids:
            raise InvalidToken
        return session


def _window(now: float) -> tuple[bytes, int]:
    """Give the sort key of the counter of this window, and the seconds until it ends."""
    return FAILURES + b"%d" % (now // FAILURE_WINDOW), FAILURE_WINDOW - int(now) % FAILURE_WINDOW


def _parsed(found: Attributes, token: Token, now: float, *, with_keys: bool) -> tuple[Session, int]:
    """Give the session in an item, and the epoch second at which it expires."""
    appid, openid = found["appid"]["S"], found["openid"]["S"]
    expires_at = int(found["expires_at"]["N"])
    # An expiry beyond any life of a token is in milliseconds.
    if found["version"]["N"] != str(VERSION) or expires_at > now + 2 * MAX_TTL:
        raise ValueError
    if user_reference(appid, openid) != token.user:
        raise ValueError
    unionid = found["unionid"]["S"] if "unionid" in found else None
    keys, until = [], 0
    if with_keys:
        keys.append(token.unseal(found["sealed_key"]["B"], "current"))
        until = int(found["previous_until"]["N"]) if "previous_key" in found else 0
        if now < until:
            keys.append(token.unseal(found["previous_key"]["B"], "previous"))
    return Session(appid, openid, unionid, tuple(keys), until), expires_at


def _seal(item: Item, token: Token, session_key: str, old: Session | None) -> None:
    """Put the session_key into an item, and the one that a replaced session leaves."""
    item.sealed_key = token.seal(session_key, "current")
    keys, until = old.session_keys if old else (), item.created_at + INHERITED_LIFE
    if old and keys[0] == session_key:  # WeChat gave the same key again: the one before it counts
        keys, until = keys[1:], old.previous_until
    if keys:
        item.previous_key, item.previous_until = token.seal(keys[0], "previous"), until
