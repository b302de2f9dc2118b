"""WeChat's errcodes: the number, what it means, and what it becomes here.

Sources: WeChat, «小程序登录凭证校验», «获取稳定版接口调用凭据», «获取手机号», «重置登录态»,
«全局返回码», «服务端 API 签名加密指南». 40163, a second use of a login code, is in none of them.
"""

from chalicelib import errors

INVALID_APPSECRET = 40125
INVALID_ACCESS_TOKEN = frozenset((40001, 40014, 42001))
# A user whose openid WeChat does not know (40003) has no session there either.
NO_SUCH_SESSION_KEY = frozenset((40003, 87007, 87009))

Meaning = tuple[str, type[errors.GateError]]

_OF_A_CODE: dict[int, Meaning] = {
    40003: ("code of another openid", errors.InvalidCode),
    40029: ("invalid code", errors.InvalidCode),
    40163: ("code been used", errors.InvalidCode),
    40226: ("code blocked", errors.UserBlocked),
}
_PASSING: dict[int, Meaning] = {
    -1: ("system error", errors.WeChatBusy),
    45009: ("reach max api daily quota limit", errors.WeChatBusy),
    45011: ("api minute-quota reach limit", errors.TooManyRequests),
}
_OPERATOR_FAULTS = {
    40001: "invalid credential",
    **dict.fromkeys((40002, 40097, 43002, 47001, 87008), "invalid parameter or method"),
    **dict.fromkeys((40013, 41002), "appid missing or invalid"),
    **dict.fromkeys((40014, 41001, 42001), "access_token missing, invalid or expired"),
    **dict.fromkeys((40125, 41004), "appsecret missing or invalid"),
    40164: "ip not in whitelist",
    **dict.fromkeys(range(40230, 40241), "API encryption is on"),
    40243: "appsecret is frozen",
    41008: "code missing",
    48001: "api unauthorized",
    **dict.fromkeys((50001, 50002, 50004, 50007), "account limited or frozen"),
    **dict.fromkeys((61003, 61024), "authorization of a third-party platform"),
    **dict.fromkeys((89501, 89503), "administrator's confirmation pending"),
    **dict.fromkeys((89506, 89507), "ip refused by the administrator for a time"),
}


def meaning(errcode: int, *, of_a_code: bool) -> Meaning:
    """Give the meaning of an errcode and its error; InvalidCode only if a code was sent."""
    if of_a_code and errcode in _OF_A_CODE:
        return _OF_A_CODE[errcode]
    if errcode in _OPERATOR_FAULTS:
        return _OPERATOR_FAULTS[errcode], errors.Misconfigured
    return _PASSING.get(errcode, ("unknown", errors.WeChatBadResponse))
