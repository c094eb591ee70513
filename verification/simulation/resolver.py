"""Name lookup of a simulation: takes its time, fails, hangs, or returns other addresses than before."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE
from hedgerow.net.resolver import Lookup, OnResult
from hedgerow.net.tcp import Address
from verification.simulation.network import address
from verification.simulation.poller import Kernel, SimulatedWakeup
from verification.simulation.scenario import PlannedLookup

THREAD_START_S = 60e-6
"""What starting a thread takes of the process's time."""


@dataclass(slots=True)
class SeenLookup:
    """One lookup; `addresses` is empty where it has failed."""

    started_at: float
    planned: PlannedLookup
    host: str
    reported_at: float = inf
    addresses: Sequence[Address] = ()


class SimulatedResolver(EventHandler):
    """Stands for `net.resolver.Resolver`."""

    def __init__(
        self, loop: EventLoop, kernel: Kernel, plan: Callable[[str], Iterator[PlannedLookup]]
    ) -> None:
        """`plan` returns the lookups of a name."""
        self.lookups: list[SeenLookup] = []
        self._loop = loop
        self._timeline = kernel.timeline
        self._plan = plan
        self._planned: dict[str, Iterator[PlannedLookup]] = {}
        self._wakeup = SimulatedWakeup(kernel)
        self._finished: list[tuple[Lookup, SeenLookup]] = []
        loop.register(self._wakeup.fileno(), self, READABLE)

    def look_up(self, host: str, port: int, on_result: OnResult) -> Lookup:
        lookup = Lookup(self._loop, host, port, on_result)
        self._timeline.charge(THREAD_START_S)
        if host not in self._planned:
            self._planned[host] = self._plan(host)
        seen = SeenLookup(self._timeline.now, next(self._planned[host]), host)
        self.lookups.append(seen)
        if seen.planned.takes_s < inf:
            self._timeline.at(self._timeline.now + seen.planned.takes_s, self._has_finished, lookup, seen)
        return lookup

    def _has_finished(self, _: float, lookup: Lookup, seen: SeenLookup) -> None:
        self._finished.append((lookup, seen))
        if not self._wakeup.closed:
            self._wakeup.set()

    def on_ready(self, mask: int) -> None:  # noqa: ARG002 (it is readable)
        self._wakeup.clear()
        finished, self._finished = self._finished, []
        for lookup, seen in finished:
            seen.reported_at = self._timeline.now
            seen.addresses = tuple(address(number, lookup.port) for number in seen.planned.addresses)
            lookup.report(seen.addresses or Failure(FailureReason.CONNECT, "name lookup: no such name"))

    def abort(self) -> None:
        """Called when a result has caused an internal error."""

    def close(self) -> None:
        self._loop.unregister(self._wakeup.fileno())
        self._wakeup.release()
