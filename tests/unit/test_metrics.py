"""The metrics that a log line carries."""

from chalicelib import metrics


def test_a_refusal_is_one_count_of_its_function_and_code() -> None:
    line = metrics.count("Refusals", 1_900_000_000.25, FunctionName="Login", Code="InvalidCode")
    assert (line["FunctionName"], line["Code"], line["Refusals"]) == ("Login", "InvalidCode", 1)
    assert line["_aws"]["Timestamp"] == 1_900_000_000_250


def test_every_dimension_and_metric_that_is_declared_stands_in_the_line() -> None:
    line = metrics.count("Alerts", 0, FunctionName="f")
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert declared["Dimensions"] == [["FunctionName"]]
    assert [metric["Name"] for metric in declared["Metrics"]] == ["Alerts"]
    assert line["Alerts"] == 1
