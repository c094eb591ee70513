"""The facts that the core and the edges emit; telemetry interprets them. Plain calls: they cost no object."""

from typing import Protocol

from hedgerow.core.outcomes import Attempt, RequestTrace, Verdict


class Observer(Protocol):
    """Who hears what happens. None of these may raise or wait: they are called on the path of a request."""

    def request_began(self) -> None:
        """A request for the smart endpoint was admitted."""

    def request_ended(
        self,
        request_id: bytes,
        code: str,
        arrived_at: float,
        ended_at: float,
        verdict: Verdict | None,
        trace: RequestTrace | None,
    ) -> None:
        """An admitted request was answered with `code`; there is no verdict when a bug of ours ended it."""

    def answered(self, overshoot_s: float) -> None:
        """An admitted request was answered so long after the end of its timeout; in time is 0 or less."""

    def request_abandoned(
        self, request_id: bytes, arrived_at: float, ended_at: float, trace: RequestTrace | None
    ) -> None:
        """The caller of an admitted request left before its answer."""

    def request_rejected(self, code: str, reason: str) -> None:
        """A request was answered without any work upstream; `reason` is the refusal's, or the code again."""

    def bug(self, request_id: bytes, trace: RequestTrace | None) -> None:
        """An exception of ours ended a request; it is the one being handled."""

    def attempt_ended(self, attempt: Attempt, *, lost: bool) -> None:
        """An attempt has its outcome; `lost` when its race was over before."""

    def reused_connection_died(self) -> None:
        """An attempt met a pooled connection that the upstream had just closed; it is sent again on a new one."""
