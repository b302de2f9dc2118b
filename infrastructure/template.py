"""The template: Chalice's own, merged with template/*.yaml, wired and transformed.

Chalice packages a copy of the app without requirements, so this needs neither network nor
credentials; the libraries are package.py's affair.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]  # has no types
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]  # has no types

from infrastructure.parts import Template, TemplateError, parts, plain
from infrastructure.wiring import wire

ROOT = Path(__file__).parent.parent
CODE = "./deployment.zip"

_SURPLUS = ("APIHandler", "APIHandlerInvokePermission", "ApiHandlerRole")
"""Chalice makes a function for all routes; here each route has a function already."""

_SURPLUS_OUTPUTS = ("APIHandlerName", "APIHandlerArn", "RestAPIId")

# Chalice asks AWS's endpoint data for the partition of a region, and nothing else.
_NOWHERE = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull}


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
    body["Fn::Sub"][0] = json.dumps(body["Fn::Sub"][0], separators=(",", ":"))
    return sam


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
