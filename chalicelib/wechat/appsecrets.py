"""The appsecret of each mini-program: `<prefix>app/<appid>` = `{"appsecret": "…"}`."""

import re
from collections.abc import Callable

from chalicelib.errors import Misconfigured
from chalicelib.network.secrets import Secrets, Version
from chalicelib.wechat.client import Answer
from chalicelib.wechat.errcodes import INVALID_APPSECRET

_APPSECRET = re.compile(r"[!-~]{1,128}")


class AppSecrets:
    """Gives appsecrets; raises Misconfigured or SecretsUnavailable as Secrets does."""

    def __init__(self, secrets: Secrets, prefix: str) -> None:
        self._secrets = secrets
        self._prefix = prefix

    def current(self, appid: str) -> str:
        """Give the appsecret in use."""
        return self._secrets.current(f"{self._prefix}app/{appid}", lambda v: _parse(appid, v))

    def call(self, appid: str, send: Callable[[str], Answer]) -> Answer:
        """Make a call with the appsecret; if WeChat refuses that, once more with another.

        WeChat and Secrets Manager never change in the same instant, so the other may be a newer one
        or the one before. Errcode 40125 refuses the secret: a code in the call is not spent.
        """
        secret = self.current(appid)
        answer = send(secret)
        if answer.errcode != INVALID_APPSECRET:
            return answer
        name = f"{self._prefix}app/{appid}"
        another = self._secrets.alternative_to(name, secret, lambda v: _parse(appid, v))
        return answer if another is None else send(another)


def _parse(appid: str, version: Version) -> str:
    # A secret may say whose it is; then it must be right: never a call with a mixed pair.
    if version.fields.get("appid", appid) != appid:
        raise Misconfigured(reason="appid differs", secret=version.name)
    appsecret = version.text("appsecret")
    if not _APPSECRET.fullmatch(appsecret):
        raise Misconfigured(reason="appsecret is malformed", secret=version.name)
    return appsecret
