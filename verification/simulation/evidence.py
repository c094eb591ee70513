"""What happened in one simulation, as the invariants need it."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

from verification.simulation.clients import Asked, Client
from verification.simulation.probes import Finished, Launch, Settled
from verification.simulation.scenario import BURST_CLIENTS, FEW_DESCRIPTORS
from verification.simulation.simulation import Played

SLACK_S = 0.003
"""What the gateway may take to notice something, without a stall: a few system calls, a timer that is 2 ms late."""
CLIENT_S = 0.0006
"""What each of many clients that come at once adds to that."""
USUAL_CLIENTS = 8
STEP_S = 0.001
"""After this long in one iteration, what is due is looked at though not all has been read."""
FLOAT_S = 1e-9

Report: TypeAlias = Callable[[str, object], None]
"""Called with an invariant that was broken, and what was seen instead."""


class Evidence:
    """One simulation, indexed."""

    def __init__(self, seed: str, played: Played, report: Report) -> None:
        self.played = played
        self.seed = seed
        self.report = report
        self.settings = played.scenario.settings
        self.hedge_delay_s = self.settings.hedge_after_ms / 1000
        self.finished: defaultdict[bytes, list[Finished]] = defaultdict(list)
        for finished in played.seen.finished:
            self.finished[finished.request_id].append(finished)
        self.settled: defaultdict[bytes, list[Settled]] = defaultdict(list)
        for settled in played.seen.settled:
            self.settled[settled.request_id].append(settled)
        self.in_flight = [
            (launches[0].at, settled[0].at)
            for request_id, settled in self.settled.items()
            if (launches := played.seen.launches[request_id])
        ]
        """From when to when each admitted request was in flight."""
        clients = len(played.clients)
        self.is_burst = clients >= BURST_CLIENTS[0]
        self.is_limited = bool(self.settings.max_in_flight) or self.has_few_descriptors
        """Requests may have to wait for others to end."""
        self.slack_s = SLACK_S + max(clients - USUAL_CLIENTS, 0) * CLIENT_S

    @property
    def has_few_descriptors(self) -> bool:
        return self.played.scenario.descriptors <= FEW_DESCRIPTORS[1]

    def must(self, holds: bool, invariant: str, *seen: object) -> None:
        """Report an invariant unless it holds."""
        if not holds:
            self.report(invariant, f"seed {self.seed}: {' '.join(map(str, seen))}")

    def pooled_answered(self, begin: float, end: float) -> bool:
        """Return whether an attempt ended in this time that was sent on a pooled connection."""
        return any(
            begin <= one.at <= end
            and self.played.seen.launches[one.request_id][one.number - 1].reused_since is not None
            for one in self.played.seen.finished
        )

    def launches(self, asked: Asked) -> list[Launch]:
        return self.played.seen.launches[asked.plan.request_id]

    def arrived_at(self, client: Client, asked: Asked) -> float:
        """Return by when a request had arrived, as the kernel knows: of what lay unread it dates the last bytes."""
        return self._came_at(client, asked.offset + 1) or asked.begins_by

    def head_at(self, client: Client, asked: Asked) -> float:
        """Return by when the head of a request had come whole."""
        return self._came_at(client, asked.offset + asked.plan.head_bytes) or asked.begins_by

    def _came_at(self, client: Client, number: int) -> float | None:
        """Return by when so many bytes of a client had come; None if they were not read."""
        taken = 0
        for at, size in client.sock.received if client.sock is not None else ():
            taken += size
            if taken >= number:
                return max(came_at for came_at in client.end.arrivals if came_at <= at)
        return None

    def stalled_s(self, begin: float, end: float) -> float:
        """Return for how long the process was stopped or slow between two instants."""
        return sum(max(min(end, to) - max(begin, at), 0.0) for at, to in self.played.stalled)

    def last_disturbed_at(self, at: float) -> float | None:
        """Return until when, before an instant, there was a stall or a burst."""
        ends = [min(end, at) for begin, end in self.played.stalled if begin <= at]
        if self.is_burst:
            ends.append(min(self.played.clients[0].script.comes_at, at))
        return max(ends, default=None)

    def polled_at(self, at: float, *, before: int = 0) -> float:
        """Return when the poll of the iteration that went on at an instant has returned, or one before it."""
        polls = self.played.seen.polls
        place = bisect_right(polls, at) - 1 - before
        return polls[place] if place >= 0 else 0.0

    def readable_success(self, request_id: bytes, at: float, *, at_deadline: bool = False) -> object | None:
        """Return a success that the iteration at an instant could read, or had read, before anything was decided.

        After a step of an iteration deadlines are kept though not all was read; hedges wait for that.
        """
        polled_at = self.polled_at(at)
        if at_deadline and at - polled_at >= STEP_S:
            return None
        for success in self.played.upstream.delivered[request_id]:
            bound = self.polled_at(at, before=1) if success.by_end else polled_at
            if success.at >= bound:
                continue
            over = [one for one in self.finished[request_id] if one.number == success.number]
            if all(
                one.succeeded or one.at > at for one in over
            ):  # else it came on a connection that was given up
                return success
        return None
