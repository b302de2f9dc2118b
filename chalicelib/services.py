"""The composition root: reads the environment, and builds each service once, when first needed.

In Lambda that is in INIT, which has a full CPU where a request has a fraction. Rooms are imported
where they are built, so no function loads another one's.
"""

import gc
import importlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

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

_T = TypeVar("_T")

# What each Lambda function uses: the keywords of its handlers, in the order of warming up.
SERVICES = {
    "login": ("sessions", "wechat"),
    "proxy": ("sessions", "assertions", "upstream"),
    "decrypt": ("sessions", "assertions", "wechat"),
    "events": ("push", "sessions", "queue"),
    "deliver": ("assertions", "upstream", "queue"),
}


class _Once(cached_property[_T]):
    """A member of Services that is built when it is first read, by one thread at a time."""

    def __get__(self, services: Any, owner: Any = None) -> _T:  # type: ignore[override]  # it has overloads
        with services.lock:
            built: _T = super().__get__(services, owner)
            return built


class Services:
    """Every service, by the keyword under which handlers take it; `fault` is the environment's."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        function = environ.get("WXGATE_FUNCTION", "")  # set by the template; else all routes
        self.clock = clock
        self.fault: str | None = None
        self.lock = threading.RLock()
        self._used = SERVICES.get(function) or set[str]().union(*SERVICES.values())
        self._closers: list[Callable[[], None]] = []
        self._settings: settings.Settings | None = None
        try:
            self._settings = settings.read(environ, function)
        except settings.BadEnvironment as error:
            self.fault = str(error)

    @property
    def settings(self) -> settings.Settings:
        """The environment as values; raises Misconfigured if it is faulty."""
        if self._settings is None:
            raise Misconfigured(reason=self.fault)
        return self._settings

    @_Once
    def sessions(self) -> "Sessions":
        """The session store."""
        from chalicelib.sessions.sessions import Sessions

        known = self.settings
        return Sessions(self._table, known.wx_appids, known.token_ttl, self.clock, alert=logs.alert)

    @_Once
    def _table(self) -> "Table":
        from chalicelib.sessions.table import Table

        table = Table(self.settings.sessions_table, self.settings.region)
        self._closers.append(table.close)
        return table

    @_Once
    def wechat(self) -> "WeChat":
        """WeChat's server API."""
        from chalicelib.wechat.api import WeChat
        from chalicelib.wechat.client import Client

        known = self.settings
        # WeChat's address is the operator's word: the simulator's is loopback.
        connections = self._connections(True, deadlines.WECHAT_CONNECT)
        url, prefix = known.wechat_api_url, known.secret_prefix
        return WeChat(Client(connections, url, self._secrets, prefix, self.clock), known.wx_appids)

    @_Once
    def upstream(self) -> "Upstream":
        """The business API."""
        from chalicelib.upstream.upstream import Upstream

        private = self.settings.upstream_allow_private
        return Upstream(self._connections(private, deadlines.UPSTREAM_CONNECT), self.settings)

    @_Once
    def assertions(self) -> "Assertions":
        """The signer of what the upstream may trust."""
        from chalicelib.upstream.assertions import Assertions

        name = f"{self.settings.secret_prefix}signing"
        return Assertions(self._secrets, name, self.settings.upstream_url, self.clock)

    @_Once
    def push(self) -> "Push":
        """What opens WeChat's message push."""
        from chalicelib.wechat.push import Push

        known = self.settings
        return Push(self._secrets, known.secret_prefix, known.wx_appids, self.clock)

    @_Once
    def queue(self) -> "Queue":
        """The queue of events."""
        from chalicelib.network.queue import Queue

        client = self._client("sqs", deadlines.QUEUE_ATTEMPT, deadlines.QUEUE_ATTEMPTS)
        return Queue(client, self.settings.events_queue_url)

    @_Once
    def _secrets(self) -> "Secrets":
        from chalicelib.network.secrets import Secrets

        attempt, attempts = deadlines.SECRETS_ATTEMPT, deadlines.SECRETS_ATTEMPTS
        client = self._client("secretsmanager", attempt, attempts)
        return Secrets(client, self.clock, logs.alert)

    @_Once
    def _sdk_session(self) -> Any:
        from botocore.session import get_session

        # The table's, if there is one: another would read the SDK's endpoint data once more.
        return self._table.sdk_session if self.settings.sessions_table else get_session()

    def _client(self, service: str, attempt: float, attempts: int) -> Any:
        from chalicelib.network.aws_clients import client

        made = client(service, self.settings.region, self._sdk_session, attempt, attempts)
        self._closers.append(made.close)
        return made

    def _connections(self, private: bool, connect: float) -> "Connections":
        from chalicelib.network.connections import Connections

        connections = Connections(allow_private=private, connect_timeout=connect, wall=self.clock)
        self._closers.append(connections.close)
        return connections

    def init(self) -> None:
        """Build what this function uses, and warm it up; what fails, a request does again."""
        gc.disable()  # all of it stays: to look for garbage takes a twentieth of INIT
        self.warm_up()
        gc.freeze()
        gc.enable()
        with suppress(ImportError):  # the runtime has it if it supports SnapStart
            hooks = importlib.import_module("snapshot_restore_py")
            hooks.register_after_restore(self.after_restore)

    def warm_up(self) -> None:
        """Build this function's services, fetch secrets and open connections; never raises.

        What one waits for passes while the next is built, and then INIT seconds at most. The AWS
        SDK bounds attempts, not calls, so a thread makes them.
        """
        late = threading.Event()

        def warm() -> None:
            for name in self._used:
                if not late.is_set():
                    with suppress(Exception):
                        getattr(self, name).warm(Deadline.after(deadlines.INIT))

        thread = threading.Thread(target=warm, daemon=True)
        thread.start()
        for name in self._used:
            with suppress(Exception):
                getattr(self, name)
        thread.join(deadlines.INIT)
        late.set()

    def after_restore(self) -> None:
        """Drop what a snapshot has frozen: connections, old secrets, and the state of random."""
        for close in self._closers:
            close()  # each client connects again by itself
        random.seed()
        self.warm_up()  # secrets are as old as the wall clock says, so it fetches them anew


def from_environment() -> Services:
    """Build the services of this process; never raises, but logs what is wrong."""
    services = Services(os.environ)
    function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    logs.configure("INFO" if services.fault else services.settings.log_level, function_name)
    if services.fault:
        logs.write(logging.ERROR, "misconfigured", {"reason": services.fault})
    elif function_name:
        services.init()
    return services
