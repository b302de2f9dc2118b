"""Clients of the AWS SDK."""

import botocore.session
import pytest

from chalicelib.errors import Misconfigured
from chalicelib.network import aws_clients


def test_a_region_that_is_none_is_the_operators_fault() -> None:
    session = botocore.session.get_session()
    with pytest.raises(Misconfigured) as caught:
        aws_clients.client("secretsmanager", "not a region", session, 1.0, 1)
    assert caught.value.evidence == {"reason": "InvalidRegionError"}
