"""WeChat's access_token, cached in this container.

Normal mode of stable_token gives all containers the same token, so none kills another's;
force_refresh would, and has 20 tries a day (WeChat, «获取稳定版接口调用凭据»).
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.deadlines import Deadline
from chalicelib.errors import WeChatBadResponse
from chalicelib.wechat.appsecrets import AppSecrets
from chalicelib.wechat.client import Answer, Client
from chalicelib.wechat.errcodes import INVALID_ACCESS_TOKEN

TOKEN_MARGIN = 300
"""Seconds: WeChat gives a new token when the old one has 300 s left, and both are valid."""

TOKEN_LIFE = 7200
"""Seconds that WeChat lets a token live; no answer makes one live longer."""

TOKEN_FLOOR = 60
"""Seconds that a token is cached at least, so that no bad expires_in makes a call per request."""


class AccessTokens:
    """Makes calls with the access_token of a mini-program."""

    def __init__(self, client: Client, secrets: AppSecrets, clock: Callable[[], float]) -> None:
        self._client = client
        self._secrets = secrets
        self._clock = clock
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def call(
        self,
        appid: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        deadline: Deadline,
    ) -> Answer:
        """Make a call; if WeChat refuses the token, once more with a fresh one.

        Raises:
            What Client.call and AppSecrets.call raise; errcodes of stable_token.
        """

        def send(token: str) -> Answer:
            whole = {"access_token": token, **(query or {})}
            return self._client.call(method, path, query=whole, body=body, deadline=deadline)

        token = self._current(appid, deadline)
        answer = send(token)
        if answer.errcode not in INVALID_ACCESS_TOKEN:
            return answer
        return send(self._current(appid, deadline, refused=token))

    def _current(self, appid: str, deadline: Deadline, refused: str | None = None) -> str:
        """Give the cached token; a refused one is replaced, unless another thread has done it."""
        with self._lock:
            cached, expires_at = self._tokens.get(appid, ("", 0.0))
            if cached != refused and self._clock() < expires_at:
                return cached
            answer = self._secrets.call(appid, lambda secret: self._fetch(appid, secret, deadline))
            answer.check()
            token, life = answer.fields.get("access_token"), answer.fields.get("expires_in")
            if not isinstance(token, str) or not token or type(life) is not int:
                raise WeChatBadResponse(reason="access_token")
            seconds = max(min(life, TOKEN_LIFE) - TOKEN_MARGIN, TOKEN_FLOOR)
            self._tokens[appid] = token, self._clock() + seconds
            return token

    def _fetch(self, appid: str, secret: str, deadline: Deadline) -> Answer:
        body: dict[str, Any] = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        body["force_refresh"] = False
        return self._client.call("POST", "/cgi-bin/stable_token", body=body, deadline=deadline)
