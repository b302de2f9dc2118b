"""Which path may go to the business API, and which is public."""

import re
import unicodedata
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidPath
from chalicelib.upstream.paths import MAX_PATH, checked_path, matches_a_glob, prefix_of

REFUSED = {
    "dots": "../admin",
    "a dot": "./admin",
    "dots at the end": "a/..",
    "encoded dots": "%2e%2E/admin",
    "half encoded dots": ".%2e/admin",
    "double": "%252e%252e/admin",
    "triple": "%25252e%25252e/admin",
    "double over two kinds": "%252e./admin",
    "dots and a parameter": "..;x=y/admin",
    "dots and an encoded parameter": "..%3b/admin",
    "dots and an encoded question mark": "a/..%3fx",
    "dots and an encoded hash": "a/%2e%2e%23",
    "full-width dots": "%EF%BC%8E%EF%BC%8E/admin",
    "full-width dots, encoded twice": "%25EF%25BC%258E%25EF%25BC%258E/admin",
    "full-width dots and semicolon": "..%EF%BC%9Bx",
    "dots between full-width slashes": "a%EF%BC%8F..%EF%BC%8Fb",
    "dots before a full-width backslash": "..%EF%BC%BCadmin",
    "two dot leader": "%E2%80%A5/admin",
    "one dot leaders": "%E2%80%A4%E2%80%A4/admin",
    "small full stops": "%EF%B9%92%EF%B9%92/admin",
    "a blank after dots": "..%20/admin",
    "ideographic space after dots": "..%E3%80%80/admin",
    "zero width space between dots": ".%E2%80%8B./admin",
    "soft hyphen between dots": ".%C2%AD./admin",
    "encoded slash": "a%2fb",
    "double slash": "a%252Fb",
    "a slash that a mark hides": "a%252f%CC%87b",
    "encoded backslash": "a%5cb",
    "double backslash": "a%255cb",
    "a backslash that a mark hides": "a%255c%CC%81",
    "overlong slash": "..%c0%afadmin",
    "overlong dots": "%c0%ae%c0%ae/admin",
    "a surrogate in UTF-8": "%ed%a0%80",
    "lone continuation": "a%80",
    "double Latin-1": "caf%25e9",
    "NUL": "a%00",
    "double NUL": "a%2500",
    "tab": "a%09b",
    "CR": "a%0d",
    "LF": "a%0aX-WX-OPENID:x",
    "CR and LF that marks hide": "a%250d%CC%8C%250a%CC%8CX-WX-OPENID:x",
    "DEL": "a%7f",
    "C1 control": "a%C2%85b",
    "line separator": "a%E2%80%A8b",
    "hash": "a#b",
    "question mark": "a?b",
    "blank": "a b",
    "raw LF at the end": "a\n",
    "raw CJK": "订单",
    "raw backslash": "..\\admin",
    "brackets": "a[0]",
    "quote": 'a"b',
    "lone percent": "a%",
    "half an escape": "a%4",
    "no escape": "a%zz",
    "IIS escape": "%u002e%u002e/admin",
    "empty first segment": "/admin",
    "empty segment": "a//b",
    "two slashes at the end": "a//",
    "slash alone": "/",
    "nothing": "",
    "too long": "a" * (MAX_PATH + 1),
}


@pytest.mark.parametrize("subpath", REFUSED.values(), ids=REFUSED.keys())
def test_a_path_that_is_not_canonical_in_every_reading_is_refused(subpath: str) -> None:
    for proxy in (None, subpath.strip("/")):
        with pytest.raises(InvalidPath):
            checked_path(f"/api/{subpath}", proxy)


PASSED = [
    *("orders", "orders/7", "orders/7/", "a.b", "a..b", "...", ".well-known/x", "..a", "a.."),
    *("v1.2/~ann/@me", "a@b.c", "a:b", "a;v=1/b;w=2,3", "a;..", "(a)!$&'*+,=_-", "a%2Bb", "a%20b"),
    *("a%3fb", "a%3Fadmin=1", "a%23b", "a%3bb", "a%253Fb", "%3F", "a/%20/b", "100%25", "100%2525"),
    *("100%25252525", "%25%25", "%E8%AE%A2%E5%8D%95", "%e8%ae%a2%e5%8d%95", "caf%C3%A9"),
    "a%E5%98%8A%E5%98%8DX:y",  # 嘊嘍: cut to eight bits, LF and CR; nobody cuts them here
    "%E2%80%A6%E2%80%A6x",  # ……x
    "%F0%9F%98%80",
    "%F0%9F%91%A8%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7",  # 👨‍👩‍👧, held by joiners
    *("login", "api/orders", "a" * MAX_PATH),
    *(f"faq/{quote(text)}" for text in ("怎么退款？ · 男；女 · ＃话题＃ · C#入门", "满50％80％")),
    *(
        f"faq/{quote(text)}"
        for text in ("男／女", "a＼b", "；", "？", "℀", "½", "［］｛｝", "Ａ．Ｂ")
    ),
]


@pytest.mark.parametrize("subpath", PASSED)
def test_what_users_write_passes_as_it_is(subpath: str) -> None:
    assert checked_path(f"/api/{subpath}") == subpath


# --- base path mappings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "proxy", "subpath"),
    [
        ("/shop/v2/api/orders", "orders", "orders"),
        ("/api/v1/xxx/api/orders/7", "orders/7", "orders/7"),
        ("/gw/api/api/orders/7", "orders/7", "orders/7"),
        ("/api/api/orders", "api/orders", "api/orders"),
        ("/api/api/orders", "orders", "orders"),
        ("/api/x/api/orders/", "orders", "orders/"),
        ("/api/x/api/%E8%AE%A2/a%2Bb", "订/a+b", "%E8%AE%A2/a%2Bb"),
        ("/api/x/api/%E8%AE%A2", "%E8%AE%A2", "%E8%AE%A2"),
        ("/api/x/api/100%2525", "100%25", "100%2525"),
        ("/shop/api/orders", "something else", "orders"),
        ("/shop/api/a/api/b", None, "a/api/b"),
    ],
)
def test_the_mapping_is_what_stands_before_the_route_and_its_parameter(
    path: str, proxy: str | None, subpath: str
) -> None:
    assert checked_path(path, proxy) == subpath


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/api", "/API/orders", "/orders", "/other/orders", "api/orders"),
        *("shop/api/orders", "//api/orders", "/../api/orders", "/./api/orders", "/..;/api/orders"),
        *("/x/../api/orders", "/%2e%2e/api/orders", "/a b/api/orders", "/shop\n/api/orders"),
        *("http://evil.test/api/orders", "//evil.test/api/orders"),
    ],
)
@pytest.mark.parametrize("proxy", [None, "orders"])
def test_a_path_that_is_not_below_the_route_is_refused(path: str, proxy: str | None) -> None:
    with pytest.raises(InvalidPath):
        checked_path(path, proxy)


def test_a_path_that_its_parameter_cuts_nowhere_is_refused_if_it_could_be_cut_twice() -> None:
    with pytest.raises(InvalidPath):
        checked_path("/api/x/api/orders", "something else")


@pytest.mark.parametrize(
    ("path", "subpath", "prefix"),
    [
        ("/v1/api/orders/8", "orders/8", "/v1"),
        ("/api/v1/xxx/api/orders", "orders", "/api/v1/xxx"),
        ("/api/orders", "orders", ""),
        ("/v1/api/订单", "%E8%AE%A2%E5%8D%95", "/v1"),
        ("", "orders", ""),
    ],
)
def test_what_the_client_has_before_the_route_is_known(
    path: str, subpath: str, prefix: str
) -> None:
    assert prefix_of(path, subpath) == prefix


# --- public --------------------------------------------------------------------------------------

GLOBS = ("products/*", "news", quote("新闻") + "/*", quote("问？") + "/*")


@pytest.mark.parametrize(
    "subpath",
    [
        *("news", "products/7", "products/7/pictures", "products/a%2Bb", "products/100%25"),
        *("products/a%3Fb", f"products/{quote('手机？')}", f"{quote('新闻')}/7"),
    ],
)
def test_a_path_that_a_glob_matches_in_every_reading_is_public(subpath: str) -> None:
    assert matches_a_glob(subpath, GLOBS)


@pytest.mark.parametrize(
    "subpath",
    [
        *("orders", "news/7", "News", "news/", "products", "my/products/7", ""),
        "%6eews",  # as it is, it does not match
        "orders%3f/products/7",
        "news%3F",
        "products%3F/7",  # once decoded it ends before the slash
        "products%23/7",
        "products%253F/7",
        quote("products？/7"),  # once folded
        quote("products＃/7"),
        quote("ｐroducts/7"),
        "products%252F7",
    ],
)
def test_a_path_that_a_glob_does_not_match_in_some_reading_is_not_public(subpath: str) -> None:
    assert not matches_a_glob(subpath, GLOBS)


def test_a_question_mark_in_a_reading_ends_the_path_for_the_globs() -> None:
    assert matches_a_glob("a%3Fb", ("a*",))
    assert not matches_a_glob("a%3Fb", ("a%3Fb",))
    for mark in "?#？＃":
        assert not matches_a_glob(quote(f"secret{mark}/news"), ("*/news",))


def test_without_globs_nothing_is_public() -> None:
    assert not matches_a_glob("news", ())


# --- any path ------------------------------------------------------------------------------------

BRICKS = [
    *("/", "//", ".", "..", "...", ";", "..;", "a", "b.c", "x=y", "@", "~", "?", "#", "\\", " "),
    *("%2e", "%2E", "%2f", "%5c", "%3b", "%3f", "%23", "%25", "%2", "%", "%00", "%0a", "%20"),
    *("%252e", "%252f", "%25252e", "25", "2e", "%c0%ae", "%C2%85", "%E2%80%A8", "%E4%B8%8A"),
    *("%EF%BC%8E", "%EF%BC%8F", "%EF%BC%85", "%EF%BC%9B", "%E2%80%A5", "%E5%98%8A", "%u002e"),
    *("%CC%87", "%CC%8C", "%C2%AD", "%E2%80%8B", "%EF%BC%9F", "%EF%BC%BC"),
]


@given(st.lists(st.sampled_from(BRICKS), max_size=8).map("".join) | st.text(max_size=20))
def test_a_path_that_passes_is_harmless_in_every_reading(subpath: str) -> None:
    try:
        passed = checked_path(f"/api/{subpath}")
    except InvalidPath:
        return
    assert passed == subpath
    reading = subpath
    for _ in range(4):
        assert reading.count("/") == subpath.count("/")
        assert not re.search(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029]", reading)
        for form in (reading, unicodedata.normalize("NFKC", reading)):
            names = [re.split("[;?#]", name)[0].strip() for name in re.split(r"[/\\]", form)]
            assert not {".", ".."} & set(names)
        reading = unquote(reading, errors="strict")
