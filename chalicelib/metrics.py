"""CloudWatch metrics inside the log lines: AWS, «Embedded metric format specification»."""

from typing import Any

NAMESPACE = "wxgate"


def count(metric: str, now: float, **dimensions: str) -> dict[str, Any]:
    """Give the members that make a log line count one of a metric.

    CloudWatch Logs reads them off the line: no call, no agent. Only refusals and alerts are
    counted: AWS counts requests, durations and errors itself. `now` is epoch seconds.
    """
    declared = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": metric, "Unit": "Count"}],
    }
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [declared]},
        **dimensions,
        metric: 1,
    }
