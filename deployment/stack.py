"""The stack on AWS: deploy, secrets, logs, destroy; by the AWS CLI and the SAM CLI.

Checks come first and change nothing: what is wrong is told in one line. With --dry-run the
commands that would change something are shown, none is run, and no AWS account is needed.
"""

import argparse
import getpass
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from deployment import package, template, wheels
from deployment.keys import signing_secret
from deployment.template import ROOT

TOOLS = ROOT / "build/tools/bin"
BUILD = ROOT / "build"

_STAGE = re.compile(r"[a-z][a-z0-9-]{0,19}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,2}-[0-9]{1,2}")
_APPSECRET = re.compile(r"[!-~]{8,128}")

_QUIET = {"SAM_CLI_TELEMETRY": "0", "AWS_PAGER": ""}


class Refused(RuntimeError):
    """Something is missing or wrong, and nothing was changed; the text is one line."""


class Failed(RuntimeError):
    """A tool failed; it has told why."""


@dataclass
class Shell:
    """Runs the tools; a dry one shows what would change something, and runs nothing."""

    dry: bool
    environ: Mapping[str, str]
    tools: Path = TOOLS
    say: Callable[[str], None] = field(default=print)

    def change(self, *command: str, stdin: str | None = None, shown: str = "") -> None:
        """Run a command that changes something; its output is the user's.

        Raises:
            Failed: if it fails.
        """
        if self.dry:
            self.say(shlex.join(command) + shown)
            return
        done = self._run(command, stdin=stdin, capture=False)
        if done.returncode:
            raise Failed(f"{command[0]} {command[1]} failed.")

    def ask(self, *command: str) -> str:
        """Run a command that only reads; give its output.

        Raises:
            Refused: with the last line that the tool said.
        """
        done = self._run(command, stdin=None, capture=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()] or [
                "no reason given"
            ]
            raise Refused(said[-1].strip())
        return done.stdout.strip()

    def _run(
        self, command: Sequence[str], *, stdin: str | None, capture: bool
    ) -> "subprocess.CompletedProcess[str]":
        tool = self.tools / command[0]
        if not tool.exists():
            raise Refused(f"{command[0]} is not installed: make tools")
        return subprocess.run(  # noqa: S603 - the tool of our own environment
            [str(tool), *command[1:]],
            env={**self.environ, **_QUIET},
            input=stdin,
            capture_output=capture,
            text=True,
            check=False,
        )


@dataclass(frozen=True)
class Stack:
    """One stage in one region: its name, and the commands on it."""

    stage: str
    region: str
    shell: Shell

    def __post_init__(self) -> None:
        if not _STAGE.fullmatch(self.stage):
            raise Refused("STAGE is missing or malformed: write a name such as prod.")
        if not _REGION.fullmatch(self.region):
            raise Refused("REGION is missing or malformed: write a region such as ap-east-1.")

    @property
    def name(self) -> str:
        """The stack's name: the secrets' prefix, and the start of the functions' names."""
        return f"wxgate-{self.stage}"

    @property
    def architecture(self) -> str:
        """What the functions run on, unless told otherwise: China is not known to have arm64."""
        return "x86_64" if self.region.startswith("cn-") else "arm64"

    # --- deploy ---

    def deploy(self, parameters: Mapping[str, str], bucket: str, architecture: str) -> None:
        """Package, upload, and make or change the stack; the tool shows its events and outputs.

        Raises:
            Refused: if a parameter, the credentials, the region or the bucket is wrong.
            Failed: as the tool says; CloudFormation has rolled back.
        """
        check_parameters(parameters)
        if not self.shell.dry:
            self._check_account(bucket)
            self._check_first(parameters)
            package.build(architecture, BUILD)
        place = ("--s3-bucket", bucket) if bucket else ("--resolve-s3",)
        self.shell.change(
            *("sam", "package", "--template-file", "build/sam.json"),
            *("--output-template-file", "build/packaged.json", "--use-json"),
            *("--s3-prefix", self.name, *place, *self._where()),
        )
        self.shell.change(
            *("sam", "deploy", "--template-file", "build/packaged.json", "--stack-name", self.name),
            *("--s3-prefix", self.name, *place, *self._where()),
            *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"),
            *("--no-fail-on-empty-changeset", "--tags", f"wxgate:stage={self.stage}"),
            *_overrides(parameters),
        )

    def _check_account(self, bucket: str) -> None:
        try:
            self.shell.ask("aws", "sts", "get-caller-identity", *self._where())
        except Refused as error:
            raise Refused(f"No usable AWS credentials for {self.region}: {error}") from None
        if bucket:
            try:
                self.shell.ask("aws", "s3api", "head-bucket", "--bucket", bucket, *self._where())
            except Refused as error:
                raise Refused(f"The bucket {bucket} is of no use: {error}") from None

    def _check_first(self, parameters: Mapping[str, str]) -> None:
        """See that a first deployment has what no default can give."""
        needed = {"AppIds": "APPIDS", "UpstreamUrl": "UPSTREAM_URL"}
        missing = [word for name, word in needed.items() if name not in parameters]
        if missing and not self._exists():
            raise Refused(f"The first deployment needs {' and '.join(missing)}.")

    def _exists(self) -> bool:
        try:
            self._described("StackStatus")
        except Refused as error:
            if "does not exist" in str(error):
                return False
            raise
        return True

    # --- secrets ---

    def secrets(self, appids: Sequence[str], read: Callable[[str], str], *, rotate: bool) -> None:
        """Ask for the appsecret of each mini-program; make the signing key, or rotate it.

        `read` asks for one secret without showing it; an empty answer leaves it as it is.

        Raises:
            Refused: if the stack or a secret of it does not exist, or a value is malformed.
        """
        for appid in appids or self._appids():
            appsecret = read(f"appsecret of {appid} (empty: leave it): ").strip()
            if appsecret and not _APPSECRET.fullmatch(appsecret):
                raise Refused(f"The appsecret of {appid} is malformed: 8 to 128 ASCII characters.")
            if appsecret:
                self._put(f"{self.name}/app/{appid}", json.dumps({"appsecret": appsecret}))
        signing = f"{self.name}/signing"
        if rotate or self.shell.dry or not self._has_value(signing):
            self._put(signing, signing_secret())

    def _appids(self) -> list[str]:
        if self.shell.dry:
            return ["<appid>"]
        query = "Parameters[?ParameterKey=='AppIds'].ParameterValue | [0]"
        return [appid for appid in self._described(query).split(",") if appid]

    def _has_value(self, name: str) -> bool:
        command = ("secretsmanager", "list-secret-version-ids", "--secret-id", name)
        query = ("--query", "length(Versions)", "--output", "text")
        return self.shell.ask("aws", *command, *query, *self._where()) not in ("0", "None")

    def _put(self, name: str, value: str) -> None:
        # By standard input: arguments can be read by every process of the machine.
        self.shell.change(
            *("aws", "secretsmanager", "put-secret-value", "--secret-id", name),
            *("--secret-string", "file:///dev/stdin", *self._where()),
            stdin=value,
            shown=" <<< '…'",
        )

    # --- logs and destroy ---

    def logs(self) -> None:
        """Follow the functions' logs."""
        self.shell.change("sam", "logs", "--stack-name", self.name, "--tail", *self._where())

    def destroy(self, confirm: Callable[[str], str], *, with_data: bool) -> None:
        """Delete the stack after its name was typed; the table stays unless `with_data`.

        Raises:
            Refused: if the name was not typed, or there is no such stack.
        """
        table = self._table()
        kept = "ITS SESSIONS ARE DELETED TOO" if with_data else f"its table {table} is kept"
        if not self.shell.dry:
            question = f"{self.name} in {self.region} will be deleted, {kept}. Type its name: "
            if confirm(question).strip() != self.name:
                raise Refused("Not confirmed.")
        self.shell.change(
            "sam", "delete", "--stack-name", self.name, "--no-prompts", *self._where()
        )
        if with_data:
            of_table = ("--table-name", table, *self._where())
            unprotected = "--no-deletion-protection-enabled"
            self.shell.change("aws", "dynamodb", "update-table", unprotected, *of_table)
            self.shell.change("aws", "dynamodb", "delete-table", *of_table)

    def _table(self) -> str:
        if self.shell.dry:
            return "<table>"
        return self._described("Outputs[?OutputKey=='SessionsTable'].OutputValue | [0]")

    def _described(self, query: str) -> str:
        command = ("cloudformation", "describe-stacks", "--stack-name", self.name)
        options = ("--query", f"Stacks[0].{query}", "--output", "text")
        return self.shell.ask("aws", *command, *options, *self._where())

    def _where(self) -> tuple[str, str]:
        return ("--region", self.region)


# --- parameters ----------------------------------------------------------------------------------


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Check values as CloudFormation would, before anything is uploaded.

    Raises:
        Refused: naming the first that is wrong.
    """
    definitions = json.loads(template.RESOURCES.read_text())["Parameters"]
    del definitions["Architecture"]  # the package's own, which --architecture chooses
    for name, value in parameters.items():
        if name not in definitions:
            raise Refused(f"There is no parameter {name}: see Parameters in resources.json.")
        for complaint in _complaints(definitions[name], value):
            raise Refused(f"{name} is malformed: {complaint}.")


def _complaints(definition: Mapping[str, Any], value: str) -> Iterator[str]:
    if not re.fullmatch(definition.get("AllowedPattern", ".*"), value):
        yield definition.get("ConstraintDescription", definition["Description"].rstrip("."))
    allowed = [str(one) for one in definition.get("AllowedValues", [])]
    if allowed and value not in allowed:
        yield f"write one of {', '.join(allowed)}"
    if len(value) < definition.get("MinLength", 0):
        yield "it is empty"
    if definition["Type"] == "Number":
        yield from _number_complaints(definition, value)


def _number_complaints(definition: Mapping[str, Any], value: str) -> Iterator[str]:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        yield "write a whole number"
        return
    low, high = definition.get("MinValue", 0), definition.get("MaxValue", int(value))
    if not low <= int(value) <= high:
        yield f"write {low} or more" if high == int(value) else f"write {low} to {high}"


def _overrides(parameters: Mapping[str, str]) -> list[str]:
    if not parameters:
        return []
    return ["--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())]


def parsed_parameters(words: Sequence[str]) -> dict[str, str]:
    """Read `Name=value` words; a word without a value is left out.

    Raises:
        Refused: if a word is something else.
    """
    parameters = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isalnum() or '"' in value:
            raise Refused(f"{word!r} is no parameter: write Name=value.")
        if value:
            parameters[name] = value
    return parameters


# --- the command line ----------------------------------------------------------------------------


def read_secret(prompt: str) -> str:
    """Ask for a secret without echo; take a line of standard input where no one types."""
    return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()


def read_answer(prompt: str) -> str:
    """Ask a question."""
    print(prompt, end="", flush=True)
    return sys.stdin.readline()


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployment.stack", description=__doc__)
    parser.add_argument("command", choices=["deploy", "secrets", "logs", "destroy"])
    parser.add_argument("--stage", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--bucket", default="", help="deploy: where the package goes")
    parser.add_argument("--architecture", choices=wheels.ARCHITECTURES, help="deploy")
    parser.add_argument("--parameter", action="append", default=[], help="deploy: Name=value")
    parser.add_argument("--appid", action="append", default=[], help="secrets: only of these")
    parser.add_argument("--rotate-signing-key", action="store_true", help="secrets")
    parser.add_argument("--with-data", action="store_true", help="destroy: the table too")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, shell: Shell) -> None:
    """Carry out a command.

    Raises:
        Refused, Failed: as the commands.
    """
    stack = Stack(options.stage, options.region, shell)
    match options.command:
        case "deploy":
            parameters = parsed_parameters(options.parameter)
            stack.deploy(parameters, options.bucket, options.architecture or stack.architecture)
        case "secrets":
            read = _no_secret if options.dry_run else read_secret
            stack.secrets(options.appid, read, rotate=options.rotate_signing_key)
        case "logs":
            stack.logs()
        case "destroy":
            stack.destroy(read_answer, with_data=options.with_data)


def _no_secret(_prompt: str) -> str:
    return "not-a-secret"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Carry out a command; end with status 1 and one line where that cannot be."""
    options = _arguments(arguments)
    shell = Shell(options.dry_run, os.environ)
    try:
        run(options, shell)
    except (Refused, Failed, package.PackageError, template.TemplateError) as error:
        sys.exit(str(error))
    except wheels.MissingWheel as error:
        sys.exit(f"No package: {error}")
    sys.exit(0)


if __name__ == "__main__":
    main()
