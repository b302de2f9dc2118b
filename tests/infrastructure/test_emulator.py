"""The commands against an AWS emulator that is not ours: ministack runs the stack that SAM makes.

What it does not do is checked elsewhere: CodeDeploy, SnapStart, WAF and gateway responses on the
transformed template. It knows no metric math, so the stacks here have no alarms.
"""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from infrastructure.rehearsal import Surroundings
from infrastructure.template import ROOT
from simulator.desk import DEFAULT_APP
from simulator.dynamodb_local import free_port
from simulator.wechat import appsecret_of
from tests.conftest import Phone

MINISTACK = ("--from", "ministack==1.5.33", "--with", "aws-sam-translator==1.115.0", "ministack")

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(
        "true" not in (os.environ.get("CI"), os.environ.get("EMULATOR")),
        reason="deploys into an AWS emulator, minutes long: EMULATOR=true",
    ),
]


def uvx() -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which("uvx", path=path)
    assert found, "uvx is missing"
    return found


@dataclass(frozen=True)
class Cloud:
    """The emulator: its port, and an environment in which AWS's tools find it."""

    port: int
    environ: dict[str, str]

    def make(self, target: str, stage: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours on a stage."""
        place = (f"STAGE={stage}", "REGION=us-east-1", "ARCHITECTURE=x86_64")
        line = ["make", "-s", "-o", ".venv/tests.installed", target, *place, *words]
        return subprocess.run(
            line,
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            input="y\n" * 9,
        )

    def deploy(self, stage: str, *parameters: str, **words: str) -> str:
        """Deploy, and see that it succeeded."""
        options = [f"PARAMETERS={' '.join(parameters)}", *(f"{k}={v}" for k, v in words.items())]
        done = self.make("deploy", stage, *options)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def client(self, service: Any) -> Any:
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{self.port}"
        )

    def stack(self, stage: str) -> Any:
        with closing(self.client("cloudformation")) as client:
            (found,) = client.describe_stacks(StackName=f"wxgate-{stage}")["Stacks"]
            return found

    def parameters(self, stage: str) -> dict[str, str]:
        return {p["ParameterKey"]: p["ParameterValue"] for p in self.stack(stage)["Parameters"]}

    def send(
        self, stage: str, method: str, path: str, token: str = "", body: object = None
    ) -> requests.Response:
        """Send a request through the emulated API Gateway."""
        outputs = {o["OutputKey"]: o["OutputValue"] for o in self.stack(stage)["Outputs"]}
        api = outputs["EndpointURL"].removeprefix("https://").partition(".")[0]
        headers = {"Host": f"{api}.execute-api.localhost:{self.port}"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}/v1{path}"
        return requests.request(method, url, headers=headers, json=body, timeout=60)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home, port = tmp_path_factory.mktemp("ministack"), free_port()
    # uv and SAM CLI need what the machine sets: certificates, caches.
    environ = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    server = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(home)}
    with subprocess.Popen(
        [uvx(), "--python", sys.executable, *MINISTACK],
        cwd=home,
        env={**environ, **server},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        url = environ["AWS_ENDPOINT_URL"]
        for _ in range(240):
            with suppress(requests.ConnectionError):
                requests.get(url, timeout=5)
                break
            time.sleep(0.25)
        yield Cloud(port, environ)
        os.killpg(process.pid, signal.SIGTERM)


def answer_at_the_prompt(cloud: Cloud, stage: str, answer: str) -> None:
    """Run `make secrets` on a terminal, as a person would."""
    line = [
        "make",
        "-s",
        "-o",
        ".venv/tests.installed",
        "secrets",
        f"STAGE={stage}",
        "REGION=us-east-1",
    ]
    mine, theirs = pty.openpty()
    with subprocess.Popen(
        line,
        cwd=ROOT,
        env=cloud.environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"leave it): " not in shown:
            shown += os.read(mine, 1024)
        os.write(mine, f"{answer}\n".encode())
        with suppress(OSError):  # a terminal that closed
            while more := os.read(mine, 1024):
                shown += more
    os.close(mine)
    assert process.returncode == 0, shown
    assert answer.encode() not in shown


@pytest.fixture(scope="module")
def first(cloud: Cloud, around: Surroundings) -> str:
    """A stage, deployed and with its secrets."""
    cloud.deploy(
        "one",
        "Alarms=false",
        "UpstreamAllowPrivate=true",
        "ProxySubnets=subnet-1",
        "ProxySecurityGroup=sg-1",
        f"WeChatApiUrl={around.wechat_url}",
        APPIDS=DEFAULT_APP,
        UPSTREAM_URL=around.upstream_url,
    )
    answer_at_the_prompt(cloud, "one", appsecret_of(DEFAULT_APP))
    return "one"


def log_in(cloud: Cloud, stage: str, phone: Phone) -> str:
    answer = cloud.send(stage, "POST", "/login", body={"code": phone.code()})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


@pytest.fixture
def phone(around: Surroundings) -> Phone:
    return Phone(around.wechat_url)


def test_every_route_works_through_the_emulated_api_gateway(
    cloud: Cloud, first: str, phone: Phone
) -> None:
    token = log_in(cloud, first, phone)
    echo = cloud.send(first, "GET", "/api/orders/7?a=2", token).json()
    assert (echo["path"], echo["query"]) == ("/orders/7", "a=2")
    assert echo["headers"]["X-WX-OPENID"]
    sealed = phone.do("getPhoneNumber")
    body = {"kind": "phone", "encryptedData": sealed["encryptedData"], "iv": sealed["iv"]}
    opened = cloud.send(first, "POST", "/decrypt", token, body)
    assert opened.json()["data"]["purePhoneNumber"]
    assert cloud.send(first, "GET", "/session", token).json() == {"valid": True}
    assert len(cloud.send(first, "GET", "/.well-known/jwks.json").json()["keys"]) == 1
    assert cloud.send(first, "POST", "/logout", token, {}).status_code == 204
    assert cloud.send(first, "GET", "/api/orders/7", token).status_code == 401


def test_an_upgrade_sends_empty_values_too_and_can_be_rolled_back(cloud: Cloud, first: str) -> None:
    cloud.deploy(first, "PublicPaths=news/*")
    assert cloud.send(first, "GET", "/api/news/1").status_code == 200
    cloud.deploy(first, "PublicPaths=")
    assert cloud.parameters(first)["PublicPaths"] == ""
    assert cloud.parameters(first)["UpstreamAllowPrivate"] == "true"
    assert cloud.send(first, "GET", "/api/news/1").status_code == 401
    done = cloud.make("rollback", first)
    assert done.returncode == 0, done.stderr
    assert cloud.send(first, "GET", "/api/news/1").status_code == 200


def test_a_refused_upgrade_changes_nothing(cloud: Cloud, first: str) -> None:
    before = cloud.stack(first)
    done = cloud.make("deploy", first, "PARAMETERS=UpstreamAllowPrivate=false")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("UPSTREAM_URL is malformed")
    assert cloud.stack(first) == before


def test_a_stage_beside_it_comes_and_goes_and_leaves_its_table(cloud: Cloud, first: str) -> None:
    cloud.deploy(
        "two",
        "Alarms=false",
        "AccountLogRole=false",
        APPIDS="wx2",
        UPSTREAM_URL="https://a.example",
    )
    assert cloud.send("two", "GET", "/health").status_code == 200
    table = next(
        o["OutputValue"] for o in cloud.stack("two")["Outputs"] if o["OutputKey"] == "SessionsTable"
    )
    done = cloud.make("destroy", "two")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cloud.send(first, "GET", "/health").status_code == 200
    with closing(cloud.client("dynamodb")) as dynamodb:
        assert table in dynamodb.list_tables()["TableNames"]


def test_the_data_go_too_if_that_is_wanted(cloud: Cloud, first: str) -> None:
    done = cloud.make("destroy", first, "DATA=delete")
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(cloud.client("dynamodb")) as dynamodb:
        tables = dynamodb.list_tables()["TableNames"]
    assert not [name for name in tables if name.startswith("wxgate-one")]
    with closing(cloud.client("secretsmanager")) as manager:
        names = [secret["Name"] for secret in manager.list_secrets()["SecretList"]]
    assert not [name for name in names if name.startswith("wxgate-one/")]
