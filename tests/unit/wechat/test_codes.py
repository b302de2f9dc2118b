"""One-time codes of a request, and what WeChat's errcodes mean."""

import pytest

from chalicelib import errors
from chalicelib.errors import GateError, InvalidRequest
from chalicelib.wechat.codes import MOCK, code_of
from chalicelib.wechat.errcodes import meaning


@pytest.mark.parametrize("code", ["0", "0a1B-_" * 21 + "xy", "071AbcAB1DefXX0000000Abc-_CAB1De"])
def test_a_code_is_taken_as_it_is(code: str) -> None:
    assert code_of({"code": code}) == code


@pytest.mark.parametrize(
    "code",
    [
        *(None, 1, True, ["c"], {"a": 1}, "", " ", "a b", "a&b=c", "a?b", "a/b", "a#b", "a%26b"),
        *("a\n", "a\r\nX: y", "ａ", "代码", "a" * 129, MOCK + " ", "a\0"),
    ],
)
def test_what_could_change_a_url_is_no_code(code: object) -> None:
    for body in ({"code": code}, {}):
        with pytest.raises(InvalidRequest) as caught:
            code_of(body)
        assert caught.value.message == "code is missing or malformed."


def test_a_mock_of_devtools_is_told_from_other_malformed_codes() -> None:
    with pytest.raises(InvalidRequest) as caught:
        code_of({"code": "the code is a mock one"})
    assert "no real appid" in caught.value.message.replace("without a", "no")
    assert "tourist mode" in caught.value.message


OPERATORS_FAULTS = [
    *(40001, 40002, 40013, 40014, 40097, 40125, 40164, 40243, *range(40230, 40241)),
    *(41001, 41002, 41004, 41008, 42001, 43002, 47001, 48001, 50001, 50002, 50004, 50007),
    *(61003, 61024, 87008, 89501, 89503, 89506, 89507),
]
MEANINGS: dict[int, type[GateError]] = {
    -1: errors.WeChatBusy,
    45009: errors.WeChatBusy,
    45011: errors.TooManyRequests,
    **dict.fromkeys(OPERATORS_FAULTS, errors.Misconfigured),
    **dict.fromkeys((1, -2, 40229, 40241, 61004, 99999), errors.WeChatBadResponse),
}
OF_A_CODE: dict[int, type[GateError]] = {
    40029: errors.InvalidCode,
    40163: errors.InvalidCode,
    40226: errors.UserBlocked,
}


@pytest.mark.parametrize(("errcode", "error"), MEANINGS.items())
def test_an_errcode_means_the_same_with_and_without_a_code(
    errcode: int, error: type[GateError]
) -> None:
    named = meaning(errcode, of_a_code=True)
    assert named == meaning(errcode, of_a_code=False)
    assert named[1] is error
    assert (named[0] == "unknown") is (error is errors.WeChatBadResponse)


@pytest.mark.parametrize(("errcode", "error"), OF_A_CODE.items())
def test_a_code_is_refused_only_if_one_was_sent(errcode: int, error: type[GateError]) -> None:
    assert meaning(errcode, of_a_code=True)[1] is error
    assert meaning(errcode, of_a_code=False)[1] is errors.WeChatBadResponse
