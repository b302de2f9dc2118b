"""Every error: Code and status are the contract's, the message says what to do."""

import pytest

from chalicelib import errors
from chalicelib.errors import GateError, TooManyRequests


def every_class() -> list[type[GateError]]:
    return GateError.__subclasses__()


# That the codes, statuses and headers are those of docs/openapi.yaml: tests/docs/test_openapi.py.
@pytest.mark.parametrize("refusal", every_class())
def test_an_error_has_a_code_and_sentences_of_its_own_and_perhaps_a_wait(
    refusal: type[GateError],
) -> None:
    error = refusal()
    message = error.message
    assert error.code == refusal.__name__
    assert ("Retry-After" in error.headers) == (error.status in (429, 503))
    assert message[0].isupper()
    assert message.endswith(".")
    assert [other for other in every_class() if other.message == message] == [refusal]


def test_a_401_for_the_token_has_a_challenge_without_a_cause() -> None:
    challenged = [r.__name__ for r in every_class() if "WWW-Authenticate" in r().headers]
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
