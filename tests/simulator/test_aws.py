"""AWS on the desk: what the embedded engine holds is what the template declares."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from simulator import aws
from tests.support.engines import new_table
from tests.support.loopback import Loopback, answers, closed_port


@pytest.fixture
def dynamodb(engine_url: str) -> Iterator[Any]:
    with closing(aws.client("dynamodb", engine_url)) as client:
        yield client


@pytest.fixture
def manager(moto_url: str) -> Iterator[Any]:
    with closing(aws.client("secretsmanager", moto_url)) as client:
        yield client


def test_the_table_is_the_templates(dynamodb: Any, engine_url: str) -> None:
    name = new_table(engine_url)
    declared = aws.table_definition()
    made = dynamodb.describe_table(TableName=name)["Table"]
    assert made["KeySchema"] == declared["KeySchema"]
    assert by_name(made["AttributeDefinitions"]) == by_name(declared["AttributeDefinitions"])
    assert made["BillingModeSummary"]["BillingMode"] == declared["BillingMode"]


def by_name(attributes: list[dict[str, str]]) -> dict[str, str]:
    return {attribute["AttributeName"]: attribute["AttributeType"] for attribute in attributes}


def test_the_table_cleans_up_by_the_templates_attribute(dynamodb: Any, engine_url: str) -> None:
    name = new_table(engine_url)
    made = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    declared = aws.table_definition()["TimeToLiveSpecification"]
    assert made["AttributeName"] == declared["AttributeName"] == "expires_at"
    assert made["TimeToLiveStatus"] == "ENABLED"


def test_a_table_that_exists_is_kept_with_what_it_holds(dynamodb: Any, engine_url: str) -> None:
    name = new_table(engine_url)
    key = {"user": {"B": b"u"}, "item": {"B": b"i"}}
    dynamodb.put_item(TableName=name, Item=key)
    aws.make_table(dynamodb, name)
    assert dynamodb.get_item(TableName=name, Key=key)["Item"] == key


@pytest.mark.dynamodb_local
def test_a_table_that_the_engine_refuses_is_told_in_one_line(dynamodb_local_url: str) -> None:
    refusal = pytest.raises(aws.EngineUnavailable, match=r"^DynamoDB refuses: \w+\.$")
    with closing(aws.client("dynamodb", dynamodb_local_url)) as dynamodb, refusal:
        aws.make_table(dynamodb, "no")


def test_each_mini_program_has_its_secret(manager: Any) -> None:
    aws.make_secrets(manager, "made/", {"wx1": "s1", "wx2": "s2"})
    for appid, appsecret in [("wx1", "s1"), ("wx2", "s2")]:
        value = manager.get_secret_value(SecretId=f"made/app/{appid}")["SecretString"]
        assert json.loads(value) == {"appsecret": appsecret}


def test_secrets_that_exist_are_kept(manager: Any) -> None:
    aws.make_secrets(manager, "kept/", {"wx1": "old"})
    before = manager.get_secret_value(SecretId="kept/signing")["SecretString"]
    aws.make_secrets(manager, "kept/", {"wx1": "new"})
    value = manager.get_secret_value(SecretId="kept/app/wx1")["SecretString"]
    assert json.loads(value) == {"appsecret": "old"}
    assert manager.get_secret_value(SecretId="kept/signing")["SecretString"] == before


def test_an_engine_tells_whether_it_keeps_secrets(moto_url: str) -> None:
    assert aws.has_secrets_manager(moto_url)


@pytest.mark.dynamodb_local
def test_dynamodb_local_keeps_no_secrets(dynamodb_local_url: str) -> None:
    assert not aws.has_secrets_manager(dynamodb_local_url)


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://127.0.0.1", "http://a b"])
def test_what_is_no_address_is_no_engine(url: str) -> None:
    with pytest.raises(aws.EngineUnavailable):
        aws.has_secrets_manager(url)


def test_where_nobody_listens_is_no_engine() -> None:
    with pytest.raises(aws.EngineUnavailable):
        aws.has_secrets_manager(f"http://127.0.0.1:{closed_port()}")


def test_a_web_server_is_no_engine() -> None:
    page = answers(b"<html>hello</html>")
    with Loopback(page) as server, pytest.raises(aws.EngineUnavailable):
        aws.has_secrets_manager(server.url)


def test_a_port_in_use_is_an_error_at_once(moto_url: str) -> None:
    port = int(moto_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        aws.start("127.0.0.1", port)
