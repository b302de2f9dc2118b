"""The template: what an AWS engineer would look for, read from what CloudFormation gets."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chalicelib import errors, metrics, settings
from deployment import template
from deployment.rehearsal import routes
from deployment.template import Template, strings

FUNCTIONS = {"Login": "login", "Proxy": "proxy", "Decrypt": "decrypt"}
SERVED = {
    "/login": "Login",
    "/logout": "Login",
    "/decrypt": "Decrypt",
    "/phone": "Decrypt",
    "/session": "Decrypt",
    "/api/{proxy+}": "Proxy",
    "/health": "Proxy",
    "/.well-known/jwks.json": "Proxy",
}


def of_type(stack: Template, kind: str) -> dict[str, Any]:
    return {name: r for name, r in stack["Resources"].items() if r["Type"] == kind}


def properties(stack: Template, name: str) -> Any:
    return stack["Resources"][name]["Properties"]


def body(stack: Template) -> Any:
    return properties(stack, "RestAPI")["Body"]


# --- functions -----------------------------------------------------------------------------------


def test_there_are_three_functions_and_no_other(stack: Template) -> None:
    assert set(template.functions(stack)) == set(FUNCTIONS)


def test_nothing_is_left_of_the_function_that_chalice_makes_for_all_routes(stack: Template) -> None:
    assert not [name for name in stack["Resources"] if "handler" in name.lower()]
    assert "APIHandler" not in json.dumps(stack)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_has_a_role_memory_timeout_concurrency_and_log_of_its_own(
    stack: Template, name: str
) -> None:
    function = properties(stack, name)
    assert function["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert function["Handler"] == f"app.{FUNCTIONS[name]}_function"
    assert function["MemorySize"] in range(256, 3009)
    reserved = function["ReservedConcurrentExecutions"]["Fn::If"]
    assert reserved[:2] == [f"Reserves{name}", {"Ref": f"{name}Concurrency"}]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_ends_before_api_gateway_gives_up(stack: Template, name: str) -> None:
    assert 10 <= properties(stack, name)["Timeout"] < 29


def test_the_upstream_may_not_take_longer_than_the_proxy_lives(stack: Template) -> None:
    longest = stack["Parameters"]["UpstreamTimeout"]["MaxValue"]
    assert longest + 2 <= properties(stack, "Proxy")["Timeout"]


def test_the_functions_run_on_the_architecture_of_the_package() -> None:
    sam = template.sam_template("x86_64")
    architecture = sam["Parameters"]["Architecture"]
    assert (architecture["Default"], architecture["AllowedValues"]) == ("x86_64", ["x86_64"])


# --- the seven traps of Chalice, SAM and merges --------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_trap_a_the_log_group_is_the_one_that_the_function_writes_to(
    stack: Template, name: str
) -> None:
    log, function = properties(stack, f"{name}Logs"), properties(stack, name)
    expected = "/aws/lambda/" + function["FunctionName"]["Fn::Sub"]
    assert log["LogGroupName"] == {"Fn::Sub": expected}
    assert log["RetentionInDays"] == {"Ref": "LogRetention"}
    assert stack["Resources"][name]["DependsOn"] == [f"{name}Logs"]


def test_trap_b_there_is_one_stage_and_it_is_v1(stack: Template) -> None:
    stages = of_type(stack, "AWS::ApiGateway::Stage")
    (deployment,) = of_type(stack, "AWS::ApiGateway::Deployment").values()
    assert [stage["Properties"]["StageName"] for stage in stages.values()] == ["v1"]
    assert "StageName" not in deployment["Properties"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_trap_c_the_environment_holds_what_its_function_needs(stack: Template, name: str) -> None:
    variables = properties(stack, name)["Environment"]["Variables"]
    assert set(settings.NEEDS[FUNCTIONS[name]]) <= set(variables)
    assert variables["SESSIONS_TABLE"] == {"Ref": "SessionsTable"}
    assert not [value for value in variables.values() if isinstance(value, str)]


def test_trap_d_api_gateway_may_call_each_function_for_its_own_paths_alone(
    stack: Template,
) -> None:
    allowed = set()
    for permission in of_type(stack, "AWS::Lambda::Permission").values():
        function = permission["Properties"]["FunctionName"]["Fn::GetAtt"][0]
        arn = permission["Properties"]["SourceArn"]["Fn::Sub"]
        assert permission["Properties"]["SourceAccount"] == {"Ref": "AWS::AccountId"}
        allowed.add((arn.partition("${RestAPI}/v1/*")[2], function))
    assert allowed == {(path.replace("{proxy+}", "*"), name) for path, name in SERVED.items()}


def test_trap_e_the_api_is_described(stack: Template) -> None:
    assert body(stack)["info"]["description"]


def test_trap_f_the_stage_waits_for_the_account_s_log_role_which_another_stack_may_own(
    stack: Template,
) -> None:
    (stage,) = of_type(stack, "AWS::ApiGateway::Stage").values()
    account = stack["Resources"]["ApiGatewayAccount"]
    assert {"Ref": "ApiGatewayAccount"} in stage["Properties"]["Tags"][0]["Value"]["Fn::If"]
    assert account["Condition"] == "SetsAccountLogRole"
    assert account["DeletionPolicy"] == "Retain"


def test_trap_g_all_functions_have_the_one_package(stack: Template, sam: Template) -> None:
    for function in template.functions(sam).values():
        assert function["Properties"]["CodeUri"] == template.CODE
        assert function["Properties"]["Architectures"] == [{"Ref": "Architecture"}]
    assert len({str(f["Properties"]["Code"]) for f in template.functions(stack).values()}) == 1


# --- the API -------------------------------------------------------------------------------------


def test_each_path_leads_to_its_function(sam: Template) -> None:
    assert routes(sam) == SERVED


def test_a_path_without_a_function_is_told_and_not_packaged(sam: Template) -> None:
    copy = template.plain(sam)
    paths = copy["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    paths["/new"] = {"get": {"uri": "${APIHandler.Arn}"}}
    with pytest.raises(template.TemplateError, match="no function for /new"):
        template.refuse_orphans(copy)


@pytest.mark.parametrize("path", SERVED)
def test_a_wrong_method_reaches_the_function_which_answers_it(stack: Template, path: str) -> None:
    any_method = body(stack)["paths"][path]["x-amazon-apigateway-any-method"]
    assert any_method["x-amazon-apigateway-integration"]["type"] == "aws_proxy"


def test_bodies_arrive_as_they_are(stack: Template) -> None:
    assert body(stack)["x-amazon-apigateway-binary-media-types"] == ["*/*"]


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


@pytest.mark.parametrize(("kind", "code"), RESPONSES.items())
def test_what_api_gateway_refuses_has_the_gate_s_own_shape(
    stack: Template, kind: str, code: str
) -> None:
    response = body(stack)["x-amazon-apigateway-gateway-responses"][kind]
    error = getattr(errors, code)
    told = json.loads(response["responseTemplates"]["application/json"])
    assert told == {"Code": code, "Message": error.message}
    assert response["statusCode"] == str(error.status)


@pytest.mark.parametrize(("kind", "code"), RESPONSES.items())
def test_what_api_gateway_refuses_has_the_gate_s_own_headers(
    stack: Template, kind: str, code: str
) -> None:
    response = body(stack)["x-amazon-apigateway-gateway-responses"][kind]
    prefix = "gatewayresponse.header."
    headers = {k.removeprefix(prefix): v for k, v in response["responseParameters"].items()}
    assert headers.pop("X-Request-Id") == "context.requestId"
    expected = {
        "X-Wxgate-Error": f"'{code}'",
        "Cache-Control": "'no-store'",
        "X-Content-Type-Options": "'nosniff'",
    }
    retry_after = getattr(errors, code).retry_after
    assert headers == expected | ({"Retry-After": f"'{retry_after}'"} if retry_after else {})


def test_every_response_of_api_gateway_s_is_shaped(stack: Template) -> None:
    assert set(body(stack)["x-amazon-apigateway-gateway-responses"]) == set(RESPONSES)


def test_the_api_is_regional_and_named_after_its_stack(stack: Template) -> None:
    api = properties(stack, "RestAPI")
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    # The name is a dimension of its metrics: two stages in one account must not mix.
    assert api["Name"] == body(stack)["info"]["title"] == {"Ref": "AWS::StackName"}


def test_the_stage_throttles(stack: Template) -> None:
    (settings_of_all,) = properties(stack, "RestAPIv1Stage")["MethodSettings"]
    assert settings_of_all["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert settings_of_all["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}
    assert settings_of_all["DataTraceEnabled"] is False  # it would log bodies


def test_the_access_log_tells_the_request_and_never_the_path_or_query(stack: Template) -> None:
    log = properties(stack, "RestAPIv1Stage")["AccessLogSetting"]
    fields = json.loads(log["Format"])
    assert fields["requestId"] == "$context.requestId"
    assert fields["route"] == "$context.resourcePath"
    assert not {"$context.path", "$context.protocol"} & set(fields.values())


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
    for secret in secrets.values():
        assert set(secret["Properties"]) == {"Name", "Description"}


def test_secrets_have_the_names_under_which_the_gate_reads_them(stack: Template) -> None:
    prefix = properties(stack, "Login")["Environment"]["Variables"]["SECRET_PREFIX"]["Fn::Sub"]
    assert properties(stack, "SigningSecret")["Name"] == {"Fn::Sub": f"{prefix}signing"}
    name = properties(stack, "AppSecret2")["Name"]["Fn::Sub"]
    assert name[0] == f"{prefix}app/${{AppId}}"
    assert name[1]["AppId"]["Fn::Select"][0] == 1


# --- partitions, egress, alarms ------------------------------------------------------------------


def test_china_gets_the_same_template(sam: Template, stack: Template) -> None:
    assert template.transformed(sam, "cn-north-1") == stack


def test_no_partition_and_no_domain_is_written_out(stack: Template) -> None:
    for text in strings(stack["Resources"]):
        assert "arn:aws:" not in text
        assert "amazonaws.com" not in text.removeprefix("com.amazonaws.") or re.fullmatch(
            r"(lambda|apigateway)\.amazonaws\.com", text
        )


def test_x_ray_is_on_where_the_partition_has_it(stack: Template) -> None:
    stage = properties(stack, "RestAPIv1Stage")
    assert stage["TracingEnabled"] == {"Fn::If": ["HasXRay", True, False]}
    for name in FUNCTIONS:
        mode = properties(stack, name)["TracingConfig"]["Mode"]
        assert mode == {"Fn::If": ["HasXRay", "Active", "PassThrough"]}


def test_a_fixed_address_is_made_on_request_only(stack: Template) -> None:
    network = {n: r for n, r in stack["Resources"].items() if r["Type"].startswith("AWS::EC2::")}
    assert {r["Condition"] for r in network.values()} == {"HasFixedEgress"}
    assert stack["Parameters"]["FixedEgress"]["Default"] == "false"


def test_what_calls_wechat_leaves_by_the_fixed_address(stack: Template) -> None:
    for name in ("Login", "Decrypt"):
        condition, network, _ = properties(stack, name)["VpcConfig"]["Fn::If"]
        assert condition == "HasFixedEgress"
        assert network["SubnetIds"] == [{"Ref": "PrivateSubnetA"}, {"Ref": "PrivateSubnetB"}]
    assert "VpcConfig" not in properties(stack, "Proxy")


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


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_goes_to_the_topic_where_there_is_one(stack: Template, name: str) -> None:
    alarm = properties(stack, f"{name}Alarm")
    expected = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}
    assert alarm["AlarmActions"] == alarm["OKActions"] == expected
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmDescription"]


def test_these_are_the_alarms(stack: Template) -> None:
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    assert {name.removesuffix("Alarm") for name in alarms} == set(ALARMS)


def own_metrics(stack: Template) -> list[Any]:
    alarms = of_type(stack, "AWS::CloudWatch::Alarm").values()
    watched = [m for alarm in alarms for m in alarm["Properties"].get("Metrics", [])]
    found = [m["MetricStat"]["Metric"] for m in watched if "MetricStat" in m]
    return [m for m in found if not m["Namespace"].startswith("AWS/")]


def test_alarms_on_refusals_count_codes_that_exist(stack: Template) -> None:
    named = [{d["Name"]: d["Value"] for d in m["Dimensions"]} for m in own_metrics(stack)]
    codes = {dimensions["Code"] for dimensions in named if "Code" in dimensions}
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
    widgets = json.loads(text)["widgets"]
    named = set(re.findall(r"\$\{([^}]+)\}", text))
    assert len(widgets) == 8
    assert named == {"AWS::Region", "AWS::StackName", "SessionsTable", *FUNCTIONS}


def test_the_outputs_tell_where_everything_is(stack: Template) -> None:
    assert set(stack["Outputs"]) == {
        "AppSecrets",
        "DashboardName",
        "EgressAddress",
        "EndpointURL",
        "KeySetURL",
        "SecretPrefix",
        "SessionsTable",
        "SigningSecret",
    }


def test_every_parameter_has_a_default_but_the_two_that_nobody_can_guess(stack: Template) -> None:
    asked = {name for name, p in stack["Parameters"].items() if "Default" not in p}
    assert asked == {"AppIds", "UpstreamUrl"}


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [("wx4f4bc4dec97d474b", True), ("a,b,c,d,e", True), (",b", True), ("a,b,c,d,e,f", False)],
)
def test_up_to_five_apps_have_a_place_each(stack: Template, value: str, is_taken: bool) -> None:
    pattern = stack["Parameters"]["AppIds"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is is_taken


# --- lint ----------------------------------------------------------------------------------------


def test_cfn_lint_finds_nothing_in_any_partition(
    sam: Template, stack: Template, tmp_path: Path
) -> None:
    for name, content in (("sam", sam), ("template", stack)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    lint = str(Path(sys.executable).with_name("cfn-lint"))
    command = [lint, "--regions", "us-east-1", "cn-north-1", "--"]
    files = [str(tmp_path / "sam.json"), str(tmp_path / "template.json")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
