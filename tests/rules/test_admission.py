"""Admission in virtual time, against a model of a loop that has so much work and so much time."""

import random
from collections import deque
from heapq import heappop, heappush
from math import inf

import pytest

from hedgerow.admission import LEAST_CAP, Admission, Refusal
from hedgerow.turns import Turns

TURN_S = 0.002
RESIDENCE_S = 0.35
"""How long a request is in flight on the average, if nothing has to wait for us."""
SPREAD = (2 / 7, 12 / 7)
"""The shortest and the longest, of the average: 100 to 600 ms. Were all alike, who came together would leave together,
and the model would swing with its own echo."""


class Served:
    """A loop that can do `capacity` requests a second, and is offered `rate`; a refusal costs a tenth."""

    def __init__(
        self,
        capacity: float,
        max_in_flight: int,
        *,
        timeout_s: float = 0.8,
        residence_s: float = RESIDENCE_S,
        adapts: bool = True,
        ask_again: bool = False,
    ) -> None:
        self.turns = Turns()
        self.admission = Admission(max_in_flight, self.turns, adapts=adapts)
        self.now = 100.0
        self.refused: list[str] = []
        self.answered = 0
        self.waits: list[float] = []
        self._cost_s = 1 / capacity
        self._timeout_s = timeout_s
        self._residence_s = residence_s
        self._ask_again = ask_again
        """Whoever has got an answer or a refusal is back at once."""
        self._ends: list[float] = []
        self._drawn = random.Random(1)
        self._arrivals: deque[float] = deque()
        self._next_at = self.now

    def offer(self, rate: float, seconds: float) -> tuple[int, int]:
        """Tell how many were answered and how many were refused."""
        answered, refused = self.answered, len(self.refused)
        end = self.now + seconds
        while self.now < end:
            self._one_turn(rate)
        return self.answered - answered, len(self.refused) - refused

    def insist(self, clients: int, seconds: float) -> tuple[int, int]:
        """Let so many come at once, who all ask again; tell how many were answered and how many were refused."""
        self._arrivals.extend(self.now for _ in range(clients))
        self._next_at = float("inf")
        return self.offer(1.0, seconds)

    @property
    def waiting(self) -> int:
        """Tell how many have not been read yet."""
        return len(self._arrivals)

    def _one_turn(self, rate: float) -> None:
        began_at = self.now
        back: list[float] = []
        while self._next_at <= began_at:
            self._arrivals.append(self._next_at)
            self._next_at += 1 / rate
        self.turns.begin(began_at)
        while self._ends and self._ends[0] <= began_at:  # half of the work is the answer
            heappop(self._ends)
            self.admission.leave()
            self.answered += 1
            self.now += self._cost_s / 2
            back.append(self.now)
        while self._arrivals:
            arrived_at = self._arrivals.popleft()
            refusal = self.admission.try_enter(self._timeout_s, arrived_at, self.now)
            if refusal is None:
                self.waits.append(self.now - arrived_at)
                self.now += self._cost_s / 2
                heappush(self._ends, self.now + self._residence_s * self._drawn.uniform(*SPREAD))
            else:
                self.refused.append(refusal.reason)
                self.now += self._cost_s / 10
                back.append(self.now)
        if self._ask_again:
            self._arrivals.extend(back)
        self.turns.end(self.now)
        if self.now < began_at + TURN_S:
            self.now = began_at + TURN_S


def test_below_capacity_nobody_is_refused() -> None:
    served = Served(capacity=1000, max_in_flight=2000)
    assert served.offer(rate=900, seconds=20)[1] == 0
    assert served.admission.cap == 2000


@pytest.mark.parametrize(("factor", "least_share"), [(2, 0.75), (3, 0.6)])
def test_past_capacity_most_of_it_is_still_used(factor: int, least_share: float) -> None:
    served = Served(capacity=1000, max_in_flight=2000)
    served.offer(rate=1000 * factor, seconds=10)
    answered, refused = served.offer(rate=1000 * factor, seconds=20)
    assert answered >= 20 * 1000 * least_share
    assert refused > 0
    assert sorted(served.waits)[len(served.waits) * 9 // 10] < 0.05


def test_it_recovers_after_the_overload() -> None:
    served = Served(capacity=1000, max_in_flight=2000)
    served.offer(rate=3000, seconds=10)
    served.offer(rate=700, seconds=1)
    assert served.offer(rate=700, seconds=20)[1] == 0


def test_unprotected_it_admits_whatever_the_sockets_allow() -> None:
    served = Served(capacity=1000, max_in_flight=2000, adapts=False)
    served.offer(rate=3000, seconds=5)
    assert served.admission.in_flight == pytest.approx(2000, abs=200)
    assert set(served.refused) == {"in_flight"}
    assert served.waits[-1] > 0.2, "or the model of a loop models nothing"


def test_a_burst_is_not_overload() -> None:
    served = Served(capacity=10_000, max_in_flight=2000)
    for _ in range(20):  # 1 500 at once take 150 ms; then there is rest
        served.offer(rate=1e6, seconds=0.0015)
        served._next_at = served.now + 0.8
        served.offer(rate=1.0, seconds=0.8)
        served._next_at = served.now
    assert not served.refused


def test_patient_callers_who_come_all_at_once_are_all_served() -> None:
    """4 800 new callers in a moment, before an upstream that takes 7 s, had most of 8 000 refused (bench W5)."""
    served = Served(capacity=500, max_in_flight=900, timeout_s=10.0, residence_s=7.0, ask_again=True)
    served.insist(clients=100, seconds=600.0)  # until their patience is known
    assert served.insist(clients=700, seconds=60.0)[1] == 0


def test_clients_who_ask_again_at_once_do_not_keep_a_small_cap_small() -> None:
    """The refusals took all the time of the loop, so that it had none to spare to grow by (bench W5)."""
    served = Served(capacity=500, max_in_flight=900, timeout_s=10.0, residence_s=7.0, ask_again=True)
    served.admission.cap = LEAST_CAP
    served.insist(clients=800, seconds=60.0)
    assert served.offer(1.0, seconds=20.0)[1] == 0


def test_the_cap_is_not_shrunk_again_before_it_is_reached() -> None:
    """With requests of 7 s it takes long; until then nobody is let in, and a smaller cap would change nothing yet."""
    waiting = Waiting(0.8)
    for _ in range(900):
        waiting.admission.try_enter(0.8, waiting.now, waiting.now)
    waiting.wait(0.05, 5.0)
    shrunk = waiting.admission.cap
    assert 0.6 * 900 < shrunk < 900
    while waiting.admission.in_flight > shrunk:
        waiting.admission.leave()
    waiting.wait(0.05, 5.0)
    assert waiting.admission.cap < shrunk


def test_at_first_nobody_is_in_flight_nothing_is_shed_and_only_sockets_bound_it() -> None:
    admission = Admission(7, Turns())
    assert (admission.in_flight, admission.cap, str(admission.shedding)) == (0, 7, "False")


def test_the_sockets_bound_it_whatever_the_loop_can_do() -> None:
    admission = Admission(2, Turns())
    assert [admission.try_enter(1.0, 5.0, 5.0) for _ in range(3)] == [None, None, Refusal("in_flight")]
    admission.leave()
    assert admission.try_enter(1.0, 5.0, 5.0) is None


class Waiting:
    """Admission under a loop that is behind all the time."""

    def __init__(self, timeout_s: float, max_in_flight: int = 1000) -> None:
        self.turns = Turns()
        self.admission = Admission(max_in_flight, self.turns)
        self.now = 100.0
        self._timeout_s = timeout_s
        self.turns.begin(self.now)

    def wait(self, waited_s: float, seconds: float) -> None:
        """Let requests arrive for so long that have each lain unread for `waited_s`."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.010
            if self.admission.try_enter(self._timeout_s, self.now - waited_s, self.now) is None:
                self.admission.leave()


@pytest.mark.parametrize(
    ("timeout_s", "waited_s", "shrinks"),
    [
        (0.8, 0.009, False),
        (0.8, 0.012, True),
        (8.0, 0.090, False),  # who gives us 8 s does not mind 90 ms
        (8.0, 0.120, True),
        (0.05, 0.009, False),
        (0.05, 0.012, True),
        (60.0, 0.120, True),
    ],
)
def test_how_long_is_too_long_depends_on_the_callers_patience(
    timeout_s: float, waited_s: float, shrinks: bool
) -> None:
    waiting = Waiting(timeout_s)
    waiting.wait(0.0, seconds=60.0)  # until their patience is known
    waiting.wait(waited_s, seconds=3 * waiting.admission.interval_s)
    assert (waiting.admission.cap < 1000) is shrinks


def test_one_long_interval_does_not_shrink_it_and_two_do() -> None:
    waiting = Waiting(0.8)
    waiting.wait(0.0, 10.0)  # until their patience is known
    interval_s = waiting.admission.interval_s
    waiting.wait(0.05, interval_s)
    waiting.wait(0.0, 2 * interval_s)
    assert waiting.admission.cap == 1000
    waiting.wait(0.05, 3 * interval_s)
    assert waiting.admission.cap < 1000


def test_it_sheds_everything_when_waits_stay_very_long_and_admits_again_when_they_are_short() -> None:
    waiting = Waiting(0.8)
    waiting.wait(0.3, 1.0)
    assert waiting.admission.try_enter(0.8, waiting.now, waiting.now) == Refusal("lag")
    waiting.wait(0.001, 3 * waiting.admission.interval_s)
    assert waiting.admission.try_enter(0.8, waiting.now, waiting.now) is None


def test_the_cap_never_shrinks_to_nothing() -> None:
    waiting = Waiting(0.8)
    waiting.wait(0.015, 60.0)
    assert waiting.admission.cap == LEAST_CAP
    few = Waiting(0.8, max_in_flight=3)
    few.wait(0.015, 60.0)
    assert few.admission.cap == 3


class Stepped:
    """Callers who give 1 s: intervals are 125 ms, and a wait is long from 12.5 ms on. All is exact in binary."""

    def __init__(self, max_in_flight: int = 1000) -> None:
        self.turns = Turns()
        self.admission = Admission(max_in_flight, self.turns)

    def ask(self, now: float, waited_s: float = 0.0) -> str | None:
        """One who has waited for so long, for a turn as long; tells why it was refused."""
        self.turns.begin(now - waited_s)
        refusal = self.admission.try_enter(1.0, now - waited_s, now)
        self.turns.end(now)
        return refusal.reason if refusal is not None else None


@pytest.mark.parametrize("start", [0.125, 10.0])  # on a clock that began with us, or long ago
def test_the_cap_shrinks_by_how_much_too_long_waits_are_and_settles_before_it_shrinks_again(
    start: float,
) -> None:
    stepped = Stepped()
    assert [stepped.ask(start - 0.125) for _ in range(200)] == [None] * 200
    wait_s = 0.015625  # 1.25 times too long: the cap shrinks by 0.15 times that
    stepped.ask(start, wait_s)
    stepped.ask(start + 0.125, wait_s)
    assert stepped.admission.cap == 1000, "one long interval may be a burst"
    assert stepped.ask(start + 0.25, wait_s) == "load"
    assert stepped.admission.cap == int(202 * 0.8125) == 164
    for _ in range(102):
        stepped.admission.leave()
    for at in (start + 0.375, start + 0.5):
        assert stepped.ask(at, wait_s) is None
        assert stepped.admission.cap == 164, "what was admitted before is still at work"
    stepped.ask(start + 0.625, wait_s)
    assert stepped.admission.cap == int(102 * 0.8125) == 82


class Stormed(Stepped):
    """A thousand in flight, and callers who ask again as soon as they are refused."""

    NEITHER_SHORT_NOR_LONG_S = 0.010
    """The cap stays as it is, as far as waits are asked."""

    def __init__(self, cap: int) -> None:
        super().__init__(max_in_flight=10_000)
        self.admission.cap = cap
        self._at = 10.0
        for _ in range(1000):
            self.ask(self._at)

    def interval(
        self, *, leave: int, ask: int, waited_s: float = NEITHER_SHORT_NOR_LONG_S, times: int = 1
    ) -> int:
        """So many leave, and so many ask; tells the cap as the interval before left it."""
        for _ in range(times):
            self._at += 0.125
            for asked in range(ask):
                for _ in range((1, leave - 1)[asked] if asked < 2 else 0):
                    self.admission.leave()
                self.ask(self._at, waited_s)
        return self.admission.cap


# Letting one in and answering it are worth five refusals together, so four are a share of 20 in 20 + the refused.
AN_EIGHTH, A_QUARTER, A_HALF = (4 + refused for refused in (140, 60, 20))


def test_a_cap_grows_once_less_than_a_quarter_of_the_work_of_five_intervals_is_for_those_it_lets_in() -> None:
    stormed = Stormed(cap=1000)
    assert stormed.interval(leave=4, ask=AN_EIGHTH, times=4) == 1000
    assert stormed.interval(leave=4, ask=A_HALF) == 1000
    assert stormed.interval(leave=4, ask=AN_EIGHTH, times=5) == 1000, "the fifth has not ended"
    assert stormed.interval(leave=4, ask=4) == 1000 + int(1000 * (1 / 4 - 1 / 8) * 0.6) + 1 == 1076


def test_a_quarter_of_the_work_is_enough_for_the_cap_to_follow_the_waits() -> None:
    stormed = Stormed(cap=1000)
    assert stormed.interval(leave=4, ask=A_QUARTER, times=5) == 1000
    assert stormed.interval(leave=4, ask=A_QUARTER, times=3, waited_s=0.03125) == 650


def test_refusals_while_everything_is_shed_are_work_as_well() -> None:
    stormed = Stormed(cap=1000)
    shrunk = stormed.interval(leave=4, ask=4, times=3, waited_s=0.2)
    assert (shrunk, stormed.admission.shedding) == (650, True)
    stormed.interval(leave=400, ask=400, waited_s=0.2)
    assert stormed.ask(10.5, 0.2) == "lag", "there is room, but nobody is let in"
    # Eight are answered and none let in: as much work as with four of each.
    assert stormed.interval(leave=8, ask=140, times=5, waited_s=0.2) == 650
    assert stormed.interval(leave=8, ask=140, waited_s=0.2) == 650 + int(650 * (1 / 4 - 1 / 8) * 0.6) + 1


@pytest.mark.parametrize(
    ("timeout_s", "waited_s", "refused"),
    [(1.0, 0.25, False), (1.0, 0.2501, True), (0.2, 0.09, False), (0.2, 0.11, True), (10.0, 2.0, False)],
)
@pytest.mark.parametrize("adapts", [True, False])
def test_who_has_waited_for_a_quarter_of_its_time_is_refused_at_once(
    timeout_s: float, waited_s: float, *, refused: bool, adapts: bool
) -> None:
    turns = Turns()
    admission = Admission(1000, turns, adapts=adapts)
    turns.begin(10.0 - waited_s)
    refusal = admission.try_enter(timeout_s, 10.0 - waited_s, 10.0)
    assert refusal == (Refusal("lag") if refused and adapts else None)


@pytest.mark.parametrize(("adapts", "stale_s"), [(True, 0.25), (False, inf)])
def test_what_is_stale_depends_on_the_callers_of_late_unless_nothing_is_shed(
    *, adapts: bool, stale_s: float
) -> None:
    assert Admission(1000, Turns(), adapts=adapts).stale_s == stale_s, (
        "callers are taken for ones of a second"
    )


def test_a_burst_is_caught_up_with_before_anybodys_time_is_over() -> None:
    """Of 8 000 who came at once 3 500 were read when their 800 ms were over (C05)."""
    served = Served(capacity=5000, max_in_flight=4500)
    served.insist(clients=8000, seconds=0.8)
    assert served.answered > 500
    assert max(served.waits) < 0.3
    assert not served.waiting


def test_waits_ten_times_too_long_shed_everything_until_they_are_short() -> None:
    stepped = Stepped()
    for at in (10.0, 10.125):
        assert stepped.ask(at, 0.1250001) is None
    assert stepped.ask(10.25, 0.1250001) == "lag"
    assert stepped.admission.shedding
    assert stepped.ask(10.375, 0.02) == "lag"
    assert stepped.ask(10.5, 0.02) == "lag", "still long"
    assert stepped.ask(10.625, 0.0) == "lag", "the interval that ends had long ones"
    assert stepped.ask(10.75, 0.0) is None
    assert not stepped.admission.shedding


def test_a_cap_that_is_met_grows_by_the_time_that_the_loop_has_to_spare() -> None:
    stepped = Stepped()
    stepped.admission.cap = 100
    assert [stepped.ask(10.0) for _ in range(101)] == [None] * 100 + ["load"]
    stepped.ask(10.125)
    assert stepped.admission.cap == 100 + int(100 * 0.92 * 0.6) + 1
    stepped.ask(10.25)
    assert stepped.admission.cap == 156, "it was not met in this interval"


def test_a_wait_on_a_loop_that_is_not_behind_is_not_ours() -> None:
    stepped = Stepped()
    for at in (10.0, 10.125, 10.25, 10.375):
        stepped.turns.begin(at)
        assert stepped.admission.try_enter(1.0, at - 0.5, at) is None
        stepped.turns.end(at)
    assert stepped.admission.cap == 1000


@pytest.mark.parametrize(("timeout_s", "patience_s"), [(0.1, 0.91), (8.0, 1.014), (1.0, 1.0)])
def test_the_patience_of_callers_falls_fast_and_rises_slowly(timeout_s: float, patience_s: float) -> None:
    admission = Admission(1000, Turns())
    admission.try_enter(timeout_s, 0.0, 0.0)
    assert admission.long_wait_s == pytest.approx(patience_s / 80)
    assert admission.interval_s == pytest.approx(min(patience_s / 8, 1.0))


def test_full_of_sockets_is_told_from_full_of_work() -> None:
    stepped = Stepped(max_in_flight=2)
    assert [stepped.ask(1.0) for _ in range(3)] == [None, None, "in_flight"]
    stepped.admission.cap = 1
    assert stepped.ask(1.0) == "load"


@pytest.mark.parametrize(("wait_s", "grows"), [(0.005, True), (0.0078125, False)])
def test_a_cap_grows_only_where_waits_are_less_than_half_too_long(wait_s: float, grows: bool) -> None:
    stepped = Stepped()
    stepped.admission.cap = 1
    assert [stepped.ask(10.0, wait_s), stepped.ask(10.0, wait_s)] == [None, "load"]
    stepped.ask(10.125, wait_s)
    assert (stepped.admission.cap > 1) is grows
