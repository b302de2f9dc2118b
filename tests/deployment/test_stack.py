"""The commands: what they would do, what they refuse, and what moto can play through."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deployment import stack
from deployment.stack import Refused, Shell, Stack
from deployment.template import ROOT
from simulator import aws
from tests.deployment.conftest import Package

APPIDS = {"AppIds": "wx1,wx2", "UpstreamUrl": "https://api.example.com/base"}


def dry(commands: list[str]) -> Shell:
    return Shell(dry=True, environ={}, say=commands.append)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "deployment.stack", *words]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


# --- what would be done --------------------------------------------------------------------------


def test_deploy_uploads_then_makes_the_stack() -> None:
    commands: list[str] = []
    Stack("prod", "ap-east-1", dry(commands)).deploy(APPIDS, "", "arm64")
    package, deploy = commands
    assert package.startswith("sam package --template-file build/sam.json ")
    assert deploy.startswith("sam deploy --template-file build/packaged.json ")
    assert "--stack-name wxgate-prod" in deploy
    assert """'AppIds="wx1,wx2"' 'UpstreamUrl="https://api.example.com/base"'""" in deploy


def test_deploy_uses_the_bucket_that_it_is_told() -> None:
    commands: list[str] = []
    Stack("prod", "ap-east-1", dry(commands)).deploy(APPIDS, "artifacts", "arm64")
    assert all("--s3-bucket artifacts" in line for line in commands)
    assert not any("--resolve-s3" in line for line in commands)


def test_an_upgrade_leaves_the_parameters_as_they_are() -> None:
    commands: list[str] = []
    Stack("prod", "ap-east-1", dry(commands)).deploy({}, "", "arm64")
    assert "--parameter-overrides" not in commands[1]


@pytest.mark.parametrize(
    ("region", "architecture"),
    [("us-east-1", "arm64"), ("ap-east-1", "arm64"), ("cn-north-1", "x86_64")],
)
def test_china_gets_x86_64_unless_told_otherwise(region: str, architecture: str) -> None:
    assert Stack("prod", region, dry([])).architecture == architecture


def test_secrets_never_stand_in_a_command() -> None:
    commands: list[str] = []
    shell = dry(commands)
    Stack("prod", "us-east-1", shell).secrets(["wx1"], lambda _: "an-appsecret", rotate=False)
    assert [line.split()[4] for line in commands] == ["wxgate-prod/app/wx1", "wxgate-prod/signing"]
    assert not any("an-appsecret" in line or "PRIVATE" in line for line in commands)


def test_destroy_keeps_the_table() -> None:
    commands: list[str] = []
    Stack("prod", "us-east-1", dry(commands)).destroy(lambda _: "", with_data=False)
    assert commands == ["sam delete --stack-name wxgate-prod --no-prompts --region us-east-1"]


def test_destroy_with_data_deletes_the_table_last() -> None:
    commands: list[str] = []
    Stack("prod", "us-east-1", dry(commands)).destroy(lambda _: "", with_data=True)
    assert [line.split()[:3] for line in commands[1:]] == [
        ["aws", "dynamodb", "update-table"],
        ["aws", "dynamodb", "delete-table"],
    ]


def test_logs_follow_the_functions() -> None:
    commands: list[str] = []
    Stack("prod", "us-east-1", dry(commands)).logs()
    assert commands == ["sam logs --stack-name wxgate-prod --tail --region us-east-1"]


@pytest.mark.parametrize("target", ["deploy", "secrets", "logs", "destroy"])
def test_a_make_target_shows_what_it_would_do(target: str) -> None:
    words = ["STAGE=prod", "REGION=cn-north-1", "DRY_RUN=1", "APPIDS=wx1"]
    line = ["make", "-s", "-o", ".venv/installed", target, *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "wxgate-prod" in done.stdout
    assert "--region cn-north-1" in done.stdout


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["", "Prod", "-prod", "a" * 21, "pröd"])
def test_a_malformed_stage_is_told(stage: str) -> None:
    with pytest.raises(Refused, match="STAGE is missing or malformed"):
        Stack(stage, "us-east-1", dry([]))


@pytest.mark.parametrize("region", ["", "mars", "us-east", "us-east-1 "])
def test_a_malformed_region_is_told(region: str) -> None:
    with pytest.raises(Refused, match="REGION is missing or malformed"):
        Stack("prod", region, dry([]))


def test_what_is_refused_is_one_line_and_status_1() -> None:
    done = command("deploy", "--stage", "prod", "--region", "")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AppIds", "wx 1", "one to five appids"),
        ("AppIds", "", "it is empty"),
        ("UpstreamUrl", "api.example.com", "https://host"),
        ("TokenTtl", "5", "write 300 to 2592000"),
        ("TokenTtl", "an hour", "a whole number"),
        ("FixedEgress", "yes", "write one of true, false"),
        ("ThrottleRate", "0", "write 1 or more"),
        ("Architecture", "x86_64", "There is no parameter Architecture"),
        ("Nonsense", "1", "There is no parameter Nonsense"),
    ],
)
def test_a_wrong_parameter_is_told_before_anything_is_uploaded(
    name: str, value: str, told: str
) -> None:
    with pytest.raises(Refused, match=told):
        stack.check_parameters({name: value})


@pytest.mark.parametrize("name", ["AppIds", "UpstreamUrl", "AlarmTopic", "PublicPaths"])
def test_the_right_parameters_pass(name: str) -> None:
    values = {**APPIDS, "AlarmTopic": "arn:aws-cn:sns:cn-north-1:1:x", "PublicPaths": "news,a/*"}
    stack.check_parameters({name: values[name]})


@pytest.mark.parametrize("word", ["TokenTtl", "=5", 'AppIds="', "A b=1"])
def test_a_word_that_is_no_parameter_is_told(word: str) -> None:
    with pytest.raises(Refused, match="no parameter"):
        stack.parsed_parameters([word])


def test_a_word_without_a_value_changes_nothing() -> None:
    assert stack.parsed_parameters(["AppIds=", "TokenTtl=600"]) == {"TokenTtl": "600"}


def test_a_missing_tool_is_told(tmp_path: Path) -> None:
    shell = Shell(dry=False, environ={}, tools=tmp_path)
    with pytest.raises(Refused, match="sam is not installed: make tools"):
        Stack("prod", "us-east-1", shell).logs()


def test_chalice_deploy_is_refused_in_one_line() -> None:
    chalice = str(Path(sys.executable).with_name("chalice"))
    environ = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [chalice, "deploy", "--stage", "package"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "make deploy STAGE=" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- a tool that answers as AWS would ------------------------------------------------------------


def tool(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return folder


def shell_with(folder: Path) -> Shell:
    return Shell(dry=False, environ={"PATH": os.environ["PATH"]}, tools=folder)


def test_wrong_credentials_are_told_and_nothing_is_done(tmp_path: Path) -> None:
    tools = tool(tmp_path, "aws", 'echo "Unable to locate credentials" >&2; exit 255')
    with pytest.raises(Refused, match="No usable AWS credentials for us-east-1: Unable to locate"):
        Stack("prod", "us-east-1", shell_with(tools)).deploy(APPIDS, "", "arm64")


def test_a_wrong_bucket_is_told_and_nothing_is_done(tmp_path: Path) -> None:
    tools = tool(tmp_path, "aws", 'case $1 in s3api) echo "Not Found" >&2; exit 1;; esac')
    with pytest.raises(Refused, match="The bucket artifacts is of no use: Not Found"):
        Stack("prod", "us-east-1", shell_with(tools)).deploy(APPIDS, "artifacts", "arm64")


def test_a_first_deployment_without_its_parameters_is_told(tmp_path: Path) -> None:
    missing = 'case $1 in cloudformation) echo "Stack x does not exist" >&2; exit 1;; esac'
    shell = shell_with(tool(tmp_path, "aws", missing))
    with pytest.raises(Refused, match="first deployment needs APPIDS and UPSTREAM_URL"):
        Stack("prod", "us-east-1", shell).deploy({}, "", "arm64")


def test_destroy_does_nothing_until_the_name_is_typed(tmp_path: Path) -> None:
    tools = tool(tmp_path, "aws", "echo a-table")
    tool(tmp_path, "sam", f"touch {tmp_path}/deleted")
    with pytest.raises(Refused, match="Not confirmed"):
        Stack("prod", "us-east-1", shell_with(tools)).destroy(lambda _: "yes", with_data=False)
    assert not (tmp_path / "deleted").exists()


def test_destroy_asks_with_the_name_of_the_table(tmp_path: Path) -> None:
    tools = tool(tmp_path, "aws", "echo a-table")
    tool(tmp_path, "sam", f"touch {tmp_path}/deleted")
    asked: list[str] = []

    def confirm(question: str) -> str:
        asked.append(question)
        return "wxgate-prod\n"

    Stack("prod", "us-east-1", shell_with(tools)).destroy(confirm, with_data=False)
    assert (tmp_path / "deleted").exists()
    assert "its table a-table is kept" in asked[0]


def test_a_tool_that_fails_fails_the_command(tmp_path: Path) -> None:
    shell = shell_with(tool(tmp_path, "sam", "exit 3"))
    with pytest.raises(stack.Failed, match="sam logs failed"):
        Stack("prod", "us-east-1", shell).logs()


# --- the real tools, before moto -----------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> None:
    """The AWS CLI and the SAM CLI (make tools); skipped where they are missing, but not in CI."""
    if not (stack.TOOLS / "sam").exists() and os.environ.get("CI") != "true":
        pytest.skip("make tools installs the AWS CLI and the SAM CLI: their tests are skipped")


@pytest.fixture
def moto(moto_url: str, real: None) -> Shell:
    return Shell(
        dry=False,
        environ={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": moto_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
    )


@pytest.fixture
def manager(moto_url: str) -> Iterator[Any]:
    """Secrets Manager with the secrets of a stack, as CloudFormation makes them."""
    with closing(aws.client("secretsmanager", moto_url)) as client:
        for name in ("app/wx1", "signing"):
            with suppress(client.exceptions.ResourceExistsException):
                client.create_secret(Name=f"wxgate-moto/{name}")
        yield client


def value(manager: Any, name: str) -> Any:
    return json.loads(manager.get_secret_value(SecretId=f"wxgate-moto/{name}")["SecretString"])


def test_secrets_are_put_where_the_gate_reads_them(moto: Shell, manager: Any) -> None:
    gate = Stack("moto", "us-east-1", moto)
    gate.secrets(["wx1"], lambda _: "an-appsecret\n", rotate=True)
    assert value(manager, "app/wx1") == {"appsecret": "an-appsecret"}
    key = load_pem_private_key(value(manager, "signing")["private_key"].encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    assert isinstance(key.curve, SECP256R1)


def test_a_signing_key_is_replaced_only_when_asked(moto: Shell, manager: Any) -> None:
    gate = Stack("moto", "us-east-1", moto)
    kids = []
    for rotate in (True, False, True):
        gate.secrets(["wx1"], lambda _: "", rotate=rotate)
        kids.append(value(manager, "signing")["kid"])
    assert kids[0] == kids[1] != kids[2]


def test_a_malformed_appsecret_is_refused(moto: Shell) -> None:
    with pytest.raises(Refused, match="appsecret of wx1 is malformed"):
        Stack("moto", "us-east-1", moto).secrets(["wx1"], lambda _: "短", rotate=False)


@pytest.mark.usefixtures("manager")
def test_a_secret_that_does_not_exist_fails(moto: Shell) -> None:
    with pytest.raises(stack.Failed):
        Stack("moto", "us-east-1", moto).secrets(["wx9"], lambda _: "an-appsecret", rotate=False)


def test_the_appids_are_asked_of_the_stack(moto: Shell, moto_url: str) -> None:
    parameters = [{"ParameterKey": "AppIds", "ParameterValue": "wx1,,wx2"}]
    body = {
        "Parameters": {"AppIds": {"Type": "String"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    with closing(aws.client("cloudformation", moto_url)) as client:
        client.create_stack(
            StackName="wxgate-apps", TemplateBody=json.dumps(body), Parameters=parameters
        )
    assert Stack("apps", "us-east-1", moto)._appids() == ["wx1", "wx2"]


def test_the_package_is_uploaded(moto: Shell, moto_url: str, built: Package) -> None:
    with closing(aws.client("s3", moto_url)) as client:
        client.create_bucket(Bucket="artifacts")
        packaged = built.folder.parent / "packaged.json"
        moto.change(
            *("sam", "package", "--template-file", str(built.folder.parent / "sam.json")),
            *("--output-template-file", str(packaged), "--use-json", "--s3-bucket", "artifacts"),
            *("--s3-prefix", "wxgate-moto", "--region", "us-east-1"),
        )
        uri = json.loads(packaged.read_text())["Resources"]["Login"]["Properties"]["CodeUri"]
        key = uri.removeprefix("s3://artifacts/")
        stored = client.get_object(Bucket="artifacts", Key=key)["Body"].read()
        client.delete_object(Bucket="artifacts", Key=key)  # moto keeps a file open for it
    assert stored == built.archive.read_bytes()
