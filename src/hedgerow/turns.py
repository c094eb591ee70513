"""How long the turns of the event loop are: what an answer that is ready, or a byte that has come, may wait for.

A turn is what happens between two polls for I/O. While the loop has time to spare a turn holds a few callbacks;
once it has more work than time, each turn is longer than the one before. That makes its length the measure of
overload (Node's and Envoy's choice as well), where CPU time would tell nothing between 90 % and 300 %.
"""

IDLE_SHARE = 0.25
"""A pause of this share of the turn before it, or more, means that the loop had time to spare. Between two turns
lie the poll itself and what is no I/O: tasks that connect, for instance."""
BEHIND_S = 0.004
"""Below a tick of the kernel's own clock (4 ms at 250 Hz), and below what the margin of an answer covers, nobody
needs to know how long something lay unread."""
TIMER_LATE_S = 0.002
"""A timer of the event loop has whole milliseconds: on a loop with nothing to do an alarm may ring this late."""
WINDOW_S = 10.0
"""The longest lag is remembered for one to two of these. What stops us (another process on our core, the supervisor's
question each second, a machine that gives its core to another guest) comes back after seconds, and an answer that
leaves some milliseconds early costs less than one that is late."""


class Turns:
    """The turns of one loop. Pure: instants come from whoever drives it."""

    __slots__ = (
        "_busy_s", "_ended_at", "_longest", "_longest_before", "_window_ends_at", "after_idle", "began_at", "last_s",
        "running",
    )  # fmt: skip

    def __init__(self) -> None:
        self.running = False
        self.began_at = 0.0
        self.after_idle = True
        """The loop had nothing to do before this turn."""
        self.last_s = 0.0
        """The length of the turn before this one."""
        self._ended_at = 0.0
        self._busy_s = 0.0
        self._longest = self._longest_before = 0.0
        self._window_ends_at = 0.0

    def begin(self, now: float) -> None:
        """The first callback of a turn runs."""
        self.running = True
        self.began_at = now
        self.after_idle = now - self._ended_at > self.last_s * IDLE_SHARE

    def end(self, now: float) -> float:
        """Nothing is left to do but to poll; tells the turn's length in seconds."""
        self.running = False
        self._ended_at = now
        self.last_s = took_s = now - self.began_at
        self._busy_s += took_s
        self._remember(took_s, now)
        return took_s

    def alarm_was_late(self, late_s: float, now: float) -> None:
        """An alarm rang so long after its instant. That tells of what no turn does: the process did not run at all."""
        if late_s > TIMER_LATE_S:
            self._remember(late_s - TIMER_LATE_S, now)

    def _remember(self, lag_s: float, now: float) -> None:
        if now >= self._window_ends_at:
            idle = now >= self._window_ends_at + WINDOW_S
            self._longest_before = 0.0 if idle else self._longest
            self._longest = 0.0
            self._window_ends_at = now + WINDOW_S
        self._longest = max(self._longest, lag_s)

    def is_behind(self, now: float) -> bool:
        """Tell whether what is read now may have lain in the kernel for more than `BEHIND_S`."""
        return now - self.began_at + (0.0 if self.after_idle else self.last_s) > BEHIND_S

    def busy_s(self, now: float) -> float:
        """Tell how much time was spent in turns so far."""
        return self._busy_s + (now - self.began_at if self.running else 0.0)

    @property
    def lag_s(self) -> float:
        """How long an answer that is due may have to wait: the longest lag of the last 10 to 20 seconds."""
        return max(self._longest, self._longest_before)
