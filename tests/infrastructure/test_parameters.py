"""The check before a deployment: what would take the gate down is refused, in one line."""

import json
import sys
from contextlib import closing, nullcontext
from typing import Any

import pytest

from infrastructure import parameters
from infrastructure.parameters import Refused
from infrastructure.parts import Template, parts
from simulator import aws

FIRST = {"AppIds": "wx1,wx2", "UpstreamUrl": "https://api.example.com/base"}


@pytest.fixture(scope="module")
def declared() -> Template:
    return parts()


def check(
    declared: Template, given: dict[str, str], base: dict[str, str] = FIRST, partition: str = "aws"
) -> None:
    pseudo = {"AWS::StackName": "wxgate-test", "AWS::Partition": partition}
    parameters.check(declared, pseudo, given, base)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"UpstreamUrl": "https://10.0.1.5/"}, "malformed: it is a private address"),
        ({"PublicPaths": "news/{a,b}"}, "PUBLIC_PATHS is malformed"),
        ({"AppIds": "wx 1"}, "WX_APPIDS is malformed"),
        ({"TokenTtl": "5"}, "TOKEN_TTL is malformed: write whole seconds from 300"),
        ({"DecryptMaxAge": "0"}, "DECRYPT_MAX_AGE is malformed"),
        ({"WeChatApiUrl": "api.weixin.qq.com"}, "WECHAT_API_URL is malformed"),
        ({"LogLevel": "LOUD"}, "LOG_LEVEL is malformed"),
        ({"Nonsense": "1"}, "There is no parameter Nonsense"),
        ({"AppIds": ""}, "Missing: APPIDS="),
        ({"UpstreamAllowPrivate": "true", "UpstreamUrl": "http://a"}, "needs ProxySubnets"),
        ({"ProxySubnets": "subnet-1"}, "needs ProxySecurityGroup"),
        ({"ProxyVpc": "vpc-1"}, "needs ProxySubnets and ProxyRouteTables"),
        ({"DomainName": "gate.example.com"}, "needs CertificateArn"),
        ({"DisableExecuteApiEndpoint": "true"}, "need DomainName"),
        ({"BasePath": "gate"}, "need DomainName"),
        ({"SnapStart": "true", "ProxyProvisioned": "1"}, "does not do both"),
        ({"SnapStart": "maybe"}, "SnapStart=maybe is malformed: Type String, AllowedVal"),
        ({"AlarmTopic": "x"}, "AlarmTopic=x is malformed: .*, AllowedPattern"),
        ({"UpstreamTimeout": "23"}, "malformed: Type Number, MinValue 1, MaxValue 22"),
        ({"LogRetention": "a month"}, "LogRetention=a month is malformed: Type Number"),
    ],
)
def test_what_the_gate_would_not_start_with_is_refused(
    declared: Template, given: dict[str, str], complaint: str
) -> None:
    with pytest.raises(Refused, match=complaint):
        check(declared, given)


def test_a_snapshot_needs_python_3_12_and_another_country_than_china(declared: Template) -> None:
    old = pytest.raises(Refused, match=r"needs a package of Python 3\.12")
    with nullcontext() if sys.version_info >= (3, 12) else old:
        check(declared, {"SnapStart": "true"})
    with pytest.raises(Refused, match="SnapStart does not exist in China"):
        check(declared, {"SnapStart": "true"}, partition="aws-cn")


def test_the_values_that_result_are_judged_and_a_lost_parameter_is_forgotten(
    declared: Template,
) -> None:
    network = {"ProxySubnets": "subnet-1", "ProxySecurityGroup": "sg-1"}
    private = {"UpstreamUrl": "http://10.0.1.5", "UpstreamAllowPrivate": "true"}
    check(declared, {**private, **network}, {**FIRST, "Architecture": "arm64"})
    with pytest.raises(Refused, match="UPSTREAM_URL is malformed"):
        check(declared, {"UpstreamAllowPrivate": "false"}, {**FIRST, **private})
    with pytest.raises(Refused, match="Missing: APPIDS= UPSTREAM_URL="):
        check(declared, {}, {})


def test_regions_of_every_partition_and_parameters_with_values_are_taken_and_nothing_else() -> None:
    regions = ("us-east-1", "cn-northwest-1", "eusc-de-east-1")
    assert [parameters.partition_of(r) for r in regions] == ["aws", "aws-cn", "aws-eusc"]
    for word in ("", "mars", "us-east", "us-east-1 "):
        with pytest.raises(Refused, match="is not a region"):
            parameters.partition_of(word)
    for word in ("TokenTtl", "=5", "A b=1"):
        with pytest.raises(Refused, match="not a parameter"):
            parameters.parsed([word])


def test_the_present_parameters_are_the_stack_s(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {
        "Parameters": {name: {"Type": "String"} for name in FIRST},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    given: Any = [{"ParameterKey": k, "ParameterValue": v} for k, v in FIRST.items()]
    stack = {"StackName": "wxgate-deployed"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    with closing(aws.client("cloudformation", moto_url)) as client:
        client.create_stack(**stack, TemplateBody=json.dumps(body), Parameters=given)
        assert parameters.present("wxgate-deployed", "us-east-1") == FIRST
        assert parameters.present("wxgate-other", "us-east-1") == {}
        client.delete_stack(**stack)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Refused, match="AWS does not show the stack"):
        parameters.present("wxgate-prod", "us-east-1")
