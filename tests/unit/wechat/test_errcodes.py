"""What WeChat's errcodes mean."""

from chalicelib import errors
from chalicelib.errors import GateError
from chalicelib.wechat.errcodes import meaning

OPERATORS_FAULTS = [
    *(40001, 40002, 40013, 40014, 40097, 40125, 40164, 40243, *range(40230, 40241)),
    *(41001, 41002, 41004, 41008, 42001, 43002, 47001, 48001, 50001, 50002, 50004, 50007),
    *(61003, 61024, 87008, 89501, 89503, 89506, 89507),
]
MEANINGS: dict[int, type[GateError]] = {
    **dict.fromkeys((-1, 45009), errors.WeChatBusy),
    45011: errors.TooManyRequests,
    **dict.fromkeys(OPERATORS_FAULTS, errors.Misconfigured),
    **dict.fromkeys((1, -2, 40229, 40241, 61004, 99999), errors.WeChatBadResponse),
}
OF_A_CODE = {**dict.fromkeys((40003, 40029, 40163), errors.InvalidCode), 40226: errors.UserBlocked}


def test_an_errcode_means_the_same_with_and_without_a_code_unless_it_refuses_one() -> None:
    for errcode, error in MEANINGS.items():
        name, found = meaning(errcode, of_a_code=True)
        assert (name, found) == meaning(errcode, of_a_code=False) == (name, error)
        assert (name == "unknown") is (error is errors.WeChatBadResponse)
    for errcode, error in OF_A_CODE.items():
        assert meaning(errcode, of_a_code=True)[1] is error
        assert meaning(errcode, of_a_code=False)[1] is errors.WeChatBadResponse
