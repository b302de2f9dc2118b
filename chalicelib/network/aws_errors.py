"""Errors of the AWS SDK: which of them only the operator can repair, and their short names."""

OPERATOR_FAULTS = frozenset(
    (
        "AccessDeniedException",
        "ConfigParseError",
        "DecryptionFailure",
        "EndpointResolutionError",
        "IncompleteSignatureException",
        "InfiniteLoopConfigError",
        "InvalidChecksumConfigError",
        "InvalidConfigError",
        "InvalidDefaultsMode",
        "InvalidIMDSEndpointModeError",
        "InvalidParameterException",
        "InvalidRegionError",
        "InvalidRequestException",
        "InvalidS3UsEast1RegionalEndpointConfigError",
        "InvalidSTSRegionalEndpointsConfigError",
        "InvalidSignatureException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "KMSOptInRequired",
        "MissingAuthenticationTokenException",
        "NoCredentialsError",
        "NoRegionError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
        "ValidationException",
    )
)
"""Names, as `reason` gives them, of what no retry cures: Misconfigured, not a passing fault.

Source: the common, DynamoDB and Secrets Manager error codes of AWS's API references, and
botocore.exceptions.
"""


def reason(error: BaseException) -> str:
    """Name an error of the SDK: AWS's error code, or its class if AWS did not answer."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)
