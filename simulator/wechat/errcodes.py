"""WeChat's errcodes and the texts that come with them."""

import secrets

from simulator.wechat.messages import JsonObject

ERRMSG = {
    -1: "system error",
    40001: (
        "invalid credential, access_token is invalid or not latest, could get access_token by"
        " getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
    ),
    40002: "invalid grant_type",
    40003: "invalid openid",
    40013: "invalid appid",
    40014: "invalid access_token",
    40029: "invalid code",
    40097: "invalid args",
    40125: "invalid appsecret",
    40163: "code been used",
    40164: "invalid ip, not in whitelist",
    40226: "code blocked",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    42001: "access_token expired",
    43002: "require POST method",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit mustslower retry next minute",
    47001: "data format error",
    87007: "session_key is not existd or expired",
    87008: "invalid sig_method",
    87009: "invalid signature",
}


class ErrcodeError(Exception):
    """A call that WeChat's server refuses, by the number it answers."""

    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode


def refusal(path: str, errcode: int, now: float) -> JsonObject:
    """Make the JSON of a refusal; each family of paths ends its errmsg in its own way.

    A request id closes it, ``%08x-%08x-%08x``; its first group is the time in epoch seconds.
    """
    rid = f"rid: {int(now):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
    text = ERRMSG.get(errcode, "error of the simulator's choice")
    if path.startswith("/sns/"):
        return {"errcode": errcode, "errmsg": f"{text}, {rid}"}
    if path.startswith("/wxa/"):
        text += f" hint: [{secrets.token_urlsafe(12)}]"
    return {"errcode": errcode, "errmsg": f"{text} {rid}"}
