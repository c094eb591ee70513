"""One endpoint of an upstream: an address of one of its names."""

from typing import TYPE_CHECKING

from hedgerow.net.tcp import Address
from hedgerow.net.tls_sessions import TlsSession
from hedgerow.settings import Target

if TYPE_CHECKING:
    from hedgerow.upstream.connection import UpstreamConnection


class Endpoint:
    """One address of one name, and what is known of it."""

    __slots__ = (
        "address", "ejected_until", "ejections", "failures", "idle", "in_flight", "is_current",
        "target", "tls_session", "unreachable_until",
    )  # fmt: skip

    def __init__(self, target: Target, address: Address) -> None:
        self.target = target
        """What was configured: its path is the base path."""
        self.address = address
        self.is_current = True
        """The last lookup that succeeded has returned it."""
        self.in_flight = 0
        """Attempts that are sent to it or run there, losers included."""
        self.idle: list[UpstreamConnection] = []
        """Connections without an attempt, the one used last at the end; see `IdleConnections`."""
        self.tls_session = TlsSession()
        self.failures = 0
        """In a row."""
        self.ejections = 0
        """Of which one is forgotten for each `ejection_time_s` in service."""
        self.ejected_until = 0.0
        self.unreachable_until = 0.0
        """Other than 0 after a connect has failed, until one succeeds."""

    def described(self) -> tuple[str, str, int, str, int]:
        """Return what telemetry says of it (`core.traces.AttemptPlace`)."""
        target, sockaddr = self.target, self.address[4]
        return target.redacted_url, target.host, target.port, str(sockaddr[0]), int(sockaddr[1])

    def is_usable(self, now: float) -> bool:
        """Return whether it is not left out."""
        return self.ejected_until <= now and self.unreachable_until <= now
