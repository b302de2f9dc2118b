"""Origins, and which addresses may be contacted."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

_METADATA = ipaddress.ip_network("fd00:ec2::/32")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Origin:
    """Where a URL points: scheme, host, port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Take the origin of an absolute http or https URL."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname or "", port)

    @property
    def authority(self) -> str:
        """The Host header: without the port if that is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


def permitted(address: str, *, allow_private: bool) -> bool:
    """Tell whether an address may be contacted: private and loopback ones only if allowed.

    Never link-local ones and AWS's own: 169.254.169.254 and fd00:ec2::254 hand out credentials.
    An IPv6 address is judged by the IPv4 address that it stands for (NAT64, mapped, 6to4).
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(ip.packed[-4:]) if ip in _NAT64 else None
        ip = nat64 or ip.ipv4_mapped or ip.sixtofour or ip
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA:
        return False
    return allow_private or ip.is_global
