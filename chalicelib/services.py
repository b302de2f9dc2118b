"""The composition root: reads the environment, builds each service once, when first needed.

Modules that are slow to load are imported where they are needed, so a start pays for none of
them, and a Lambda function only for those that its routes use.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib import logs, metrics, settings
from chalicelib.deadlines import (
    SECRETS_ATTEMPT,
    SECRETS_ATTEMPTS,
    UPSTREAM_CONNECT,
    WECHAT_CONNECT,
)
from chalicelib.errors import Misconfigured
from chalicelib.network.connections import Connections

if TYPE_CHECKING:
    from chalicelib.network.secrets import Secrets
    from chalicelib.sessions.sessions import Sessions
    from chalicelib.upstream.assertions import Assertions
    from chalicelib.upstream.upstream import Upstream
    from chalicelib.wechat.api import WeChat


def now() -> float:
    """Give the wall clock, looked up at each call so that one replaced clock reaches all."""
    return time.time()


class Services:
    """Every service of the gate, by the keyword under which handlers take it.

    A faulty environment is told at the start, by `fault`, and then by every request: 500.
    """

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = now) -> None:
        self.clock = clock
        self.fault: str | None = None
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self._settings: settings.Settings | None = None
        self._lock = threading.RLock()
        # Lambda names its handler: app.login_function.
        function = environ.get("_HANDLER", "").removeprefix("app.").removesuffix("_function")
        try:
            self._settings = settings.read(environ, function)
        except settings.BadEnvironment as error:
            self.fault = str(error)

    @property
    def settings(self) -> settings.Settings:
        """The environment.

        Raises:
            Misconfigured: if it is faulty.
        """
        if self._settings is None:
            raise Misconfigured(reason=self.fault)
        return self._settings

    def count(self, metric: str, **dimensions: str) -> dict[str, Any]:
        """Give what makes a log line of this Lambda function count; elsewhere nobody counts."""
        if not self.function_name:
            return {}
        return metrics.count(metric, self.clock(), FunctionName=self.function_name, **dimensions)

    def alert(self, what: str, **facts: str) -> None:
        """Tell the operator of what needs him though requests are served; facts hold no secret."""
        fields = {"alert": what, **facts, **self.count("Alerts")}
        logging.getLogger(logs.NAME).warning("alert", extra={"fields": fields})

    @property
    def log_level(self) -> str:
        """The level of the log, also where the environment is faulty."""
        return self._settings.log_level if self._settings else "INFO"

    @cached_property
    def sessions(self) -> "Sessions":
        """The session store."""
        from chalicelib.sessions.sessions import Sessions, table

        with self._lock:
            items = table(self.settings.sessions_table, self.settings.region)
            return Sessions(
                items,
                self.settings.appids,
                self.settings.token_ttl,
                self.clock,
                alert=self.alert,
            )

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
    def _wechat_connections(self) -> Connections:
        # WeChat's address is the operator's word: the simulator's is loopback.
        return Connections(allow_private=True, connect_timeout=WECHAT_CONNECT, wall=self.clock)

    @cached_property
    def upstream(self) -> "Upstream":
        """The business API."""
        from chalicelib.upstream.upstream import Upstream

        return Upstream(
            Connections(
                allow_private=self.settings.upstream_allow_private,
                connect_timeout=UPSTREAM_CONNECT,
                wall=self.clock,
            ),
            self.settings,
        )

    @cached_property
    def assertions(self) -> "Assertions":
        """The signer of what the upstream may trust."""
        from chalicelib.upstream.assertions import Assertions

        name = f"{self.settings.secret_prefix}signing"
        return Assertions(self._secrets, name, self.settings.upstream_url, self.clock)

    @cached_property
    def _secrets(self) -> "Secrets":
        from chalicelib.network.secrets import Secrets

        return Secrets(self._secrets_client, self.clock, self.alert)

    @cached_property
    def _secrets_client(self) -> Any:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        from chalicelib.network.aws_errors import reason

        config = Config(
            connect_timeout=SECRETS_ATTEMPT,
            read_timeout=SECRETS_ATTEMPT,
            retries={"total_max_attempts": SECRETS_ATTEMPTS, "mode": "standard"},
        )
        # boto3's client creation is not thread-safe.
        with self._lock:
            try:
                session = boto3.session.Session(region_name=self.settings.region)
                return session.client("secretsmanager", config=config)
            except BotoCoreError as error:
                raise Misconfigured(reason=reason(error)) from error


def from_environment() -> Services:
    """Build the services of this process: the only reader of os.environ."""
    return Services(os.environ)
