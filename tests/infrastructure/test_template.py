"""The template: what an AWS engineer would look for, read from what CloudFormation gets."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chalicelib import errors, metrics, settings
from infrastructure import template
from infrastructure.intrinsics import resolved
from infrastructure.rehearsal import routes
from infrastructure.template import ROUTES, Template
from tests.infrastructure.conftest import strings

FUNCTIONS = ("Login", "Proxy", "Decrypt")


def of_type(stack: Template, kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in stack["Resources"].items() if r["Type"] == kind}


def properties(stack: Template, name: str) -> Any:
    return stack["Resources"][name]["Properties"]


def made(stack: Template, **values: str) -> Template:
    """What CloudFormation makes with these parameters."""
    return resolved(stack, {"AWS::StackName": "wxgate-test", **values})


# --- functions -----------------------------------------------------------------------------------


def test_nothing_is_left_of_the_function_that_chalice_makes_for_all_routes(stack: Template) -> None:
    assert set(template.functions(stack)) == set(FUNCTIONS)
    assert "apihandler" not in json.dumps(stack).lower()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_has_a_role_and_a_handler_of_its_own(stack: Template, name: str) -> None:
    function = properties(stack, name)
    assert function["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert function["Handler"] == f"app.{name.lower()}_function"
    assert function["MemorySize"] in range(256, 3009)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_ends_before_api_gateway_gives_up(stack: Template, name: str) -> None:
    assert 10 <= properties(stack, name)["Timeout"] < 29


def test_the_upstream_may_not_take_longer_than_the_proxy_lives(stack: Template) -> None:
    longest = stack["Parameters"]["UpstreamTimeout"]["MaxValue"]
    assert longest + 2 <= properties(stack, "Proxy")["Timeout"]


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_functions_run_on_the_architecture_of_the_package(architecture: str) -> None:
    sam = template.sam_template(architecture)
    built_for = {tuple(properties(sam, name)["Architectures"]) for name in FUNCTIONS}
    assert built_for == {(architecture,)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_log_group_is_the_one_that_the_function_writes_to(stack: Template, name: str) -> None:
    made_here = made(stack, LogRetention="7")
    log = properties(made_here, f"{name}Logs")
    assert log["LogGroupName"] == f"/aws/lambda/{properties(made_here, name)['FunctionName']}"
    assert log["RetentionInDays"] == "7"
    assert stack["Resources"][name]["DependsOn"] == [f"{name}Logs"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_environment_holds_what_its_function_needs(stack: Template, name: str) -> None:
    variables = properties(stack, name)["Environment"]["Variables"]
    assert set(settings.NEEDS[name.lower()]) <= set(variables)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_concurrency_is_reserved_on_request_only(stack: Template, name: str) -> None:
    assert "ReservedConcurrentExecutions" not in properties(made(stack), name)
    reserving = made(stack, **{f"{name}Concurrency": "5"})
    assert properties(reserving, name)["ReservedConcurrentExecutions"] == "5"


# --- the API -------------------------------------------------------------------------------------


def test_there_is_one_stage_and_it_is_v1(stack: Template) -> None:
    (stage,) = of_type(stack, "AWS::ApiGateway::Stage").values()
    (deployment,) = of_type(stack, "AWS::ApiGateway::Deployment").values()
    assert stage["StageName"] == "v1"
    assert "StageName" not in deployment


def test_each_path_leads_to_its_function(sam: Template) -> None:
    assert routes(sam) == {path: name for name, paths in ROUTES.items() for path in paths}


def test_api_gateway_may_call_each_function_for_its_own_paths_alone(stack: Template) -> None:
    allowed = set()
    for permission in of_type(stack, "AWS::Lambda::Permission").values():
        path = permission["SourceArn"]["Fn::Sub"].partition("${RestAPI}/v1/*")[2]
        assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
        allowed.add(
            (path.replace("/api/*", "/api/{proxy+}"), permission["FunctionName"]["Fn::GetAtt"][0])
        )
    assert allowed == {(path, name) for name, paths in ROUTES.items() for path in paths}


@pytest.mark.parametrize(("path", "change"), [("/new", "add"), ("/login", "remove")])
def test_a_route_of_the_app_or_of_the_table_alone_is_refused(path: str, change: str) -> None:
    paths: Template = {path: {} for names in ROUTES.values() for path in names}
    paths = {**paths, path: {}} if change == "add" else {p: {} for p in paths if p != path}
    sam = {"Resources": {"RestAPI": {"Properties": {"DefinitionBody": {"paths": paths}}}}}
    with pytest.raises(template.TemplateError, match=f"disagree about {path}"):
        template.wire(sam)


def test_a_wrong_method_reaches_the_function_which_answers_it(stack: Template) -> None:
    for methods in properties(stack, "RestAPI")["Body"]["paths"].values():
        any_method = methods["x-amazon-apigateway-any-method"]
        assert any_method["x-amazon-apigateway-integration"]["type"] == "aws_proxy"


def test_bodies_arrive_as_they_are(stack: Template) -> None:
    assert properties(stack, "RestAPI")["Body"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]


RESPONSES = {
    "DEFAULT_4XX": "InvalidRequest",
    "DEFAULT_5XX": "InternalError",
    "MISSING_AUTHENTICATION_TOKEN": "NotFound",
    "INVALID_SIGNATURE": "NotFound",
    "RESOURCE_NOT_FOUND": "NotFound",
    "REQUEST_TOO_LARGE": "RequestTooLarge",
    "UNSUPPORTED_MEDIA_TYPE": "UnsupportedMediaType",
    "THROTTLED": "TooManyRequests",
    "QUOTA_EXCEEDED": "TooManyRequests",
    "INTEGRATION_TIMEOUT": "DeadlineExceeded",
    "INTEGRATION_FAILURE": "InternalError",
}


def responses(stack: Template) -> Any:
    return properties(stack, "RestAPI")["Body"]["x-amazon-apigateway-gateway-responses"]


def test_every_answer_of_api_gateway_s_own_has_its_code(stack: Template) -> None:
    bodies = {
        kind: json.loads(response["responseTemplates"]["application/json"])
        for kind, response in responses(stack).items()
    }
    assert {kind: body["Code"] for kind, body in bodies.items()} == RESPONSES
    assert all(set(body) == {"Code", "Message"} for body in bodies.values())


@pytest.mark.parametrize(("kind", "code"), RESPONSES.items())
def test_it_has_the_gate_s_own_status_message_and_headers(
    stack: Template, kind: str, code: str
) -> None:
    response, error = responses(stack)[kind], getattr(errors, code)
    assert json.loads(response["responseTemplates"]["application/json"])["Message"] == error.message
    assert response["statusCode"] == str(error.status)
    headers = {
        name.removeprefix("gatewayresponse.header."): value
        for name, value in response["responseParameters"].items()
    }
    expected = {
        "X-Wxgate-Error": f"'{code}'",
        "X-Request-Id": "context.requestId",
        "Cache-Control": "'no-store'",
        "X-Content-Type-Options": "'nosniff'",
    }
    retry_after = error.retry_after
    assert headers == expected | ({"Retry-After": f"'{retry_after}'"} if retry_after else {})


def test_the_api_is_regional_and_named_after_its_stack(stack: Template) -> None:
    api = properties(made(stack), "RestAPI")
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    # The name is a dimension of its metrics: two stages in one account must not mix.
    assert api["Name"] == api["Body"]["info"]["title"] == "wxgate-test"


def test_the_stage_throttles(stack: Template) -> None:
    stage = properties(made(stack, ThrottleRate="7", ThrottleBurst="9"), "RestAPIv1Stage")
    (of_all_methods,) = stage["MethodSettings"]
    assert of_all_methods["ThrottlingRateLimit"] == "7"
    assert of_all_methods["ThrottlingBurstLimit"] == "9"
    assert of_all_methods["DataTraceEnabled"] is False  # it would log bodies


def test_the_access_log_tells_the_request_and_never_the_path_or_query(stack: Template) -> None:
    log = properties(stack, "RestAPIv1Stage")["AccessLogSetting"]
    fields = json.loads(log["Format"])
    assert fields["requestId"] == "$context.requestId"
    assert fields["route"] == "$context.resourcePath"
    assert not {"$context.path", "$context.protocol"} & set(fields.values())


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_the_stage_waits_for_the_account_s_log_role_which_another_stack_may_own(
    stack: Template, wanted: str
) -> None:
    ours = made(stack, AccountLogRole=wanted)
    (tag, *_) = properties(ours, "RestAPIv1Stage")["Tags"]
    assert ("ApiGatewayAccount" in ours["Resources"]) == (wanted == "true")
    assert (tag["Value"] == {"Ref": "ApiGatewayAccount"}) == (wanted == "true")


# --- data ----------------------------------------------------------------------------------------


def test_the_table_is_paid_by_use_encrypted_restorable_and_protected(stack: Template) -> None:
    table = properties(stack, "SessionsTable")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"]["SSEEnabled"] is True
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["DeletionProtectionEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_the_table_outlives_its_stack(stack: Template) -> None:
    table = stack["Resources"]["SessionsTable"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"


def test_secrets_have_names_and_no_values(stack: Template) -> None:
    secrets = of_type(stack, "AWS::SecretsManager::Secret")
    assert set(secrets) == {"SigningSecret", *(f"AppSecret{n}" for n in range(1, 6))}
    assert {tuple(secret) for secret in secrets.values()} == {("Name", "Description")}


# --- partitions, network, alarms -----------------------------------------------------------------


def test_china_gets_the_same_template(sam: Template, stack: Template) -> None:
    assert template.transformed(sam, "cn-north-1") == stack


def test_no_partition_and_no_domain_is_written_out(stack: Template) -> None:
    for text in strings(stack["Resources"]):
        assert "arn:aws:" not in text
        assert "amazonaws.com" not in text.removeprefix("com.amazonaws.") or re.fullmatch(
            r"(lambda|apigateway)\.amazonaws\.com", text
        )


@pytest.mark.parametrize(("partition", "traced"), [("aws", True), ("aws-cn", False)])
def test_x_ray_is_on_if_the_partition_has_it(stack: Template, partition: str, traced: bool) -> None:
    ours = made(stack, **{"AWS::Partition": partition})
    assert properties(ours, "RestAPIv1Stage")["TracingEnabled"] is traced
    for name in FUNCTIONS:
        mode = properties(ours, name)["TracingConfig"]["Mode"]
        assert mode == ("Active" if traced else "PassThrough")


def test_a_fixed_address_is_made_on_request_only(stack: Template) -> None:
    assert not [r for r in made(stack)["Resources"].values() if "::EC2::" in r["Type"]]
    fixed = made(stack, FixedEgress="true")
    assert of_type(fixed, "AWS::EC2::NatGateway")
    subnets = [{"Ref": "PrivateSubnetA"}, {"Ref": "PrivateSubnetB"}]
    assert properties(fixed, "Login")["VpcConfig"]["SubnetIds"] == subnets
    assert properties(fixed, "Decrypt")["VpcConfig"]["SubnetIds"] == subnets
    assert "VpcConfig" not in properties(fixed, "Proxy")


ALARMS = (
    "Alerts",
    "DecryptFailures",
    "Errors",
    "Latency",
    "Misconfigured",
    "ServerErrors",
    "Store",
    "Throttles",
    "WeChatFailures",
)


def test_these_are_the_alarms(stack: Template) -> None:
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    assert {name.removesuffix("Alarm") for name in alarms} == set(ALARMS)
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize(("topic", "actions"), [("", None), ("arn:aws:sns:x", ["arn:aws:sns:x"])])
def test_an_alarm_goes_to_the_topic_if_there_is_one(
    stack: Template, topic: str, actions: list[str] | None
) -> None:
    for alarm in of_type(made(stack, AlarmTopic=topic), "AWS::CloudWatch::Alarm").values():
        assert alarm.get("AlarmActions") == alarm.get("OKActions") == actions


def own_metrics(stack: Template) -> list[Any]:
    alarms = of_type(stack, "AWS::CloudWatch::Alarm").values()
    found = [
        m["MetricStat"]["Metric"] for a in alarms for m in a.get("Metrics", []) if "MetricStat" in m
    ]
    found += [alarm for alarm in alarms if "MetricName" in alarm]
    return [metric for metric in found if not metric["Namespace"].startswith("AWS/")]


def test_alarms_on_refusals_count_codes_that_exist(stack: Template) -> None:
    dimensions = [d for metric in own_metrics(stack) for d in metric["Dimensions"]]
    codes = {d["Value"] for d in dimensions if d["Name"] == "Code"}
    assert len(codes) > 3
    assert all(issubclass(getattr(errors, code), errors.GateError) for code in codes)


def test_alarms_watch_the_metrics_that_the_gate_s_log_lines_hold(stack: Template) -> None:
    counted = {"Refusals": {"FunctionName", "Code"}, "Alerts": {"FunctionName"}}
    watched = own_metrics(stack)
    assert {metric["MetricName"] for metric in watched} == set(counted)
    for metric in watched:
        assert metric["Namespace"] == metrics.NAMESPACE
        assert {d["Name"] for d in metric["Dimensions"]} == counted[metric["MetricName"]]


def test_the_dashboard_is_json_that_names_this_stack_alone(stack: Template) -> None:
    text = properties(stack, "Dashboard")["DashboardBody"]["Fn::Sub"]
    assert len(json.loads(text)["widgets"]) == 8
    pseudo = {"AWS::StackName", "AWS::Region"}
    assert set(re.findall(r"\$\{([^}]+)\}", text)) == pseudo | {*FUNCTIONS, "SessionsTable"}


# --- parts and lint ------------------------------------------------------------------------------


def test_a_member_that_two_parts_give_is_refused() -> None:
    whole: Template = {"Resources": {"A": {}}}
    with pytest.raises(template.TemplateError, match="gives A, which another part"):
        template.merge(whole, {"Resources": {"A": {}}}, "api.yaml")


def test_only_what_has_no_default_must_be_given(stack: Template) -> None:
    asked = {name for name, p in stack["Parameters"].items() if "Default" not in p}
    assert asked == {"AppIds", "UpstreamUrl"}


def test_cfn_lint_finds_nothing_in_any_partition(
    sam: Template, stack: Template, tmp_path: Path
) -> None:
    for name, content in (("sam", sam), ("template", stack)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    lint = str(Path(sys.executable).with_name("cfn-lint"))
    command = [lint, "--regions", "us-east-1", "ap-east-1", "cn-north-1", "cn-northwest-1", "--"]
    files = [str(tmp_path / "sam.json"), str(tmp_path / "template.json")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
