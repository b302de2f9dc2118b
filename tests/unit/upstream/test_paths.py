"""Which path may go to the business API."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.errors import InvalidPath
from chalicelib.upstream.paths import MAX_PATH, checked_path

ATTACKS = json.loads((Path(__file__).parents[2] / "corpus" / "attacks.json").read_text())["attacks"]


def written_out(value: Any) -> str:
    """A corpus text, its repetition spelled out."""
    if isinstance(value, str):
        return value
    repeat = value["$repeat"]
    text: str = repeat["prefix"] + repeat["unit"] * repeat["count"] + repeat["suffix"]
    return text


PATHS = [
    (written_out(attack["request"]["path"]).partition("?")[0], attack)
    for attack in ATTACKS
    if attack["group"] == "proxy-path"
]


@pytest.mark.parametrize(("path", "attack"), PATHS, ids=[attack["id"] for _, attack in PATHS])
def test_a_path_of_the_corpus_is_refused_or_passed_as_it_is(
    path: str, attack: dict[str, Any]
) -> None:
    try:
        passed = checked_path(path)
    except InvalidPath:
        passed = None
    must_fail = attack["expect"]["code"] == "InvalidPath"
    must_pass = attack["expect"]["status"] == [200]
    assert passed in (None, path.removeprefix("/api/"))
    assert not (must_fail and passed is not None)
    assert not (must_pass and passed is None)


REFUSED = {
    "overlong slash": "..%c0%afadmin",
    "overlong dots": "%c0%ae%c0%ae/admin",
    "overlong of three bytes": "%e0%80%ae%e0%80%ae/admin",
    "overlong NUL": "a%c0%80",
    "a surrogate in UTF-8": "%ed%a0%80",
    "lone continuation": "a%80",
    "Latin-1": "caf%e9",
    "double": "%252e%252e/admin",
    "triple": "%25252e%25252e/admin",
    "quadruple": "%2525252e%2525252e/admin",
    "quintuple": "%252525252e%252525252e/admin",
    "one round more than we look": "100%25252525",
    "more rounds than we look": "a%252525252525252525",
    "double slash": "a%252fb",
    "double backslash": "a%255cb",
    "double NUL": "a%2500",
    "double over two kinds": "%252e./admin",
    "one dot encoded": "a/%2e/b",
    "full-width dot": "%EF%BC%8E%EF%BC%8E/admin",
    "full-width slash": "a%EF%BC%8Fb",
    "full-width backslash": "a%EF%BC%BCb",
    "full-width percent": "%EF%BC%852e%EF%BC%852e/admin",
    "full-width question mark": "a%EF%BC%9Fb",
    "full-width semicolon": "..%EF%BC%9Bx",
    "Greek question mark": "..%CD%BEx",
    "two dot leader": "%E2%80%A5/admin",
    "one dot leaders": "%E2%80%A4%E2%80%A4/admin",
    "small full stops": "%EF%B9%92%EF%B9%92/admin",
    "account of": "%E2%84%80",
    "dots and a parameter": "..;/admin",
    "dot and a parameter": ".;x=y/admin",
    "dots and an encoded parameter": "..%3b/admin",
    "encoded dots and a parameter": "%2e%2e;x/admin",
    "a parameter alone": "a/;x=y/b",
    "an encoded parameter alone": "a/%3bx=y/b",
    "an encoded semicolon": "a%3bb",
    "a semicolon and an encoded slash": "a;b%2fc",
    "trailing blank after dots": "..%20/admin",
    "leading blank before dots": "%20../admin",
    "ideographic space after dots": "..%E3%80%80/admin",
    "no-break space before a dot": "%C2%A0./admin",
    "a blank alone": "a/%20/b",
    "zero width space after dots": "..%E2%80%8B/admin",
    "soft hyphen between dots": ".%C2%AD./admin",
    "blank between dots": ".%20./admin",
    "joiner alone": "a/%E2%80%8D/b",
    "slash that a mark hides": "a%252f%CC%87b",
    "dots and a slash that a mark hides": "..%252f%CC%87orders",
    "backslash that a mark hides": "a%255c%CC%81",
    "question mark that a mark hides": "a%253f%CC%87admin=1",
    "semicolon that a mark hides": "a%253b%CC%87",
    "CR and LF that marks hide": "a%250d%CC%8C%250a%CC%8CX-WX-OPENID:x",
    "slash that a mark hides twice": "a%25252f%CC%87",
    "NUL": "a%00",
    "NUL after dots": "..%00/admin",
    "DEL": "a%7f",
    "escape": "a%1b[31m",
    "C1 control": "a%C2%85b",
    "line separator": "a%E2%80%A8b",
    "paragraph separator": "a%E2%80%A9b",
    "CR": "a%0d",
    "LF": "a%0aX-WX-OPENID:x",
    "narrow LF": "a%E5%98%8AX:y",
    "narrow CR": "a%E5%98%8D",
    "double narrow LF": "a%25E5%2598%258A",
    "encoded hash": "a%23b",
    "encoded question mark": "a%3Fb",
    "double encoded question mark": "a%253Fb",
    "hash": "a#b",
    "question mark": "a?b",
    "blank": "a b",
    "tab": "a\tb",
    "raw LF": "a\nb",
    "raw LF at the end": "a\n",
    "raw CJK": "订单",
    "backslash": "a\\b",
    "dots and backslash": "..\\admin",
    "brackets": "a[0]",
    "braces": "{a}",
    "pipe": "a|b",
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


@pytest.mark.parametrize("below", REFUSED.values(), ids=REFUSED.keys())
def test_a_path_in_disguise_is_refused(below: str) -> None:
    with pytest.raises(InvalidPath):
        checked_path(f"/api/{below}")


PASSED = [
    "orders",
    "orders/7",
    "orders/7/",
    "a.b",
    "a..b",
    "...",
    ".well-known/x",
    "..a",
    "a..",
    "v1.2/~ann/@me",
    "a@b.c",
    "a:b",
    "a;v=1/b;w=2,3",
    "a;..",
    "(a)!$&'*+,=_-",
    "a%2Bb",
    "a%20b",
    "a%20",
    "100%25",
    "100%2525",
    "100%252525",
    "a;v=%20b",
    "%25%25",
    "%E8%AE%A2%E5%8D%95",
    "%e8%ae%a2%e5%8d%95",
    "%E4%B8%8A%E6%B5%B7",  # 上海: U+4E0A ends in 0A
    "%E4%BB%A5%E4%B8%8A%E4%B8%8D",  # 以上不: 不 is U+4E0D
    "%E4%BB%A5%E4%B8%8A%E3%80%82",  # 以上。
    "%E2%80%A6%E2%80%A6x",  # ……x
    "%EF%BC%88%E4%B8%8A%EF%BC%89",  # full-width brackets
    "100%EF%BC%85",  # a full-width percent sign that stands for itself
    "caf%C3%A9",
    "cafe%CC%81",
    "%F0%9F%98%80",
    "%F0%9F%AB%A8",  # younger than Python 3.11's tables
    "%F0%9F%91%A8%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7",  # 👨‍👩‍👧, held by joiners
    "e%CC%81t%C3%A9%25",
    "login",
    "api/orders",
    "a" * MAX_PATH,
]


@pytest.mark.parametrize("below", PASSED)
def test_an_honest_path_passes_as_it_is(below: str) -> None:
    assert checked_path(f"/api/{below}") == below


@pytest.mark.parametrize("mapping", ["/shop", "/shop/v2", "/a.b/c-d_e~f"])
def test_a_base_path_mapping_stands_before_the_route(mapping: str) -> None:
    assert checked_path(f"{mapping}/api/orders") == "orders"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/api",
        "/API/orders",
        "/orders",
        "/other/orders",
        "api/orders",
        "shop/api/orders",
        "//api/orders",
        "/../api/orders",
        "/./api/orders",
        "/x/../api/orders",
        "/%2e%2e/api/orders",
        "/..;/api/orders",
        "/a b/api/orders",
        "http://evil.test/api/orders",
        "//evil.test/api/orders",
        "/shop\n/api/orders",
    ],
)
def test_a_path_that_is_not_below_our_route_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath):
        checked_path(path)


BRICKS = [
    *("/", "//", ".", "..", "...", ";", "..;", "a", "b.c", "x=y", "@", "~", "?", "#", "\\", " "),
    *("%2e", "%2E", "%2f", "%5c", "%3b", "%3f", "%23", "%25", "%2", "%", "%00", "%0a", "%20"),
    *("%252e", "%252f", "%25252e", "25", "2e", "%c0%ae", "%C2%85", "%E2%80%A8", "%E4%B8%8A"),
    *("%EF%BC%8E", "%EF%BC%8F", "%EF%BC%85", "%EF%BC%9B", "%E2%80%A5", "%E5%98%8A", "%u002e"),
    *("%CC%87", "%CC%8C", "%C2%AD", "%E2%80%8B"),
]


def forms_of(below: str) -> set[str]:
    """Every form that servers may decode a path to, folding after each round or not."""
    forms, last = {below}, {below}
    for _ in range(6):
        decoded = {unquote(form, errors="strict") for form in last}
        last = decoded | {unicodedata.normalize("NFKC", form) for form in decoded}
        forms |= last
    return forms


@given(st.lists(st.sampled_from(BRICKS), max_size=8).map("".join) | st.text(max_size=20))
@example("%252e%252e%255cadmin;x=1/")
@example("products/")
def test_a_path_that_passes_is_harmless_in_every_form(below: str) -> None:
    try:
        passed = checked_path(f"/api/{below}")
    except InvalidPath:
        return
    assert passed == below
    depth = below.count("/")
    for form in forms_of(below):
        assert form.count("/") == depth
        assert not re.search(r"[\\?#\x00-\x1f\x7f-\x9f\u2028\u2029]", form)
        names = [segment.partition(";")[0].strip() for segment in form.split("/")]
        assert not {".", ".."} & set(names)
        assert "" not in names[:-1]
