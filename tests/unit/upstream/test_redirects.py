"""Redirects: within the upstream they lead to the gate, elsewhere they are passed on or dropped."""

import pytest

from chalicelib.network.connections import Origin
from chalicelib.upstream.redirects import location

HTTPS = Origin("https", "api.test", 443)


@pytest.mark.parametrize(
    "sent",
    [
        "/base/orders/8?x=1#y",
        "https://api.test/base/orders/8?x=1#y",
        "https://API.TEST/base/orders/8?x=1#y",
        "https://api.test:443/base/orders/8?x=1#y",
        "https://ann:secret@api.test/base/orders/8?x=1#y",
        "//api.test/base/orders/8?x=1#y",
        "//api.test:443/base/orders/8?x=1#y",
        "http://api.test:80/base/orders/8?x=1#y",
        "http://api.test/base/orders/8?x=1#y",
        "https://api.test./base/orders/8?x=1#y",
    ],
)
def test_a_redirect_within_the_upstream_leads_to_the_gate(sent: str) -> None:
    assert location(sent, HTTPS, "/base", "/v1") == "/v1/api/orders/8?x=1#y"


@pytest.mark.parametrize(
    ("sent", "url", "base", "ours"),
    [
        ("/orders/8", "https://api.test", "", "/v1/api/orders/8"),
        ("http://[::1]:8/a", "http://[::1]:8", "", "/v1/api/a"),
        ("https://api.test/8", "https://api.test.", "", "/v1/api/8"),
        (
            "/base/订单?q= é%20",
            "https://api.test",
            "/base",
            "/v1/api/%E8%AE%A2%E5%8D%95?q=%20%C3%A9%20",
        ),
    ],
)
def test_a_redirect_is_ascii_and_starts_where_the_upstream_does(
    sent: str, url: str, base: str, ours: str
) -> None:
    assert location(sent, Origin.of(url), base, "/v1") == ours


@pytest.mark.parametrize("sent", ["orders/8", "../8", "./8", "?page=2", "#top", "8:30"])
def test_a_relative_redirect_stays_as_it_is(sent: str) -> None:
    assert location(sent, HTTPS, "/base", "") == sent


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
    "sent", ["https://evil.test/steal", "//evil.test/", "weixin://dl/x", "https://:443/base/8"]
)
def test_a_redirect_to_another_host_is_passed_on(sent: str) -> None:
    assert location(sent, HTTPS, "/base", "") == sent
