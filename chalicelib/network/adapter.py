"""requests on our connections: one total deadline, a cap on the body, checked addresses."""

import io
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from chalicelib.network.connections import Connections, Origin
from chalicelib.network.exchange_errors import UNSENT

# If Accept-Encoding is absent, a server may choose any (RFC 9110 12.5.3).
HEADERS = {"User-Agent": "wxgate", "Accept": "*/*", "Accept-Encoding": "identity"}


class ConnectionsAdapter(BaseAdapter):
    """Sends a prepared request once, and once more only if no connection stood."""

    def __init__(self, connections: Connections, max_bytes: int) -> None:
        super().__init__()
        self._connections = connections
        self._max_bytes = max_bytes

    def send(
        self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any
    ) -> requests.Response:
        """Send it; `timeout` is the Deadline of all. Raises TransportError, which has no text."""
        headers = [(n, v) for n, v in request.headers.items() if n.lower() != "content-length"]
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        sent = (str(request.method), request.path_url, headers, body)
        origin, limit = Origin.of(str(request.url)), self._max_bytes
        reply = self._connections.exchange(origin, sent, timeout, max_bytes=limit, retry_on=UNSENT)
        response = requests.Response()
        response.status_code = reply.status
        response.headers = CaseInsensitiveDict(reply.headers)
        response.raw = io.BytesIO(reply.body)
        return response


class Session(requests.Session):
    """Follows no redirect, keeps no cookie, reads no environment."""

    def __init__(self, connections: Connections, max_bytes: int) -> None:
        super().__init__()
        self.trust_env = False
        self.headers = CaseInsensitiveDict(HEADERS)
        for scheme in ("http://", "https://"):
            self.mount(scheme, ConnectionsAdapter(connections, max_bytes))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Give None: requests prepares the next request even if it is not to follow it."""
