"""AWS's SDK under our rules: one deadline per attempt, and an answer is whole or none."""

import gzip
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
)

from chalicelib.network.aws import BrokenAnswer, held
from tests.support.faulty_engine import Act, Exchange, FaultyEngine, drips, refuse, say

GENEROUS, SHORT = 5.0, 0.4
TABLE = "none"


@pytest.fixture
def engine(moto_url: str) -> Iterator[FaultyEngine]:
    engine = FaultyEngine(moto_url)
    yield engine
    engine.close()


def client_of(engine: FaultyEngine, seconds: float = GENEROUS, tries: int = 1) -> Any:
    """Make a client whose own timeouts are no help."""
    retries: Any = {"total_max_attempts": tries, "mode": "standard"}
    patient = Config(connect_timeout=9, read_timeout=9, retries=retries)
    return held(boto3.client("dynamodb", endpoint_url=engine.url, config=patient), seconds)


@pytest.fixture
def client(engine: FaultyEngine) -> Iterator[Any]:
    with closing(client_of(engine)) as made:
        yield made


def get(client: Any) -> Any:
    return client.get_item(TableName=TABLE, Key={"user": {"B": b"u"}, "item": {"B": b"i"}})


def replies(body: bytes, status: int = 200, *headers: tuple[str, str]) -> Act:
    return lambda exchange: exchange.reply(status, list(headers), body)


def breaks_off(exchange: Exchange) -> None:
    """Send the first half of a body."""
    exchange.send_response(200)
    exchange.send_header("Content-Length", "100")
    exchange.end_headers()
    exchange.wfile.write(b'{"Item":{"user":')
    exchange.cut()


BROKEN: dict[str, Act] = {
    "a page": replies(b"<html>busy</html>"),
    "a page with an error": replies(b"<html>busy</html>", 503),
    "half a body": breaks_off,
    "half a document": replies(b'{"Item":{"user":'),
    "nothing": replies(b""),
    "a redirection": replies(b"", 399),
    "a redirection that says why": say({"__type": "Moved"}, 399),
    "what the SDK takes for success": say({"__type": 5}, 300),
    "another success": say({}, 201),
    "an array": say([]),
    "null": say(None),
    "no text": replies(b"\xff\xfe"),
    "packed": replies(gzip.compress(b"{}"), 200, ("Content-Encoding", "gzip")),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_answer_that_is_not_whole_is_none(client: Any, engine: FaultyEngine, kind: str) -> None:
    engine.then(BROKEN[kind])
    with pytest.raises(BrokenAnswer) as caught:
        get(client)
    assert str(caught.value) == "The answer is broken."
    assert isinstance(caught.value, BotoCoreError)  # so whoever catches the SDK's catches this


@pytest.mark.parametrize("act", [say({"Item": {"user": {"B": "dQ=="}}}), say({})])
def test_a_whole_answer_is_read_as_ever(client: Any, engine: FaultyEngine, act: Act) -> None:
    engine.then(act)
    assert get(client).get("Item", {"user": {"B": b"u"}}) == {"user": {"B": b"u"}}


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (refuse("ThrottlingException"), "ThrottlingException"),
        (replies(b"", 400), "400"),
        (replies(b"", 500), "500"),
    ],
)
def test_a_refusal_stays_a_refusal(client: Any, engine: FaultyEngine, act: Act, code: str) -> None:
    engine.then(act)
    with pytest.raises(ClientError) as caught:
        get(client)
    assert caught.value.response["Error"]["Code"] == code


def test_an_answer_in_drips_ends_at_the_deadline(engine: FaultyEngine) -> None:
    engine.then(drips)
    with closing(client_of(engine, SHORT)) as client:
        started = time.monotonic()
        with pytest.raises(ReadTimeoutError) as caught:
            get(client)
    assert str(caught.value) == f'Read timeout on endpoint URL: "{engine.url}/"'
    assert SHORT <= time.monotonic() - started < SHORT + 1


def test_what_is_broken_is_asked_for_again_where_the_sdk_may(engine: FaultyEngine) -> None:
    engine.then(BROKEN["half a body"], say({}))
    with closing(client_of(engine, tries=2)) as client:
        assert "Item" not in get(client)
    assert engine.operations() == ["GetItem", "GetItem"]


def test_a_client_that_is_held_is_held_once(client: Any) -> None:
    session = client._endpoint.http_session
    assert held(held(client, 1), 2)._endpoint.http_session is session


def test_the_error_of_a_connection_is_the_sdks_own(client: Any, engine: FaultyEngine) -> None:
    engine.then(lambda exchange: exchange.cut())
    with pytest.raises(ConnectionClosedError):
        get(client)
