"""How an exchange fails. No error has a text, since a URL may hold a secret."""


class TransportError(Exception):
    """The exchange failed; unless it is NotConnected, the request may have had its effect."""


class NotConnected(TransportError):
    """There was no connection, so nothing was sent."""


class Unresolved(NotConnected):
    """The host's name has no address."""


class Refused(NotConnected):
    """The peer refused the connection, ended it, or is unreachable."""


class ConnectTimeout(NotConnected):
    """The peer did not accept a connection in time."""


class NotTrusted(NotConnected):
    """The peer's certificate is not valid for the host."""


class AddressForbidden(NotConnected):
    """None of the host's addresses may be contacted."""


class TimedOut(TransportError):
    """The deadline passed before the answer was complete."""


class NoAnswer(TransportError):
    """The connection ended before the answer began."""


class Stale(NoAnswer):
    """NoAnswer on a reused connection: most likely the peer had closed it while it was idle."""


class Broken(TransportError):
    """The answer is incomplete or not HTTP/1.1."""


class TooLarge(TransportError):
    """The answer's body is larger than the caller accepts."""


# Failures after which any request may be tried again: nothing was sent, and they may pass.
UNSENT = (Unresolved, Refused, ConnectTimeout)
