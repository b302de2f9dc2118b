"""`python -m infrastructure.secrets`: ask for appsecrets and push secrets, make or rotate keys.

The values go straight to Secrets Manager: no template, shell history or list of processes has them.
A push secret that is generated is shown once, since WeChat's console needs it too.
"""

import argparse
import base64
import getpass
import json
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infrastructure import commands
from infrastructure.parameters import Refused, existing

_APPSECRET = re.compile(r"[!-~]{8,128}")
_PUSH_TOKEN = re.compile(r"[A-Za-z0-9]{3,32}")
_AES_KEY = re.compile(r"[A-Za-z0-9]{43}")


def signing_secret() -> str:
    """Make the value of the signing secret: `{"kid", "private_key"}`, PEM, P-256, fresh."""
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return json.dumps({"kid": secrets.token_hex(8), "private_key": pem.decode()})


@dataclass(frozen=True)
class Vault:
    """Secrets Manager, for the secrets of one stack: each gets the stack's tags and KMS key."""

    manager: Any
    stack: str
    tags: Sequence[Mapping[str, str]] = ()
    key: str = ""

    def put(self, name: str, value: str) -> None:
        """Give a secret a new current version; make it, or restore it, if it is not there."""
        name = f"{self.stack}/{name}"
        found = self._described(name)
        if found is None:
            key = {"KmsKeyId": self.key} if self.key else {}
            self.manager.create_secret(Name=name, SecretString=value, Tags=self.tags, **key)
        else:
            if "DeletedDate" in found:
                self.manager.restore_secret(SecretId=name)
            self.manager.put_secret_value(SecretId=name, SecretString=value)
        print(f"{name} is set.")

    def has(self, name: str) -> bool:
        """Tell whether a secret has a value that can be read."""
        found = self._described(f"{self.stack}/{name}") or {}
        return bool(found.get("VersionIdsToStages")) and "DeletedDate" not in found

    def _described(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.manager.describe_secret(SecretId=name)
        except self.manager.exceptions.ResourceNotFoundException:
            return None
        return found


def update(
    vault: Vault, appids: Sequence[str], read: Callable[[str], str], *, rotate: bool
) -> None:
    """Ask for each mini-program's appsecret; make the signing key if there is none, or rotate it.

    `read` asks for one secret without showing it; an empty answer leaves it as it is.

    Raises:
        Refused: if an appsecret is malformed.
    """
    for appid in appids:
        appsecret = read(f"appsecret of {appid} (empty: leave it): ").strip()
        if appsecret and not _APPSECRET.fullmatch(appsecret):
            raise Refused(f"The appsecret of {appid} is malformed: 8 to 128 ASCII characters.")
        if appsecret:
            vault.put(f"app/{appid}", json.dumps({"appsecret": appsecret}))
    if rotate or not vault.has("signing"):
        vault.put("signing", signing_secret())


def update_pushes(
    vault: Vault, appids: Sequence[str], read: Callable[[str], str], *, rotate: bool
) -> None:
    """Ask for each mini-program's push token and EncodingAESKey; without an answer, generate them.

    With an empty answer a secret that is there stays, unless it is to rotate.

    Raises:
        Refused: if one of the two is malformed.
    """
    for appid in appids:
        token = read(f"push token of {appid} (empty: generate it, or leave it): ").strip()
        if token:
            aes_key = read(f"EncodingAESKey of {appid}: ").strip()
            if not _PUSH_TOKEN.fullmatch(token) or not _AES_KEY.fullmatch(aes_key):
                raise Refused(
                    f"The push secret of {appid} is malformed: a token is 3 to 32 letters and "
                    "digits, an EncodingAESKey 43."
                )
        elif rotate or not vault.has(f"push/{appid}"):
            token, aes_key = secrets.token_hex(16), new_aes_key()
            print(f"For 消息推送 in the console of {appid} (shown this once):")
            print(f"  Token           {token}\n  EncodingAESKey  {aes_key}")
        else:
            continue
        vault.put(f"push/{appid}", json.dumps({"token": token, "aes_key": aes_key}))


def new_aes_key() -> str:
    """Make an EncodingAESKey: 43 letters and digits, base64 of 32 bytes less its last character."""
    while True:
        text = base64.b64encode(secrets.token_bytes(32)).decode()[:43]
        if text.isalnum():
            return text


def read_secret(prompt: str) -> str:
    """Ask for a secret without echo, or take a line of standard input if that is not a terminal."""
    return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()


def _run(options: argparse.Namespace) -> None:
    appids = options.appid
    if options.dry_run:
        names = [f"app/{appid}" for appid in appids or ["<appid>"]]
        names += [name.replace("app/", "push/") + " (with EventsPath)" for name in names]
        print("\n".join(f"put-secret-value {options.stack}/{name}" for name in [*names, "signing"]))
        return
    found = existing(options.stack, options.region)
    values = {p["ParameterKey"]: p["ParameterValue"] for p in found["Parameters"]}
    manager = boto3.client("secretsmanager", region_name=options.region)
    vault = Vault(manager, options.stack, found.get("Tags", []), values.get("KmsKeyArn", ""))
    appids = appids or values["AppIds"].split(",")
    try:
        update(vault, appids, read_secret, rotate=options.rotate_signing_key)
        if values.get("EventsPath"):
            update_pushes(vault, appids, read_secret, rotate=options.rotate_push_secrets)
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"Secrets Manager refuses: {error}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Set the secrets of a stack; end with status 1 and one line if that cannot be."""
    parser = commands.parser("secrets", __doc__)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--appid", action="append", default=[], help="of these alone")
    parser.add_argument("--rotate-signing-key", action="store_true")
    parser.add_argument("--rotate-push-secrets", action="store_true")
    with commands.one_line(Refused):
        _run(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
