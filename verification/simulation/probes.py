"""What is seen from within: the worker's pool, recorder and system calls, and which of its objects live."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from hedgerow.core.outcomes import Aborted, Attempt, AttemptHandle, Failure, RaceEnd, Success, Won
from hedgerow.core.request import Request
from hedgerow.eventloop.scheduler import STEP_S
from hedgerow.telemetry.recorder import Recorder
from hedgerow.upstream.connection import UpstreamConnection
from hedgerow.upstream.pool import ConnectionPool
from verification.simulation.poller import Kernel, SimulatedPoller
from verification.simulation.sockets import SimulatedSocket
from verification.simulation.timeline import Timeline

REQUEST_S = 30e-6
ATTEMPT_S = 20e-6
REJECTION_S = 25e-6
"""What parsing, deciding and writing take of the process's time: some of it is charged where a probe is called."""


@dataclass(frozen=True, slots=True)
class Launch:
    """An attempt that was handed to the pool."""

    number: int
    at: float
    deadline_at: float
    reused_since: float | None
    """When the pooled connection that it took was last answered on; None where it got a new one."""
    pool_is_full: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt that has an outcome."""

    request_id: bytes
    number: int
    at: float
    succeeded: bool
    is_loser: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A request that was answered, or whose client had left (`abandoned`)."""

    request_id: bytes
    code: str
    at: float
    winner: int | None = None
    pending: int = 0
    succeeded: int = 0


@dataclass(slots=True)
class Seen:
    """All that was seen in one simulation."""

    timeline: Timeline
    history: list[tuple[object, ...]] = field(default_factory=list)
    launches: defaultdict[bytes, list[Launch]] = field(default_factory=lambda: defaultdict(list))
    finished: list[Finished] = field(default_factory=list)
    rejected_at: list[float] = field(default_factory=list)
    """When requests were rejected for want of time."""
    settled: list[Settled] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    short: list[bytes] = field(default_factory=list)
    """Requests that were short of a connection."""
    stale_retries: int = 0
    """Reused connections that had been closed, so that their attempt was sent again."""
    polls: list[float] = field(default_factory=list)
    """When the first poller returned: the beginnings of iterations."""
    iterations: list[tuple[float, float]] = field(default_factory=list)
    """From when to when each went, without its poll."""
    disorder: list[str] = field(default_factory=list)
    """Steps of an iteration that came after a later one."""


class ProbedPool(ConnectionPool):
    """The pool, with a look at what it is asked to send."""

    seen: Seen

    def send(self, attempt: Attempt) -> AttemptHandle:
        seen, request = self.seen, attempt.request
        seen.timeline.charge(ATTEMPT_S)
        full = self.budget.is_full
        idle = {one: one.idle_since for endpoint in self.idle.endpoints for one in endpoint.idle}
        handle = super().send(attempt)
        assert isinstance(handle, UpstreamConnection)
        launch = Launch(attempt.number, attempt.launched_at, request.deadline_at, idle.get(handle), full)
        seen.launches[request.request_id].append(launch)
        seen.history.append((attempt.launched_at, "launch", request.request_id, attempt.number))
        outcome = attempt.outcome
        if isinstance(outcome, Failure) and "are in use" in outcome.detail:
            seen.short.append(request.request_id)
        return handle


class ProbedRecorder(Recorder):
    """The recorder, with a look at what it receives."""

    seen: Seen

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        attempts = () if isinstance(end, Aborted) else end.attempts
        self.seen.timeline.charge(REQUEST_S)
        self.seen.settled.append(
            Settled(
                request.request_id, code, ended_at,
                end.winner.number if isinstance(end, Won) else None,
                sum(attempt.outcome is None for attempt in attempts),
                sum(isinstance(attempt.outcome, Success) for attempt in attempts),
            )
        )  # fmt: skip
        self.seen.history.append((ended_at, "settled", request.request_id, code))
        super().request_finished(request, code, ended_at, end)

    def request_rejected(self, code: str, reason: str, request: Request | None = None) -> None:
        self.seen.timeline.charge(REJECTION_S)
        self.seen.rejected[code] += 1
        if code == "overloaded":
            self.seen.rejected_at.append(self.seen.timeline.now)
        super().request_rejected(code, reason, request)

    def attempt_finished(self, attempt: Attempt) -> None:
        outcome, request_id = attempt.outcome, attempt.request.request_id
        self.seen.timeline.charge(ATTEMPT_S)
        detail = f"{outcome.reason}: {outcome.detail}" if isinstance(outcome, Failure) else ""
        succeeded = isinstance(outcome, Success)
        self.seen.finished.append(
            Finished(request_id, attempt.number, attempt.ended_at, succeeded, attempt.is_loser, detail)
        )
        self.seen.history.append(
            (attempt.ended_at, "finished", request_id, attempt.number, detail, attempt.is_loser)
        )
        super().attempt_finished(attempt)

    def iteration_took(self, took_s: float) -> None:
        now = self.seen.timeline.now
        self.seen.iterations.append((now - took_s, now))
        super().iteration_took(took_s)

    def stale_connection_retried(self) -> None:
        self.seen.stale_retries += 1
        super().stale_connection_retried()


READ_UPSTREAM, READ_CLIENT, ACCEPT, SEND = range(4)
_STEPS = ("reading the upstream", "reading clients", "accepting", "sending to the upstream")


class OrderProbe:
    """Checks that an iteration reads answers, then clients, then accepts; then it sends what is new, and closes.

    After `STEP_S` in one step it sends in between.
    """

    def __init__(self, kernel: Kernel, seen: Seen) -> None:
        self._seen = seen
        self._timeline = kernel.timeline
        self._first: SimulatedPoller | None = None
        self._step = READ_UPSTREAM
        self._began_at = 0.0
        self._blocked: set[SimulatedSocket] = set()
        self.is_on = True
        kernel.on_poll = self.on_poll

    def on_poll(self, poller: SimulatedPoller) -> None:
        """Called as a poll returns. The loop makes its first poller first, and polls it first."""
        if self._first is None:
            self._first = poller
        if poller is self._first:
            self._began_at = self._timeline.now
            self._step = READ_UPSTREAM
            self._seen.polls.append(self._began_at)

    def on_operation(self, name: str, sock: SimulatedSocket) -> None:
        """Called at each system call on a socket."""
        step = self._step_of(name, sock)
        if step is None or not self.is_on:
            return
        if step < self._step and not (self._step == SEND and self._timeline.now - self._began_at >= STEP_S):
            self._seen.disorder.append(f"{_STEPS[step]} after {_STEPS[self._step]}")
        self._step = step

    def _step_of(self, name: str, sock: SimulatedSocket) -> int | None:
        match name, sock.role:
            case "recv", "upstream":
                return READ_UPSTREAM
            case "recv", "client":
                return READ_CLIENT
            case "accept", _:
                return ACCEPT
            case "send", "upstream":
                # The rest of what the kernel did not take at once is sent when the socket is writable again.
                return None if sock.sent and sock.sent[-1][1] < self._began_at else SEND
        return None


def counted(kind: type[Any], alive: Counter[str], made: Counter[str]) -> type[Any]:
    """Make a class of the same kind whose living instances are counted. They must go by themselves: no collection.

    Sets of them have an order that repeats: that of their addresses would not.
    """
    name = kind.__name__

    class Counted(kind):  # type: ignore[misc]
        __slots__ = ("_serial",)

        def __init__(self, *args: Any, **more: Any) -> None:
            alive[name] += 1
            made[name] += 1
            self._serial = made[name]
            super().__init__(*args, **more)

        def __hash__(self) -> int:
            return self._serial

        def __del__(self) -> None:
            alive[name] -= 1

    return Counted


@contextmanager
def replaced(*names: tuple[ModuleType, str, object]) -> Iterator[None]:
    """Put other things in the place of names of modules."""
    before = [(module, name, getattr(module, name)) for module, name, _ in names]
    for module, name, other in names:
        setattr(module, name, other)
    try:
        yield
    finally:
        for module, name, other in before:
            setattr(module, name, other)
