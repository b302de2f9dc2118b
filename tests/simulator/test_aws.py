"""AWS on the desk: what the embedded engine holds is what the template declares."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from simulator import aws
from tests.support.engines import new_table
from tests.support.loopback import Loopback, answers


@pytest.fixture
def dynamodb(engine_url: str) -> Iterator[Any]:
    with closing(aws.client("dynamodb", engine_url)) as client:
        yield client


@pytest.fixture
def manager(moto_url: str) -> Iterator[Any]:
    with closing(aws.client("secretsmanager", moto_url)) as client:
        yield client


def test_the_table_and_what_cleans_it_up_are_the_templates(dynamodb: Any, engine_url: str) -> None:
    name = new_table(engine_url)
    declared = aws.table_definition()
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    attribute = declared["TimeToLiveSpecification"]["AttributeName"]
    assert expiry == {"AttributeName": attribute, "TimeToLiveStatus": "ENABLED"}
    made = dynamodb.describe_table(TableName=name)["Table"]
    assert made["KeySchema"] == declared["KeySchema"]
    assert by_name(made["AttributeDefinitions"]) == by_name(declared["AttributeDefinitions"])
    assert made["BillingModeSummary"]["BillingMode"] == declared["BillingMode"]


def by_name(attributes: list[dict[str, str]]) -> dict[str, str]:
    return {attribute["AttributeName"]: attribute["AttributeType"] for attribute in attributes}


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


def test_each_mini_program_has_its_secret_and_those_that_exist_are_kept(manager: Any) -> None:
    aws.make_secrets(manager, "made/", {"wx1": "old"})
    signing = manager.get_secret_value(SecretId="made/signing")["SecretString"]
    aws.make_secrets(manager, "made/", {"wx1": "new", "wx2": "new"})
    for appid, appsecret in [("wx1", "old"), ("wx2", "new")]:
        value = manager.get_secret_value(SecretId=f"made/app/{appid}")["SecretString"]
        assert json.loads(value) == {"appsecret": appsecret}
    assert manager.get_secret_value(SecretId="made/signing")["SecretString"] == signing


@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "ftp://127.0.0.1", "http://a b", "http://127.0.0.1:1"]
)
def test_an_address_where_nobody_answers_is_no_engine(url: str) -> None:
    with pytest.raises(aws.EngineUnavailable):
        aws.has_secrets_manager(url)


def test_a_web_server_is_no_engine() -> None:
    page = answers(b"<html>hello</html>")
    with Loopback(page) as server, pytest.raises(aws.EngineUnavailable):
        aws.has_secrets_manager(server.url)
