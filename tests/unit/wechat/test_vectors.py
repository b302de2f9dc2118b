"""Every published vector: what WeChat documents opens or verifies, what is broken is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import DecryptFailed, InvalidRequest
from chalicelib.network.connections import Reply
from chalicelib.network.secrets import AppSecrets, Secrets
from chalicelib.wechat import opendata
from chalicelib.wechat.api import WeChat
from chalicelib.wechat.opendata import Signed
from simulator.wechat import cipher
from tests.support.fakes import Alerts, Clock, SecretsManager

GROUPS = json.loads((Path(__file__).parents[2] / "corpus" / "vectors.json").read_text())
VECTORS = {v["id"]: v for name in ("vectors", "negative", "synthetic") for v in GROUPS[name]}

OPENS = {
    "opendata-official-demo": "user",
    "syn-phone": "phone",
    "syn-werun": "werun",
    "syn-shareinfo": "share",
}
REFUSED = {
    "neg-easywechat-prefix": InvalidRequest,
    "neg-plus-became-space": InvalidRequest,
    "neg-official-wrong-key": DecryptFailed,
    "syn-wrong-watermark-appid": DecryptFailed,
}
RAW_DATA = {"rawdata-sha1-official", "rawdata-sha1-senparc-utf8"}
USER_SIGNATURES = {"user-signature-official", "syn-user-signature-empty-body"}

# Message push (消息推送) is another door of WeChat's, from WeChat to a server. wxgate has none, so
# nothing here reads these; they are kept for who adds it.
OUT_OF_SCOPE = {
    "push-url-verify-official",
    "push-plain-official",
    "push-secure-official",
    "push-reply-official",
    "push-enc-pamtest-1",
    "push-dec-wxbizmsgcrypt-sample",
    "push-echostr-encrypted-wecom",
    "push-dec-powerwechat",
}

OFFICIAL = VECTORS["opendata-official-demo"]


def opened(vector: dict[str, Any], kind: str) -> dict[str, Any]:
    """Open a vector as /decrypt would, at the second of its watermark."""
    plain = json.loads(vector.get("expected_plaintext", OFFICIAL["expected_plaintext"]))
    data, iv = opendata.ciphertext(vector["encryptedData"], vector["iv"])
    return opendata.open_with(
        [opendata.key_bytes(vector["session_key"])],
        data,
        iv,
        lambda plaintext: opendata.read(
            plaintext,
            kind,
            appid=vector.get("appid", OFFICIAL["appid"]),
            openid=plain.get("openId", ""),
            unionid=plain.get("unionId"),
            now=plain["watermark"]["timestamp"],
            max_age=300,
        ),
    )


def test_every_vector_has_its_test() -> None:
    assert len(VECTORS) == sum(len(GROUPS[name]) for name in ("vectors", "negative", "synthetic"))
    tested = [*OPENS, *REFUSED, *RAW_DATA, *USER_SIGNATURES, *OUT_OF_SCOPE]
    assert sorted(tested) == sorted(VECTORS)


@pytest.mark.parametrize("name", OPENS)
def test_open_data_opens_to_what_is_published(name: str) -> None:
    expected = json.loads(VECTORS[name]["expected_plaintext"])
    del expected["watermark"]
    assert opened(VECTORS[name], OPENS[name]) == expected


@pytest.mark.parametrize("name", OPENS)
def test_the_plaintext_is_byte_for_byte_what_is_published(name: str) -> None:
    vector = VECTORS[name]
    data, iv = opendata.ciphertext(vector["encryptedData"], vector["iv"])
    plaintext = opendata.decrypt(opendata.key_bytes(vector["session_key"]), data, iv)
    assert plaintext.decode() == vector["expected_plaintext"]


@pytest.mark.parametrize("name", OPENS)
def test_open_data_opens_as_its_own_kind_alone(name: str) -> None:
    for kind in opendata.KINDS.keys() - {OPENS[name]}:
        with pytest.raises(DecryptFailed):
            opened(VECTORS[name], kind)


@pytest.mark.parametrize("name", REFUSED)
def test_open_data_that_is_broken_is_refused(name: str) -> None:
    kind = "phone" if name.startswith("syn-") else "user"
    with pytest.raises(REFUSED[name]):
        opened(VECTORS[name], kind)


@pytest.mark.parametrize("name", sorted(RAW_DATA))
def test_raw_data_verifies_with_its_signature(name: str) -> None:
    vector = VECTORS[name]
    signed = Signed(vector["rawData"], vector["signature"])
    assert signed.was_signed_with(vector["session_key"])
    assert signed.agreeing({"gender": 1, "country": "CN"}) == {"gender": 1, "country": "CN"}
    assert not signed.was_signed_with(OFFICIAL["session_key"])


class _Line:
    """A transport that notes the targets, and answers what WeChat would."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    def exchange(
        self, _origin: object, _method: str, target: str, *_: object, **__: object
    ) -> Reply:
        self.targets.append(target)
        token = {"access_token": "t", "expires_in": 7200}
        answer = token if "stable_token" in target else {"errcode": 0, "errmsg": "ok"}
        return Reply(200, [("Content-Type", "application/json")], json.dumps(answer).encode())


def test_the_check_of_a_session_key_sends_the_published_signature(clock: Clock) -> None:
    vector = VECTORS["syn-user-signature-empty-body"]
    manager = SecretsManager(clock)
    manager.put("app/wx1", {"appsecret": "s"})
    secrets = AppSecrets(Secrets(lambda: manager, clock, Alerts()), "")
    line: Any = _Line()
    wechat = WeChat(line, "https://wechat", ("wx1",), secrets, clock)
    assert wechat.session_key_is_valid("wx1", "openid", vector["session_key"], lambda: 20.0)
    assert f"signature={vector['signature']}&sig_method=hmac_sha256" in line.targets[-1]


@pytest.mark.parametrize("name", sorted(USER_SIGNATURES))
def test_a_user_signature_is_keyed_by_the_text_of_the_session_key(name: str) -> None:
    vector = VECTORS[name]
    signature = cipher.user_signature(vector["session_key"], vector["message"].encode())
    assert signature == vector["signature"] != vector.get("wrong_if_key_is_base64_decoded")
