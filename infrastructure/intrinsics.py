"""CloudFormation's intrinsic functions, as far as this template uses them: for checks and tests.

Source: AWS, «Intrinsic function reference» and «Condition functions».
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from infrastructure.parts import Template

_TESTS: dict[str, Callable[[Any], bool]] = {
    "Fn::Equals": lambda pair: str(pair[0]) == str(pair[1]),
    "Fn::Not": lambda only: not only[0],
    "Fn::And": all,
    "Fn::Or": any,
}

ABSENT = object()
"""AWS::NoValue: the member that holds it does not exist."""


class Values:
    """What a template comes to with given parameters.

    `values` holds parameters, pseudo parameters and what resources are called; another resource's
    Ref stays as it is, as does every Fn::GetAtt.
    """

    def __init__(self, template: Template, values: Mapping[str, str]) -> None:
        defaults = template["Parameters"].items()
        self._conditions = template.get("Conditions", {})
        self._known: dict[str, Any] = {
            "AWS::Partition": "aws",
            "AWS::Region": "us-east-1",
            "AWS::NoValue": ABSENT,
            **{name: str(p["Default"]) for name, p in defaults if "Default" in p},
            **values,
        }

    def holds(self, condition: str) -> bool:
        """Tell whether a condition of the template holds."""
        return bool(self.of(self._conditions[condition]))

    def of(self, value: Any) -> Any:
        """Give a value with its intrinsic functions carried out."""
        if isinstance(value, list):
            return [one for one in map(self.of, value) if one is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self._call(name, argument)
        members = {name: self.of(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not ABSENT}

    def _call(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._known.get(argument, {name: argument})
        if name == "Fn::If":
            return self.of(argument[1] if self.holds(argument[0]) else argument[2])
        if name == "Fn::Sub" and isinstance(argument, str):
            return self._substituted(argument)
        if name == "Condition" and argument in self._conditions:
            return self.holds(argument)
        worked_out = argument if name == "Fn::GetAtt" else self.of(argument)
        return _TESTS[name](worked_out) if name in _TESTS else {name: worked_out}

    def _substituted(self, text: str) -> Any:
        done = re.sub(r"\$\{([^}!]+)\}", lambda name: self._known.get(name[1], name[0]), text)
        return {"Fn::Sub": done} if "${" in done else done


def resolved(template: Template, values: Mapping[str, str]) -> Template:
    """Give the resources and outputs that a template comes to: those whose conditions hold."""
    worked_out = Values(template, values)
    return {
        section: {
            name: worked_out.of({k: v for k, v in entry.items() if k != "Condition"})
            for name, entry in template[section].items()
            if "Condition" not in entry or worked_out.holds(entry["Condition"])
        }
        for section in ("Resources", "Outputs")
    }


def environment(template: Template, function: str, values: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of one function, by its logical name."""
    variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {name: str(value) for name, value in Values(template, values).of(variables).items()}
