"""WeChat's server API: what is sent, how often, what an answer means, and that nothing leaks."""

import json
import logging
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from chalicelib import errors
from chalicelib.deadlines import Deadline
from chalicelib.errors import GateError, InvalidCode, Misconfigured, WeChatBadResponse, WeChatBusy
from chalicelib.identity import Identity
from chalicelib.network import exchange_errors as network
from chalicelib.network.connections import Connections, Origin, Reply
from chalicelib.network.exchange_errors import UNSENT, TransportError
from chalicelib.network.secrets import Secrets
from chalicelib.wechat.api import Login, WeChat
from chalicelib.wechat.client import MAX_ANSWER, Client
from tests.support.fakes import Alerts, Clock, Exchanged, SecretsManager, Wire, told_by

APPID, OTHER = "wx4f4bc4dec97d474b", "wx0000000000000001"
APPSECRET, ANOTHER = "5ecce75ecce75ecce75ecce75ecce75e", "another-canary-appsecret"
CODE = "canary-code"
SESSION_KEY = "Y2FuYXJ5LWtleS0xMjM0NQ=="
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
ANN = Identity(APPID, OPENID, None)
RID = "6166f719-6cb5d09c-633ab469"
GOOD = {"session_key": SESSION_KEY, "openid": OPENID, "unionid": "u-ann"}
TOKEN = {"access_token": "canary-access-token", "expires_in": 7200}
NUMBER = {"phoneNumber": "+8613800138000", "purePhoneNumber": "13800138000", "countryCode": "86"}
PHONE_INFO: dict[str, object] = {**NUMBER, "watermark": {"timestamp": 1, "appid": APPID}}
PHONE = {"errcode": 0, "errmsg": "ok", "phone_info": PHONE_INFO}
OK = {"errcode": 0, "errmsg": "ok"}

Outcome = dict[str, Any] | Reply | TransportError


def said(value: object) -> Reply:
    """An answer of WeChat's; its Content-Type is as that of /sns/*."""
    return Reply(200, [("Content-Type", "text/plain")], json.dumps(value).encode())


def refused(errcode: object) -> dict[str, object]:
    return {"errcode": errcode, "errmsg": f"x, rid: {RID}"}


def plenty() -> Deadline:
    return Deadline(25.0, lambda: 0.0)


@dataclass
class Gate:
    """The gate's WeChat service, and what it stands on."""

    connections: Connections
    url: str = "https://api.test"
    appids: tuple[str, ...] = (APPID,)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.vault = SecretsManager(self.clock)
        self.rotate(APPSECRET)
        secrets = Secrets(self.vault, self.clock, Alerts())
        client = Client(self.connections, self.url, secrets, "wxgate/", self.clock)
        self.wechat = WeChat(client, self.appids)

    def rotate(self, appsecret: str, **more: str) -> None:
        """Put another appsecret into Secrets Manager."""
        self.vault.put(f"wxgate/app/{APPID}", {"appsecret": appsecret, **more})

    def login(self, deadline: Deadline | None = None) -> Login:
        return self.wechat.code2session(APPID, CODE, deadline or plenty())

    def phone(self) -> dict[str, Any]:
        return self.wechat.phone_number(ANN, CODE, plenty())

    def valid(self) -> bool:
        return self.wechat.session_key_is_valid(ANN, SESSION_KEY, plenty())


def over(*outcomes: Outcome) -> tuple[Gate, list[Exchanged]]:
    """A gate whose WeChat answers so, and what it receives."""
    wire = Wire(*(said(each) if isinstance(each, dict) else each for each in outcomes))
    return Gate(wire), wire.exchanged


def failure(call: Callable[[], object]) -> GateError:
    with pytest.raises(GateError) as caught:
        call()
    return caught.value


def query_of(exchanged: Exchanged) -> dict[str, str]:
    query = parse_qs(urlsplit(exchanged.target).query, strict_parsing=True)
    return {name: value for name, (value,) in query.items()}


def test_a_code_is_traded_as_wechat_documents_it_whatever_the_secrets_characters() -> None:
    cookie = Reply(200, [("Set-Cookie", "a=b")], json.dumps(GOOD).encode())
    gate, sent = over(cookie)
    strange = "!a+b%26&c=d#e?/~'\"!%7E".ljust(127, "x") + "~"
    gate.rotate(strange, appid=APPID)  # it may say whose it is
    for _ in range(2):
        login = gate.login()
        assert login == Login(APPID, OPENID, "u-ann", SESSION_KEY)
        assert SESSION_KEY not in f"{login} {login!r}"
    assert (sent[0].origin, sent[0].method) == (Origin("https", "api.test", 443), "GET")
    assert (sent[0].target.partition("?")[0], sent[0].body) == ("/sns/jscode2session", b"")
    grant = {"js_code": CODE, "grant_type": "authorization_code"}
    assert query_of(sent[0]) == {"appid": APPID, "secret": strange, **grant}
    headers = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", "wxgate")]
    assert [sorted(each.headers) for each in sent] == [headers] * 2
    assert (sent[0].max_bytes, sent[0].retry_on) == (MAX_ANSWER, UNSENT)


def test_a_phone_code_goes_with_its_users_openid() -> None:
    gate, sent = over(TOKEN, PHONE)
    assert gate.phone() == NUMBER
    path = "/wxa/business/getuserphonenumber?access_token=canary-access-token"
    assert (sent[1].method, sent[1].target) == ("POST", path)
    assert json.loads(sent[1].body) == {"code": CODE, "openid": OPENID}


def test_a_session_key_is_proven_by_the_published_signature_under_a_token_of_normal_mode() -> None:
    gate, sent = over(TOKEN, OK)
    assert gate.wechat.session_key_is_valid(ANN, "o0q0otL8aEzpcZL/FT9WsQ==", plenty())
    assert (sent[0].method, sent[0].target) == ("POST", "/cgi-bin/stable_token")
    normal = {"grant_type": "client_credential", "force_refresh": False}
    assert json.loads(sent[0].body) == {**normal, "appid": APPID, "secret": APPSECRET}
    assert ("Content-Type", "application/json") in sent[0].headers
    assert (sent[1].method, sent[1].target.partition("?")[0]) == ("GET", "/wxa/checksession")
    assert query_of(sent[1]) == {
        "access_token": "canary-access-token",
        "openid": OPENID,
        # openssl dgst -sha256 -hmac 'o0q0otL8aEzpcZL/FT9WsQ==' /dev/null
        "signature": "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128",
        "sig_method": "hmac_sha256",
    }


def test_every_call_goes_to_the_base_url() -> None:
    for url, origin, path in (
        ("http://127.0.0.1:8001/", Origin("http", "127.0.0.1", 8001), "/sns/"),
        ("https://api.test/WX/", Origin("https", "api.test", 443), "/WX/sns/"),
        ("HTTPS://API.test/a%2Fb", Origin("https", "api.test", 443), "/a%2Fb/sns/"),
    ):
        wire = Wire(said(GOOD))
        Gate(wire, url).login()
        assert wire.exchanged[0].origin == origin
        assert wire.exchanged[0].target.startswith(path)


def test_the_apps_served_are_known() -> None:
    one, two = over()[0].wechat, Gate(Wire(), appids=(APPID, OTHER)).wechat
    assert one.app(None) == one.app(APPID) == two.app(APPID) == APPID
    assert two.app(OTHER) == OTHER
    with pytest.raises(errors.UnknownApp):
        one.app(OTHER)
    for appid in (None, "", "wx/../x", "wx\n", "a" * 65, 7, True, [APPID]):
        with pytest.raises(errors.InvalidRequest, match=r"^appid is missing or malformed\.$"):
            two.app(appid)


class Opening(Wire):
    """Notes what is opened, and the seconds for it."""

    opened: tuple[Origin, float]

    def open(self, origin: Origin, deadline: Deadline) -> None:
        self.opened = origin, deadline.remaining()


def test_a_warm_gate_has_a_connection_and_the_secrets_that_it_had_time_for() -> None:
    for seconds, reads in ((0.5, 2), (0.0, 0)):
        wire = Opening(said(GOOD))
        gate = Gate(wire, appids=(OTHER, APPID))  # OTHER has no secret
        gate.wechat.warm(Deadline(seconds, lambda: 0.0))
        assert wire.opened == (Origin("https", "api.test", 443), seconds)
        assert len(gate.vault.calls) == reads
        gate.login()
        assert len(gate.vault.calls) == max(reads, 1)


@pytest.mark.parametrize(
    ("errcode", "error"),
    [
        *((40029, InvalidCode), ("40029", InvalidCode), (-1, WeChatBusy), ("-1", WeChatBusy)),
        *((40226, errors.UserBlocked), (45011, errors.TooManyRequests)),
        *((40013, Misconfigured), (99999, WeChatBadResponse)),
        (40003, InvalidCode),  # the openid beside a phone code is another user's
    ],
)
def test_an_errcode_is_an_error_with_its_name_and_rid_for_the_log(
    errcode: int | str, error: type[GateError]
) -> None:
    for outcomes, call in (([], "login"), ([TOKEN], "phone")):
        gate, sent = over(*outcomes, refused(errcode))
        raised = failure(getattr(gate, call))
        assert (type(raised), len(sent)) == (error, len(outcomes) + 1)
        assert {"errcode": int(errcode), "rid": RID}.items() <= raised.evidence.items()
        assert isinstance(raised.evidence["meaning"], str)


def test_without_a_code_none_is_refused_but_a_session_key_may_be_unknown() -> None:
    for outcomes in ([refused(40029)], [TOKEN, refused(40029)]):
        assert type(failure(over(*outcomes)[0].valid)) is WeChatBadResponse
    for errcode in (87009, 87007, 40003):
        assert over(TOKEN, refused(errcode))[0].valid() is False


NO_ANSWERS: dict[str, list[Outcome]] = {
    "errcode": [
        {"errcode": value, **GOOD}
        for value in (True, None, 0.0, "", "x", "0x0", "+0", " 0", "0\n", "٠", [0], "1" * 99)
    ],
    "not JSON": [
        Reply(200, [], body)
        for body in (b"", b"<html>", b"[]", b'{"openid":"a","openid":"b"}', b"\xff{}")
    ],
    "openid or unionid": [
        *({**GOOD, "openid": value} for value in ("", None, 7, "o\n", "欧", "o" * 129)),
        *({**GOOD, "unionid": value} for value in (0, False, ["u"], "u\r\nX: y", "u" * 129)),
    ],
    "session_key": [
        {**GOOD, "session_key": value}
        for value in ("", None, "AAAA", "ключ", SESSION_KEY + "\n", SESSION_KEY + "AAAA")
    ],
    "phone_info": [
        *({**PHONE, "phone_info": info} for info in (None, "x", [1], {"x": 1})),
        *(
            {**PHONE, "phone_info": PHONE_INFO | {"watermark": mark}}
            for mark in (None, APPID, {"timestamp": 1, "appid": OTHER})
        ),
        {**PHONE, "phone_info": PHONE_INFO | {"countryCode": True}},
        {**PHONE, "phone_info": PHONE_INFO | {"phoneNumber": "+8613900139000"}},
    ],
    "access_token": [
        *({**TOKEN, "access_token": value} for value in ("", None, 7)),
        *({**TOKEN, "expires_in": value} for value in ("7200", True, 7200.0, None)),
    ],
}


@pytest.mark.parametrize("reason", NO_ANSWERS)
def test_what_is_not_as_wechat_documents_it_is_no_answer_and_not_kept(reason: str) -> None:
    call = {"phone_info": "phone", "access_token": "valid"}.get(reason, "login")
    for outcome in NO_ANSWERS[reason]:
        gate, _ = over(*([TOKEN] if call == "phone" else []), outcome, TOKEN, OK)
        raised = failure(getattr(gate, call))
        assert (type(raised), raised.evidence) == (WeChatBadResponse, {"reason": reason})
        assert gate.valid()


def test_an_errmsg_may_be_anything() -> None:
    for errmsg in (None, 7, ["x"], "no id", "rid: ", "rid: é", {"rid": "x"}):
        raised = failure(over({"errcode": 40029, "errmsg": errmsg})[0].login)
        assert raised.evidence["rid"] is None


def test_a_status_other_than_200_has_its_meaning_and_no_redirect_is_looked_at() -> None:
    statuses = {500: errors.WeChatUnavailable, 599: errors.WeChatUnavailable, 429: WeChatBusy}
    others = dict.fromkeys((201, 204, 301, 302, 307, 400, 401, 404), WeChatBadResponse)
    for status, error in {**statuses, **others}.items():
        for target in ("https://evil.test/", "http://[bad", "\xff\xfe", ""):
            gate, sent = over(Reply(status, [("Location", target)], json.dumps(GOOD).encode()))
            raised = failure(gate.login)
            assert (type(raised), len(sent)) == (error, 1)
            assert raised.evidence == {"reason": "status", "wechat_status": status}


def test_a_busy_wechat_tells_how_long_within_bounds() -> None:
    numbers = {" 5\t": 5, "007": 7, "60": 60, "61": 60, "9" * 5000: 60}
    others = dict.fromkeys(("", "0", "-1", "soon", "7 8", "7s", "٧", "1e1"), 3)
    for text, seconds in (numbers | others).items():
        raised = failure(over(Reply(429, [("Retry-After", text)], b""))[0].login)
        assert raised.headers == {"Retry-After": str(seconds)}


def test_a_user_may_have_no_unionid_and_an_answer_more_members_or_the_errcode_zero() -> None:
    bare = {"session_key": SESSION_KEY, "openid": OPENID}
    unusual: list[dict[str, Any]] = [{}, {"unionid": None}, {"unionid": ""}, {"expires_in": 7200}]
    for more in (*unusual, *(refused(errcode) for errcode in (0, "0", "-0", "00"))):
        assert over({**bare, **more})[0].login() == Login(APPID, OPENID, None, SESSION_KEY)


FAILURES: dict[TransportError, type[GateError]] = {
    **dict.fromkeys((network.TimedOut(), network.ConnectTimeout()), errors.WeChatTimeout),
    **dict.fromkeys((network.Broken(), network.TooLarge()), WeChatBadResponse),
    **dict.fromkeys((network.NoAnswer(), network.Stale()), errors.WeChatUnavailable),
    **dict.fromkeys((network.Unresolved(), network.Refused()), errors.WeChatUnavailable),
    **dict.fromkeys((network.NotTrusted(), network.AddressForbidden()), errors.WeChatUnavailable),
}


def test_a_failure_of_the_network_has_its_code_and_is_not_tried_again() -> None:
    for cause, error in FAILURES.items():
        gate, sent = over(cause)
        raised = failure(gate.login)
        security = isinstance(cause, network.NotTrusted) or None
        assert raised.evidence == {"reason": type(cause).__name__, "security": security}
        assert (type(raised), len(sent)) == (error, 1)


def test_a_refused_secret_is_read_again_and_the_code_goes_once_more() -> None:
    for outcomes, call in (([GOOD], "login"), ([TOKEN, OK], "valid")):
        gate, sent = over(GOOD, refused(40125), *outcomes)
        gate.login()
        gate.rotate(ANOTHER)
        assert getattr(gate, call)()
        secrets = [
            query_of(each) if each.method == "GET" else json.loads(each.body) for each in sent
        ]
        assert [each["secret"] for each in secrets[1:3]] == [APPSECRET, ANOTHER]
        assert len(sent) == 2 + len(outcomes)


def test_a_secret_that_is_refused_and_has_no_alternative_is_not_sent_again() -> None:
    gate, sent = over(refused(40125))
    assert (type(failure(gate.login)), len(sent)) == (Misconfigured, 1)
    gate.clock.advance(31)
    gate.rotate(ANOTHER)
    assert (type(failure(gate.login)), len(sent)) == (Misconfigured, 3)


MALFORMED_SECRETS: dict[str, list[dict[str, str]]] = {
    "appsecret is malformed": [
        {"appsecret": text}
        for text in (f"{APPSECRET}é", f"{APPSECRET}\n", f" {APPSECRET}", "\x7f", "x" * 129)
    ],
    "appsecret is missing or malformed": [{"appsecret": ""}],
    "appid differs": [{"appsecret": APPSECRET, "appid": OTHER}],
}


@pytest.mark.parametrize("reason", MALFORMED_SECRETS)
def test_a_malformed_appsecret_is_the_operators_fault_and_spends_no_code(reason: str) -> None:
    for secret in MALFORMED_SECRETS[reason]:
        gate, sent = over()
        gate.rotate(**secret)
        raised = failure(gate.login)
        assert (type(raised), sent) == (Misconfigured, [])
        assert raised.evidence == {"reason": reason, "secret": f"wxgate/app/{APPID}"}


def test_a_call_has_four_seconds_or_what_is_left_and_is_not_made_without() -> None:
    gate, sent = over(GOOD)
    for left, seconds in {25.0: 4.0, 4.5: 4.0, 3.0: 3.0, 0.1: 0.1}.items():
        gate.login(Deadline(left, lambda: 0.0))
        assert sent[-1].seconds == pytest.approx(seconds)
    raised = failure(lambda: gate.login(Deadline(0.0, lambda: 0.0)))
    assert (type(raised), len(sent)) == (errors.DeadlineExceeded, 4)


def test_a_token_is_cached_until_wechat_has_a_new_one() -> None:
    lives = {7200: 6900, 345: 60, -9: 60, 7201: 6900, 10**400: 6900}
    for expires_in, cached in lives.items():
        token = {**TOKEN, "expires_in": expires_in}
        gate, sent = over(token, OK, OK, token, OK)
        for advance, calls in ((0, 2), (cached - 1, 3), (1, 5)):
            gate.clock.advance(advance)
            assert (gate.valid(), len(sent)) == (True, calls)


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_a_refused_token_is_replaced_once_and_the_call_made_once_more(errcode: int) -> None:
    fresh = {**TOKEN, "access_token": "fresh"}
    gate, sent = over(TOKEN, refused(errcode), fresh, PHONE)
    assert gate.phone() == NUMBER
    assert [query_of(sent[n])["access_token"] for n in (1, 3)] == ["canary-access-token", "fresh"]
    assert sent[1].body == sent[3].body
    assert json.loads(sent[2].body)["force_refresh"] is False
    gate, sent = over(TOKEN, refused(errcode), fresh, refused(errcode))
    assert (type(failure(gate.valid)), len(sent)) == (Misconfigured, 4)


def test_each_app_has_its_own_token() -> None:
    wire = Wire(*map(said, (TOKEN, OK, {**TOKEN, "access_token": "two"}, OK)))
    gate = Gate(wire, appids=(APPID, OTHER))
    gate.vault.put(f"wxgate/app/{OTHER}", {"appsecret": "other"})
    gate.valid()
    gate.wechat.session_key_is_valid(Identity(OTHER, OPENID, None), SESSION_KEY, plenty())
    assert query_of(wire.exchanged[3])["access_token"] == "two"


class Turnstile(Wire):
    """A WeChat that issues t1, t2 …, and refuses t1 once every thread has come with it."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._all_came = threading.Barrier(threads, timeout=10)
        self.issued = 0

    def exchange(self, *args: Any, **_: Any) -> Reply:
        target: str = args[1][1]
        if target == "/cgi-bin/stable_token":
            self.issued += 1
            return said({"access_token": f"t{self.issued}", "expires_in": 7200})
        if "access_token=t1&" in target:
            self._all_came.wait()
            return said(refused(40001))
        return said(OK)


def test_a_token_that_another_thread_replaced_is_not_replaced_again() -> None:
    turnstile = Turnstile(threads=8)
    gate = Gate(turnstile)
    with ThreadPoolExecutor(8) as threads:
        answered = list(threads.map(lambda _: gate.valid(), range(8)))
    assert (answered, turnstile.issued) == ([True] * 8, 2)


CANARIES = [APPSECRET, ANOTHER, CODE, SESSION_KEY, "canary-access-token"]
ECHO = f"{APPSECRET} {CODE} {SESSION_KEY} canary-access-token"
LEAKY: list[Outcome] = [
    *FAILURES,
    *(refused(40125), {"errcode": 40013, "errmsg": ECHO}, {"errcode": ECHO}),
    *({**GOOD, "openid": ECHO}, {**GOOD, "session_key": SESSION_KEY + SESSION_KEY}),
    Reply(200, [], json.dumps({**GOOD, "phone_info": GOOD}).encode()[:-2]),
    Reply(302, [("Location", f"http://[{ECHO}")], ECHO.encode()),
    Reply(404, [("X-Echo", ECHO)], ECHO.encode()),
]


@pytest.mark.parametrize("outcome", LEAKY, ids=range(len(LEAKY)))
@pytest.mark.parametrize("call", ["login", "phone"])
def test_no_failure_tells_a_secret(
    outcome: Outcome, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gate, _ = over(*([] if call == "login" else [TOKEN]), outcome)
    raised = failure(getattr(gate, call))
    logged = "".join(repr(vars(record)) + record.getMessage() for record in caplog.records)
    printed = told_by(raised) + "".join(traceback.format_exception(raised)) + logged
    assert [canary for canary in CANARIES if canary in printed] == []
