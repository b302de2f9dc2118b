"""What the environment may put in place of the desk's own parts."""

from pathlib import Path

import pytest

from simulator import parts
from simulator.parts import Appsecret, DeskError, Parts

OWN = {"WECHAT": "real", "WX_APPIDS": "wxone,wxtwo"}


def test_nothing_is_the_users_own_unless_it_is_named() -> None:
    assert parts.read({}) == Parts()


def test_every_part_can_be_the_users_own_at_once_and_a_missing_appsecret_is_asked_for(
    tmp_path: Path,
) -> None:
    prompts = {"appsecret of wxone: ": " typed "}
    places = {"UPSTREAM_URL": "http://127.0.0.1:3000", "AWS_URL": "http://127.0.0.1:4566"}
    own = {"HOST": "0.0.0.0", "DATA": str(tmp_path / "data"), "RELOAD": "1", **places}
    environ = {**OWN, **own, "WX_APPSECRET_wxtwo": "secret-two"}
    chosen = parts.read(environ, prompts.pop)
    assert prompts == {}
    assert chosen == Parts(
        appids=("wxone", "wxtwo"),
        host="0.0.0.0",
        upstream_url="http://127.0.0.1:3000",
        appsecrets={
            "wxone": Appsecret("typed", "typed at the prompt"),
            "wxtwo": Appsecret("secret-two", "from WX_APPSECRET_wxtwo"),
        },
        aws_url="http://127.0.0.1:4566",
        data=tmp_path / "data",
        reload=True,
    )
    assert chosen.real_wechat
    assert "secret-two" not in repr(chosen)
    assert (tmp_path / "data").is_dir()


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"WECHAT": "yes"}, "WECHAT is malformed: write simulated or real"),
        ({"WECHAT": "real"}, "WECHAT=real needs your mini-programs"),
        (OWN, "The appsecret of wxone is missing"),
        ({**OWN, "WX_APPSECRET_wxone": "ümlaut"}, "The appsecret of wxone is malformed"),
        ({"WECHAT_API_URL": "http://127.0.0.1:1"}, "WECHAT_API_URL has no effect"),
        ({"UPSTREAM_ALLOW_PRIVATE": "false"}, "UPSTREAM_ALLOW_PRIVATE=false excludes the echo"),
        ({"EVENTS_QUEUE_URL": "http://a/q"}, "EVENTS_QUEUE_URL has no effect"),
        ({"AWS_URL": "http://a", "AWS_ENDPOINT_URL": "http://b"}, "AWS_URL and AWS_ENDPOINT_URL"),
        ({"HOST": "my-laptop"}, "HOST is malformed"),
        ({"HOST": "::"}, "HOST is malformed"),
        ({"RELOAD": "yes"}, "RELOAD is malformed"),
        ({"WX_APPIDS": " , "}, "WX_APPIDS is malformed"),
        ({"DATA": "/dev/null/data"}, "DATA is no usable folder"),
    ],
)
def test_what_cannot_be_respected_is_refused_by_name(environ: dict[str, str], line: str) -> None:
    with pytest.raises(DeskError, match=rf"^{line}.*\Z"):
        parts.read(environ)
