"""One-time codes: of wx.login and of the phone button."""

import re
from collections.abc import Mapping
from typing import Any

from chalicelib.errors import InvalidRequest

_CODE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TOURIST = "the code is a mock one"
"""What wx.login gives in WeChat DevTools for a project without a real appid."""


def one_time_code(body: Mapping[str, Any]) -> str:
    """Take the code from a JSON body; those observed are 32 to 64 characters.

    Raises:
        InvalidRequest: if there is none, or if it could change a URL.
    """
    code = body.get("code")
    if code == _TOURIST:
        raise InvalidRequest(
            "The code is a mock one: WeChat DevTools is in tourist mode (游客模式). "
            "Open the project with a real appid."
        )
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise InvalidRequest("code is missing or malformed.")
    return code
