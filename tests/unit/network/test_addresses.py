"""Origins, and which addresses may be contacted."""

import pytest

from chalicelib.network.addresses import Origin, permitted


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("https://API.test/base?a=1#b", Origin("https", "api.test", 443), "api.test"),
        ("http://api.test", Origin("http", "api.test", 80), "api.test"),
        ("https://api.test:80/", Origin("https", "api.test", 80), "api.test:80"),
        ("http://api.test:443/", Origin("http", "api.test", 443), "api.test:443"),
        ("https://[::1]/x", Origin("https", "::1", 443), "[::1]"),
        ("http://[::1]:8080/x", Origin("http", "::1", 8080), "[::1]:8080"),
        ("http:///x", Origin("http", "", 80), ""),
    ],
)
def test_an_origin_is_read_from_a_url_and_names_no_default_port(
    url: str, origin: Origin, host: str
) -> None:
    assert Origin.of(url) == origin
    assert origin.authority == host


NEVER = [
    *("169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0", "fe80::1%", "0.0.0.0", "::"),
    *("fd00:ec2::254", "fd00:ec2::23", "224.0.0.1", "ff02::1", "::ffff:169.254.169.254"),
    *("::ffff:a9fe:a9fe", "::ffff:0.0.0.0", "2002:a9fe:a9fe::1", "64:ff9b::169.254.169.254"),
]
PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("::1", "fc00::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    *("64:ff9b::10.0.0.1", "2002:7f00:1::1"),
]
PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::93.184.216.34"]


@pytest.mark.parametrize(
    ("addresses", "if_private_is", "if_not"),
    [(NEVER, False, False), (PRIVATE, True, False), (PUBLIC, True, True)],
)
def test_an_address_is_permitted_by_what_it_is_and_stands_for(
    addresses: list[str], if_private_is: bool, if_not: bool
) -> None:
    for address in addresses:
        assert permitted(address, allow_private=True) is if_private_is, address
        assert permitted(address, allow_private=False) is if_not, address
