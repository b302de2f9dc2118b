"""Location: a redirect within the business API becomes one within the gate."""

from urllib.parse import quote, urlsplit, urlunsplit

from chalicelib.network.connections import Origin
from chalicelib.upstream.paths import ROUTE

_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def location(sent: str, origin: Origin, base: str, prefix: str) -> str | None:
    """Give the Location that the client gets, or None if it would only show where the upstream is.

    `base` is the path of UPSTREAM_URL; `prefix` stands before /api/ in the client's URL. A redirect
    to another host is passed on: the client may follow it, the gate never does.
    """
    if "\\" in sent:  # a slash to browsers, not to urlsplit
        return None
    sent = quote(sent, safe=_ASCII)  # RFC 3986 knows no other characters
    try:
        parts = urlsplit(sent)
        host, port = (parts.hostname or "").rstrip("."), parts.port or 0
    except ValueError:
        return None
    if parts.netloc:
        if host != origin.host.rstrip("."):
            return sent
        # Behind a load balancer an upstream may take its own https for http: that is still ours.
        named = Origin(parts.scheme or origin.scheme, origin.host, port).authority
        ours = named.removesuffix(":0") == origin.authority
    elif parts.scheme or parts.path.startswith("/"):
        ours = not parts.scheme
    else:
        return sent  # relative to the client's own URL
    if not ours or not parts.path.startswith(f"{base}/"):
        return None
    path = prefix + ROUTE + parts.path.removeprefix(f"{base}/")
    return urlunsplit(("", "", path, parts.query, parts.fragment))
