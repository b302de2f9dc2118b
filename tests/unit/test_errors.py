"""Every error: Code and status are the contract's, the message says what to do."""

import pytest

from chalicelib import errors
from chalicelib.errors import GateError, MethodNotAllowed, Misconfigured, TooManyRequests

# The contract's table; NotFound is our own, for a path without a route.
STATUS = {
    "InvalidRequest": 400,
    "InvalidPath": 400,
    "UnknownApp": 400,
    "InvalidCode": 401,
    "InvalidToken": 401,
    "UserBlocked": 403,
    "PushRefused": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTooLarge": 413,
    "UnsupportedMediaType": 415,
    "DecryptFailed": 422,
    "TooManyRequests": 429,
    "Misconfigured": 500,
    "InternalError": 500,
    "WeChatBadResponse": 502,
    "WeChatUnavailable": 503,
    "WeChatBusy": 503,
    "WeChatTimeout": 504,
    "UpstreamUnreachable": 502,
    "UpstreamBadResponse": 502,
    "UpstreamTooLarge": 502,
    "UpstreamTimeout": 504,
    "SecretsUnavailable": 503,
    "StoreUnavailable": 503,
    "QueueUnavailable": 503,
    "DeadlineExceeded": 503,
}


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


def test_evidence_is_kept_from_the_client() -> None:
    error = Misconfigured(errcode=40013, secret="wxgate/app/wx1")
    assert error.evidence == {"errcode": 40013, "secret": "wxgate/app/wx1"}
    assert error.message == str(error) == Misconfigured.message
    assert error.headers == {}


def test_message_and_wait_can_be_overridden() -> None:
    error = TooManyRequests("Wait.", retry_after=7)
    assert (error.message, error.headers) == ("Wait.", {"Retry-After": "7"})
    assert TooManyRequests().headers == {"Retry-After": "60"}


def test_method_not_allowed_names_the_methods_that_are() -> None:
    assert MethodNotAllowed("GET, POST").headers == {"Allow": "GET, POST"}


def test_no_error_is_caught_where_a_value_error_is_expected() -> None:
    assert not any(issubclass(refusal, ValueError | LookupError) for refusal in every_class())
