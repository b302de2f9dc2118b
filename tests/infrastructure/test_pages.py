"""The pages say what the template says."""

import re

import pytest

from infrastructure.parts import parts
from infrastructure.template import ROOT
from tests.infrastructure.conftest import made

DECLARED = parts()
PAGES = ("deploy.md", "deploy.zh-CN.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("name", ["runbook.md", "runbook.zh-CN.md"])
def test_the_runbook_says_of_every_alarm_what_it_means_and_what_to_do(name: str) -> None:
    resources = DECLARED["Resources"].items()
    alarms = [n.removesuffix("Alarm") for n, r in resources if n.endswith("Alarm")]
    sections = re.findall(r"^## (\w+)\n\*\*(?:Means|含义)\*\*", page(name), re.MULTILINE)
    assert sorted(sections) == sorted(alarms)
    for section in page(name).split("\n## ")[1:]:
        assert re.search(r"\*\*(?:Do|处理)\*\*|(?:do|处理) \|", section)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_lists_every_parameter_with_its_default(name: str) -> None:
    listed: dict[str, str] = {}
    for row in re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \| ([^|]*)\|", page(name), re.MULTILINE):
        names, defaults = row[0].split(", "), row[1].strip().split(", ")
        listed.update(zip(names, defaults * (len(names) // len(defaults)), strict=True))
    parameters = {n: str(p.get("Default", "-")) for n, p in DECLARED["Parameters"].items()}
    assert listed == parameters


@pytest.mark.parametrize("name", PAGES)
def test_the_alarms_are_counted_right(name: str) -> None:
    def count(**values: str) -> int:
        ours = made(DECLARED, **values)["Resources"].items()
        alarms = [r["Properties"] for n, r in ours if n.endswith("Alarm")]
        watched = [alarm.get("Metrics", [{"MetricStat": 1}]) for alarm in alarms]
        return sum("MetricStat" in metric for metrics in watched for metric in metrics)

    always = count(EventsPath="")
    assert f"0.10 × {always} " in page(name)
    assert f"0.10 × {count() - always} " in page(name)
