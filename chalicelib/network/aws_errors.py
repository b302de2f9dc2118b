"""Errors of the AWS SDK: their short names, and which of them only the operator can repair."""

import re
from typing import Any

import botocore.exceptions as sdk

from chalicelib.errors import GateError, Misconfigured

# All else that the SDK raises, if AWS did not answer, is about its configuration.
_PASSING = (sdk.ConnectionError, sdk.HTTPClientError, sdk.IncompleteReadError)

# Of the error codes of DynamoDB, Secrets Manager, SQS and all services (AWS's API references).
_OPERATOR_FAULTS = re.compile(
    r"AWS\.SimpleQueueService\.NonExistentQueue|AccessDenied(Exception)?|DecryptionFailure"
    r"|(?i:KMS)(?!.*(Throttl|Internal|Timeout)).*"  # SQS writes Kms
    r"|IncompleteSignatureException|Invalid(ClientTokenId|(Parameter|Request|Signature)Exception)"
    r"|MissingAuthenticationTokenException|NotAuthorized|OptInRequired|ResourceNotFoundException"
    r"|SignatureDoesNotMatch|UnrecognizedClientException|ValidationException"
)


def reason(error: Exception) -> str:
    """Name an error of the SDK: AWS's error code, or its class if AWS did not answer."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


def translated(error: Exception, passing: type[GateError], **evidence: Any) -> GateError:
    """Give Misconfigured if only the operator can repair it, else an error of type `passing`."""
    name = reason(error)
    of_configuration = isinstance(error, sdk.BotoCoreError) and not isinstance(error, _PASSING)
    operators = of_configuration or _OPERATOR_FAULTS.fullmatch(name)
    return (Misconfigured if operators else passing)(reason=name, **evidence)
