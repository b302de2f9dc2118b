"""WeChat's errcodes: the number, its name in the documentation, and what it becomes here.

Sources: WeChat, «小程序登录凭证校验», «获取稳定版接口调用凭据», «获取手机号», «重置登录态»,
«全局返回码», «服务端 API 签名加密指南». 40163, a second use of a login code, is in none of them.
"""

from chalicelib import errors

INVALID_OPENID = 40003
INVALID_APPSECRET = 40125
INVALID_ACCESS_TOKEN = frozenset((40001, 40014, 42001))

# A user whose openid WeChat does not know has no session there either.
NO_SUCH_SESSION_KEY = frozenset((INVALID_OPENID, 87007, 87009))

_OF_A_CODE: dict[int, tuple[str, type[errors.GateError]]] = {
    40029: ("invalid code", errors.InvalidCode),
    40163: ("code been used", errors.InvalidCode),
    40226: ("code blocked", errors.UserBlocked),
}
_PASSING: dict[int, tuple[str, type[errors.GateError]]] = {
    -1: ("system error", errors.WeChatBusy),
    45009: ("reach max api daily quota limit", errors.WeChatBusy),
    45011: ("api minute-quota reach limit", errors.TooManyRequests),
}
_OPERATOR_FAULTS = {
    40001: "invalid credential",
    40002: "invalid grant_type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40097: "invalid args",
    40125: "invalid appsecret",
    40164: "ip not in whitelist",
    40230: "API encryption is on: Wechatmp-Serial missing",
    40231: "API encryption is on: Wechatmp-TimeStamp missing",
    40232: "API encryption is on: Wechatmp-Signature missing",
    40233: "API encryption is on: Wechatmp-AppId missing",
    40234: "API encryption is on: invalid signature",
    40235: "API encryption is on: invalid encryption",
    40236: "API encryption is on: invalid Wechatmp-AppId",
    40237: "API encryption is on: Wechatmp-AppId does not match the token",
    40238: "API encryption is on: no symmetric key is set",
    40239: "API encryption is on: no public key is set",
    40240: "API encryption is on: Wechatmp-TimeStamp expired",
    40243: "appsecret is frozen",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "code missing",
    42001: "access_token expired",
    43002: "require POST method",
    47001: "data format error",
    48001: "api unauthorized",
    50001: "user unauthorized",
    50002: "user limited",
    50004: "token api forbidden",
    50007: "account frozen",
    61003: "app has not authorized the third-party platform",
    61024: "a third-party platform's token is required",
    87008: "invalid sig_method",
    89501: "ip awaits the administrator's confirmation",
    89503: "call awaits the administrator's confirmation",
    89506: "ip refused by the administrator for 24 hours",
    89507: "ip refused by the administrator for 1 hour",
}


def meaning(errcode: int, *, of_a_code: bool) -> tuple[str, type[errors.GateError]]:
    """Give the name of an errcode and its error; InvalidCode only if a code was sent."""
    if of_a_code and errcode in _OF_A_CODE:
        return _OF_A_CODE[errcode]
    if errcode in _OPERATOR_FAULTS:
        return _OPERATOR_FAULTS[errcode], errors.Misconfigured
    return _PASSING.get(errcode, ("unknown", errors.WeChatBadResponse))
