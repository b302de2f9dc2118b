"""The Runtime API of the desk: functions run under AWS's own runtime client."""

from contextlib import closing
from pathlib import Path

import pytest

from simulator.runtime_api import Function, FunctionError

SOURCE = """
import os, sys

def echo(event, context):
    return {"event": event, "left": context.get_remaining_time_in_millis(),
            "function": context.function_name, "seen": sorted(os.environ), "path": sys.path}

def fail(event, context):
    raise ValueError("no")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / "small.py").write_text(SOURCE)
    return folder


def test_a_function_gets_what_lambda_gives_and_nothing_of_the_machine(
    package: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WX_APPIDS", "of the parent")
    with closing(Function("stack-echo", "small.echo", package, runtime, {"OWN": "1"})) as function:
        told = function.invoke({"a": "é"})
    assert (told["event"], told["function"]) == ({"a": "é"}, "stack-echo")
    assert 0 < told["left"] <= 25_000
    assert {"OWN", "_HANDLER", "AWS_REGION"} <= set(told["seen"])
    assert not {"WX_APPIDS", "PATH", "HOME", "PYTHONPATH"} & set(told["seen"])
    assert str(package) in told["path"][:2]
    assert str(runtime) in told["path"]
    assert not [place for place in told["path"] if "site-packages" in place]


def test_what_a_function_raises_is_told_and_its_start_is_timed(
    package: Path, runtime: Path
) -> None:
    with closing(Function("stack-fail", "small.fail", package, runtime, {})) as function:
        assert all(0 < seconds < 30 for seconds in (function.wait(), function.cpu_seconds()))
        with pytest.raises(FunctionError, match="ValueError"):
            function.invoke({})
    missing = closing(Function("stack-none", "small.none", package, runtime, {}))
    with missing as function, pytest.raises(FunctionError, match="HandlerNotFound"):
        function.wait()
