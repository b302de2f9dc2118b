"""The commands: what they would do without AWS, and what moto can play through."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chalicelib.network.secrets import Version
from chalicelib.wechat.push import PushKey
from infrastructure import destroy, package, redrive, rollback, secrets, template
from infrastructure.parameters import Refused
from infrastructure.parts import Template
from infrastructure.secrets import Vault
from infrastructure.template import ROOT
from simulator import aws
from tests.support.desk import ENVIRONMENT
from tests.support.fakes import client_error

PLACE = ("STAGE=prod", "REGION=cn-north-1")


def make(target: str, *words: str) -> subprocess.CompletedProcess[str]:
    line = ["make", "-s", "-o", ".venv/tests.installed", target, "DRY_RUN=1", *words]
    # Not the environment of now: a desk of other tests in this process may have set its variables.
    return subprocess.run(
        line, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def test_deploy_checks_and_then_has_sam_upload_and_deploy() -> None:
    values = ("UPSTREAM_URL=https://a.example", "PARAMETERS=PublicPaths= TokenTtl=600")
    done = make("deploy", *PLACE, "APPIDS=wx1", *values)
    assert done.returncode == 0, done.stderr
    assert "sam deploy --stack-name wxgate-prod --region cn-north-1 " in done.stdout
    assert "--parameter-overrides file://build/wxgate-prod.yaml " in done.stdout
    assert done.stdout.endswith("--resolve-s3\n")
    sent = json.loads((ROOT / "build/wxgate-prod.yaml").read_text())
    given = {"AppIds": "wx1", "UpstreamUrl": "https://a.example"}
    assert sent == {**given, "PublicPaths": "", "TokenTtl": "600"}


def test_deploy_takes_the_bucket_the_tags_and_the_role_that_are_named() -> None:
    options = ("BUCKET=artifacts", "TAGS=team=a cost=b", "ROLE_ARN=arn:aws:iam::1:role/r")
    done = make("deploy", *PLACE, *options)
    assert done.returncode == 0, done.stderr
    assert "--tags wxgate:stage=prod team=a cost=b --role-arn arn:aws:iam::1:role/r " in done.stdout
    assert done.stdout.endswith("--s3-bucket artifacts\n")


WITH_DATA = "python -m infrastructure.destroy --stack wxgate-prod --region cn-north-1 -- "


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["secrets"], "put-secret-value wxgate-prod/app/<appid>\n"),
        (["rollback"], "update-alias wxgate-prod-"),
        (["destroy"], "build/tools/bin/sam delete --stack-name wxgate-prod --region cn-north-1"),
        (["destroy", "DATA=delete"], f".venv/bin/{WITH_DATA}build/tools/bin/sam delete "),
    ],
)
def test_a_dry_run_shows_what_would_be_done(words: list[str], shown: str) -> None:
    done = make(*words, *PLACE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(shown)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["deploy", *PLACE, "PARAMETERS=TokenTtl=5"], "TOKEN_TTL is malformed"),
        (["rollback", PLACE[1]], "STAGE is missing"),
        (["rollback", PLACE[0]], "REGION is missing"),
    ],
)
def test_a_refusal_is_one_line_and_nothing_is_done(words: list[str], line: str) -> None:
    done = make(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr.partition("\n")[0]


def test_the_revision_differs_if_the_parameters_or_the_package_do(tmp_path: Path) -> None:
    parameters, archive = tmp_path / "parameters.yaml", tmp_path / "deployment.zip"
    revisions = []
    for values, content in (({}, b"1"), ({}, b"1"), ({"A": ""}, b"1"), ({}, b"2")):
        parameters.write_text(json.dumps(values))
        archive.write_bytes(content)
        package.revise(parameters, archive)
        revised = json.loads(parameters.read_text())
        revisions.append(revised.pop("Revision"))
        assert revised == values
    assert revisions[0] == revisions[1]
    assert len(set(revisions)) == 3


def test_with_another_revision_the_api_is_deployed_anew(sam: Template, tmp_path: Path) -> None:
    """Its routes depend on a parameter, of which SAM sees nothing."""
    deployments = set()
    for revision in ("r1", "r2"):
        (tmp_path / "sam.json").write_text(json.dumps(sam))
        package.redeploy(tmp_path / "sam.json", revision)
        stack = template.transformed(json.loads((tmp_path / "sam.json").read_text()), "us-east-1")
        deployments |= {n for n in stack["Resources"] if n.startswith("RestAPIDeployment")}
    assert len(deployments) == 2


class Lambda:
    """Functions with versions and an alias each, as far as a rollback sees."""

    def __init__(self, live: dict[str, str]) -> None:
        self.live = live

    def get_alias(self, FunctionName: str, Name: str) -> dict[str, str]:
        assert Name == "live"
        if FunctionName not in self.live:
            raise client_error("ResourceNotFoundException")
        return {"FunctionVersion": self.live[FunctionName]}

    def get_paginator(self, operation: str) -> "Lambda":
        assert operation == "list_versions_by_function"
        return self

    def paginate(self, FunctionName: str) -> list[dict[str, list[dict[str, str]]]]:
        return [{"Versions": [{"Version": name} for name in names]} for names in PAGES]

    def update_alias(self, *, FunctionName: str, FunctionVersion: str, **rest: Any) -> None:
        assert rest == {"Name": "live", "RoutingConfig": {"AdditionalVersionWeights": {}}}
        self.live[FunctionName] = FunctionVersion


PAGES = (["$LATEST", "8", "9"], ["10", "11"])
NAMES = [f"wxgate-test-{n}" for n in ("login", "decrypt", "proxy", "events", "deliver")]


@pytest.mark.parametrize("names", [NAMES, NAMES[:3]], ids=["with events", "without"])
def test_a_rollback_goes_to_the_version_before_the_live_one_of_all_or_none(
    names: list[str],
) -> None:
    functions = Lambda(dict.fromkeys(names, "10") | {NAMES[2]: "8"})
    before = dict(functions.live)
    with pytest.raises(Refused, match="wxgate-test-proxy has no version before 8"):
        rollback.roll_back(functions, "wxgate-test")
    assert functions.live == before
    functions.live[NAMES[2]] = "10"
    rollback.roll_back(functions, "wxgate-test")
    assert functions.live == dict.fromkeys(names, "9")
    with pytest.raises(ClientError):  # every stack has the first three
        rollback.roll_back(Lambda(dict.fromkeys(names[:2], "10")), "wxgate-test")


def test_chalice_deploy_is_refused_in_one_line() -> None:
    chalice = str(Path(sys.executable).with_name("chalice"))
    environ = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    line = [chalice, "deploy", "--stage", "package"]
    done = subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "make deploy STAGE=" in done.stderr


@pytest.fixture
def manager(moto_url: str) -> Iterator[Any]:
    with closing(aws.client("secretsmanager", moto_url)) as client:
        yield client
        for name in ("app/wx1", "push/wx1", "signing"):
            client.delete_secret(SecretId=f"wxgate-test/{name}", ForceDeleteWithoutRecovery=True)


def value(manager: Any, name: str) -> Any:
    return json.loads(manager.get_secret_value(SecretId=f"wxgate-test/{name}")["SecretString"])


def update(manager: Any, appsecret: str, *, rotate: bool = False) -> None:
    vault = Vault(manager, "wxgate-test", [{"Key": "team", "Value": "a"}])
    secrets.update(vault, ["wx1"], lambda _: appsecret, rotate=rotate)


def test_secrets_are_put_where_the_gate_reads_them_and_are_not_shown(
    manager: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for appsecret in ("an-appsecret\n", "another-appsecret"):
        update(manager, appsecret)
        assert value(manager, "app/wx1") == {"appsecret": appsecret.strip()}
    key = load_pem_private_key(value(manager, "signing")["private_key"].encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    assert isinstance(key.curve, SECP256R1)
    tags = manager.describe_secret(SecretId="wxgate-test/app/wx1")["Tags"]
    assert tags == [{"Key": "team", "Value": "a"}]
    said = capsys.readouterr()
    assert "wxgate-test/app/wx1 is set." in said.out
    assert "an-appsecret" not in said.out + said.err
    assert "PRIVATE" not in said.out + said.err


def test_a_signing_key_is_replaced_only_when_asked(manager: Any) -> None:
    kids = []
    for rotate in (False, False, True):
        update(manager, "", rotate=rotate)
        kids.append(value(manager, "signing")["kid"])
    assert kids[0] == kids[1] != kids[2]


def test_a_deleted_secret_comes_back_by_its_next_value(manager: Any) -> None:
    update(manager, "an-appsecret")
    destroy.delete_secrets(manager, "wxgate-te")  # another stack; "wxgate" is the desk's
    assert value(manager, "app/wx1") == {"appsecret": "an-appsecret"}
    destroy.delete_secrets(manager, "wxgate-test")
    with pytest.raises(manager.exceptions.InvalidRequestException):
        value(manager, "signing")
    update(manager, "another-appsecret")
    assert value(manager, "app/wx1") == {"appsecret": "another-appsecret"}
    assert value(manager, "signing")["kid"]


PUSH = {"token": "a" * 32, "aes_key": "B" * 43}


def update_push(manager: Any, *typed: str, rotate: bool = False) -> None:
    vault, answers = Vault(manager, "wxgate-test"), iter(typed)
    secrets.update_pushes(vault, ["wx1"], lambda _: next(answers), rotate=rotate)


def test_a_push_secret_that_is_typed_is_put_and_not_shown(
    manager: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    update_push(manager, PUSH["token"] + "\n", PUSH["aes_key"])
    assert value(manager, "push/wx1") == PUSH
    shown = capsys.readouterr().out
    assert not [secret for secret in PUSH.values() if secret in shown]


def test_a_push_secret_that_is_generated_is_shown_once_and_is_the_gates(
    manager: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    update_push(manager, "")
    made = value(manager, "push/wx1")
    key = PushKey.parse(Version("push/wx1", made, 0))
    assert (len(key.token), len(key.aes)) == (32, 32)
    assert all(text in capsys.readouterr().out for text in [made["token"]])
    update_push(manager, "")
    assert (value(manager, "push/wx1"), capsys.readouterr().out) == (made, "")
    update_push(manager, "", rotate=True)
    assert value(manager, "push/wx1") != made
    stages = manager.get_secret_value(SecretId="wxgate-test/push/wx1", VersionStage="AWSPREVIOUS")
    assert json.loads(stages["SecretString"]) == made


@pytest.mark.parametrize(
    "typed", [("a!", "B" * 43), ("ab", "B" * 43), ("abc", "B" * 42), ("abc", "")]
)
def test_a_malformed_secret_is_refused(manager: Any, typed: tuple[str, str]) -> None:
    with pytest.raises(Refused, match="appsecret of wx1 is malformed"):
        update(manager, "短")
    with pytest.raises(Refused, match="push secret of wx1 is malformed"):
        update_push(manager, *typed)


class DeadLetters:
    """SQS, as far as a redrive sees: moto does not move messages back."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = messages
        self.moved: list[str] = []

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: list[str]) -> Any:
        known = {"ApproximateNumberOfMessages": str(len(self.messages)), "QueueArn": "arn:dead"}
        return {"Attributes": {name: known[name] for name in AttributeNames}}

    def receive_message(self, **options: Any) -> Any:
        assert options["VisibilityTimeout"] == 0
        return {"Messages": list(self.messages)} if self.messages else {}

    def start_message_move_task(self, *, SourceArn: str) -> None:
        self.moved.append(SourceArn)


def test_dead_letters_are_shown_without_their_contents_and_moved_where_they_came_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    attributes = {n: {"StringValue": f"the-{n}"} for n in ("appid", "id", "openid")}
    letter = {"Attributes": {"SentTimestamp": "1900000000000"}, "Body": "canary"}
    sqs = DeadLetters({**letter, "MessageAttributes": attributes}, letter)
    redrive.show(sqs, "https://sqs.test/dead")
    assert capsys.readouterr().out.splitlines() == [
        "Not delivered: 2",
        "2030-03-17 17:46:40Z  the-appid  the-id",
        "2030-03-17 17:46:40Z  -  -",
    ]
    redrive.show(DeadLetters(), "https://sqs.test/dead")
    assert capsys.readouterr().out == "Not delivered: 0\n"
    assert sqs.moved == []
    redrive.send(sqs, "https://sqs.test/dead")
    assert sqs.moved == ["arn:dead"]


@pytest.mark.parametrize("command", [redrive, secrets])
def test_a_stack_that_is_missing_is_named(moto_url: str, command: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    with pytest.raises(SystemExit, match="There is no stack wxgate-typo in eu-west-1: make deploy"):
        command.main(["--stack", "wxgate-typo", "--region", "eu-west-1"])


def test_the_table_is_deleted_though_it_is_protected(moto_url: str) -> None:
    with closing(aws.client("dynamodb", moto_url)) as dynamodb:
        aws.make_table(dynamodb, "wxgate-test-sessions")
        destroy.delete_table(dynamodb, "wxgate-test-sessions")
        assert "wxgate-test-sessions" not in dynamodb.list_tables()["TableNames"]
