"""AWS on the desk: what the embedded engine holds is what the template declares."""

import json
from contextlib import closing
from operator import itemgetter
from typing import Any

import pytest
import requests

from simulator import aws
from tests.support.engines import new_table
from tests.support.loopback import Loopback, answers


def test_the_table_is_the_templates_and_is_kept_with_what_it_holds(engine_url: str) -> None:
    name, declared = new_table(engine_url), aws.table_definition()
    key = {"user": {"B": b"u"}, "item": {"B": b"i"}}
    with closing(aws.client("dynamodb", engine_url)) as dynamodb:
        expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        made = dynamodb.describe_table(TableName=name)["Table"]
        dynamodb.put_item(TableName=name, Item=key)
        aws.make_table(dynamodb, name)
        assert dynamodb.get_item(TableName=name, Key=key)["Item"] == key
    attribute = declared["TimeToLiveSpecification"]["AttributeName"]
    assert expiry == {"AttributeName": attribute, "TimeToLiveStatus": "ENABLED"}
    assert made["KeySchema"] == declared["KeySchema"]
    mine, theirs = (sorted(map(by_name, it["AttributeDefinitions"])) for it in (made, declared))
    assert mine == theirs
    assert made["BillingModeSummary"]["BillingMode"] == declared["BillingMode"]


@pytest.mark.dynamodb_local
def test_a_table_that_the_engine_refuses_is_told_in_one_line(dynamodb_local_url: str) -> None:
    refusal = pytest.raises(aws.EngineUnavailable, match=r"^DynamoDB refuses: \w+\.$")
    with closing(aws.client("dynamodb", dynamodb_local_url)) as dynamodb, refusal:
        aws.make_table(dynamodb, "no")


def test_no_web_page_reads_what_the_engine_holds(moto_url: str) -> None:
    answer = requests.post(moto_url, headers={"Origin": "https://a.example"}, timeout=5)
    assert (answer.status_code, answer.content) == (403, b"")


def test_each_mini_program_has_its_secret_and_those_that_exist_are_kept(moto_url: str) -> None:
    def held(name: str) -> Any:
        return json.loads(manager.get_secret_value(SecretId=f"made/{name}")["SecretString"])

    with closing(aws.client("secretsmanager", moto_url)) as manager:
        aws.make_secrets(manager, "made/", {"wx1": "old"})
        signing = held("signing")
        aws.make_secrets(manager, "made/", {"wx1": "new", "wx2": "new"})
        assert [held(f"app/{n}")["appsecret"] for n in ("wx1", "wx2")] == ["old", "new"]
        assert held("signing") == signing


by_name = itemgetter("AttributeName", "AttributeType")
NOWHERE = ["nonsense", "http://", "ftp://127.0.0.1", "http://a b", "http://127.0.0.1:1"]


def test_an_address_where_nobody_or_a_web_server_answers_is_no_engine() -> None:
    with Loopback(answers(b"<html>hello</html>")) as server:
        for url in (*NOWHERE, server.url):
            with pytest.raises(aws.EngineUnavailable):
                aws.has_secrets_manager(url)
