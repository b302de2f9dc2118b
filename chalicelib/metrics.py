"""CloudWatch metrics inside the log lines: AWS, «Embedded metric format specification»."""

from typing import Any

NAMESPACE = "wxgate"


def refusal(function: str, code: str, now: float) -> dict[str, Any]:
    """Give the members that make a log line count one refusal of a Lambda function.

    CloudWatch Logs reads them off the line: no call, no agent. Only refusals are counted: AWS
    counts requests, durations and errors itself. `now` is epoch seconds.
    """
    metric = {
        "Namespace": NAMESPACE,
        "Dimensions": [["FunctionName", "Code"]],
        "Metrics": [{"Name": "Refusals", "Unit": "Count"}],
    }
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [metric]},
        "FunctionName": function,
        "Code": code,
        "Refusals": 1,
    }
