"""What requests and attempts need of tracing, whether anything is recorded or not. See `tracing`."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hedgerow.core.outcomes import Attempt, RaceEnd


class AttemptPlace(Protocol):
    """An endpoint of the upstream, from the point of view of telemetry."""

    def described(self) -> tuple[str, str, int, str, int]:
        """Return its URL as it may be shown, the host and port of that, and the address and port of the host."""


class AttemptSpan(Protocol):
    """The part of one attempt in a trace."""

    headers: bytes
    """Whole header lines for the upstream."""

    def sent_to(self, place: AttemptPlace) -> None:
        """Record where the attempt is sent; called once more where it is sent once more."""

    def attempt_finished(self, attempt: "Attempt") -> None:
        """Handle the outcome of its attempt; see `Observer.attempt_finished`."""


class RequestTrace(Protocol):
    """The trace that a request is part of, recorded by us or not. None of these may raise or wait."""

    @property
    def trace_id(self) -> str:
        """The trace's id: 32 hexadecimal digits."""

    def attempt_started(self, attempt: "Attempt") -> AttemptSpan:
        """Return the attempt's part in the trace."""

    def request_finished(self, code: str, ended_at: float, end: "RaceEnd") -> None:
        """Complete the trace of a request that is over, answered or `abandoned` (`core.observer`).

        Attempts that have no outcome yet are losers, and report their end themselves.
        """
