"""Deadlines, and every second of every budget on one page.

A login has LOGIN_TOTAL: LOGIN_WECHAT of it for the appsecret and WeChat. The rest is a little more
than the 3.1 s that a write to the store may take, so that no code is spent on one cut short.
A proxied request has the upstream's timeout, less ANSWER_RESERVE of what Lambda has left. An AWS
call has the SDK's own timeouts and retries, bounded here so that the worst case still fits.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]  # seconds

LOGIN_TOTAL = 8.0
LOGIN_WECHAT = 4.8
# With less than this left no one-time code goes to WeChat: it would be spent for nothing.
CODE_MINIMUM = 2.0

WECHAT_TOTAL = 4.0  # one call to WeChat, a second connection attempt included
WECHAT_CONNECT = 1.0
# Left of an invocation for what follows a call to WeChat: the write of the session, the answer.
WECHAT_RESERVE = 1.0

UPSTREAM_TOTAL = 20.0  # at most, whatever UPSTREAM_TIMEOUT says: API Gateway cuts at 29 s
# A lost SYN is retransmitted after one second (RFC 6298 2), and a POST is not tried again.
UPSTREAM_CONNECT = 3.0
ANSWER_RESERVE = 1.5  # left for the gate's own answer after an exchange with the upstream

IDLE = 10.0  # a kept connection is reused only if it has been idle for less, by the wall clock

STORE_ATTEMPT = 1.0
# The SDK's backoff between them is short (25 and 50 ms at most), but up to 1 and 2 s once DynamoDB
# throttles: an operation ends within 3.1 s if nothing answers, and within 3 s if all is throttled.
STORE_ATTEMPTS = 3

SECRETS_ATTEMPT = 0.8
# Before the second, the SDK waits up to 50 ms, or up to 1 s if AWS throttles: 2 s in all.
SECRETS_ATTEMPTS = 2

QUEUE_ATTEMPT = 1.0
QUEUE_ATTEMPTS = 2
# Seconds between the attempts to deliver an event: 24 hours in all, an hour at most (SQS: 12).
EVENT_PAUSES = (5, 30, 120, 345, 900, 2200, *[3600] * 23)
INIT = 0.5  # that INIT waits for secrets and connections, once all is built


@dataclass(frozen=True)
class Deadline:
    """An instant of a monotonic clock, in seconds."""

    at: float
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> "Deadline":
        """Give the deadline that is `seconds` away."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Give the seconds that are left; negative once it has passed."""
        return self.at - self.clock()

    def sooner(self, seconds: float) -> "Deadline":
        """Give the deadline that is at most `seconds` away."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)

    def less(self, seconds: float) -> "Deadline":
        """Give the deadline that leaves `seconds` before this one."""
        return Deadline(self.at - seconds, self.clock)


NO_DEADLINE = Deadline(math.inf)
