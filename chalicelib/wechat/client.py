"""One call to WeChat's server API: a deadline, one JSON object, and its errcode.

The appsecret and the access_token travel in the URL or in the body, so neither these, nor the text
of a foreign error, nor the body of an answer may reach a log line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from chalicelib import errors, strict_json
from chalicelib.deadlines import WECHAT_RESERVE, WECHAT_TOTAL, Deadline
from chalicelib.network import exchange_errors as network
from chalicelib.network.adapter import Session
from chalicelib.network.connections import Connections, Origin
from chalicelib.wechat.errcodes import meaning

MAX_ANSWER = 65_536
"""Bytes of one answer of WeChat's; its own are under a thousand."""

_ERRORS: dict[type[network.TransportError], type[errors.GateError]] = {
    network.ConnectTimeout: errors.WeChatTimeout,
    network.TimedOut: errors.WeChatTimeout,
    network.TooLarge: errors.WeChatBadResponse,
    network.Broken: errors.WeChatBadResponse,
}
_RID = re.compile(r"rid: ([0-9a-f-]{3,64})")


@dataclass(frozen=True, repr=False)
class Answer:
    """A JSON object of WeChat's; `errcode` 0 is success, and so is none at all."""

    fields: dict[str, Any]

    @property
    def errcode(self) -> int:
        """The errcode; old samples of WeChat's show it as text."""
        value = self.fields.get("errcode", 0)
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
            return int(value)
        if type(value) is not int:
            raise errors.WeChatBadResponse(reason="errcode")
        return value

    @property
    def evidence(self) -> dict[str, Any]:
        """What the log line may say: errcode, and the id under which WeChat knows the call."""
        found = _RID.search(str(self.fields.get("errmsg")))
        return {"errcode": self.errcode, "rid": found[1] if found else None}

    def check(self, *, of_a_code: bool = False) -> None:
        """Raise what an errcode means, `of_a_code` if a one-time code was sent."""
        if self.errcode:
            name, error = meaning(self.errcode, of_a_code=of_a_code)
            raise error(**self.evidence, meaning=name)


class Client:
    """Calls WeChat over kept connections; what may have been sent is not sent again."""

    def __init__(self, connections: Connections, base_url: str) -> None:
        self._connections = connections
        self._session = Session(connections, MAX_ANSWER)
        self._base_url = base_url.rstrip("/")

    def open(self, deadline: Deadline) -> None:
        """Open a connection ahead, or raise TransportError."""
        self._connections.open(Origin.of(self._base_url), deadline)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        deadline: Deadline,
    ) -> Answer:
        """Make one call, done WECHAT_RESERVE before the deadline.

        Raises:
            DeadlineExceeded: there was no time left, and nothing was sent.
            WeChatBadResponse, WeChatUnavailable, WeChatBusy, WeChatTimeout: no usable answer.
        """
        within: Any = deadline.less(WECHAT_RESERVE).sooner(WECHAT_TOTAL)
        if within.remaining() <= 0:
            raise errors.DeadlineExceeded
        url = self._base_url + path
        try:
            response = self._session.request(
                method, url, params=query, json=body, timeout=within, allow_redirects=False
            )
        except network.TransportError as error:
            raise _translated(error) from None
        return Answer(_read(response))


def _translated(error: network.TransportError) -> errors.GateError:
    security: dict[str, Any] = {"security": True} if isinstance(error, network.NotTrusted) else {}
    refusal = _ERRORS.get(type(error), errors.WeChatUnavailable)
    return refusal(reason=type(error).__name__, **security)


def _read(response: requests.Response) -> dict[str, Any]:
    """Read an answer as UTF-8 JSON whatever its Content-Type: /sns/* says text/plain."""
    status = response.status_code
    if status >= 500:
        raise errors.WeChatUnavailable(reason="status", wechat_status=status)
    if status == 429:
        seconds = re.fullmatch(r"0*([0-9]+)", response.headers.get("retry-after", "").strip(" \t"))
        retry_after = min(int(seconds[1][:3]), 60) if seconds else 3
        raise errors.WeChatBusy(reason="status", wechat_status=status, retry_after=retry_after)
    if status != 200:
        raise errors.WeChatBadResponse(reason="status", wechat_status=status)
    try:
        return strict_json.load_object(response.content)
    except strict_json.NotStrictJson:
        # from None, and no text: a cut answer may hold half a session_key.
        raise errors.WeChatBadResponse(reason="not JSON") from None
