"""Admission: says no at once, and has no queue (tower's `load_shed` is the model).

What is admitted is never short of a socket: the cap counts what a request may need at the most.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not admitted; `reason` is a metric label."""

    reason: str
    retry_after_s: int


_AT_THE_CAP = Refusal("in_flight", 1)


class Admission:
    """Counts the requests in flight in one worker, up to a cap."""

    __slots__ = ("in_flight", "max_in_flight")

    def __init__(self, max_in_flight: int) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0

    def try_enter(self) -> Refusal | None:
        """Let a request in (None), or say why not. Whoever was let in must `leave` once."""
        if self.in_flight >= self.max_in_flight:
            return _AT_THE_CAP
        self.in_flight += 1
        return None

    def leave(self) -> None:
        """A request that was let in is over."""
        self.in_flight -= 1
