"""The AWS engines of the desk: embedded, the user's own, or DynamoDB Local on a folder."""

import os
from contextlib import closing
from pathlib import Path
from secrets import token_hex

from simulator import aws, dynamodb_local, parts
from simulator.parts import LOOPBACK, DeskError, Parts
from simulator.serving import Desk
from simulator.wechat import appsecret_of, push_secret_of

TABLE = "wxgate-sessions"
PREFIX = "wxgate/"
QUEUE = "wxgate-events"
EVENTS_PATH = "/wxgate/events"
"""Where events go, unless EVENTS_PATH says otherwise; set but empty, it means that none do."""

_WHY = "and secrets stay in this process if WeChat is real or the engine is DynamoDB alone"


def use(desk: Desk, port: int, chosen: Parts) -> None:
    """Point the SDK at the engines, and make the table and secrets that are not there yet.

    The store is DynamoDB Local on the user's folder, the user's engine or the embedded one.
    Secrets live in the user's engine if it has Secrets Manager; real appsecrets never do.

    Raises:
        DeskError: if an engine does not start, does not answer or refuses.
    """
    _forget_account()
    try:
        own = chosen.aws_url
        keeps_secrets = bool(own and aws.has_secrets_manager(own) and not chosen.real_wechat)
        if own and keeps_secrets:
            manager = desk.name("AWS", own, "yours")
        else:
            manager = desk.add("AWS", aws.start(LOOPBACK, port), "embedded")
        store = _store_on(desk, chosen.data) if chosen.data else own or manager
        if own and own not in (store, manager):
            desk.notes.append(f"AWS_URL has nothing to do: sessions are in {chosen.data}, {_WHY}")
        os.environ["AWS_ENDPOINT_URL"] = manager
        if store != manager:
            os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = store
            desk.urls.setdefault("DynamoDB", store)
            desk.remarks.setdefault("DynamoDB", "yours")
        _fill(store, manager, chosen)
    except aws.EngineUnavailable as error:
        raise DeskError(
            f"The AWS engine at {chosen.aws_url or 'the desk'} is not usable. {error}"
        ) from error


def _fill(store: str, manager: str, chosen: Parts) -> None:
    table = os.environ.setdefault("SESSIONS_TABLE", TABLE) or TABLE
    prefix = os.environ.setdefault("SECRET_PREFIX", PREFIX) or PREFIX
    os.environ.update(SESSIONS_TABLE=table, SECRET_PREFIX=prefix)
    own = chosen.appsecrets
    appsecrets = {
        appid: own[appid].value if own is not None else appsecret_of(appid)
        for appid in chosen.appids
    }
    with closing(aws.client("dynamodb", store)) as dynamodb:
        aws.make_table(dynamodb, table)
    with closing(aws.client("secretsmanager", manager)) as secrets:
        # Of a real app nobody may guess them: a push ends sessions.
        pushes = {n: push_secret_of(n if own is None else token_hex()) for n in chosen.appids}
        aws.make_secrets(secrets, prefix, appsecrets, pushes)
    if os.environ.setdefault("EVENTS_PATH", EVENTS_PATH):
        with closing(aws.client("sqs", manager)) as sqs:
            os.environ["EVENTS_QUEUE_URL"] = aws.make_queue(sqs, QUEUE)


def _store_on(desk: Desk, folder: Path) -> str:
    """Start DynamoDB Local on a folder's files."""
    reason = dynamodb_local.missing()
    if reason:
        raise DeskError(f"DATA cannot be used: {reason}.")
    try:
        process, url = dynamodb_local.start(folder)
    except (OSError, TimeoutError) as error:
        raise DeskError(f"DATA cannot be used: {error}") from error
    desk.at_end(process.wait)
    desk.at_end(process.terminate)
    return desk.name("DynamoDB", url, f"keeps its data in {folder}")


def _forget_account() -> None:
    """Drop all that the environment and ~/.aws tell the SDK: no real account may be reached.

    Other settings could lead past the engine as well: a profile, an endpoint of one service.
    """
    parts.forget_appsecrets()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="desk",
        AWS_SECRET_ACCESS_KEY="desk",  # noqa: S106 - of no account
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )
    # The SDK would look for loopback behind a proxy; of two spellings the lower one counts.
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    without = ",".join(filter(None, (named, LOOPBACK, "localhost")))
    os.environ.update(no_proxy=without, NO_PROXY=without)
