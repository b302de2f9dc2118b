"""The token: one spelling, told from junk without I/O, and the only key to its session_key."""

import base64
import hmac
import string
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidToken
from chalicelib.sessions.tokens import PREFIX, Token, user_reference

ALPHABET = string.ascii_letters + string.digits + "-_"
SESSION_KEY = "tiihtNczf5v6AKRyjwEUhQ=="
USER = user_reference("wx4f4bc4dec97d474b", "oGZUI0egBJY1zhBYw2KhdUfwVJJE")


def refused(text: object) -> bool:
    try:
        Token.parse(text)
    except InvalidToken:
        return True
    return False


@given(user=st.binary(min_size=16, max_size=16), secret=st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read_back(user: bytes, secret: bytes) -> None:
    token = Token(user, secret)
    assert Token.parse(token.text) == token


def test_the_wire_form_is_fixed() -> None:
    text = "wxg_AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fbtq-s01y"
    assert Token(bytes(range(16)), bytes(range(32))).text == text


def test_every_change_of_one_character_is_refused() -> None:
    text = Token.new(USER).text
    changed = [
        text[:place] + other + text[place + 1 :]
        for place, own in enumerate(text)
        for other in ALPHABET + "=+/ \n\0é"
        if other != own
    ]
    assert all(map(refused, changed))


@pytest.mark.parametrize(
    "spell",
    [
        *(lambda text: text.upper(), lambda text: text.replace("wxg_", "WXG_")),
        *(lambda text: text.replace("wxg_", "wxg"), lambda text: text.replace("w", "\uff57")),
        *(lambda text: text.removeprefix(PREFIX), lambda text: text[:-1]),
        lambda _: PREFIX + base64.b64encode(b"\xfb" * 54).decode(),
        *(lambda text, end=end: text + end for end in ("=", "\n", " ", "A", ",wxg_")),
        *(lambda text, start=start: start + text for start in (" ", "\n")),
        *(lambda _, junk=junk: junk for junk in (None, b"", "", "wxg_", "wxg_" + "A" * 72)),
        *(lambda _, junk=junk: junk for junk in ("null", "\ud800" * 76, "x" * 10**6)),
    ],
    ids=range(22),
)
def test_a_token_has_one_spelling(spell: Callable[[str], object]) -> None:
    assert refused(spell(Token.new(USER).text))


@given(st.text())
def test_no_text_is_a_token_by_chance(text: str) -> None:
    assert refused(text)
    assert refused(PREFIX + text)


def test_two_tokens_of_one_user_share_the_reference_alone_and_none_is_at_rest() -> None:
    first, second = Token.new(USER), Token.new(USER)
    assert first.user == second.user
    assert first.secret != second.secret
    assert first.item != second.item
    assert len(first.item) == 32
    assert first.secret not in first.item


def test_many_tokens_are_unique_and_every_bit_is_balanced() -> None:
    secrets = [int.from_bytes(Token.new(USER).secret) for _ in range(4000)]
    assert len(set(secrets)) == 4000
    ones = [sum(secret >> bit & 1 for secret in secrets) for bit in range(256)]
    # Nine standard deviations: a fair generator fails this less than once in 10^16 runs.
    assert all(abs(count - 2000) < 9 * 1000**0.5 for count in ones)


def test_a_user_is_an_openid_of_one_app() -> None:
    users = [("wx1", "alice"), ("wx2", "alice"), ("wx1", "bob"), ("wx1\0alice", "")]
    references = {user_reference(*user) for user in users}
    assert len(references) == 4
    assert {len(reference) for reference in references} == {16}


def test_a_session_key_is_sealed_as_its_readers_know_it() -> None:
    token = Token(bytes(range(16)), bytes(range(32)))
    sealed = token.seal(SESSION_KEY, "current")
    # HKDF spelt out (RFC 5869 section 2): another key would shut what lies in the table.
    prk = hmac.digest(token.user, token.secret, "sha256")
    key = hmac.digest(prk, b"wxgate session_key v1\x01", "sha256")
    bound_to = token.user + token.item + b"current"
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], bound_to) == SESSION_KEY.encode()
    assert Token.parse(token.text).unseal(sealed, "current") == SESSION_KEY
    assert token.seal(SESSION_KEY, "current") != sealed


def opens(token: Token, sealed: bytes, slot: str = "current") -> bool:
    try:
        return bool(token.unseal(sealed, slot))
    except ValueError:
        return False


def test_a_session_key_opens_for_its_own_token_and_slot_alone() -> None:
    token, other = Token.new(USER), Token.new(bytes(16))
    sealed = token.seal(SESSION_KEY, "current")
    assert not opens(token, sealed, "previous")
    assert not opens(Token(other.user, token.secret), sealed)
    assert not opens(Token(token.user, other.secret), sealed)


def test_a_sealed_session_key_cannot_be_changed_or_cut() -> None:
    token = Token.new(USER)
    sealed = token.seal(SESSION_KEY, "current")
    changed = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    cut = [sealed[:length] for length in range(len(sealed))]
    assert not any(opens(token, broken) for broken in [*changed, *cut, sealed + b"\0"])


def test_a_token_shows_nothing_of_itself() -> None:
    token = Token.new(USER)
    assert token.unseal(token.seal(SESSION_KEY, "current"), "current")
    shown = f"{token} {[token]!r}"
    assert not [part for part in (token.user, token.secret) if repr(part)[2:-1] in shown]
    assert token.text not in shown
