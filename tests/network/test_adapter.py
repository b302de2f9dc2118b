"""requests over real connections: kept, not shared with the environment, one deadline in all."""

import time
from collections.abc import Iterator

import pytest

from chalicelib.deadlines import Deadline
from chalicelib.network.adapter import Session
from chalicelib.network.connections import Connections
from chalicelib.network.exchange_errors import TimedOut
from tests.support.loopback import Loopback, answers, drips, whole


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(Connections(allow_private=True, connect_timeout=1.0), max_bytes=1000) as session:
        yield session


def test_a_body_arrives_and_the_answer_comes_back(session: Session) -> None:
    with Loopback(answers(b'{"a":1}')) as server:
        response = session.post(server.url + "/x", json={"b": 2}, timeout=Deadline.after(5))  # type: ignore[arg-type]  # our adapter's
    assert response.json() == {"a": 1}
    head, _, body = server.received[0].partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /x HTTP/1.1"
    assert head.lower().count(b"content-length: 8") == 1
    assert body == b'{"b": 2}'


def test_the_deadline_is_that_of_the_whole_exchange(session: Session) -> None:
    start = time.monotonic()
    with Loopback(drips(whole(b"x" * 100), 0.05)) as server, pytest.raises(TimedOut):
        session.get(server.url, timeout=Deadline.after(0.3))  # type: ignore[arg-type]  # as above
    assert time.monotonic() - start < 3
