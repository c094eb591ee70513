"""What the server can do, as settings: how many workers it has, and when it is disturbed."""

import re
from dataclasses import dataclass

from hedgerow_simulator.limits import MAX_DISTURBANCE_S


class CapacityError(ValueError):
    """A setting outside what is accepted; the message names it, what was given and what would be right."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A span of time, counted from the server's start, in which something is multiplied."""

    at_s: float
    for_s: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Whether, and when, the server can be overloaded. Raises `CapacityError`."""

    workers: int | None = None
    """Requests that are served at once; None: all of them, and nothing is queued."""
    queue: int | None = None
    """Requests that may wait for a worker; one more is answered 503 at once. None: `MAX_QUEUE`."""
    notices_leaving: bool = False
    """Work whose client has left is dropped, in the queue and on a worker."""
    dips: tuple[Disturbance, ...] = ()
    """`factor` is the share of the workers that is left."""
    slow: tuple[Disturbance, ...] = ()
    """`factor` multiplies the latency of requests that a worker begins with in the span."""

    def __post_init__(self) -> None:
        needing = {
            "--queue": self.queue is not None,
            "--notices-leaving": self.notices_leaving,
            "--dip": self.dips,
        }
        for name, is_given in needing.items():
            if is_given and self.workers is None:
                raise CapacityError(f"{name} is about workers and their queue: give --capacity N, too")

    @property
    def is_unlimited(self) -> bool:
        """Return whether there is nothing to play: each request takes its latency."""
        return self.workers is None and not self.slow


_NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)"
_DISTURBANCE = re.compile(f"{_NUMBER}:{_NUMBER}:{_NUMBER}", re.ASCII)


def parse_disturbance(text: str, *, word: str, most: float) -> Disturbance:
    """Read `AT:FOR:WORD`: seconds, seconds, and a number from 0 to `most`. Raises `CapacityError`."""
    match = _DISTURBANCE.fullmatch(text)
    if match is not None:
        at_s, for_s, factor = (float(part) for part in match.groups())
        if at_s <= MAX_DISTURBANCE_S and for_s <= MAX_DISTURBANCE_S and factor <= most:
            return Disturbance(at_s, for_s, factor)
    raise CapacityError(
        f"{text!r} is not AT:FOR:{word}: seconds from the start and seconds, each up to {MAX_DISTURBANCE_S}, and a "
        f"number from 0 to {most:g}"
    )
