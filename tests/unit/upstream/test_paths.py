"""Which path may go to the business API, which is public, and where a redirect leads."""

import re
import unicodedata
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidPath
from chalicelib.network.connections import Origin
from chalicelib.upstream.paths import MAX_PATH, checked_path, location, matches_a_glob, prefix_of

REFUSED = [
    *("", "/", "/admin", "a//b", "a//", "../admin", "./admin", "a/..", "a" * (MAX_PATH + 1)),
    *("%2e%2E/admin", ".%2e/admin", "%252e%252e/admin", "%25252e%25252e/admin", "%252e./admin"),
    *("..;x=y/admin", "..%3b/admin", "a/..%3fx", "a/%2e%2e%23", "..%EF%BC%9Bx"),
    # Full-width dots and slashes, leaders, small full stops.
    *("%EF%BC%8E%EF%BC%8E/admin", "%25EF%25BC%258E%25EF%25BC%258E/admin", "..%EF%BC%BCadmin"),
    *("a%EF%BC%8F..%EF%BC%8Fb", "%E2%80%A5/admin", "%E2%80%A4%E2%80%A4/admin"),
    "%EF%B9%92%EF%B9%92/admin",
    # Blanks and invisible characters at dots.
    *("..%20/admin", "..%E3%80%80/admin", ".%E2%80%8B./admin", ".%C2%AD./admin"),
    # Slashes and backslashes, some hidden by a mark that is folded with them.
    *("a%2fb", "a%252Fb", "a%252f%CC%87b", "a%5cb", "a%255cb", "a%255c%CC%81", "..\\admin"),
    # What is no UTF-8.
    *("..%c0%afadmin", "%c0%ae%c0%ae/admin", "%ed%a0%80", "a%80", "caf%25e9"),
    # Controls, some hidden by a mark.
    *("a%00", "a%2500", "a%09b", "a%0d", "a%0aX-WX-OPENID:x", "a%7f", "a%C2%85b", "a%E2%80%A8b"),
    *("a%250d%CC%8C%250a%CC%8CX-WX-OPENID:x", "a\n"),
    # What is no path of RFC 3986.
    *("a#b", "a?b", "a b", "订单", "a[0]", 'a"b', "a%", "a%4", "a%zz", "%u002e%u002e/admin"),
]


@pytest.mark.parametrize("subpath", REFUSED)
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
    *map(quote, ("……x", "😀", "👨\u200d👩\u200d👧")),
    *("login", "api/orders", "a" * MAX_PATH),
    *map(quote, ("怎么退款？ · 男；女 · ＃话题＃ · C#入门", "满50％80％", "男／女", "a＼b", "；")),
    *map(quote, ("？", "℀", "½", "［］｛｝", "Ａ．Ｂ")),
]


@pytest.mark.parametrize("subpath", PASSED)
def test_what_users_write_passes_as_it_is(subpath: str) -> None:
    assert checked_path(f"/api/{subpath}") == subpath


@pytest.mark.parametrize(
    ("path", "proxy", "subpath"),
    [
        ("/shop/v2/api/orders", "orders", "orders"),
        ("/g$w+1!*'(x)/api/orders", "orders", "orders"),
        ("/api/v1/xxx/api/orders/7", "orders/7", "orders/7"),
        ("/gw/api/api/orders/7", "orders/7", "orders/7"),
        ("/api/api/orders", "api/orders", "api/orders"),
        ("/api/api/orders", "orders", "orders"),
        ("/api/x/api/orders/", "orders", "orders/"),
        ("/api/x/api/%E8%AE%A2/a%2BX/", "订/a+X", "%E8%AE%A2/a%2BX/"),
        ("/api/x/api/%E8%AE%A2X/", "%E8%AE%A2X", "%E8%AE%A2X/"),
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
def test_a_path_that_is_not_below_the_route_is_refused(path: str) -> None:
    # The last could be cut twice, and its parameter cuts it nowhere.
    for below, proxy in ((path, None), (path, "orders"), ("/api/x/api/orders", "something else")):
        with pytest.raises(InvalidPath):
            checked_path(below, proxy)


@pytest.mark.parametrize(
    ("path", "subpath", "prefix"),
    [
        ("/v1/api/orders/8", "orders/8", "/v1"),
        ("/api/v1/xxx/api/orders", "orders", "/api/v1/xxx"),
        ("/api/orders", "orders", ""),
        ("/v1/api/订/api/8", "%E8%AE%A2/api/8", "/v1"),
        ("", "orders", ""),
    ],
)
def test_what_the_client_has_before_the_route_is_known(
    path: str, subpath: str, prefix: str
) -> None:
    assert prefix_of(path, subpath) == prefix


GLOBS = ("products/*", "news", quote("新闻") + "/*", quote("问？") + "/*", "%FF")


@pytest.mark.parametrize(
    "subpath",
    [
        *("news", "products/7", "products/7/pictures", "products/a%2Bb", "products/100%25"),
        *("products/a%3Fb", f"products/{quote('手机？')}", f"{quote('新闻')}/7"),
    ],
)
def test_a_path_that_a_glob_matches_in_every_reading_is_public(subpath: str) -> None:
    assert matches_a_glob(subpath, GLOBS)
    assert not matches_a_glob(subpath, ())


@pytest.mark.parametrize(
    "subpath",
    [
        *("orders", "news/7", "News", "news/", "products", "my/products/7", ""),
        "%6eews",  # as it is, it does not match
        # Once decoded these end before the slash, or once folded.
        *("orders%3f/products/7", "news%3F", "products%3F/7", "products%23/7", "products%253F/7"),
        *(quote("products？/7"), quote("products＃/7"), quote("ｐroducts/7"), "products%252F7"),
    ],
)
def test_a_path_that_a_glob_does_not_match_in_some_reading_is_not_public(subpath: str) -> None:
    assert not matches_a_glob(subpath, GLOBS)


def test_a_question_mark_in_a_reading_ends_the_path_for_the_globs() -> None:
    assert matches_a_glob("a%3Fb", ("a*",))
    assert not matches_a_glob("a%3Fb", ("a%3Fb",))
    for mark in "?#？＃":
        assert not matches_a_glob(quote(f"secret{mark}/news"), ("*/news",))


HTTPS = Origin("https", "api.test", 443)


@pytest.mark.parametrize(
    "start",
    [
        *("", "https://api.test", "https://API.TEST", "https://api.test:443", "https://api.test."),
        *("https://ann:secret@api.test", "//api.test", "//api.test:443"),
        *("http://api.test:80", "http://api.test"),
    ],
)
def test_a_redirect_within_the_upstream_leads_to_the_gate(start: str) -> None:
    sent = f"{start}/base/orders/8?x=1#y"
    assert location(sent, HTTPS, "/base", "/v1") == "/v1/api/orders/8?x=1#y"


@pytest.mark.parametrize(
    ("sent", "url", "base", "ours"),
    [
        ("/orders/8", "https://api.test", "", "/v1/api/orders/8"),
        ("http://[::1]:8/a", "http://[::1]:8", "", "/v1/api/a"),
        ("https://api.test/8", "https://api.test.", "", "/v1/api/8"),
        ("/base/订?q= é%20", "https://api.test", "/base", "/v1/api/%E8%AE%A2?q=%20%C3%A9%20"),
    ],
)
def test_a_redirect_is_ascii_and_starts_where_the_upstream_does(
    sent: str, url: str, base: str, ours: str
) -> None:
    assert location(sent, Origin.of(url), base, "/v1") == ours


@pytest.mark.parametrize(
    "sent",
    [
        *("https://api.test", "https://api.test/", "https://api.test/base", "/admin", "/base"),
        *("https://api.test/baseball/8", "https://api.test/admin", "//api.test/admin", "/baseball"),
        *("https://api.test:8443/base/8", "http://api.test:8080/base/8", "//api.test:8443/base/8"),
        *("https:/base/8", "https:8", "javascript:alert(1)", "https://[api.test/base/8"),
        *("https://api.test:port/base/8", "https://api.test:99999/base/8", "https://api.test./"),
        *("\\\\api.test\\admin", "/\\api.test/admin", "https:\\\\api.test/base/8"),
    ],
)
def test_a_redirect_elsewhere_on_the_upstreams_host_is_not_shown(sent: str) -> None:
    assert location(sent, HTTPS, "/base", "") is None


@pytest.mark.parametrize(
    "sent",
    [
        *("orders/8", "../8", "./8", "?page=2", "#top", "8:30"),
        *("https://evil.test/steal", "//evil.test/", "weixin://dl/x", "https://:443/base/8"),
    ],
)
def test_a_redirect_that_is_relative_or_to_another_host_is_passed_on(sent: str) -> None:
    assert location(sent, HTTPS, "/base", "") == sent


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
