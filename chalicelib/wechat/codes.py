"""The one-time codes that a phone brings: from wx.login, and from the phone number button."""

import re
from collections.abc import Mapping
from typing import Any

from chalicelib.errors import InvalidRequest

MOCK = "the code is a mock one"
"""What wx.login gives in DevTools if the project has no appid (Tencent/wepy issue 325)."""

_CODE = re.compile(r"[A-Za-z0-9_-]{1,128}")


def code_of(body: Mapping[str, Any]) -> str:
    """Take a one-time code from a JSON body; observed ones are 32 to 64 characters.

    Raises:
        InvalidRequest: if there is none, it is DevTools' mock, or it could change a URL.
    """
    code = body.get("code")
    if code == MOCK:
        raise InvalidRequest(
            "DevTools runs without a real appid (tourist mode), so its codes are mocks. "
            "Open the project with its own appid."
        )
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise InvalidRequest("code is missing or malformed.")
    return code
