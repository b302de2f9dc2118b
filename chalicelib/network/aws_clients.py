"""The AWS SDK's clients, by boto3, with the gate's timeouts and retries."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from chalicelib.errors import Misconfigured
from chalicelib.network.aws_errors import reason

# The SDK's own is put together anew for each call, and takes a tenth of its time.
USER_AGENT = "wxgate"


def client(service: Any, region: str | None, session: Any, attempt: float, attempts: int) -> Any:
    """Make a client of a botocore session; its calls take `attempts` of `attempt` seconds.

    Misconfigured is raised if the environment does not say all that the SDK needs.
    """
    config = Config(
        connect_timeout=attempt,
        read_timeout=attempt,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        user_agent=USER_AGENT,
    )
    try:
        made = boto3.Session(region_name=region, botocore_session=session)
        return made.client(service, config=config)
    except BotoCoreError as error:
        raise Misconfigured(reason=reason(error)) from error
