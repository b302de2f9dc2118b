"""The check before a deployment: what would take the gate down is refused, in one line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infrastructure import parameters
from infrastructure.parameters import Refused
from infrastructure.parts import Template, parts
from infrastructure.template import ROOT
from simulator import aws

FIRST = {"AppIds": "wx1,wx2", "UpstreamUrl": "https://api.example.com/base"}


@pytest.fixture(scope="module")
def declared() -> Template:
    return parts()


def check(
    declared: Template,
    given: dict[str, str],
    base: dict[str, str] = FIRST,
    partition: str = "aws",
) -> None:
    pseudo = {"AWS::StackName": "wxgate-test", "AWS::Partition": partition}
    parameters.check(declared, pseudo, given, base)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"UpstreamUrl": "http://api.example.com"}, "UPSTREAM_URL is malformed"),
        (
            {"UpstreamUrl": "https://10.0.1.5/"},
            "UPSTREAM_URL is malformed: it is a private address",
        ),
        ({"UpstreamUrl": "https://api.example.com:99999"}, "UPSTREAM_URL is malformed"),
        ({"PublicPaths": "news/{a,b}"}, "PUBLIC_PATHS is malformed"),
        ({"AppIds": "wx 1"}, "WX_APPIDS is malformed"),
        ({"TokenTtl": "5"}, "TOKEN_TTL is malformed: write whole seconds from 300"),
        ({"DecryptMaxAge": "0"}, "DECRYPT_MAX_AGE is malformed"),
        ({"UpstreamTimeout": "forty"}, "UPSTREAM_TIMEOUT is malformed"),
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
    ],
)
def test_what_the_gate_would_not_start_with_is_refused(
    declared: Template, given: dict[str, str], complaint: str
) -> None:
    with pytest.raises(Refused, match=complaint):
        check(declared, given)


def test_a_snapshot_needs_python_3_12(declared: Template) -> None:
    if sys.version_info >= (3, 12):
        check(declared, {"SnapStart": "true"})
    else:
        with pytest.raises(Refused, match=r"needs a package of Python 3\.12"):
            check(declared, {"SnapStart": "true"})


def test_china_has_no_snapshots(declared: Template) -> None:
    with pytest.raises(Refused, match="SnapStart does not exist in China"):
        check(declared, {"SnapStart": "true"}, partition="aws-cn")


def test_a_private_upstream_is_taken_with_its_subnets(declared: Template) -> None:
    network = {"ProxySubnets": "subnet-1", "ProxySecurityGroup": "sg-1"}
    private = {"UpstreamUrl": "http://10.0.1.5", "UpstreamAllowPrivate": "true"}
    check(declared, {**private, **network})


def test_a_first_deployment_needs_what_has_no_default(declared: Template) -> None:
    with pytest.raises(Refused, match="Missing: APPIDS= UPSTREAM_URL="):
        check(declared, {}, {})


@pytest.mark.parametrize(
    ("base", "given"),
    [({"UpstreamAllowPrivate": "true"}, {"UpstreamAllowPrivate": "false"}), ({}, {})],
)
def test_the_values_that_result_are_judged_and_not_the_given_ones_alone(
    declared: Template, base: dict[str, str], given: dict[str, str]
) -> None:
    private = {**FIRST, "UpstreamUrl": "http://10.0.1.5", **base}
    with pytest.raises(Refused, match="UPSTREAM_URL is malformed"):
        check(declared, given, private)


def test_a_parameter_that_the_template_no_longer_has_is_forgotten(declared: Template) -> None:
    check(declared, {}, {**FIRST, "Architecture": "arm64"})


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-east-1", "aws"), ("cn-northwest-1", "aws-cn"), ("eusc-de-east-1", "aws-eusc")],
)
def test_regions_of_every_partition_are_taken(region: str, partition: str) -> None:
    assert parameters.partition_of(region) == partition


@pytest.mark.parametrize("region", ["", "mars", "us-east", "us-east-1 "])
def test_what_is_no_region_is_refused(region: str) -> None:
    with pytest.raises(Refused, match="is not a region"):
        parameters.partition_of(region)


@pytest.mark.parametrize("word", ["TokenTtl", "=5", "A b=1"])
def test_a_word_that_is_no_parameter_is_refused(word: str) -> None:
    with pytest.raises(Refused, match="not a parameter"):
        parameters.parsed([word])


def command(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = ["--stack", "wxgate-test", "--region", "us-east-1", "--out", str(out)]
    line = [sys.executable, "-m", "infrastructure.parameters", *options, *words]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_empty_values_are_sent(tmp_path: Path) -> None:
    out = tmp_path / "parameters.yaml"
    done = command(out, "--dry-run", "PublicPaths=", "TokenTtl=600")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(out.read_text()) == {"PublicPaths": "", "TokenTtl": "600"}


def test_a_refusal_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "parameters.yaml"
    done = command(out, "--dry-run", "TokenTtl=5")
    assert (done.returncode, done.stdout, out.exists()) == (1, "", False)
    assert len(done.stderr.splitlines()) == 1


# --- the stack's present parameters --------------------------------------------------------------


@pytest.fixture
def deployed(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stack with parameters, as CloudFormation keeps them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    body = {
        "Parameters": {name: {"Type": "String"} for name in FIRST},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    with closing(aws.client("cloudformation", moto_url)) as client:
        client.create_stack(
            StackName="wxgate-deployed",
            TemplateBody=json.dumps(body),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in FIRST.items()],
        )
        yield client
        client.delete_stack(StackName="wxgate-deployed")


@pytest.mark.usefixtures("deployed")
def test_the_present_parameters_are_the_stack_s() -> None:
    assert parameters.present("wxgate-deployed", "us-east-1") == FIRST
    assert parameters.present("wxgate-other", "us-east-1") == {}


def test_an_account_that_cannot_be_asked_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Refused, match="AWS does not show the stack"):
        parameters.present("wxgate-prod", "us-east-1")
