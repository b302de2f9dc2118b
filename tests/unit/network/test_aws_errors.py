"""Errors of the AWS SDK by name, and who can repair them."""

import botocore.session
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    InvalidRegionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from chalicelib.errors import Misconfigured, StoreUnavailable
from chalicelib.network import aws_clients
from chalicelib.network.aws_errors import reason, translated
from tests.support.fakes import client_error

PASSING: dict[str, Exception] = {
    "ThrottlingException": client_error("ThrottlingException"),
    "InternalServerError": client_error("InternalServerError"),
    "KMSThrottlingException": client_error("KMSThrottlingException"),
    "ClientError": ClientError({}, "GetItem"),
    "ReadTimeoutError": ReadTimeoutError(endpoint_url="x"),
    "ConnectionClosedError": ConnectionClosedError(endpoint_url="x"),
}
OPERATORS: dict[str, Exception] = {
    "InvalidRegionError": InvalidRegionError(region_name="x"),
    "NoCredentialsError": NoCredentialsError(),
    "KMSDisabledException": client_error("KMSDisabledException"),
    "AccessDeniedException": client_error("AccessDeniedException"),
}


@pytest.mark.parametrize("name", [*PASSING, *OPERATORS])
def test_an_error_is_named_by_its_code_or_its_class(name: str) -> None:
    assert reason({**PASSING, **OPERATORS}[name]) == name


@pytest.mark.parametrize("name", [*PASSING, *OPERATORS])
def test_what_does_not_pass_by_itself_is_for_the_operator_to_repair(name: str) -> None:
    error = translated({**PASSING, **OPERATORS}[name], StoreUnavailable, secret="x")
    assert type(error) is (Misconfigured if name in OPERATORS else StoreUnavailable)
    assert error.evidence == {"reason": name, "secret": "x"}


def test_a_region_that_is_none_is_the_operators_fault() -> None:
    session = botocore.session.get_session()
    with pytest.raises(Misconfigured) as caught:
        aws_clients.client("secretsmanager", "not a region", session, 1.0, 1)
    assert caught.value.evidence == {"reason": "InvalidRegionError"}
