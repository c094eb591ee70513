"""What is seen from within: the pool and the recorder of the worker, and how many of its objects live."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from hedgerow.core.outcomes import Attempt, AttemptHandle, Failure, Success, Verdict, Won
from hedgerow.telemetry.recorder import Recorder
from hedgerow.upstream import Upstream
from hedgerow.upstream.connection import State


@dataclass(frozen=True, slots=True)
class Launch:
    """An attempt that was handed to the pool."""

    number: int
    at: float
    deadline_at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has an outcome."""

    request_id: bytes
    number: int
    at: float
    succeeded: bool
    lost: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A request that was answered, or whose caller had left (`abandoned`)."""

    request_id: bytes
    code: str
    at: float
    winner: int | None = None
    pending: int = 0
    succeeded: int = 0


@dataclass(slots=True)
class Seen:
    """All that was seen in one world."""

    history: list[tuple[object, ...]] = field(default_factory=list)
    launches: defaultdict[bytes, list[Launch]] = field(default_factory=lambda: defaultdict(list))
    ended: list[Ended] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    short: list[bytes] = field(default_factory=list)
    """Requests that were short of a connection, though none was about to be closed."""
    met_closing: int = 0
    """Attempts that failed because the connections of others were not closed yet."""
    died: int = 0
    """Reused connections that died, so that their attempt was sent again."""


class WatchedUpstream(Upstream):
    """The pool, with a look at what it is asked to carry."""

    seen: Seen

    def carry(self, attempt: Attempt) -> AttemptHandle:
        seen = self.seen
        seen.launches[attempt.request_id].append(
            Launch(attempt.number, attempt.launched_at, attempt.deadline_at)
        )
        seen.history.append((attempt.launched_at, "launch", attempt.request_id, attempt.number))
        carrier = super().carry(attempt)
        outcome = attempt.outcome
        if isinstance(outcome, Failure) and "are in use" in outcome.detail:
            # Those that are closing hold their descriptors for one more turn, and no more than the budget may be open.
            if all(connection.state is not State.CLOSED for connection in self.connections):
                seen.short.append(attempt.request_id)
            seen.met_closing += 1
        return carrier


class WatchedRecorder(Recorder):
    """The recorder, with a look at what it hears."""

    seen: Seen

    def request_ended(
        self,
        request_id: bytes,
        code: str,
        arrived_at: float,
        ended_at: float,
        verdict: Verdict | None,
        trace: Any = None,
    ) -> None:
        attempts = verdict.attempts if verdict is not None else ()
        self.seen.settled.append(
            Settled(
                request_id, code, ended_at,
                verdict.winner.number if isinstance(verdict, Won) else None,
                sum(attempt.outcome is None for attempt in attempts),
                sum(isinstance(attempt.outcome, Success) for attempt in attempts),
            )
        )  # fmt: skip
        self.seen.history.append((ended_at, "settled", request_id, code))
        super().request_ended(request_id, code, arrived_at, ended_at, verdict, trace)

    def request_abandoned(
        self, request_id: bytes, arrived_at: float, ended_at: float, trace: Any = None
    ) -> None:
        self.seen.settled.append(Settled(request_id, "abandoned", ended_at))
        self.seen.history.append((ended_at, "abandoned", request_id))
        super().request_abandoned(request_id, arrived_at, ended_at, trace)

    def request_rejected(self, code: str, reason: str) -> None:
        self.seen.rejected[code] += 1
        super().request_rejected(code, reason)

    def attempt_ended(self, attempt: Attempt, *, lost: bool) -> None:
        outcome = attempt.outcome
        assert attempt.ended_at is not None
        detail = f"{outcome.reason}: {outcome.detail}" if isinstance(outcome, Failure) else ""
        succeeded = isinstance(outcome, Success)
        self.seen.ended.append(
            Ended(attempt.request_id, attempt.number, attempt.ended_at, succeeded, lost, detail)
        )
        self.seen.history.append(
            (attempt.ended_at, "ended", attempt.request_id, attempt.number, detail, lost)
        )
        super().attempt_ended(attempt, lost=lost)

    def reused_connection_died(self) -> None:
        self.seen.died += 1
        super().reused_connection_died()


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


def with_sockets(module: ModuleType, socket: object) -> SimpleNamespace:
    """Give a module like `socket`, whose sockets are others."""
    return SimpleNamespace(**vars(module) | {"socket": socket})
