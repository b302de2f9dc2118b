"""Errors of the AWS SDK by name, and who can repair them."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    InvalidRegionError,
    ReadTimeoutError,
)

from chalicelib.network.aws_errors import OPERATOR_FAULTS, reason
from tests.support.fakes import client_error


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (client_error("ThrottlingException"), "ThrottlingException"),
        (ClientError({}, "GetItem"), "ClientError"),
        (ReadTimeoutError(endpoint_url="x"), "ReadTimeoutError"),
        (ConnectionClosedError(endpoint_url="x"), "ConnectionClosedError"),
        (InvalidRegionError(region_name="x"), "InvalidRegionError"),
    ],
)
def test_an_error_is_named_by_its_code_or_its_class(error: Exception, name: str) -> None:
    assert reason(error) == name


@pytest.mark.parametrize("cause", ["AccessDenied", "Disabled", "InvalidState", "NotFound"])
def test_a_key_that_the_gate_may_not_use_is_for_the_operator_to_repair(cause: str) -> None:
    assert f"KMS{cause}Exception" in OPERATOR_FAULTS


@pytest.mark.parametrize("name", ["ThrottlingException", "InternalServerError", "ReadTimeoutError"])
def test_what_passes_by_itself_is_not(name: str) -> None:
    assert name not in OPERATOR_FAULTS
