"""What a phone in the same Wi-Fi needs to know, in both languages."""

import socket

TICK = "不校验合法域名、web-view（业务域名）、TLS 版本以及 HTTPS 证书"


def own_address(host: str) -> str:
    """Give the address by which others reach this machine; `host` itself unless it is 0.0.0.0."""
    if host != "0.0.0.0":  # noqa: S104 - compared
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: nothing is sent (RFC 5737)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def page(host: str, gate: str) -> list[str]:
    """Give the lines to print below the table."""
    url = f"http://{own_address(host)}:{gate.rpartition(':')[2]}"
    return [
        f"  On a phone in the same Wi-Fi, baseUrl is {url}",
        f"    DevTools: 详情 → 本地设置 → tick {TICK}.",
        "    Phone: open it with 真机调试; or with 预览, then ••• → 打开调试.",
        "    Warning: everybody in this network can reach the gate, and nothing is encrypted.",
        f"  同一 Wi-Fi 下的手机：baseUrl 填 {url}",
        f"    开发者工具：详情 → 本地设置 → 勾选“{TICK}”。",
        "    手机：用“真机调试”打开；或用“预览”打开，再在右上角 ••• 里选“打开调试”。",
        "    注意：同一网络里的任何人都能访问这个网关，而且流量没有加密。",
        "",
    ]
