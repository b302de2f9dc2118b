"""The playground page's server: the page, and the gate and WeChat's phone face at one origin."""

from typing import Any


def application(*, gate: str, wechat: str) -> Any:
    """Give the WSGI application of the playground."""

    def page(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = f"gate {gate}\nWeChat {wechat}\n".encode()
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [body]

    return page
