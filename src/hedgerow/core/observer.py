"""The facts that the core and the edges emit; telemetry interprets them. Plain calls: they cost no object."""

from mypy_extensions import mypyc_attr

from hedgerow.core.outcomes import Attempt, RaceEnd
from hedgerow.core.request import Request


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """What receives the facts. None of these may raise or wait: they are called on the path of a request."""

    __slots__ = ()

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        """Record that an admitted request is over: answered with `code`, or `abandoned`.

        `abandoned`: its connection was closed, by its client or when a drain's time was over. `end` is `Aborted` then,
        and when an internal error has ended it.
        """
        raise NotImplementedError

    def request_rejected(self, code: str, reason: str, request: Request | None = None) -> None:
        """Record an answer without an attempt; `reason` is the rejection's, or the code again.

        `request` is None where no whole head of one has come; it has a `route` if one was found for it.
        """
        raise NotImplementedError

    def internal_error(self, request: Request | None) -> None:
        """Record the exception that is being handled, an internal error; `request` is the one that it ended, if any."""
        raise NotImplementedError

    def attempt_finished(self, attempt: Attempt) -> None:
        """Record that an attempt has its outcome; `attempt.is_loser` when its race was over before."""
        raise NotImplementedError

    def iteration_took(self, took_s: float) -> None:
        """Record the length of an iteration of the event loop, in seconds."""
        raise NotImplementedError

    def stale_connection_retried(self) -> None:
        """Record that an attempt met a pooled connection which the upstream had just closed; it is sent once more."""
        raise NotImplementedError
