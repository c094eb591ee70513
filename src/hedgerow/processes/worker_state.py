"""One worker as a state machine: its desired state, its actual state, and when to act.

Pure, as is `supervision.py`, which decides about all of them.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import Final, Literal, TypeAlias

RESTART_BACKOFF_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Delays before a worker is restarted, by its consecutive failures; so it starts at most four times in a second."""
STABLE_S: Final = 10.0
"""The failures of a worker that ran longer than this are not consecutive."""
STARTUP_KILL_S: Final = 20.0
"""A worker that does not serve this long after its start is killed. A start takes 0.3 s of CPU; a container with a
tenth of a core needs 3 s for that."""


class Wanted(Enum):
    """The desired state of a worker."""

    RUN = auto()
    RETIRE = auto()
    """Another worker has taken over."""
    STOP = auto()
    """The gateway stops."""


class State(Enum):
    """The actual state of a worker."""

    STARTING = auto()
    SERVING = auto()
    DRAINING = auto()
    """It was sent SIGTERM, or has closed its channel: it takes no new work and will end."""
    GONE = auto()
    """There is no process."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker's process; then report `start_failed`, or what happens to it, up to `exited`."""

    slot: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send SIGTERM to a worker's process."""

    slot: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send SIGKILL to a worker's process."""

    slot: int


@dataclass(frozen=True, slots=True)
class Report:
    """Write a line to the log."""

    level: Literal["info", "warning", "error"]
    event: str
    fields: dict[str, object] = field(default_factory=dict)


Action: TypeAlias = Start | Terminate | Kill | Report


@dataclass(slots=True)
class WorkerState:
    """One worker: its desired state, its actual state, and when to act."""

    slot: int
    """The index of its connection count. No two workers have the same one at a time."""
    due_at: float = inf
    """GONE: when to start it. Else when to kill it."""
    generation: int = 0
    """Of its process: SIGHUPs received before it was started."""
    wanted: Wanted = Wanted.RUN
    state: State = State.GONE
    started_at: float = 0.0
    failures: int = 0
    """Consecutive failed starts and deaths."""
    has_served: bool = False
    """Whether its process has served."""
    fault: str = ""
    """Why the supervisor kills it, if it does."""

    def start(self, generation: int, now: float) -> Start:
        """GONE -> STARTING."""
        self.state, self.generation, self.has_served, self.fault = State.STARTING, generation, False, ""
        self.started_at, self.due_at = now, now + STARTUP_KILL_S
        return Start(self.slot)

    def drain(self, kill_at: float) -> list[Action]:
        """Send SIGTERM: STARTING or SERVING -> DRAINING; one that drains has got it already."""
        if self.state is State.DRAINING:
            self.due_at = min(self.due_at, kill_at)
        if self.state not in (State.STARTING, State.SERVING):
            return []
        self.state, self.due_at = State.DRAINING, kill_at
        return [Terminate(self.slot)]

    def kill(self, fault: str) -> list[Action]:
        """Kill it, and log why. Its state changes when it has exited."""
        self.fault, self.due_at = fault, inf
        return [Report("error", "worker unresponsive", {"reason": fault}), Kill(self.slot)]

    def failed(self, now: float) -> float:
        """Count a failure; return the delay of the next start in seconds."""
        is_stable = self.has_served and now - self.started_at > STABLE_S
        self.failures = 1 if is_stable else self.failures + 1
        self.state = State.GONE
        wait_s = RESTART_BACKOFF_S[min(self.failures, len(RESTART_BACKOFF_S)) - 1]
        self.due_at = now + wait_s
        return wait_s
