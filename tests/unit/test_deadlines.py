"""Deadlines on a clock that only a test moves."""

import math

from chalicelib.deadlines import NO_DEADLINE, Deadline
from tests.support.fakes import Clock


def test_a_deadline_comes_nearer_and_passes() -> None:
    clock = Clock()
    deadline = Deadline.after(2.0, clock)
    clock.advance(1.5)
    assert deadline.remaining() == 0.5
    clock.advance(1.0)
    assert deadline.remaining() == -0.5


def test_sooner_is_counted_from_now_and_never_later_and_less_from_the_end() -> None:
    clock = Clock()
    deadline = Deadline.after(2.0, clock)
    clock.advance(1.0)
    assert deadline.sooner(0.5).remaining() == 0.5
    assert deadline.sooner(9.0).remaining() == 1.0
    assert deadline.less(0.75).remaining() == 0.25


def test_no_deadline_never_comes() -> None:
    assert NO_DEADLINE.remaining() == NO_DEADLINE.less(5.0).remaining() == math.inf
    assert 0 < NO_DEADLINE.sooner(5.0).remaining() <= 5.0
