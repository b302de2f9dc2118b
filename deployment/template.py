"""The template: Chalice's own, merged with resources.json, less what no merge can take away.

Chalice packages a copy of the app without requirements, so this needs neither network nor
credentials; the libraries are package.py's affair.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]  # has no types
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]  # has no types

ROOT = Path(__file__).parent.parent
RESOURCES = ROOT / "resources.json"
APP = ("app.py", "chalicelib", ".chalice/config.json", ".chalice")
CODE = "./deployment.zip"

Template = dict[str, Any]

_SURPLUS = ("APIHandler", "APIHandlerInvokePermission", "ApiHandlerRole")
"""Chalice makes a function for all routes; here each route has a function already."""

_SURPLUS_OUTPUTS = ("APIHandlerName", "APIHandlerArn", "RestAPIId")

# Chalice asks AWS's endpoint data for the partition of a region, and nothing else.
_NOWHERE = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull}


class TemplateError(RuntimeError):
    """Chalice or the SAM translator refuses; the text is for the one who packages."""


def write_chalice_package(out: Path) -> None:
    """Let Chalice write sam.json and deployment.zip (our code and its runtime) into `out`.

    Raises:
        TemplateError: with Chalice's own words.
    """
    with TemporaryDirectory() as copy:
        _copy_app(Path(copy))
        command = [
            sys.executable,
            "-c",
            "import sys; from chalice.cli import main; sys.exit(main())",
        ]
        options = ["--stage", "package", "--merge-template", str(RESOURCES), str(out)]
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
    """Give Chalice's template without its surplus, for a package of one architecture.

    Raises:
        TemplateError: if a path still leads to a function that is taken away.
    """
    resources, outputs = sam["Resources"], sam["Outputs"]
    for name in _SURPLUS:
        resources.pop(name)
    for name in _SURPLUS_OUTPUTS:
        outputs.pop(name)
    for function in functions(sam).values():
        function["Properties"].pop("Tags")  # names Chalice's stage, which is not ours
        function["Properties"]["CodeUri"] = CODE
    refuse_orphans(sam)
    body = resources["Dashboard"]["Properties"]["DashboardBody"]
    body["Fn::Sub"] = json.dumps(body["Fn::Sub"], separators=(",", ":"))
    # Another architecture than the package's would fail at the first start.
    sam["Parameters"]["Architecture"] |= {"Default": architecture, "AllowedValues": [architecture]}
    return sam


def refuse_orphans(sam: Template) -> None:
    """See that resources.json points each path of the app at a function.

    Raises:
        TemplateError: naming the paths that it forgot.
    """
    paths = sam["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    orphans = [path for path, methods in paths.items() if "APIHandler" in json.dumps(methods)]
    if orphans:
        raise TemplateError(f"resources.json names no function for {', '.join(orphans)}")


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
    copy = json.loads(json.dumps(sam))
    for function in functions(copy).values():
        function["Properties"]["CodeUri"] = {"Bucket": "bucket", "Key": "deployment.zip"}
    session = boto3.Session(region_name=region)
    translator = Translator({}, Parser(), boto_session=session)
    translated: Template = plain(translator.translate(copy, parameter_values={}))
    return translated


def plain(value: Any) -> Any:
    """Give a JSON value without the string types of its maker."""
    return json.loads(json.dumps(value))


def strings(value: object) -> Iterator[str]:
    """Give every string of a JSON value, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)
