"""The template: what an AWS engineer would look for, read from what CloudFormation gets."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chalicelib import errors, logs, settings
from chalicelib.deadlines import ANSWER_RESERVE, EVENT_PAUSES
from chalicelib.wechat.push import MAX_BODY
from infrastructure import package, template
from infrastructure.parts import Template, TemplateError, merge, parts
from infrastructure.rehearsal import routes
from infrastructure.wiring import ROUTES, wire
from tests.infrastructure.conftest import FUNCTIONS, at, made, strings
from tests.support.queue import HIDDEN, MAX_RECEIVES


def of_type(stack: Template, kind: str) -> dict[str, Any]:
    found = stack["Resources"].items()
    return {name: r.get("Properties", {}) for name, r in found if r["Type"] == f"AWS::{kind}"}


DOMAIN = {"DomainName": "gate.example.com", "CertificateArn": "arn:aws:acm:x"}
NETWORK = {"ProxySubnets": "subnet-1,subnet-2", "ProxySecurityGroup": "sg-1"}
ENDPOINTS = {**NETWORK, "ProxyVpc": "vpc-1", "ProxyRouteTables": "rtb-1"}
CANARY5 = "Canary10Percent5Minutes"
CANARY = {"Rollout": CANARY5}
PRIVATE = [{"Ref": "PrivateSubnetA"}, {"Ref": "PrivateSubnetB"}]
PROVISIONED = {"ProvisionedConcurrentExecutions": "2"}
X_RAY_LESS = {"AWS::Partition": "aws-cn"}
ENDPOINT = "RestAPI/Body/x-amazon-apigateway-endpoint-configuration"

ABSENT = [
    *("LoginLogs/KmsKeyId", "Login/VpcConfig", "NatGateway", "EventsDeployments", "Domain"),
    *("RestAPI/MinimumCompressionSize", "Firewall", "Login/ReservedConcurrentExecutions"),
    *("ProxyAlias/ProvisionedConcurrencyConfig", "Decrypt/SnapStart", "Deployments"),
    "ErrorsAlarm/AlarmActions",
]
"""What is not there unless a parameter asks for it."""

SUBNETS = {"Fn::Split": [",", "subnet-1,subnet-2"]}
KEY = {"KmsKeyArn": "k"}
EGRESS = {"FixedEgress": "true"}
SERVICE = "com.amazonaws.us-east-1"
VARIABLES = "Proxy/Environment/Variables"

CHOICES: list[tuple[dict[str, str], str, Any]] = [
    *(({}, place, None) for place in ABSENT),
    ({"LogRetention": "7"}, "LoginLogs/RetentionInDays", "7"),
    (KEY, "LoginLogs/KmsKeyId", "k"),
    ({}, "SessionsTable/SSESpecification", {"SSEEnabled": True}),
    (KEY, "SessionsTable/SSESpecification/SSEType", "KMS"),
    (KEY, "SessionsTable/SSESpecification/KMSMasterKeyId", "k"),
    ({}, f"{VARIABLES}/SESSIONS_TABLE", {"Ref": "SessionsTable"}),
    ({"SessionsTableName": "t"}, f"{VARIABLES}/SESSIONS_TABLE", "t"),
    ({"TrustedHops": "2"}, f"{VARIABLES}/TRUSTED_HOPS", "2"),
    ({"ForwardRequestHeaders": "a"}, f"{VARIABLES}/FORWARD_REQUEST_HEADERS", "a"),
    ({"ForwardAnswerHeaders": "a"}, f"{VARIABLES}/FORWARD_ANSWER_HEADERS", "a"),
    ({}, "RestAPIv1Stage/TracingEnabled", True),
    (X_RAY_LESS, "RestAPIv1Stage/TracingEnabled", False),
    ({}, "Login/TracingConfig/Mode", "Active"),
    (X_RAY_LESS, "Login/TracingConfig/Mode", "PassThrough"),
    ({}, "RestAPIv1Stage/Tags/0/Value", {"Ref": "ApiGatewayAccount"}),  # so the stage waits for it
    ({"AccountLogRole": "false"}, "ApiGatewayAccount", None),
    ({"AccountLogRole": "false"}, "RestAPIv1Stage/Tags/0/Value", "of-another-stack"),
    *((EGRESS, f"{name}/VpcConfig/SubnetIds", PRIVATE) for name in ("Login", "Decrypt")),
    (EGRESS, "Proxy/VpcConfig", None),
    *((NETWORK, f"{name}/VpcConfig/SubnetIds", SUBNETS) for name in ("Proxy", "Deliver")),
    (NETWORK, "Proxy/VpcConfig/SecurityGroupIds", ["sg-1"]),
    *((NETWORK, f"{name}/VpcConfig", None) for name in ("Login", "Events")),
    (NETWORK, "ProxyDynamoDBEndpoint", None),
    (ENDPOINTS, "ProxyDynamoDBEndpoint/ServiceName", f"{SERVICE}.dynamodb"),
    (ENDPOINTS, "ProxySecretsEndpoint/ServiceName", f"{SERVICE}.secretsmanager"),
    (ENDPOINTS, "ProxyQueueEndpoint/ServiceName", f"{SERVICE}.sqs"),
    ({**ENDPOINTS, "EventsPath": ""}, "ProxyQueueEndpoint", None),
    ({}, "Events/Environment/Variables/EVENTS_QUEUE_URL", {"Ref": "EventQueue"}),
    ({"EventsPath": "/e"}, "Deliver/Environment/Variables/EVENTS_PATH", "/e"),
    (DOMAIN, "Domain/SecurityPolicy", "TLS_1_2"),
    (DOMAIN, "Domain/EndpointConfiguration", {"Types": ["REGIONAL"]}),
    (DOMAIN, "DomainMapping/Stage", {"Ref": "RestAPIv1Stage"}),
    *((DOMAIN, place, None) for place in ("DomainMapping/BasePath", "DomainRecord")),
    ({**DOMAIN, "BasePath": "gate"}, "DomainMapping/BasePath", "gate"),
    ({**DOMAIN, "HostedZoneId": "Z1"}, "DomainRecord/HostedZoneId", "Z1"),
    ({"DisableExecuteApiEndpoint": "true"}, ENDPOINT, {"disableExecuteApiEndpoint": True}),
    ({"MinimumCompressionSize": "99"}, "RestAPI/MinimumCompressionSize", "99"),
    ({"WebAclArn": "w"}, "Firewall/WebACLArn", "w"),
    ({"LoginConcurrency": "5"}, "Login/ReservedConcurrentExecutions", "5"),
    ({"ProxyProvisioned": "2"}, "ProxyAlias/ProvisionedConcurrencyConfig", PROVISIONED),
    ({"SnapStart": "true"}, "Decrypt/SnapStart", {"ApplyOn": "PublishedVersions"}),
    (CANARY, "LoginDeployments/DeploymentConfigName", f"CodeDeployDefault.Lambda{CANARY5}"),
    (CANARY, "LoginDeployments/AlarmConfiguration/Alarms/0", {"Name": {"Ref": "ErrorsAlarm"}}),
    ({**CANARY, "Alarms": "false"}, "LoginDeployments/AlarmConfiguration", {"Enabled": False}),
    ({"AlarmTopic": "t"}, "ErrorsAlarm/AlarmActions", ["t"]),
    ({"AlarmTopic": "t"}, "LatencyAlarm/OKActions", ["t"]),
]


@pytest.mark.parametrize(("values", "place", "expected"), CHOICES)
def test_a_parameter_does_what_it_says(
    stack: Template, values: dict[str, str], place: str, expected: Any
) -> None:
    assert at(made(stack, **values), place) == expected


URL = {"Fn::Sub": "https://${RestAPI}.execute-api.us-east-1.amazonaws.com/v1"}
NAMED = "https://gate.example.com"


def test_the_address_that_the_client_needs_is_an_output(stack: Template) -> None:
    urls: list[tuple[dict[str, str], Any]] = [({}, URL), (DOMAIN, NAMED)]
    for values, url in (*urls, ({**DOMAIN, "BasePath": "gate"}, f"{NAMED}/gate")):
        text, names = made(stack, **values)["Outputs"]["EndpointURL"]["Value"]["Fn::Sub"]
        assert (text, names["Base"]) == ("${Base}", url)


def test_every_role_has_the_boundary(stack: Template) -> None:
    roles = of_type(made(stack, PermissionsBoundary="b", **CANARY), "IAM::Role")
    assert len(roles) == 7
    assert {role["PermissionsBoundary"] for role in roles.values()} == {"b"}


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("AppIds", "wx1", ""),
        ("AppIds", ",".join(["wx1"] * 100), ",".join(["wx1"] * 101)),
        ("BasePath", "gate", "api"),  # what stands before /api/ would be read as the path
        ("BasePath", "a-b", "a/b"),
        ("WeChatApiUrl", "https://api2.weixin.qq.com", "http://api.weixin.qq.com"),
    ],
)
def test_a_value_is_taken_or_not(stack: Template, name: str, taken: str, refused: str) -> None:
    pattern = stack["Parameters"][name]["AllowedPattern"]
    assert re.fullmatch(pattern, taken)
    assert not re.fullmatch(pattern, refused)


UPSTREAM: int = parts()["Parameters"]["UpstreamTimeout"]["MaxValue"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_has_a_role_a_handler_and_a_log_group_of_its_own(
    stack: Template, name: str
) -> None:
    ours, low = made(stack), name.lower()
    function = at(ours, name)
    assert function["Runtime"] == f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert function["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert function["Handler"] == ("app.serve" if name in ROUTES else "app.deliver_function")
    assert function["MemorySize"] in range(256, 3009)
    assert 10 <= function["Timeout"] < (29 if name in ROUTES else 900)  # API Gateway's, Lambda's
    assert at(ours, f"{name}Logs/LogGroupName") == f"/aws/lambda/{function['FunctionName']}"
    assert stack["Resources"][name]["DependsOn"] == [f"{name}Logs"]
    assert function["Environment"]["Variables"]["WXGATE_FUNCTION"] == low
    needed = {n for n, variable in settings.VARIABLES.items() if low in variable.functions}
    assert needed <= set(function["Environment"]["Variables"])
    calls = name not in ("Login", "Events")
    assert ("UPSTREAM_URL" in function["Environment"]["Variables"]) is calls
    assert name != "Proxy" or function["Timeout"] >= UPSTREAM + 2


def test_the_functions_run_on_the_architecture_of_the_package(sam: Template, built: Path) -> None:
    ours = json.loads((built / "sam.json").read_text())
    for made_for, architecture in ((sam, "arm64"), (ours, package.here())):
        assert [at(made_for, f"{name}/Architectures") for name in FUNCTIONS] == [[architecture]] * 5


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_new_revision_publishes_a_version_and_moves_the_alias(stack: Template, name: str) -> None:
    ours = made(stack, Revision="r7")
    # Of the function too: Lambda publishes no version of an unchanged one.
    assert at(ours, f"{name}/Description") == "wxgate r7"
    version, alias = ours["Resources"][f"{name}Version"], ours["Resources"][f"{name}Alias"]
    assert version["Properties"] == {"FunctionName": {"Ref": name}, "Description": "r7"}
    assert version["DeletionPolicy"] == version["UpdateReplacePolicy"] == "Retain"
    newest = {"Fn::GetAtt": [f"{name}Version", "Version"]}
    properties = {"Name": "live", "FunctionName": {"Ref": name}, "FunctionVersion": newest}
    assert alias["Properties"] == properties
    assert "UpdatePolicy" not in alias
    # A rollout is CodeDeploy's, and alarms roll it back.
    ours = made(stack, **CANARY)
    update = ours["Resources"][f"{name}Alias"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert update["DeploymentGroupName"] == {"Ref": f"{name}Deployments"}
    events = at(ours, f"{name}Deployments/AutoRollbackConfiguration/Events")
    assert "DEPLOYMENT_STOP_ON_ALARM" in events


def test_there_is_one_stage_v1_which_throttles_and_logs_no_path_query_or_body(
    stack: Template,
) -> None:
    (stage,) = of_type(stack, "ApiGateway::Stage").values()
    (deployment,) = of_type(stack, "ApiGateway::Deployment").values()
    assert stage["StageName"] == "v1"
    assert "StageName" not in deployment
    (of_all_methods,) = stage["MethodSettings"]
    assert of_all_methods["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert of_all_methods["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}
    assert of_all_methods["DataTraceEnabled"] is False
    fields = json.loads(stage["AccessLogSetting"]["Format"])
    assert fields["requestId"] == "$context.requestId"
    assert fields["route"] == "$context.resourcePath"
    assert not {"$context.path", "$context.protocol"} & set(fields.values())


def test_each_path_leads_to_its_function_whatever_the_method(sam: Template) -> None:
    assert routes(sam) == {path: name for name, paths in ROUTES.items() for path in paths}
    for methods in at(made(sam), "RestAPI/DefinitionBody/paths").values():
        any_method = methods["x-amazon-apigateway-any-method"]
        assert any_method["x-amazon-apigateway-integration"]["type"] == "aws_proxy"
    # Nothing is left of the function that Chalice makes for all routes.
    assert set(template.functions(sam)) == set(FUNCTIONS)
    assert "apihandler" not in json.dumps(sam).lower()


def test_api_gateway_may_call_each_function_for_its_own_paths_alone(stack: Template) -> None:
    allowed = set()
    for permission in of_type(stack, "Lambda::Permission").values():
        path = permission["SourceArn"]["Fn::Sub"].partition("${RestAPI}/v1/*")[2]
        assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
        function = permission["FunctionName"]["Ref"].removesuffix("Alias")
        path = path.replace("/api/*", "/api/{proxy+}").replace("/events/*", "/events/{appid}")
        allowed.add((path, function))
    assert allowed == {(path, name) for name, paths in ROUTES.items() for path in paths}


def test_a_route_of_the_app_or_of_the_table_alone_is_refused() -> None:
    both = [path for names in ROUTES.values() for path in names]
    paths: Template = {path: {} for path in both if path != "/login"} | {"/new": {}}
    sam = {"Resources": {"RestAPI": {"Properties": {"DefinitionBody": {"paths": paths}}}}}
    with pytest.raises(TemplateError, match="disagree about /login, /new"):
        wire(sam)


def test_the_api_is_regional_and_named_after_its_stack_and_takes_bodies_as_they_are(
    stack: Template,
) -> None:
    api = at(made(stack), "RestAPI")
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    # The name is a dimension of its metrics: two stages in one account must not mix.
    assert api["Name"] == api["Body"]["info"]["title"] == "wxgate-test"
    assert api["Body"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]


RESPONSES = {
    "InvalidRequest": ["DEFAULT_4XX"],
    "InternalError": ["DEFAULT_5XX"],
    "NotFound": ["MISSING_AUTHENTICATION_TOKEN", "INVALID_SIGNATURE", "RESOURCE_NOT_FOUND"],
    "RequestTooLarge": ["REQUEST_TOO_LARGE"],
    "UnsupportedMediaType": ["UNSUPPORTED_MEDIA_TYPE"],
    "TooManyRequests": ["THROTTLED", "QUOTA_EXCEEDED"],
    "GateBusy": ["INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT", "API_CONFIGURATION_ERROR"],
    "Blocked": ["WAF_FILTERED"],
}
GATEWAY_RESPONSES = "RestAPI/Body/x-amazon-apigateway-gateway-responses"
BUSY = "The gate is busy. Try again after Retry-After seconds, with a new code if one was sent."
OF_API_GATEWAY: dict[str, tuple[int, str, int | None]] = {
    "GateBusy": (503, BUSY, 1),
    "Blocked": (403, "The request was blocked by the gate's firewall.", None),
}
"""What the gate itself never answers: status, Message, Retry-After."""


@pytest.mark.parametrize(("code", "kinds"), RESPONSES.items())
def test_an_answer_of_api_gateway_s_own_has_the_gate_s_shape(
    stack: Template, code: str, kinds: list[str]
) -> None:
    error = getattr(errors, code, None)
    of_the_gate = error and (error.status, error.message, error.retry_after)
    status, message, retry_after = of_the_gate or OF_API_GATEWAY[code]
    headers = {"X-Wxgate-Error": f"'{code}'", "X-Request-Id": "context.requestId"}
    headers |= {"Cache-Control": "'no-store'", "X-Content-Type-Options": "'nosniff'"}
    headers |= {"Retry-After": f"'{retry_after}'"} if retry_after else {}
    sent = {f"gatewayresponse.header.{name}": value for name, value in headers.items()}
    responses = at(stack, GATEWAY_RESPONSES)
    assert set(responses) == {kind for each in RESPONSES.values() for kind in each}
    for kind in kinds:
        body = json.loads(responses[kind]["responseTemplates"]["application/json"])
        assert body == {"Code": code, "Message": message}
        # A status of the two defaults would be that of every refusal.
        told = None if kind.startswith("DEFAULT") else str(status)
        assert responses[kind].get("statusCode") == told
        assert responses[kind]["responseParameters"] == sent


def test_the_table_is_paid_by_use_restorable_protected_and_outlives_its_stack(
    stack: Template,
) -> None:
    table = at(stack, "SessionsTable")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["DeletionProtectionEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    policies = stack["Resources"]["SessionsTable"]
    assert policies["DeletionPolicy"] == policies["UpdateReplacePolicy"] == "Retain"


def test_china_gets_the_same_template_and_no_partition_domain_or_secret_is_written_out(
    sam: Template, stack: Template
) -> None:
    assert template.transformed(sam, "cn-north-1") == stack
    assert not of_type(stack, "SecretsManager::Secret")  # and so no value of one
    for text in strings(stack["Resources"]):
        assert "arn:aws:" not in text
        assert "amazonaws.com" not in text.removeprefix("com.amazonaws.") or re.fullmatch(
            r"(lambda|apigateway|codedeploy)\.amazonaws\.com", text
        )


def test_an_alarm_waits_for_data_and_may_be_left_out(stack: Template) -> None:
    alarms = of_type(stack, "CloudWatch::Alarm").values()
    assert {alarm["TreatMissingData"] for alarm in alarms} == {"notBreaching"}
    assert not of_type(made(stack, Alarms="false"), "CloudWatch::Alarm")


def test_alarms_watch_the_metrics_that_the_gate_s_log_lines_hold(stack: Template) -> None:
    counted = {"Refusals": {"FunctionName", "Code"}, "Alerts": {"FunctionName"}}
    counted["Undelivered"] = {"FunctionName"}
    alarms = of_type(made(stack), "CloudWatch::Alarm").values()
    stats = [m["MetricStat"] for a in alarms for m in a.get("Metrics", []) if "MetricStat" in m]
    found = [stat["Metric"] for stat in stats] + [
        alarm for alarm in alarms if "MetricName" in alarm
    ]
    watched = [metric for metric in found if not metric["Namespace"].startswith("AWS/")]
    assert {metric["MetricName"] for metric in watched} == set(counted)
    for metric in watched:
        assert metric["Namespace"] == logs.NAME
        assert {d["Name"] for d in metric["Dimensions"]} == counted[metric["MetricName"]]
    dimensions = [d for metric in watched for d in metric["Dimensions"]]
    codes = {d["Value"] for d in dimensions if d["Name"] == "Code"}
    assert len(codes) > 3
    assert all(issubclass(getattr(errors, code), errors.GateError) for code in codes)


def test_the_dashboard_is_json_that_names_this_stack_alone(stack: Template) -> None:
    text, names = at(stack, "Dashboard/DashboardBody/Fn::Sub")
    assert len(json.loads(text)["widgets"]) == 9
    pseudo = {"AWS::StackName", "AWS::Region"}
    assert set(re.findall(r"\$\{([^}]+)\}", text)) == pseudo | {*FUNCTIONS, *names}
    assert not set(names) & {"Login", "Proxy", "Decrypt"}  # what every stack has


def test_without_events_path_nothing_of_message_push_exists(stack: Template) -> None:
    ours = made(stack, EventsPath="")
    assert "/events/{appid}" not in at(ours, "RestAPI/Body")["paths"]
    assert [n for n in ours["Resources"] if n.startswith(("Event", "Deliver", "Push"))] == []
    text = json.dumps(ours["Resources"])
    assert not re.search(r'"(?:Ref|Fn::GetAtt)": \[?"(?:Events|Deliver|EventQueue|EventDead)', text)
    assert not {"EventQueueUrl", "EventDeadLettersUrl", "PushURL"} & set(ours["Outputs"])


def test_the_queues_are_encrypted_and_keep_dead_letters_for_fourteen_days(stack: Template) -> None:
    queues = of_type(made(stack), "SQS::Queue")
    assert set(queues) == {"EventQueue", "EventDeadLetters"}
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())
    own = of_type(made(stack, KmsKeyArn="k"), "SQS::Queue").values()
    assert {queue["KmsMasterKeyId"] for queue in own} == {"k"}
    assert not any("SqsManagedSseEnabled" in queue for queue in own)
    assert queues["EventDeadLetters"]["MessageRetentionPeriod"] == 14 * 86_400
    # A dead letter is as old as its message: the queue before must not use up its days.
    assert sum(EVENT_PAUSES) < queues["EventQueue"]["MessageRetentionPeriod"] <= 4 * 86_400
    kept = stack["Resources"]["EventDeadLetters"]
    assert kept["DeletionPolicy"] == kept["UpdateReplacePolicy"] == "Retain"


def test_the_queue_gives_a_message_as_often_as_there_are_attempts(stack: Template) -> None:
    queue = at(made(stack), "EventQueue")
    assert queue["RedrivePolicy"]["maxReceiveCount"] == len(EVENT_PAUSES) + 1 == MAX_RECEIVES
    assert queue["VisibilityTimeout"] == HIDDEN == 6 * at(stack, "Deliver/Timeout")
    # A push of a mebibyte is, opened, three quarters of one.
    assert queue["MaximumMessageSize"] == MAX_BODY


def test_lambda_takes_batches_of_ten_to_the_live_version_with_partial_failures(
    stack: Template,
) -> None:
    source = at(made(stack), "EventSource")
    assert source["FunctionName"] == {"Ref": "DeliverAlias"}
    assert source["EventSourceArn"] == {"Fn::GetAtt": ["EventQueue", "Arn"]}
    batches = (source["BatchSize"], source["FunctionResponseTypes"])
    assert batches == (10, ["ReportBatchItemFailures"])
    # Ten exchanges as long as they may be, and a signature each.
    assert at(stack, "Deliver/Timeout") >= 10 * (UPSTREAM + ANSWER_RESERVE)


def test_a_member_that_two_parts_give_is_refused() -> None:
    with pytest.raises(TemplateError, match="gives A, which another part"):
        merge({"Resources": {"A": {}}}, {"Resources": {"A": {}}}, "api.yaml")


NOTHING = {"AppIds": "wx1", "UpstreamUrl": "https://a", "Alarms": "false", "EventsPath": ""}
ACCOUNT = "us-east-1:123456789012"
EVERYTHING = {**DOMAIN, **NETWORK, **CANARY, **NOTHING, "Alarms": "true", "BasePath": "gate"}
EVERYTHING |= {"HostedZoneId": "Z1", "WebAclArn": f"arn:aws:wafv2:{ACCOUNT}:regional/webacl/a/b"}
EVERYTHING |= {"MinimumCompressionSize": "1024", "DisableExecuteApiEndpoint": "true"}
EVERYTHING |= {"FixedEgress": "true", "ProxySecurityGroup": "sg-0123456789abcdef0"}
EVERYTHING |= {"ProxyVpc": "vpc-0123456789abcdef0", "ProxyRouteTables": "rtb-1"}
EVERYTHING |= {
    "AlarmTopic": f"arn:aws:sns:{ACCOUNT}:t",
    "KmsKeyArn": f"arn:aws:kms:{ACCOUNT}:key/k",
}
EVERYTHING |= {"LoginProvisioned": "1", "LoginConcurrency": "9", "SessionsTableName": "sessions"}
EVERYTHING |= {"PermissionsBoundary": "arn:aws:iam::123456789012:policy/b", "EventsPath": "/e"}


def test_cfn_lint_finds_nothing_in_any_region_with_any_part(
    sam: Template, stack: Template, tmp_path: Path
) -> None:
    header = {"AWSTemplateFormatVersion": "2010-09-09"}
    contents = [sam, *({**header, **made(stack, **chosen)} for chosen in (EVERYTHING, NOTHING))]
    files = [tmp_path / f"{number}.json" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(json.dumps(content))
    lint = Path(sys.executable).with_name("cfn-lint")
    regions = ["us-east-1", "ap-east-1", "cn-north-1", "cn-northwest-1"]
    command = [str(lint), "--regions", *regions, "--", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
