"""The parts of the template, template/*.yaml, as one."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # has no types

PARTS = Path(__file__).parent / "template"

Template = dict[str, Any]

_NO_SNAPSHOTS = {
    "Assert": {"Fn::Equals": [{"Ref": "SnapStart"}, "false"]},
    "AssertDescription": "SnapStart needs a package of Python 3.12 or newer (docs/deploy.md).",
}
"""Lambda's rule for a function of Python 3.11."""


class TemplateError(RuntimeError):
    """Chalice refuses, or the parts, ROUTES and app.py disagree; the text is for the packager."""


def parts() -> Template:
    """Merge template/*.yaml into one template, with the homes of their anchors (x-…) left out.

    Raises:
        TemplateError: if two parts give the same member.
    """
    merged: Template = {}
    for part in sorted(PARTS.glob("*.yaml")):
        content = {k: v for k, v in yaml_parse(part.read_text()).items() if not k.startswith("x-")}
        merge(merged, content, part.name)
    if sys.version_info < (3, 12):
        merged["Rules"]["SnapStart"]["Assertions"].append(_NO_SNAPSHOTS)
    return plain(merged)


def merge(merged: Template, part: Template, place: str) -> None:
    """Add the members of a part, which came from the file `place`, to the merged template.

    Raises:
        TemplateError: if the merged has a member of that name already.
    """
    for name, value in part.items():
        if name not in merged:
            merged[name] = value
        elif name in ("Resources", "Outputs", "Conditions", "Parameters", "Rules"):
            merge(merged[name], value, place)
        else:
            raise TemplateError(f"{place} gives {name}, which another part gives too.")


def plain(value: Mapping[str, Any]) -> Template:
    """Give a copy that shares nothing, without the string types of its maker."""
    copy: Template = json.loads(json.dumps(value))
    return copy
