"""The facts that the core and the edges report; telemetry interprets them. Plain calls: they cost no object."""

from typing import Protocol

from hedgerow.core.outcomes import Attempt, RequestTrace, Verdict


class Observer(Protocol):
    """Receives the facts. No method may raise or wait: they are called on the path of a request."""

    def request_began(self) -> None:
        """Called when a request is admitted."""

    def request_ended(
        self,
        request_id: bytes,
        code: str,
        arrived_at: float,
        ended_at: float,
        verdict: Verdict | None,
        trace: RequestTrace | None,
    ) -> None:
        """Called when an admitted request has its response, of outcome `code`; an internal error has no verdict."""

    def answered(self, overshoot_s: float) -> None:
        """Called when an admitted request was answered this long after the end of its timeout; 0 or less is in time."""

    def request_abandoned(
        self, request_id: bytes, arrived_at: float, ended_at: float, trace: RequestTrace | None
    ) -> None:
        """Called when the client of an admitted request disconnects before its response."""

    def request_rejected(self, code: str, reason: str) -> None:
        """Called when a request is answered without work upstream; `reason` is the rejection's, or the code again."""

    def bug(self, request_id: bytes, trace: RequestTrace | None) -> None:
        """Called when an internal error has ended a request; it is the exception being handled."""

    def attempt_ended(self, attempt: Attempt, *, lost: bool) -> None:
        """Called when an attempt has its outcome; `lost` if its race was over before."""

    def reused_connection_died(self) -> None:
        """Called when an attempt is retried because the upstream had just closed its pooled connection."""
