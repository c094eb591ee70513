"""What must hold in every world, told from what callers, upstream and kernel saw; where only the gateway can know
when something was decided, from what its pool and recorder were told.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TypeAlias

from hedgerow.gateway import QUEUED_S
from hedgerow.turns import WINDOW_S
from prove.world.callers import Asked, Caller
from prove.world.watching import Ended, Launch, Settled
from prove.world.world import Played, Rest

SLACK_S = 0.003
"""What the gateway may take to notice something, without a stall: a few callbacks, a timer that is 2 ms late."""
MARGIN_S = 0.003
"""Answers that are due leave so much early, if the loop has not been slow of late."""
LONGEST_MARGIN_S = 0.025
LAG_REMEMBERED_S = 2 * WINDOW_S
"""How long a stall makes the margin longer."""
IDLE_GRACE_S = 1.0
"""A drain gives idle connections so long to bring a request."""
EARLY_S = 0.0021
"""An instant of the kernel's is told in whole milliseconds, and a deadline is cut to them."""
CALL_S = 0.0001
"""What one callback takes."""
FLOAT_S = 1e-9

_WINNER = re.compile(rb'winner;desc="([0-9]+)"')
_HEDGES = re.compile(rb'hedges;desc="([0-9]+)"')

Told: TypeAlias = Callable[[str, object], None]


class Laws:
    """Holds one world against the laws."""

    def __init__(self, seed: str, played: Played, told: Told) -> None:
        self._played = played
        self._seed = seed
        self._told = told
        self._settings = played.scenario.settings
        self._mark_s = self._settings.hedge_after_ms / 1000
        self._ended: defaultdict[bytes, list[Ended]] = defaultdict(list)
        for ended in played.seen.ended:
            self._ended[ended.request_id].append(ended)
        self._settled: defaultdict[bytes, list[Settled]] = defaultdict(list)
        for settled in played.seen.settled:
            self._settled[settled.request_id].append(settled)

    def check(self) -> None:
        """Check all of them."""
        for caller in self._played.callers:
            for asked in caller.asked:
                self._launches(caller, asked)
                self._answers(caller, asked)
                if asked.answers and asked.ask.timeout_ms is not None:
                    self._answer(caller, asked)
            self._must(not caller.unasked, "a caller gets one answer to each request", caller.unasked)
        self._rest()
        self._counters()

    def _must(self, holds: bool, law: str, *seen: object) -> None:
        if not holds:
            self._told(law, f"seed {self._seed}: {' '.join(map(str, seen))}")

    def _stalled_s(self, begin: float, end: float) -> float:
        """Tell for how long the loop stood still from `begin` to `end`."""
        return sum(max(min(end, to) - max(begin, at), 0.0) for at, to in self._played.stalled)

    def _margin_s(self, timeout_s: float, at: float) -> float:
        """Tell the longest margin that an answer due about `at` may have."""
        slow = self._stalled_s(at - timeout_s - LAG_REMEMBERED_S, at) > 0
        longest = LONGEST_MARGIN_S if slow else MARGIN_S + SLACK_S / 3
        return min(longest, max(timeout_s / 2, 0.003), timeout_s)

    # -- the attempts of a request

    def _launches(self, caller: Caller, asked: Asked) -> None:
        must, request_id = self._must, asked.ask.request_id
        launches = self._played.seen.launches[request_id]
        numbers = [launch.number for launch in launches]
        must(
            len(launches) <= 1 + self._settings.hedges,
            "at most three attempts, or as many as are set",
            numbers,
        )
        must(numbers == list(range(1, len(numbers) + 1)), "attempts leave in their order", numbers)
        if not launches:
            return
        must(asked.ask.timeout_ms is not None, "what needs no upstream does not ask it", asked.ask.head)
        self._first(caller, asked, launches[0])
        if len(launches) > 1:
            self._hedges(asked, launches)
        self._none_after(caller, asked, launches)

    def _first(self, caller: Caller, asked: Asked, first: Launch) -> None:
        """At once, when the head has come and the request before it is answered."""
        begins_at, before = asked.whole_at, asked.follows
        while before is not None:
            settled = self._settled[before.ask.request_id]
            begins_at = max(
                [begins_at, *(end.at for end in settled), *(end.sent_at for end in before.answers)]
            )
            before = before.follows
        late_s = first.at - begins_at - self._stalled_s(begins_at, first.at)
        if caller.reads_at_once:
            self._must(late_s <= SLACK_S, "the first attempt leaves at once", asked.ask.request_id, late_s)

    def _hedges(self, asked: Asked, launches: list[Launch]) -> None:
        must, request_id, first, hedges = self._must, asked.ask.request_id, launches[0], launches[1:]
        must(len(hedges) == self._settings.hedges, "all hedges leave", request_id, len(hedges))
        apart_s = hedges[-1].at - hedges[0].at
        must(
            apart_s - self._stalled_s(hedges[0].at, hedges[-1].at) < SLACK_S / 10,
            "hedges leave together", request_id, apart_s,
        )  # fmt: skip
        mark_at = first.at + self._mark_s
        at = hedges[0].at
        if self._settings.hedge_on_failure == "immediate":
            failed = [end.at for end in self._ended[request_id] if end.number == 1 and not end.succeeded]
            mark_at = min([mark_at, *failed])
        must(at >= mark_at - FLOAT_S, "hedges never leave before the mark", request_id, at - mark_at)
        late_s = at - mark_at - self._stalled_s(mark_at, at)
        must(late_s <= SLACK_S, "hedges leave at the mark", request_id, late_s)
        for end in self._ended[request_id]:
            # A callback that reads a success answers what is due before it looks at what it has read.
            before_s = at - end.at - self._stalled_s(end.at, at)
            must(not end.succeeded or before_s <= CALL_S, "no hedges after a success", request_id, end, at)
        for success in self._played.upstream.delivered:
            if success.request_id == request_id and success.at < at - SLACK_S:
                # It lay unread in the kernel, and what is ready there is read before hedges leave.
                stalls = sum(success.at <= to and begin <= at for begin, to in self._played.stalled)
                excused = stalls > 1 or (stalls and success.by_end)
                must(bool(excused), "no hedges when a success had come", request_id, success, at)

    def _none_after(self, caller: Caller, asked: Asked, launches: list[Launch]) -> None:
        must, request_id = self._must, asked.ask.request_id
        # Of who has pipelined so much nothing more is read, and so no end either.
        pipelined = sum(len(other.ask.head) for other in caller.asked)
        paused = pipelined > self._settings.client_limits.held_bytes
        assert asked.ask.timeout_ms is not None
        deadline_at = asked.begins_by + asked.ask.timeout_ms / 1000
        for launch in launches:
            for settled in self._settled[request_id]:
                must(launch.at <= settled.at, "none leaves after the answer", request_id, launch, settled)
            for answer in asked.answers:
                must(
                    launch.at <= answer.sent_at,
                    "none leaves after the answer",
                    request_id,
                    launch,
                    answer.sent_at,
                )
            late_s = launch.at - deadline_at - self._stalled_s(asked.first_at, launch.at)
            late_for_its_own_s = launch.at - launch.deadline_at
            late_for_its_own_s -= self._stalled_s(launch.deadline_at, launch.at)
            if launch.number > 1:
                must(late_for_its_own_s <= SLACK_S / 10, "none leaves after the deadline", request_id, launch)
                must(
                    late_s <= SLACK_S / 10, "none leaves after the deadline", request_id, launch, deadline_at
                )
            if asked.left_at is not None and not paused:
                late_s = launch.at - asked.left_at - self._stalled_s(asked.left_at, launch.at)
                must(late_s <= SLACK_S, "none leaves after the caller", request_id, launch, asked.left_at)

    # -- its answer

    def _answers(self, caller: Caller, asked: Asked) -> None:
        """One answer; none only to who has left, or came when the gateway was going."""
        must, ask, limits = self._must, asked.ask, self._settings.client_limits
        if asked.answers:
            must(len(asked.answers) == 1, "a caller gets one answer to each request", ask.request_id)
            if ask.timeout_ms is None:
                must(
                    asked.answers[0].status == ask.status,
                    "what is refused is told why",
                    ask,
                    asked.answers[0],
                )
            return
        drains_at = self._played.scenario.drains_at
        going = drains_at is not None and asked.whole_at > drains_at
        closed_before = any(
            b"Connection: close" in other.answers[0].head for other in caller.asked if other.answers
        )
        cut_off = caller.script.deaf_s > min(limits.write_timeout_s, limits.idle_timeout_s, limits.linger_s)
        # After a stall the sweep may come before the read: the connection had been idle for long enough by then.
        before = asked.follows.answers if asked.follows is not None else []
        idle_s = caller.ended_at - before[0].sent_at if before and caller.ended_at is not None else 0.0
        cut_off = cut_off or bool(idle_s > limits.idle_timeout_s and self._played.stalled)
        excused = asked.left_at is not None or going or closed_before or cut_off
        must(excused, "a caller that stays gets its answer", ask.request_id, asked, caller.ended_at)

    def _answer(self, caller: Caller, asked: Asked) -> None:
        must, request_id, answer = self._must, asked.ask.request_id, asked.answers[0]
        launches = self._played.seen.launches[request_id]
        settled = self._settled[request_id]
        must(
            answer.status in (200, 502, 503, 504),
            "an answer is one of those that there are",
            request_id,
            answer,
        )
        if answer.status == 503:
            must(not launches, "who is refused costs no attempt", request_id, launches)
            slow = asked.follows is not None or asked.whole_at - asked.first_at > QUEUED_S
            must(
                bool(self._settings.max_in_flight or self._played.stalled or slow),
                "nobody is refused without need",
                request_id,
                answer,
            )
            return
        must(len(settled) == 1, "a request ends once", request_id, settled, answer)
        if len(settled) != 1:
            return
        told = _HEDGES.search(answer.head)
        must(
            told is not None and int(told[1]) == max(len(launches) - 1, 0),
            "it is told how many hedges left", request_id, answer.head,
        )  # fmt: skip
        if answer.status == 200:
            bodies = dict(enumerate(self._played.upstream.asked[request_id]))
            won = _WINNER.search(answer.head)
            own = won is not None and (asked.ask.is_head or (int(won[1]), answer.body) in bodies.values())
            must(own, "an answer is the body of one of its own attempts", request_id, answer, bodies)
        else:
            self._error(asked, launches)
        if caller.reads_at_once:
            self._in_time(asked)

    def _in_time(self, asked: Asked) -> None:
        answer, timeout_ms = asked.answers[0], asked.ask.timeout_ms
        assert timeout_ms is not None
        timeout_s = timeout_ms / 1000
        due_at = max(asked.begins_by + max(timeout_s, SLACK_S), asked.whole_at + SLACK_S)
        before = asked.follows
        if before is not None and before.answers:
            due_at = max(due_at, before.answers[0].sent_at + SLACK_S)
        late_s = answer.sent_at - due_at - self._stalled_s(asked.first_at, answer.sent_at)
        self._must(late_s <= 0, "an answer comes by the deadline", asked.ask.request_id, late_s, answer)
        if answer.status == 504:
            early_s = asked.first_at + timeout_s - self._margin_s(timeout_s, answer.sent_at) - answer.sent_at
            self._must(
                early_s <= EARLY_S, "nobody is told too early that time is over",
                asked.ask.request_id, early_s, answer,
            )  # fmt: skip

    def _error(self, asked: Asked, launches: list[Launch]) -> None:
        """It had to be one: no success came in time, and 502 means that none could."""
        must, request_id, answer = self._must, asked.ask.request_id, asked.answers[0]
        settled = self._settled[request_id][0]
        must(settled.succeeded == 0, "a success is not answered with an error", request_id, settled)
        if answer.status == 502:
            deadline_at = launches[0].deadline_at
            whole = len(launches) == 1 + self._settings.hedges or launches[0].at + self._mark_s >= deadline_at
            must(whole, "502 only when nothing is left to try", request_id, len(launches))
            must(settled.pending == 0, "502 only when all have failed", request_id, settled)
            return
        for success in self._played.upstream.delivered:
            if success.request_id == request_id and launches:
                deadline_at = launches[0].deadline_at
                in_time = success.at + SLACK_S < deadline_at and not self._stalled_s(success.at, deadline_at)
                must(
                    not in_time,
                    "a success in time is not answered with an error",
                    request_id,
                    success,
                    deadline_at,
                )

    # -- the end

    def _rest(self) -> None:
        played, must = self._played, self._must
        must(played.all_gone, "every caller comes to an end", "")
        must(not played.errors, "nothing is raised into the loop", played.errors[:1])
        must(played.upstream.asked_too_early == 0, "a connection carries one request at a time", "")
        must(not played.seen.short, "who is admitted is never short of a connection", played.seen.short)
        for name, rest in (("at rest", played.at_rest), ("idle", played.idle)):
            self._is_at_rest(name, rest)
        must(sum(played.idle.upstream.values()) == 0, "idle connections are closed", played.idle)
        must(len(played.idle.timers) <= 1, "at rest there is no timer but the sweep", played.idle)
        must(not played.left, "nothing is left in the end", played.left)
        last = played.seen.history[-1]
        must("it does not drain" not in last, "a drain comes to an end", last)

    def _is_at_rest(self, name: str, rest: Rest) -> None:
        must = self._must
        must(rest.callers == 0, "at rest no caller is kept", name, rest)
        busy = {state: number for state, number in rest.upstream.items() if number and state != "idle"}
        must(not busy, "at rest no connection is busy", name, rest)
        must(rest.in_flight == 0, "at rest nothing is in flight", name, rest)
        must(rest.alarms == 0, "at rest no alarm is set", name, rest)
        remembered = {kind: number for kind, number in rest.alive.items() if kind != "Connection"}
        must(not remembered, "at rest no request is remembered", name, rest)
        must(
            rest.alive.get("Connection", 0) == rest.upstream["idle"],
            "no connection is kept after its end",
            name,
            rest,
        )

    def _counters(self) -> None:
        played, must = self._played, self._must
        counts, seen = played.snapshot, played.seen
        codes = Counter(settled.code for settled in seen.settled) + seen.rejected
        must(counts.requests == dict(codes), "requests are counted", counts.requests, codes)
        must(counts.in_flight == counts.bugs == 0, "nothing is in flight, and there is no bug", counts.bugs)
        launched = Counter(launch.number for launches in seen.launches.values() for launch in launches)
        ended = Counter(end.number for end in seen.ended)
        must(ended == launched, "each attempt ends once", launched, ended)
        counted = {number: sum(outcomes.values()) for number, outcomes in counts.attempts.items()}
        must(
            counted == {str(number): times for number, times in launched.items()},
            "attempts are counted",
            counted,
        )
        hedges = sum(times for number, times in launched.items() if number > 1)
        must(counts.hedges["fired"] == hedges, "hedges are counted", counts.hedges, hedges)
        won = sum(settled.winner is not None and settled.winner > 1 for settled in seen.settled)
        must(counts.hedges["won"] == won, "hedges that won are counted", counts.hedges, won)
        must(counts.reused_connection_retries == seen.died, "what was sent again is counted", seen.died)
        answered = Counter(
            answer.status for caller in played.callers for asked in caller.asked for answer in asked.answers
        )
        must(
            answered[200] <= codes["success"] <= answered[200] + self._lost(),
            "answers are counted",
            answered,
            codes,
        )
        asked_twice = 0
        for request_id, asked in played.upstream.asked.items():
            numbers = Counter(number for number, _ in asked)
            must(
                set(numbers) <= {launch.number for launch in seen.launches[request_id]},
                "the upstream is asked only by attempts", request_id, numbers,
            )  # fmt: skip
            asked_twice += sum(numbers.values()) - len(numbers)
        must(
            asked_twice <= seen.died, "an attempt is sent twice only if its connection had died", asked_twice
        )
        lost = sum(end.lost for end in seen.ended)
        must(lost <= sum(launched.values()), "losers are attempts", lost)

    def _lost(self) -> int:
        """Tell how many answers may have been given to callers who did not get to read them."""
        return sum(not asked.answers for caller in self._played.callers for asked in caller.asked)
