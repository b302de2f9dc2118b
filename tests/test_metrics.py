"""The metrics that a log line carries."""

from chalicelib import metrics


def test_a_refusal_is_one_count_of_its_function_and_code() -> None:
    line = metrics.refusal("wxgate-prod-Login", "InvalidCode", 1_900_000_000.25)
    assert (line["FunctionName"], line["Code"], line["Refusals"]) == (
        "wxgate-prod-Login",
        "InvalidCode",
        1,
    )
    assert line["_aws"]["Timestamp"] == 1_900_000_000_250


def test_every_dimension_and_metric_that_is_declared_stands_in_the_line() -> None:
    line = metrics.refusal("f", "StoreUnavailable", 0)
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    names = [*declared["Dimensions"][0], *(metric["Name"] for metric in declared["Metrics"])]
    assert set(names) <= line.keys()
