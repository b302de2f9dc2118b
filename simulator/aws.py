"""AWS on the desk: moto as a server, and the table and secrets that the template declares."""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3
import yaml  # type: ignore[import-untyped]  # has no types
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from simulator.serving import Server, serve_wsgi

TEMPLATES = Path(__file__).parent.parent / "infrastructure/template"
TABLE, QUEUE, DEAD_LETTERS = "SessionsTable", "EventQueue", "EventDeadLetters"

# The members of a CloudFormation table, or queue, that its Create… takes under the same name.
_CREATE = ("BillingMode", "AttributeDefinitions", "KeySchema", "DeletionProtectionEnabled")
_CREATE_QUEUE = ("VisibilityTimeout", "MaximumMessageSize", "MessageRetentionPeriod")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # as above
    """Reads a CloudFormation template: !Sub and its like have no value on the desk."""


_Loader.add_multi_constructor("!", lambda *_: None)


class EngineUnavailable(RuntimeError):
    """The AWS engine does not answer, or refuses what the gate needs; the text is one line."""


def start(host: str, port: int) -> Server:
    """Serve moto; everything is forgotten at its end.

    Raises:
        OSError: if the port is in use.
    """
    # Not by moto's own server, which waits forever for a port that is in use.
    engine = DomainDispatcherApplication(create_backend_app)

    def without_pages(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Moto lets every web page read everything (CORS), and here are real appsecrets.
        if "HTTP_ORIGIN" in environ:
            start_response("403 Forbidden", [])
            return []
        return cast("Iterable[bytes]", engine(environ, start_response))

    return serve_wsgi(without_pages, host, port)


def client(service: Any, url: str) -> Any:
    """Make an SDK client for an engine on the desk."""
    config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2})
    return boto3.client(service, endpoint_url=url, config=config)


def _definition(name: str, part: str) -> dict[str, Any]:
    """Give the properties of a resource, from a part of the template that is deployed."""
    text = (TEMPLATES / part).read_text()
    content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    properties: dict[str, Any] = content["Resources"][name]["Properties"]
    return properties


def table_definition() -> dict[str, Any]:
    """Give the properties of the sessions table."""
    return _definition(TABLE, "storage.yaml")


def make_queue(sqs: Any, name: str) -> str:
    """Make the queue of events, and that of its dead letters; give its URL.

    Raises:
        EngineUnavailable: if the engine does not answer or refuses.
    """

    def make(name: str, resource: str, **more: str) -> str:
        properties = _definition(resource, "events.yaml")
        wanted = {key: str(properties[key]) for key in _CREATE_QUEUE if key in properties}
        url: str = sqs.create_queue(QueueName=name, Attributes={**wanted, **more})["QueueUrl"]
        return url

    with _refusals("SQS"):
        dead = make(f"{name}-dead", DEAD_LETTERS)
        attributes = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
        redrive = {**_definition(QUEUE, "events.yaml")["RedrivePolicy"], "deadLetterTargetArn": arn}
        return make(name, QUEUE, RedrivePolicy=json.dumps(redrive))


def make_table(dynamodb: Any, name: str) -> None:
    """Make the sessions table where it does not exist yet.

    Raises:
        EngineUnavailable: if the engine does not answer or refuses.
    """
    definition = table_definition()
    wanted = {key: definition[key] for key in _CREATE if key in definition}
    with _refusals("DynamoDB"):
        try:
            dynamodb.create_table(TableName=name, **wanted)
        except dynamodb.exceptions.ResourceInUseException:
            return
        dynamodb.get_waiter("table_exists").wait(
            TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
        )
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification=definition["TimeToLiveSpecification"]
        )


@contextmanager
def _refusals(service: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        reason = error.response["Error"]["Code"]
        raise EngineUnavailable(f"{service} refuses: {reason}.") from error
    except BotoCoreError as error:
        raise EngineUnavailable(f"{service} does not answer: {type(error).__name__}.") from error


def signing_secret() -> str:
    """Make the value of the desk's signing secret: `{"kid", "private_key"}`, PEM, P-256, fresh."""
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return json.dumps({"kid": secrets.token_hex(8), "private_key": pem.decode()})


def make_secrets(
    manager: Any,
    prefix: str,
    appsecrets: Mapping[str, str],
    pushes: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Make the secrets that do not exist yet: two per mini-program, and the signing key.

    `pushes` are the secrets of message push, by appid.

    Raises:
        EngineUnavailable: if the engine does not answer or refuses.
    """
    values = {
        f"{prefix}app/{appid}": json.dumps({"appsecret": appsecret})
        for appid, appsecret in appsecrets.items()
    }
    values |= {f"{prefix}push/{appid}": json.dumps(push) for appid, push in (pushes or {}).items()}
    values[f"{prefix}signing"] = signing_secret()
    for name, value in values.items():
        with _refusals("Secrets Manager"), suppress(manager.exceptions.ResourceExistsException):
            manager.create_secret(Name=name, SecretString=value)


def has_secrets_manager(url: str) -> bool:
    """Tell whether an engine offers Secrets Manager; DynamoDB Local does not.

    Raises:
        EngineUnavailable: if no engine answers there.
    """
    try:
        with closing(client("secretsmanager", url)) as manager:
            answer = manager.list_secrets(MaxResults=1)
    except ClientError:
        return False
    except BotoCoreError as error:
        raise EngineUnavailable(f"No engine answers: {type(error).__name__}.") from error
    except ValueError as error:  # botocore's word for what is no address
        raise EngineUnavailable("That is no http address.") from error
    if "SecretList" not in answer:
        raise EngineUnavailable("What answers is no AWS engine.")
    return True
