"""Every error: Code and status are the contract's, the message says what to do."""

import pytest

from chalicelib import errors
from chalicelib.errors import GateError, MethodNotAllowed, TooManyRequests

# The contract's table; NotFound is our own, for a path without a route.
CODES = {
    400: "InvalidRequest InvalidPath UnknownApp",
    401: "InvalidCode InvalidToken",
    403: "UserBlocked PushRefused",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "RequestTooLarge",
    415: "UnsupportedMediaType",
    422: "DecryptFailed",
    429: "TooManyRequests",
    500: "Misconfigured InternalError",
    502: "WeChatBadResponse UpstreamUnreachable UpstreamBadResponse UpstreamTooLarge",
    503: "WeChatUnavailable WeChatBusy SecretsUnavailable StoreUnavailable QueueUnavailable "
    "DeadlineExceeded",
    504: "WeChatTimeout UpstreamTimeout",
}
STATUS = {code: status for status, codes in CODES.items() for code in codes.split()}


def every_class() -> list[type[GateError]]:
    return GateError.__subclasses__()


def made(refusal: type[GateError]) -> GateError:
    return refusal("GET, POST") if refusal is MethodNotAllowed else refusal()


def test_the_codes_are_the_contracts() -> None:
    assert {refusal.__name__: refusal.status for refusal in every_class()} == STATUS
    assert all(made(refusal).code == refusal.__name__ for refusal in every_class())


@pytest.mark.parametrize("refusal", every_class())
def test_a_message_is_sentences_of_its_own(refusal: type[GateError]) -> None:
    message = made(refusal).message
    assert message[0].isupper()
    assert message.endswith(".")
    assert [other for other in every_class() if other.message == message] == [refusal]


@pytest.mark.parametrize("refusal", every_class())
def test_every_429_and_503_says_how_long_to_wait(refusal: type[GateError]) -> None:
    has = "Retry-After" in made(refusal).headers
    assert has == (refusal.status in (429, 503))


def test_a_401_for_the_token_has_a_challenge_without_a_cause() -> None:
    challenged = [r.__name__ for r in every_class() if "WWW-Authenticate" in made(r).headers]
    assert challenged == ["InvalidToken"]
    assert errors.InvalidToken().headers == {"WWW-Authenticate": "Bearer"}


def test_message_and_wait_can_be_overridden_and_evidence_stays_inside() -> None:
    error = TooManyRequests("Wait.", retry_after=7, secret="wxgate/app/wx1")
    assert (error.message, str(error)) == ("Wait.", "Wait.")
    assert error.headers == {"Retry-After": "7"}
    assert error.evidence == {"secret": "wxgate/app/wx1"}
    assert TooManyRequests().headers == {"Retry-After": "60"}


def test_no_error_is_caught_where_a_value_error_is_expected() -> None:
    assert not any(issubclass(refusal, ValueError | LookupError) for refusal in every_class())
