"""A Chalice login as most would write it, packaged as `chalice package` leaves it."""

import shutil
import subprocess
import sys
from pathlib import Path

from infrastructure import package

APP = """
import functools
import json
import os
import uuid

import boto3
import requests
from chalice.app import Chalice
from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

app = Chalice(app_name="naive")
secrets = boto3.client("secretsmanager")


class Session(Model):
    class Meta:
        table_name = os.environ["SESSIONS_TABLE"]
        region = os.environ["AWS_REGION"]

    user = BinaryAttribute(hash_key=True, legacy_encoding=False)
    item = BinaryAttribute(range_key=True, legacy_encoding=False)
    session_key = UnicodeAttribute()
    expires_at = NumberAttribute()


@functools.cache
def appsecret(appid):
    name = os.environ["SECRET_PREFIX"] + "app/" + appid
    return json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])["appsecret"]


@app.route("/login", methods=["POST"])
def login():
    appid = os.environ["WX_APPIDS"].split(",")[0]
    query = {
        "appid": appid,
        "secret": appsecret(appid),
        "js_code": app.current_request.json_body["code"],
        "grant_type": "authorization_code",
    }
    url = os.environ["WECHAT_API_URL"] + "/sns/jscode2session"
    who = json.loads(requests.get(url, params=query, timeout=5).text)
    token = uuid.uuid4()
    Session(
        who["openid"].encode(), token.bytes, session_key=who["session_key"], expires_at=2**31
    ).save()
    return {"token": token.hex, "expires_in": 604800}
"""


def write(folder: Path, ours: Path) -> None:
    """Lay out the app, all of the libraries, and Chalice's runtime from our package."""
    uncompiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package.libraries(package.here()), folder, ignore=uncompiled)
    shutil.copytree(ours / "chalice", folder / "chalice", ignore=uncompiled, dirs_exist_ok=True)
    (folder / "app.py").write_text(APP)


def compile_all(folder: Path) -> None:
    """Add .pyc files that are never checked."""
    options = ["-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([sys.executable, "-S", "-m", "compileall", *options, str(folder)], check=True)
