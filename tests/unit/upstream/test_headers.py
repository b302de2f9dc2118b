"""Which headers pass, both ways, and what the operator may widen."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidRequest, UpstreamBadResponse, UpstreamTooLarge
from chalicelib.network.connections import Pairs
from chalicelib.upstream.headers import (
    ANSWER_HEADERS,
    MAX_HEADERS,
    REQUEST_HEADERS,
    accept_encoding,
    answer_headers,
    client_address,
    forwarded_headers,
    private,
)


@pytest.mark.parametrize("name", sorted(REQUEST_HEADERS))
def test_an_allowed_header_goes_as_it_was_sent(name: str) -> None:
    for sent in ([(name.title(), "a")], [(name, "b\té")]):
        assert forwarded_headers(sent) == sent


@pytest.mark.parametrize("name", sorted(REQUEST_HEADERS))
def test_a_header_that_is_no_list_comes_once(name: str) -> None:
    twice = [(name.title(), "a"), (name, "b")]
    lists = {"accept", "accept-language", "prefer", "tracestate", "if-match", "if-none-match"}
    if name in lists | {"content-encoding", "content-language"}:
        assert forwarded_headers(twice) == twice
    else:
        with pytest.raises(InvalidRequest, match=r"^A header that may come once comes twice\.$"):
            forwarded_headers(twice)


@pytest.mark.parametrize("connection", ["Referer, user-agent", "close,\tREFERER ,,User-Agent"])
def test_what_connection_names_goes_no_further(connection: str) -> None:
    sent = [("Referer", "r"), ("cONNECTION", connection), ("User-Agent", "u"), ("Accept", "a")]
    assert forwarded_headers(sent) == [("Accept", "a")]
    assert forwarded_headers([("Connection", "x-a"), ("X-A", "1")], ("x-a", "x-*")) == []
    answered = [("ETag", "e"), ("connection", "ETag"), ("Age", "7"), ("Connection", "x")]
    assert answer_headers(answered) == {"Age": "7"}


def test_a_header_may_hold_all_of_latin_1_but_controls() -> None:
    everything = bytes({*range(32, 256), 9} - {127}).decode("latin-1")
    assert forwarded_headers([("Referer", everything)]) == [("Referer", everything)]


@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a\n", "\x00", "\x7f", "\x1b[31m", "\u0100", "上海", "\u2028"]
)
def test_an_allowed_header_that_cannot_be_sent_is_refused(value: str) -> None:
    for sent in ([("User-Agent", value)], [("Tenant-Id", value)]):
        with pytest.raises(InvalidRequest, match=r"^A header holds characters .* not allowed\.$"):
            forwarded_headers(sent, ("tenant-*",))


def test_a_header_that_is_dropped_may_hold_anything() -> None:
    assert forwarded_headers([("X-Other", "\r\n"), ("Idempotency-\u212aey", "1"), ("", "1")]) == []


FORBIDDEN = [
    *("Authorization", "Cookie", "Set-Cookie", "Host", "Content-Length", "Forwarded"),
    *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection"),
    *("TE", "Trailer", "Transfer-Encoding", "Upgrade", "X-HTTP-Method-Override", "X-Request-Id"),
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded", "X-WX-OPENID", "X-WX-ROLE", "X-WX"),
    *("X-Wxgate-Error", "X-Wxgate-Token", "Accept-Encoding", "X-Amzn-Trace-Id", "Expect"),
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_setting_lets_through_what_is_the_gates_own_in_any_spelling(name: str) -> None:
    for spelling in (name, name.lower(), name.replace("-", "_"), name.replace("-", ".")):
        patterns = (spelling.lower(), f"{spelling.lower()[:2]}*", "*")
        assert forwarded_headers([(spelling, "x")], patterns) == []
        assert answer_headers([(spelling, "x")], patterns) == {}


def test_a_setting_lets_further_headers_through() -> None:
    sent = [("Tenant-Id", "7"), ("X-Client-Version", "2"), ("x-client-", "3"), ("X-Clients", "4")]
    patterns = ("tenant-id", "x-client-*")
    assert forwarded_headers(sent, patterns) == sent[:3]
    assert forwarded_headers(sent) == []
    assert answer_headers(sent, patterns) == {name.title(): value for name, value in sent[:3]}


@pytest.mark.parametrize("name", ["Tenant-Id ", "tenant-id:", "tenant-\u0131d", "tenant-a\r\nX"])
def test_a_name_that_is_no_name_matches_no_setting(name: str) -> None:
    assert forwarded_headers([(name, "7")], ("tenant-*",)) == []


def test_a_header_of_the_operators_comes_once_in_all_spellings_that_servers_confuse() -> None:
    for other in ("TENANT-ID", "Tenant_Id", "tenant.id"):
        with pytest.raises(InvalidRequest):
            forwarded_headers([("Tenant-Id", "7"), (other, "8")], ("tenant*",))


TEXTS = st.text(max_size=12)
NAMES = st.sampled_from([*FORBIDDEN, "x_wx_openid", "X--WX-OPENID", "Accept", ""]) | TEXTS
VALUES = st.sampled_from(["o-victim", "close, X-WX-OPENID", "chunked", "5"]) | TEXTS
PATTERNS = st.sets(st.sampled_from(["*", "x*", "x-*", "x_wx*", "c*", "tenant-id"])).map(tuple)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), PATTERNS)
def test_no_header_of_the_gates_own_passes_whatever_is_sent_and_set(
    headers: Pairs, patterns: tuple[str, ...]
) -> None:
    try:
        passed = forwarded_headers(headers, patterns)
    except InvalidRequest:
        return
    for name, value in passed:
        folded = re.sub("[^a-z0-9]", "-", name.lower())
        assert not folded.startswith(("x-wx-", "x-wxgate-", "x-forwarded-"))
        assert folded not in {forbidden.lower() for forbidden in FORBIDDEN}
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        *(([], "identity"), ([""], "identity"), (["gzip, deflate, br"], "gzip, deflate, br")),
        *((["gzip", "br"], "gzip, br"), (["zstd, gzip;q=0"], "gzip;q=0")),
        *((["identity;q=0"], "identity;q=0"), (["gzip\r\nX-A: 1, br"], "br")),
        (["br;q=1.0, GZIP ; q=0.8, *;q=0.1"], "br;q=1.0, GZIP ; q=0.8"),
        (["x-gzip, *, gzip;q=2, gzip;a=9, gzip br, gzip;q=0.1234, gzip\x0b, Xbr"], "identity"),
    ],
)
def test_an_encoding_is_asked_for_as_far_as_every_client_unpacks_it(
    sent: list[str], asked: str
) -> None:
    assert accept_encoding([("Accept-ENCODING", value) for value in sent]) == asked


PHONE, SEEN = "198.51.100.7", "203.0.113.9"


@pytest.mark.parametrize(
    ("hops", "forwarded_for", "address"),
    [
        *((0, ("6.6.6.6", PHONE), SEEN), (1, ("6.6.6.6", PHONE, SEEN), PHONE)),
        *((2, ("6.6.6.6", PHONE, "192.0.2.1", SEEN), PHONE), (1, (SEEN,), SEEN), (1, (), SEEN)),
        *((5, ("6.6.6.6", SEEN), SEEN), (1, ("2001:DB8::1", SEEN), "2001:db8::1")),
        *((1, (f"{PHONE}:443", SEEN), PHONE), (1, ("[2001:db8::1]:443", SEEN), "2001:db8::1")),
        *((1, ("unknown", SEEN), SEEN), (1, ("o-victim\r\nX-WX-OPENID: o", SEEN), SEEN)),
        (1, ("2001:db8::1%<any text>", SEEN), "2001:db8::1"),
    ],
)
def test_the_phones_address_stands_as_many_places_from_the_right_as_there_are_proxies(
    hops: int, forwarded_for: tuple[str, ...], address: str
) -> None:
    assert client_address(forwarded_for, hops, SEEN) == address


@pytest.mark.parametrize("name", sorted(ANSWER_HEADERS))
def test_an_allowed_answer_header_is_passed_on(name: str) -> None:
    assert answer_headers([(name.upper(), "x y")]) == {name.title(): "x y"}


@pytest.mark.parametrize(
    "name",
    [
        *("Set-Cookie2", "Server", "X-Powered-By", "Via", "Date_", "WWW-Authenticate", "Refresh"),
        *("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Content-Location"),
        *("x_wx_openid", "x-wxgate-error", "X-A", "Alt-Svc", *FORBIDDEN),
    ],
)
def test_any_other_answer_header_is_dropped(name: str) -> None:
    assert answer_headers([(name, "x"), ("ETag", '"1"')]) == {"Etag": '"1"'}


def test_a_header_that_may_repeat_is_joined_and_of_any_other_the_first_counts() -> None:
    headers = [("Link", "<a>"), ("link", "<b>"), ("Content-Type", "a/b"), ("content-type", "c/d")]
    passed = answer_headers([*headers, ("X-A", "1"), ("x-a", "2")], ("x-a",))
    assert passed == {"Link": "<a>, <b>", "Content-Type": "a/b", "X-A": "1"}


@pytest.mark.parametrize("value", ["a\r\n b", "a\x00", "a\rX: y", "\x1b[31m", "\x7f"])
def test_an_answer_header_with_controls_is_no_answer(value: str) -> None:
    with pytest.raises(UpstreamBadResponse) as caught:
        answer_headers([("Content-Disposition", value)])
    assert caught.value.evidence == {"reason": "header"}
    assert answer_headers([("X-A", value)]) == {}


def test_headers_that_do_not_fit_are_too_large() -> None:
    # Names count as well: Etag, Link, Vary.
    fits = [("ETag", "a" * 5000), ("Link", "b" * 5000), ("Vary", "c" * (MAX_HEADERS - 10_012))]
    assert set(answer_headers(fits)) == {"Etag", "Link", "Vary"}
    with pytest.raises(UpstreamTooLarge) as caught:
        answer_headers([*fits, ("Vary", "")])
    assert caught.value.evidence == {"reason": "headers"}


@pytest.mark.parametrize("text", ['attachment; filename="订单.pdf"', "caf\xe9", "plain"])
def test_a_header_in_utf_8_is_read_as_utf_8(text: str) -> None:
    on_the_wire = text.encode("latin-1" if text == "caf\xe9" else "utf-8").decode("latin-1")
    assert answer_headers([("Content-Disposition", on_the_wire)]) == {"Content-Disposition": text}


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        *((said, said) for said in ("private, max-age=60", "max-age=60 , PRIVATE", "no-store")),
        *((said, "private, no-store") for said in ("", " , ,", '"private"', "Public")),
        *((f"{said}=60", "private, no-store") for said in ("s-maxage", "private, S-MaxAge")),
        ("public, max-age=3600", "private, no-store"),
        *((said, f"private, {said}") for said in ("max-age=60", "no-cache", 'x="public", x=1')),
        *((said, f"private, {said}") for said in ('private="etag", x=1', 'x="a,private,b", x=1')),
    ],
)
def test_no_shared_cache_may_keep_what_is_one_users(said: str, passed: str) -> None:
    assert private(said) == passed
