"""The composition root: reads the environment, and builds each service once.

On the desk and in tests a service is built when it is first needed. In Lambda, INIT runs at a full
CPU and a request at a fraction of one, so INIT builds what this function's routes use, fetches
its secrets and opens its connections. Rooms are imported where they are built: a function never
loads a library that only another one uses.
"""

import importlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib import deadlines, logs, settings
from chalicelib.deadlines import Deadline
from chalicelib.errors import Misconfigured

if TYPE_CHECKING:
    from chalicelib.network.connections import Connections
    from chalicelib.network.secrets import Secrets
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.upstream.assertions import Assertions
    from chalicelib.upstream.upstream import Upstream
    from chalicelib.wechat.api import WeChat

SERVICES = {
    "login": ("sessions", "wechat"),
    "proxy": ("sessions", "upstream", "assertions"),
    "decrypt": ("sessions", "wechat", "assertions"),
}
"""What each Lambda function uses: the keywords of its handlers."""


def now() -> float:
    """Give the wall clock, looked up at each call so that replacing it reaches everyone."""
    return time.time()


class Services:
    """Every service of the gate, by the keyword under which handlers take it.

    `fault` is what is wrong with the environment, or None; `function` the Lambda function whose
    routes this process serves, or None if it serves all.
    """

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = now) -> None:
        self.clock = clock
        self.fault: str | None = None
        self.function = environ.get("WXGATE_FUNCTION")
        self._settings: settings.Settings | None = None
        self._lock = threading.RLock()
        try:
            self._settings = settings.read(environ, self.function)
        except settings.BadEnvironment as error:
            self.fault = str(error)

    @property
    def settings(self) -> settings.Settings:
        """The environment as values.

        Raises:
            Misconfigured: if it is faulty.
        """
        if self._settings is None:
            raise Misconfigured(reason=self.fault)
        return self._settings

    @cached_property
    def sessions(self) -> "Sessions":
        """The session store."""
        from chalicelib.sessions.sessions import Sessions
        from chalicelib.sessions.table import table

        with self._lock:
            items = table(self.settings.sessions_table, self.settings.region)
        return Sessions(
            items, self.settings.appids, self.settings.token_ttl, self.clock, alert=logs.alert
        )

    @cached_property
    def wechat(self) -> "WeChat":
        """WeChat's server API."""
        from chalicelib.network.adapter import session
        from chalicelib.wechat.access_token import AccessTokens
        from chalicelib.wechat.api import WeChat
        from chalicelib.wechat.appsecrets import AppSecrets

        return WeChat(
            session(self._wechat_connections),
            self.settings.wechat_api_url,
            self.settings.appids,
            AppSecrets(self._secrets, self.settings.secret_prefix),
            AccessTokens(self.clock),
            self.clock,
        )

    @cached_property
    def upstream(self) -> "Upstream":
        """The business API."""
        from chalicelib.upstream.upstream import Upstream

        return Upstream(self._upstream_connections, self.settings)

    @cached_property
    def assertions(self) -> "Assertions":
        """The signer of what the upstream may trust."""
        from chalicelib.upstream.assertions import Assertions

        name = f"{self.settings.secret_prefix}signing"
        return Assertions(self._secrets, name, self.settings.upstream_url, self.clock)

    @cached_property
    def _wechat_connections(self) -> "Connections":
        from chalicelib.network.connections import Connections

        # WeChat's address is the operator's word: the simulator's is loopback.
        return Connections(allow_private=True, connect_timeout=deadlines.WECHAT_CONNECT)

    @cached_property
    def _upstream_connections(self) -> "Connections":
        from chalicelib.network.connections import Connections

        return Connections(
            allow_private=self.settings.upstream_allow_private,
            connect_timeout=deadlines.UPSTREAM_CONNECT,
        )

    @cached_property
    def _secrets(self) -> "Secrets":
        import boto3
        from botocore.config import Config

        from chalicelib.network.secrets import Secrets

        retries = {"total_max_attempts": deadlines.SECRETS_ATTEMPTS, "mode": "standard"}
        config = Config(
            connect_timeout=deadlines.SECRETS_ATTEMPT,
            read_timeout=deadlines.SECRETS_ATTEMPT,
            retries=retries,
        )
        # Creating a client is not thread-safe (boto3's documentation, "Clients").
        with self._lock:
            client = boto3.client("secretsmanager", self.settings.region, config=config)
        return Secrets(client, self.clock, logs.alert)

    # --- INIT ---

    def build(self) -> None:
        """Build what this function's routes use."""
        for name in SERVICES.get(self.function or "", ()):
            getattr(self, name)

    def _warm_ups(self, deadline: Deadline) -> Iterator[Callable[[], object]]:
        used = SERVICES.get(self.function or "", ())
        if "wechat" in used:
            yield lambda: self.wechat.warm(deadline)
        if "upstream" in used:
            yield lambda: self.upstream.warm(deadline)
        if "assertions" in used:
            yield self.assertions.ensure_key
        yield self.sessions.warm

    def warm_up(self) -> None:
        """Fetch this function's secrets and open its connections, within INIT seconds.

        What fails is left to the request that needs it, which also reports it. The AWS SDK bounds
        attempts, not calls, so one daemon thread makes the calls and is not waited for any longer:
        no call of it that hangs can delay INIT, and none is begun after the deadline.
        """
        deadline = Deadline.after(deadlines.INIT)

        def run() -> None:
            for warm in self._warm_ups(deadline):
                if deadline.remaining() > 0:
                    with suppress(Exception):
                        warm()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(deadlines.INIT)

    def after_restore(self) -> None:
        """Renew what a SnapStart snapshot froze: connections, secrets, and random's state."""
        random.seed()
        ...


def from_environment() -> Services:
    """Build the services of this process; never raises.

    A faulty environment is one line of the log, and then 500 for every request.
    """
    services = Services(os.environ)
    function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    logs.configure(services.log_level, function_name)
    if services.fault:
        logs.write(logging.ERROR, "misconfigured", {"reason": services.fault})
    elif function_name:
        services.init()
    return services
