"""The composition root: reads the environment, and builds each service once.

A service is built when it is first needed; in Lambda in INIT, which has a full CPU where a request
has a fraction. Rooms are imported where they are built, so no function loads another one's.
"""

import importlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib import deadlines, logs, settings
from chalicelib.deadlines import Deadline
from chalicelib.errors import Misconfigured

if TYPE_CHECKING:
    from chalicelib.network.connections import Connections
    from chalicelib.network.queue import Queue
    from chalicelib.network.secrets import Secrets
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.sessions.table import Table
    from chalicelib.upstream.assertions import Assertions
    from chalicelib.upstream.upstream import Upstream
    from chalicelib.wechat.api import WeChat
    from chalicelib.wechat.push import Push

SERVICES = {
    "login": ("sessions", "wechat"),
    "proxy": ("sessions", "assertions", "upstream"),
    "decrypt": ("sessions", "assertions", "wechat"),
    "events": ("push", "sessions", "queue"),
    "deliver": ("assertions", "upstream", "queue"),
}
"""What each Lambda function uses: the keywords of its handlers, in the order of warming up."""

_CONNECTED = ("_table", "_secrets_client", "_queue_client", "_wechat_connections")


def now() -> float:
    """Give the wall clock, looked up at each call so that replacing it reaches everyone."""
    return time.time()


class Services:
    """Every service, by the keyword under which handlers take it; `fault` is the environment's."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = now) -> None:
        self.clock = clock
        self.fault: str | None = None
        function = environ.get("WXGATE_FUNCTION")  # set by the template; None serves all routes
        self._used = SERVICES.get(function or "", tuple(sorted(set().union(*SERVICES.values()))))
        self._settings: settings.Settings | None = None
        self._lock = threading.RLock()
        try:
            self._settings = settings.read(environ, environ.get("WXGATE_FUNCTION"))
        except settings.BadEnvironment as error:
            self.fault = str(error)

    @property
    def settings(self) -> settings.Settings:
        """The environment as values; raises Misconfigured if it is faulty."""
        if self._settings is None:
            raise Misconfigured(reason=self.fault)
        return self._settings

    @property
    def log_level(self) -> str:
        """The level of the log, also if the environment is faulty."""
        return self._settings.log_level if self._settings else "INFO"

    @cached_property
    def sessions(self) -> "Sessions":
        """The session store."""
        from chalicelib.sessions.sessions import Sessions

        known = self.settings
        return Sessions(self._table, known.appids, known.token_ttl, self.clock, alert=logs.alert)

    @cached_property
    def wechat(self) -> "WeChat":
        """WeChat's server API."""
        from chalicelib.wechat.access_token import AccessTokens
        from chalicelib.wechat.api import WeChat
        from chalicelib.wechat.appsecrets import AppSecrets
        from chalicelib.wechat.client import Client

        client = Client(self._wechat_connections, self.settings.wechat_api_url)
        secrets = AppSecrets(self._secrets, self.settings.secret_prefix)
        tokens = AccessTokens(client, secrets, self.clock)
        return WeChat(client, self.settings.appids, secrets, tokens)

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
    def push(self) -> "Push":
        """What opens WeChat's message push."""
        from chalicelib.wechat.push import Push

        prefix, appids = self.settings.secret_prefix, self.settings.appids
        return Push(self._secrets, prefix, appids, self.clock)

    @cached_property
    def queue(self) -> "Queue":
        """The queue of events."""
        from chalicelib.network.queue import Queue

        return Queue(self._queue_client, self.settings.events_queue_url)

    @cached_property
    def _table(self) -> "Table":
        from chalicelib.sessions.table import Table

        with self._lock:
            return Table(self.settings.sessions_table, self.settings.region)

    @cached_property
    def _secrets(self) -> "Secrets":
        from chalicelib.network.secrets import Secrets

        return Secrets(self._secrets_client, self.clock, logs.alert)

    @cached_property
    def _secrets_client(self) -> Any:
        return self._client("secretsmanager", deadlines.SECRETS_ATTEMPT, deadlines.SECRETS_ATTEMPTS)

    @cached_property
    def _queue_client(self) -> Any:
        return self._client("sqs", deadlines.QUEUE_ATTEMPT, deadlines.QUEUE_ATTEMPTS)

    def _client(self, service: str, attempt: float, attempts: int) -> Any:
        from chalicelib.network.aws_clients import client

        with self._lock:
            return client(service, self.settings.region, attempt, attempts)

    @cached_property
    def _wechat_connections(self) -> "Connections":
        # WeChat's address is the operator's word: the simulator's is loopback.
        return self._connections(True, deadlines.WECHAT_CONNECT)

    @cached_property
    def _upstream_connections(self) -> "Connections":
        return self._connections(self.settings.upstream_allow_private, deadlines.UPSTREAM_CONNECT)

    def _connections(self, allow_private: bool, connect_timeout: float) -> "Connections":
        from chalicelib.network.connections import Connections

        return Connections(
            allow_private=allow_private, connect_timeout=connect_timeout, wall=self.clock
        )

    # --- INIT and SnapStart ---

    def init(self) -> None:
        """Build what this function uses, then warm it up; what fails, a request does again."""
        for name in self._used:
            with suppress(Exception):
                getattr(self, name)
        self.warm_up()
        with suppress(ImportError):  # the runtime has it if it supports SnapStart
            hooks = importlib.import_module("snapshot_restore_py")
            hooks.register_after_restore(self.after_restore)

    def warm_up(self) -> None:
        """Fetch this function's secrets and open its connections, in INIT seconds; never raises.

        The AWS SDK bounds attempts, not calls: the thread that makes them is waited for so long.
        """
        deadline = Deadline.after(deadlines.INIT)

        def run() -> None:
            for name in self._used:
                if deadline.remaining() > 0:
                    with suppress(Exception):
                        getattr(self, name).warm(deadline)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(deadlines.INIT)

    def after_restore(self) -> None:
        """Drop what a snapshot has frozen: connections, old secrets, and the state of random."""
        for name in (*_CONNECTED, "_upstream_connections"):
            if name in vars(self):
                getattr(self, name).close()
        random.seed()
        self.warm_up()  # secrets are as old as the wall clock says, so it fetches them anew


def from_environment() -> Services:
    """Build the services of this process; never raises, but logs what is wrong."""
    services = Services(os.environ)
    function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    logs.configure(services.log_level, function_name)
    if services.fault:
        logs.write(logging.ERROR, "misconfigured", {"reason": services.fault})
    elif function_name:
        services.init()
    return services
