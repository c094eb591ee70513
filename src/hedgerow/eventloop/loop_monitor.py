"""How long the iterations of the event loop take: how long an answer, or a byte that has come, may wait."""

from typing import Final

LAGGING_S: Final = 0.004
"""What was in the kernel for less need not be dated: below a tick of its own clock (4 ms at 250 Hz)."""
TIMER_RESOLUTION_S: Final = 0.002
"""A poll waits for whole milliseconds: on an idle loop a deadline fires this late."""
WINDOW_S: Final = 10.0
"""The longest lag is remembered for one to two of these. What stops a process (another one on its core, a host that
gives the core to another guest) comes back after seconds, and an answer that leaves some milliseconds early costs less
than one that is late."""


class LoopMonitor:
    """The iterations of one loop. Pure: instants come from the loop."""

    __slots__ = (
        "_ended_at",
        "_longest",
        "_longest_before",
        "_window_ends_at",
        "is_lagging",
        "last_s",
        "started_at",
    )

    def __init__(self) -> None:
        self.started_at = self._ended_at = 0.0
        self.last_s = 0.0
        """The length of the last iteration, without its poll."""
        self.is_lagging = False
        """What is read now may have been in the kernel for more than `LAGGING_S`."""
        self._longest = self._longest_before = 0.0
        self._window_ends_at = 0.0

    def iteration_started(self, now: float, next_due_at: float) -> None:
        """Note that a poll has returned; `next_due_at` is the earliest deadline."""
        self.started_at = now
        # A deadline that was past when it was set, as that of hedges that had waited, could not be met.
        late_s = now - max(next_due_at, self._ended_at)
        self.is_lagging = self.last_s > LAGGING_S or late_s > LAGGING_S
        if late_s > TIMER_RESOLUTION_S:  # the process did not run, or the iteration before was long
            self._remember(late_s - TIMER_RESOLUTION_S, now)

    def iteration_finished(self, now: float) -> float:
        """Return how long the iteration took, in seconds."""
        self.last_s = took_s = now - self.started_at
        self._ended_at = now
        self._remember(took_s, now)
        return took_s

    def _remember(self, lag_s: float, now: float) -> None:
        if now >= self._window_ends_at:
            idle = now >= self._window_ends_at + WINDOW_S
            self._longest_before = 0.0 if idle else self._longest
            self._longest = 0.0
            self._window_ends_at = now + WINDOW_S
        self._longest = max(self._longest, lag_s)

    def recent_max_lag_s(self, now: float) -> float:
        """Return the longest lag of the last 10 to 20 seconds: how long what is due may have to wait."""
        if now >= self._window_ends_at + WINDOW_S:
            return 0.0
        return max(self._longest, self._longest_before)
