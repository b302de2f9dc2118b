"""The template: Chalice's own, merged with template/*.yaml, and the wiring of paths to functions.

Chalice packages a copy of the app without requirements, so this needs neither network nor
credentials; the libraries are package.py's affair.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]  # has no types
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]  # has no types
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # has no types

ROOT = Path(__file__).parent.parent
PARTS = Path(__file__).parent / "template"
CODE = "./deployment.zip"

Template = dict[str, Any]

ROUTES = {
    "Login": ["/login", "/logout"],
    "Decrypt": ["/decrypt", "/phone", "/session"],
    "Proxy": ["/api/{proxy+}", "/health", "/.well-known/jwks.json"],
}
"""The paths that each Lambda function serves; app.py has the same routes, by method."""

_INVOKE = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions"
_EXECUTE = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${RestAPI}/v1/*"

_SURPLUS = ("APIHandler", "APIHandlerInvokePermission", "ApiHandlerRole")
"""Chalice makes a function for all routes; here each route has a function already."""

_SURPLUS_OUTPUTS = ("APIHandlerName", "APIHandlerArn", "RestAPIId")

# Chalice asks AWS's endpoint data for the partition of a region, and nothing else.
_NOWHERE = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull}


class TemplateError(RuntimeError):
    """Chalice refuses, or the parts, ROUTES and app.py disagree; the text is for the packager."""


def parts() -> Template:
    """Merge template/*.yaml into one template, with the homes of their anchors (x-…) left out.

    Raises:
        TemplateError: if two parts give the same member.
    """
    whole: Template = {}
    for part in sorted(PARTS.glob("*.yaml")):
        content = {k: v for k, v in yaml_parse(part.read_text()).items() if not k.startswith("x-")}
        merge(whole, content, part.name)
    return plain(whole)


def merge(whole: Template, part: Template, place: str) -> None:
    """Add the members of a part, which came from the file `place`, to the whole template.

    Raises:
        TemplateError: if the whole has a member of that name already.
    """
    for name, value in part.items():
        if name not in whole:
            whole[name] = value
        elif name in ("Resources", "Outputs", "Conditions", "Parameters", "Rules"):
            merge(whole[name], value, place)
        else:
            raise TemplateError(f"{place} gives {name}, which another part gives too.")


def write_chalice_package(out: Path) -> None:
    """Let Chalice write sam.json and deployment.zip (our code and its runtime) into `out`.

    Raises:
        TemplateError: with Chalice's own words.
    """
    with TemporaryDirectory() as copy:
        _copy_app(Path(copy))
        # Chalice takes one file to merge. JSON, since it would write the anchors of YAML as
        # aliases, which CloudFormation refuses.
        merge = Path(copy) / "merge.json"
        merge.write_text(json.dumps(parts()))
        command = [
            sys.executable,
            "-c",
            "import sys; from chalice.cli import main; sys.exit(main())",
        ]
        options = ["--stage", "package", "--merge-template", str(merge), str(out)]
        done = subprocess.run(  # noqa: S603 - our own interpreter, arguments of ours
            [*command, "package", *options],
            cwd=copy,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **_NOWHERE},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise TemplateError(f"chalice package: {done.stderr.strip()}")


def _copy_app(copy: Path) -> None:
    shutil.copy(ROOT / "app.py", copy)
    for folder in ("chalicelib", ".chalice"):
        unwanted = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    (copy / "requirements.txt").write_text("")


def finished(sam: Template, architecture: str) -> Template:
    """Wire Chalice's template and take its surplus away, for a package of one architecture.

    Raises:
        TemplateError: as `wire`.
    """
    resources, outputs = sam["Resources"], sam["Outputs"]
    for name in _SURPLUS:
        resources.pop(name)
    for name in _SURPLUS_OUTPUTS:
        outputs.pop(name)
    for function in functions(sam).values():
        function["Properties"].pop("Tags")  # names Chalice's stage, which is not ours
        function["Properties"]["CodeUri"] = CODE
        function["Properties"]["Architectures"] = [architecture]
    wire(sam)
    body = resources["Dashboard"]["Properties"]["DashboardBody"]
    body["Fn::Sub"] = json.dumps(body["Fn::Sub"], separators=(",", ":"))
    return sam


def wire(sam: Template) -> None:
    """Point each path at its function, which API Gateway may invoke for that path alone.

    Raises:
        TemplateError: naming the paths that app.py and ROUTES do not both have.
    """
    owners = {path: function for function, paths in ROUTES.items() for path in paths}
    paths = sam["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    if odd := sorted(owners.keys() ^ paths.keys()):
        raise TemplateError(f"app.py and ROUTES disagree about {', '.join(odd)}.")
    for path, function in owners.items():
        uri = {"Fn::Sub": f"{_INVOKE}/${{{function}.Arn}}/invocations"}
        for method in paths[path].values():
            method["x-amazon-apigateway-integration"]["uri"] = uri
        paths[path]["x-amazon-apigateway-any-method"] = _any_method(uri)
        name = "".join(word.capitalize() for word in re.findall("[a-z]+", path))
        sam["Resources"][f"{name}Permission"] = _permission(path, function)


def _any_method(uri: Template) -> Template:
    """Let the function answer methods without a route, by 405 in the gate's shape."""
    return {
        "responses": {"200": {"description": "as the function says"}},
        "x-amazon-apigateway-integration": {
            "type": "aws_proxy",
            "httpMethod": "POST",
            "passthroughBehavior": "when_no_match",
            "contentHandling": "CONVERT_TO_TEXT",
            "uri": uri,
        },
    }


def _permission(path: str, function: str) -> Template:
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "FunctionName": {"Fn::GetAtt": [function, "Arn"]},
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            "SourceAccount": {"Ref": "AWS::AccountId"},
            "SourceArn": {"Fn::Sub": _EXECUTE + path.replace("{proxy+}", "*")},
        },
    }


def functions(template: Template) -> dict[str, Any]:
    """Give the Lambda functions of a template, SAM or transformed, by logical name."""
    kinds = ("AWS::Serverless::Function", "AWS::Lambda::Function")
    return {name: r for name, r in template["Resources"].items() if r["Type"] in kinds}


def sam_template(architecture: str) -> Template:
    """Make the SAM template, without a package.

    Raises:
        TemplateError: as write_chalice_package and finished.
    """
    with TemporaryDirectory() as out:
        write_chalice_package(Path(out))
        return finished(json.loads((Path(out) / "sam.json").read_text()), architecture)


def transformed(sam: Template, region: str) -> Template:
    """Do what CloudFormation does with a SAM template, by AWS's own translator.

    The code's place in S3 is made up: `make deploy` uploads and knows it.
    """
    copy = plain(sam)
    for function in functions(copy).values():
        function["Properties"]["CodeUri"] = {"Bucket": "bucket", "Key": "deployment.zip"}
    session = boto3.Session(region_name=region)
    translator = Translator({}, Parser(), boto_session=session)
    return plain(translator.translate(copy, parameter_values={}))


def plain(value: Mapping[str, Any]) -> Template:
    """Give a copy that shares nothing, without the string types of its maker."""
    copy: Template = json.loads(json.dumps(value))
    return copy
