"""AWS on the desk: moto as a server, and the table and secrets that the template declares."""

import json
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from moto.server import ThreadedMotoServer

from simulator.serving import Server

TEMPLATE = Path(__file__).parent.parent / "resources.json"
TABLE = "SessionsTable"

# The members of a CloudFormation table that CreateTable takes under the same name.
_CREATE = ("BillingMode", "AttributeDefinitions", "KeySchema", "DeletionProtectionEnabled")


class EngineUnavailable(RuntimeError):
    """The AWS engine does not answer, or refuses what the gate needs."""


def start(host: str, port: int) -> Server:
    """Serve moto; everything is forgotten at its end.

    Raises:
        OSError: if the port is in use.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # or it writes a line per call
    server = ThreadedMotoServer(ip_address=host, port=port, verbose=False)
    server.start()
    _, bound = server.get_host_and_port()
    return Server(f"http://{host}:{bound}", server.stop)


def client(service: Any, url: str) -> Any:
    """Make an SDK client for an engine on the desk."""
    config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2})
    return boto3.client(service, endpoint_url=url, config=config)


def table_definition(template: Path = TEMPLATE) -> dict[str, Any]:
    """Give the properties of the sessions table, from the template that is deployed."""
    resources = json.loads(template.read_text())["Resources"]
    properties: dict[str, Any] = resources[TABLE]["Properties"]
    return properties


def make_table(dynamodb: Any, name: str) -> None:
    """Make the sessions table where it does not exist yet.

    Raises:
        EngineUnavailable: if the engine does not answer or refuses.
    """
    definition = table_definition()
    try:
        if name in dynamodb.list_tables()["TableNames"]:
            return
        wanted = {key: definition[key] for key in _CREATE if key in definition}
        dynamodb.create_table(TableName=name, **wanted)
        dynamodb.get_waiter("table_exists").wait(
            TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
        )
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification=definition["TimeToLiveSpecification"]
        )
    except (BotoCoreError, ClientError) as error:
        raise EngineUnavailable(f"DynamoDB refuses: {type(error).__name__}") from error


def signing_secret() -> str:
    """Make the value of a signing secret: a fresh P-256 key and its name."""
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return json.dumps({"kid": secrets.token_hex(8), "private_key": pem.decode()})


def make_secrets(manager: Any, prefix: str, appsecrets: Mapping[str, str]) -> None:
    """Make the secrets that do not exist yet: one per mini-program, and the signing key.

    Raises:
        ClientError: as the engine says.
    """
    for appid, appsecret in appsecrets.items():
        _make(manager, f"{prefix}app/{appid}", json.dumps({"appsecret": appsecret}))
    _make(manager, f"{prefix}signing", signing_secret())


def _make(manager: Any, name: str, value: str) -> None:
    try:
        manager.create_secret(Name=name, SecretString=value)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceExistsException":
            raise


def has_secrets_manager(url: str) -> bool:
    """Tell whether an engine offers Secrets Manager; DynamoDB Local does not."""
    try:
        client("secretsmanager", url).list_secrets(MaxResults=1)
    except (BotoCoreError, ClientError):
        return False
    return True
