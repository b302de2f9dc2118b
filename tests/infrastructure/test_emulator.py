"""The commands against an AWS emulator that is not ours: ministack runs the stack that SAM makes.

What it does not do is checked elsewhere: CodeDeploy, SnapStart, WAF and gateway responses on the
transformed template. It knows no metric math, so the stacks here have no alarms. Its API Gateway
makes no ANY of a path's any-method: the rehearsal asks for methods without a route.
"""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import jwt
import pytest
import requests

from infrastructure.package import here
from infrastructure.rehearsal import Surroundings
from infrastructure.template import ROOT
from simulator.desk import DEFAULT_APP
from simulator.dynamodb_local import free_port
from simulator.wechat import appsecret_of
from tests.infrastructure.conftest import closed_account, visit
from tests.support.front_door import Phone

MINISTACK = ("--from", "ministack==1.5.33", "--with", "aws-sam-translator==1.115.0", "ministack")

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(
        os.environ.get("EMULATOR") != "true",
        reason="deploys into an AWS emulator, minutes long: EMULATOR=true",
    ),
]


def uvx() -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which("uvx", path=path)
    assert found, "uvx is missing"
    return found


def command(target: str, stage: str) -> list[str]:
    place = (f"STAGE={stage}", "REGION=us-east-1")
    return ["make", "-s", "-o", ".venv/tests.installed", target, *place]


@dataclass(frozen=True)
class Cloud:
    """The emulator: its port, and an environment in which AWS's tools find it."""

    port: int
    environ: dict[str, str]

    def make(self, target: str, stage: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours on a stage."""
        options: dict[str, Any] = {"cwd": ROOT, "env": self.environ, "input": "y\n" * 9}
        line = [*command(target, stage), f"ARCHITECTURE={here()}", *words]
        return subprocess.run(line, **options, capture_output=True, text=True, check=False)

    def deploy(self, stage: str, *parameters: str, **words: str) -> str:
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

    def outputs(self, stage: str) -> dict[str, str]:
        return {o["OutputKey"]: o["OutputValue"] for o in self.stack(stage)["Outputs"]}

    def send(
        self, stage: str, method: str, path: str, token: str = "", body: object = None
    ) -> tuple[int, Any]:
        """Send a request through the emulated API Gateway; give status and JSON, or text."""
        api = self.outputs(stage)["EndpointURL"].removeprefix("https://").partition(".")[0]
        headers = {"Host": f"{api}.execute-api.localhost:{self.port}"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}/v1{path}"
        answer = requests.request(method, url, headers=headers, json=body, timeout=60)
        is_json = answer.content and "json" in answer.headers["Content-Type"]
        return answer.status_code, answer.json() if is_json else answer.text or None


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home, port = tmp_path_factory.mktemp("ministack"), free_port()
    # uv and SAM CLI need what the machine sets: certificates, caches.
    environ = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    environ |= {"SAM_CLI_POLL_DELAY": "0.5"}
    server = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(home)}
    url = environ["AWS_ENDPOINT_URL"]
    with subprocess.Popen(
        [uvx(), "--python", sys.executable, *MINISTACK],
        cwd=home,
        env={**environ, **server},
        start_new_session=True,
    ) as process:
        for _ in range(480):  # uvx may have to fetch it
            with suppress(requests.ConnectionError):
                requests.get(url, timeout=5)
                break
            assert process.poll() is None, "ministack does not run"
            time.sleep(0.25)
        yield Cloud(port, environ)
        os.killpg(process.pid, signal.SIGTERM)


def answer_at_the_prompts(cloud: Cloud, stage: str, *answers: str) -> str:
    """Run `make secrets` on a terminal, as a person would; give what it shows."""
    mine, theirs = pty.openpty()
    options: dict[str, Any] = {"cwd": ROOT, "env": cloud.environ, "start_new_session": True}
    options |= {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command("secrets", stage), **options) as process:
        os.close(theirs)
        shown = b""
        for n, answer in enumerate(answers, 1):
            while shown.count(b"leave it): ") < n:
                shown += os.read(mine, 1024)
            os.write(mine, f"{answer}\n".encode())
        with suppress(OSError):  # a terminal that closed
            while more := os.read(mine, 1024):
                shown += more
    os.close(mine)
    assert process.returncode == 0, shown
    return shown.decode()


@pytest.fixture(scope="module")
def first(cloud: Cloud, around: Surroundings, built: Path) -> str:
    """A stage with message push, deployed; `built` has fetched the libraries."""
    cloud.deploy(
        "one",
        "Alarms=false",
        "UpstreamAllowPrivate=true",
        "ProxySubnets=subnet-1",
        "ProxySecurityGroup=sg-1",
        f"WeChatApiUrl={around.wechat_url}",
        "EventsPath=/wxgate/events",
        APPIDS=DEFAULT_APP,
        UPSTREAM_URL=around.upstream_url,
    )
    return "one"


@pytest.fixture(scope="module")
def push(cloud: Cloud, first: str) -> dict[str, str]:
    """The stage's secrets, of which `make secrets` generates those of the message push."""
    appsecret = appsecret_of(DEFAULT_APP)
    shown = answer_at_the_prompts(cloud, first, appsecret, "")
    assert appsecret not in shown
    (token,), (aes_key,) = (re.findall(rf"{n}  +(\w+)", shown) for n in ("Token", "EncodingAESKey"))
    return {"token": token, "aes_key": aes_key}


@pytest.mark.usefixtures("push")
def test_all_functions_work_through_the_emulated_api_gateway(
    cloud: Cloud, first: str, around: Surroundings
) -> None:
    visit(partial(cloud.send, first), Phone(around.wechat_url))


def test_a_push_ends_its_user_s_session_and_reaches_the_upstream_with_its_assertion(
    cloud: Cloud, first: str, around: Surroundings, push: dict[str, str]
) -> None:
    send = partial(cloud.send, first)
    token = send("POST", "/login", "", {"code": Phone(around.wechat_url).code()})[1]["token"]
    openid = send("GET", "/api/x", token)[1]["headers"]["X-WX-OPENID"]
    message, target, body = closed_account(openid, push)
    assert send("POST", target, "", json.loads(body)) == (200, "success")
    assert send("GET", "/api/x", token)[0] == 401
    echo, end = dict[str, Any](), time.monotonic() + 60
    while "events" not in echo and time.monotonic() < end:
        time.sleep(0.25)
        echo = requests.get(f"{around.upstream_url}/wxgate/events", timeout=5).json()
    (arrived,) = echo["events"]
    assert json.loads(arrived["body"]) == message
    (key,) = jwt.PyJWKSet.from_dict(send("GET", "/.well-known/jwks.json")[1]).keys
    assertion = arrived["headers"]["X-WX-ASSERTION"]
    claims = jwt.decode(assertion, key, ["ES256"], audience=around.upstream_url)
    assert (claims["kind"], claims["sub"]) == ("event", openid)


def test_an_upgrade_sends_empty_values_too_and_can_be_rolled_back(cloud: Cloud, first: str) -> None:
    cloud.deploy(first, "PublicPaths=news/*")
    assert cloud.send(first, "GET", "/api/news/1")[0] == 200
    cloud.deploy(first, "PublicPaths=")
    present = {p["ParameterKey"]: p["ParameterValue"] for p in cloud.stack(first)["Parameters"]}
    assert (present["PublicPaths"], present["UpstreamAllowPrivate"]) == ("", "true")
    assert cloud.send(first, "GET", "/api/news/1")[0] == 401
    done = cloud.make("rollback", first)
    assert done.returncode == 0, done.stderr
    assert cloud.send(first, "GET", "/api/news/1")[0] == 200


def test_a_stage_beside_it_comes_and_goes_and_leaves_its_table(cloud: Cloud, first: str) -> None:
    values = {"APPIDS": "wx2", "UPSTREAM_URL": "https://a.example"}
    cloud.deploy("two", "Alarms=false", "AccountLogRole=false", **values)
    assert cloud.send("two", "GET", "/health")[0] == 200
    table = cloud.outputs("two")["SessionsTable"]
    done = cloud.make("destroy", "two")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cloud.send(first, "GET", "/health")[0] == 200
    with closing(cloud.client("dynamodb")) as dynamodb:
        assert table in dynamodb.list_tables()["TableNames"]


def test_the_data_go_too_if_that_is_wanted(cloud: Cloud, first: str) -> None:
    done = cloud.make("destroy", first, "DATA=delete")
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(cloud.client("dynamodb")) as dynamodb:
        names = dynamodb.list_tables()["TableNames"]
    with closing(cloud.client("secretsmanager")) as manager:
        names += [secret["Name"] for secret in manager.list_secrets()["SecretList"]]
    with closing(cloud.client("sqs")) as sqs:
        names += [url.rpartition("/")[2] for url in sqs.list_queues().get("QueueUrls", [])]
    assert not [name for name in names if name.startswith(f"wxgate-{first}")]
