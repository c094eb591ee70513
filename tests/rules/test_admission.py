"""Admission in virtual time, against a model of a loop that has so much work and so much time."""

import random
from collections import deque
from heapq import heappop, heappush
from math import inf

import pytest

from hedgerow.admission import Admission, Refusal
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
        self.cost_s = 1 / capacity
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
            self.now += self.cost_s / 2
            back.append(self.now)
        while self._arrivals:
            arrived_at = self._arrivals.popleft()
            refusal = self.admission.try_enter(self._timeout_s, arrived_at, self.now)
            if refusal is None:
                self.waits.append(self.now - arrived_at)
                self.now += self.cost_s / 2
                heappush(self._ends, self.now + self._residence_s * self._drawn.uniform(*SPREAD))
            else:
                self.refused.append(refusal.reason)
                self.now += self.cost_s / 10
                back.append(self.now)
        if self._ask_again:
            self._arrivals.extend(back)
        self.turns.end(self.now)
        if self.now < began_at + TURN_S:
            self.now = began_at + TURN_S


def test_below_capacity_nobody_is_refused() -> None:
    served = Served(capacity=1000, max_in_flight=2000)
    assert served.offer(rate=900, seconds=20)[1] == 0
    assert served.admission.pace == inf


@pytest.mark.parametrize(("factor", "least_share"), [(2, 0.75), (3, 0.6)])
def test_past_capacity_most_of_it_is_still_used_in_every_half_second(factor: int, least_share: float) -> None:
    """A cap on what is in flight gave as much on the average, but let nobody in for seconds and then a crowd (C05)."""
    served = Served(capacity=1000, max_in_flight=2000)
    served.offer(rate=1000 * factor, seconds=4)
    served.waits.clear()
    in_each = [served.offer(rate=1000 * factor, seconds=0.5) for _ in range(40)]
    assert sum(answered for answered, _ in in_each) >= 20 * 1000 * least_share
    assert min(answered for answered, _ in in_each) > 0.8 * 500 * least_share
    assert min(refused for _, refused in in_each) > 0
    assert sorted(served.waits)[len(served.waits) * 99 // 100] < 0.02


def test_a_jump_is_caught_up_with_in_a_second() -> None:
    served = Served(capacity=1000, max_in_flight=2000)
    served.offer(rate=500, seconds=5)
    served.offer(rate=3000, seconds=1)
    assert max(served.waits) < 0.3
    assert served.offer(rate=3000, seconds=0.5)[0] > 250
    assert served.waiting < 50


def test_a_machine_that_slows_down_is_followed_before_a_queue_stands() -> None:
    """It was taken for one that lacks a tenth, and what stood in the queue was asked for twice more each (C05)."""
    served = Served(capacity=1000, max_in_flight=2000)
    served.offer(rate=3000, seconds=6)
    for _ in range(8):
        served.cost_s *= 1.3
        served.waits.clear()
        served.offer(rate=3000, seconds=1)
        assert max(served.waits) < 0.045
        served.cost_s /= 1.3
        assert served.offer(rate=3000, seconds=2)[0] > 2 * 500, "what was taken back is given back"


def test_it_recovers_after_the_overload() -> None:
    served = Served(capacity=1000, max_in_flight=2000)
    served.offer(rate=3000, seconds=10)
    served.offer(rate=700, seconds=0.2)
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


def test_clients_who_ask_again_at_once_do_not_keep_a_slow_pace_slow() -> None:
    """The refusals took all the time of the loop, so that it had none to spare to grow by (bench W5)."""
    served = Served(capacity=500, max_in_flight=900, timeout_s=10.0, residence_s=7.0, ask_again=True)
    served.admission.pace = 1.0
    served.insist(clients=800, seconds=60.0)
    assert served.offer(1.0, seconds=20.0)[1] == 0


def test_a_burst_is_caught_up_with_before_anybodys_time_is_over() -> None:
    """Of 8 000 who came at once 3 500 were read when their 800 ms were over (C05)."""
    served = Served(capacity=5000, max_in_flight=4500)
    served.insist(clients=8000, seconds=0.8)
    assert served.answered > 500
    assert max(served.waits) < 0.3
    assert not served.waiting


def test_at_first_nobody_is_in_flight_nothing_is_shed_and_only_sockets_bound_it() -> None:
    admission = Admission(7, Turns())
    assert (admission.in_flight, admission.pace, admission.max_in_flight) == (0, inf, 7)
    assert str(admission.shedding) == "False"
    assert not admission.is_hopeless(0.25)


def test_the_sockets_bound_it_whatever_the_loop_can_do() -> None:
    admission = Admission(2, Turns())
    assert [admission.try_enter(1.0, 5.0, 5.0) for _ in range(3)] == [None, None, Refusal("in_flight")]
    admission.leave()
    assert admission.try_enter(1.0, 5.0, 5.0) is None


class Waiting:
    """Admission under a loop that is behind all the time."""

    def __init__(self, timeout_s: float) -> None:
        self.turns = Turns()
        self.admission = Admission(1000, self.turns)
        self.now = 100.0
        self._timeout_s = timeout_s
        self.turns.begin(self.now)

    def wait(self, waited_s: float, seconds: float) -> None:
        """Let requests arrive for so long that have each lain unread for `waited_s`."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.005
            if self.admission.try_enter(self._timeout_s, self.now - waited_s, self.now) is None:
                self.admission.leave()


@pytest.mark.parametrize(
    ("timeout_s", "waited_s", "slows"),
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
    timeout_s: float, waited_s: float, slows: bool
) -> None:
    waiting = Waiting(timeout_s)
    waiting.wait(0.0, seconds=60.0)  # until their patience is known
    waiting.wait(waited_s, seconds=3 * waiting.admission.interval_s)
    assert (waiting.admission.pace < inf) is slows


def test_one_long_interval_does_not_slow_it_and_two_do() -> None:
    waiting = Waiting(0.8)
    waiting.wait(0.0, 10.0)  # until their patience is known
    interval_s = waiting.admission.interval_s
    waiting.wait(0.05, interval_s)
    waiting.wait(0.0, 2 * interval_s)
    assert waiting.admission.pace == inf
    waiting.wait(0.05, 3 * interval_s)
    assert waiting.admission.pace < inf


class Stepped:
    """Callers who give 1 s: an interval is 1/16 s, and a wait is long from 12.5 ms on. All is exact in binary."""

    INTERVAL_S = 0.0625

    def __init__(self, start: float = 10.0) -> None:
        self.turns = Turns()
        self.admission = Admission(1000, self.turns)
        self.now = start

    def interval(
        self, asks: int, *, busy_s: float = 0.0, waited_s: float = 0.0, leave: int = 0
    ) -> list[str | None]:
        """End an interval with a turn of `busy_s`, in which so many ask, and begin the next: they count for that."""
        self.now += self.INTERVAL_S
        self.turns.begin(self.now - busy_s)
        refusals = [self.admission.try_enter(1.0, self.now - waited_s, self.now) for _ in range(asks)]
        self.turns.end(self.now)
        for _ in range(leave):
            self.admission.leave()
        return [refusal.reason if refusal is not None else None for refusal in refusals]

    def after(self, seconds: float, asks: int) -> list[str | None]:
        """Let so many ask after some time, whatever that is of an interval."""
        self.now += seconds - self.INTERVAL_S
        return self.interval(asks)

    def overload(self) -> float:
        """Have a hundred served, each for 1/1600 s, who wait for 1/64 s; tell the pace that follows."""
        self.interval(100, leave=100)
        self.interval(100, busy_s=self.INTERVAL_S, waited_s=1 / 64, leave=100)
        self.interval(100, busy_s=self.INTERVAL_S, waited_s=1 / 64, leave=100)
        assert self.admission.pace == inf, "one long interval may be a burst"
        self.interval(1, busy_s=self.INTERVAL_S, waited_s=1 / 64, leave=1)
        return self.admission.pace


@pytest.mark.parametrize("start", [0.0, 10.0])  # on a clock that began with us, or long ago
def test_the_pace_is_what_is_left_when_all_others_have_been_refused(start: float) -> None:
    """Served alone, 1440 a second fit into nine tenths of the loop; refusing one costs a fifth of that."""
    stepped = Stepped(start)
    pace = stepped.overload()
    # All 1600 were read in the first interval and in the last; between them waits grew by 1/64 s in 1/16 s.
    offered = 0.0
    for unread in (0.0, 1 / 4, 0.0):
        offered += (1600 / (1 - unread) - offered) * 0.3
    refusals = offered * (1 + (1 / 64) / 0.25) / 5
    assert pace == pytest.approx((0.9 * 1600 - refusals) / (1 - 1 / 5))


def test_a_slow_loop_is_found_out_by_what_it_is_busy_with() -> None:
    """Those who were refused take a fifth, those who were let in half until they leave; elsewhere refused are told."""
    stepped = Stepped()
    stepped.interval(0)
    stepped.interval(8)
    for _ in range(20):
        stepped.admission.note_refusal()
    stepped.interval(1, busy_s=1 / 32, leave=1)  # 8 half served and 20 refused took 1/32 s
    assert stepped.admission._cost_s == 1 / 32 / (8 / 2 + 20 / 5) == 1 / 256
    stepped.interval(1, busy_s=1 / 16)  # one of the nine left: one half, and one let in: another
    assert stepped.admission._cost_s == pytest.approx(1 / 256 + (1 / 16 - 1 / 256) * 0.15)


def paced(pace: float, cost_s: float = 1 / 1600) -> Stepped:
    """Tell of a loop that is at a pace, and takes so long for a request."""
    stepped = Stepped()
    stepped.overload()
    for _ in range(2):  # it is over
        stepped.interval(1, leave=1)
    stepped.admission.pace = pace
    stepped.admission._cost_s = cost_s
    return stepped


def test_a_pace_lets_in_as_many_as_come_while_a_wait_is_not_too_long() -> None:
    stepped = paced(800.0)  # ten in 12.5 ms
    assert stepped.interval(30) == [None] * 10 + ["load"] * 20
    assert stepped.after(1.1 / 800, 3) == [None, "load", "load"]
    assert stepped.after(0.7 / 800, 1) == ["load"]
    assert stepped.after(0.3 / 800, 2) == [None, "load"]


def test_a_pace_of_less_than_one_in_that_time_lets_one_in_at_a_time() -> None:
    stepped = paced(32.0)
    assert stepped.after(1.0, 2) == [None, "load"]
    assert stepped.after(0.02, 1) == ["load"]
    assert stepped.after(0.0125, 2) == [None, "load"]


def test_what_surely_fits_is_given_back_at_once_when_waits_are_short_again() -> None:
    stepped = paced(100.0)
    stepped.interval(11, leave=11)
    stepped.admission._offered = 0.0
    stepped.interval(1)
    offered = 11 / Stepped.INTERVAL_S * 0.3
    capacity = 0.9 / stepped.admission._cost_s
    assert stepped.admission.pace == pytest.approx(0.95 * (capacity - offered / 5) / 0.8)


@pytest.mark.parametrize(
    ("busy", "change"), [(0.4, 0.5 * 0.08), (0.96, -0.06 * 0.2), (0.98, -0.08 * 2), (1.0, -0.1 * 2)]
)
def test_a_pace_that_is_met_follows_what_the_loop_has_to_spare(busy: float, change: float) -> None:
    stepped = paced(1300.0)
    stepped.interval(17)
    busy_s = busy * Stepped.INTERVAL_S
    cost_s = 1 / 1600 * 0.85  # nothing was done in the interval before
    cost_s += (busy_s / (16 / 2 + 1 / 5) - cost_s) * 0.15
    stepped.interval(1, busy_s=busy_s)
    assert stepped.admission.pace == pytest.approx(1300.0 + change / cost_s)


def test_a_pace_that_is_not_met_stays_and_is_forgotten_after_ten_seconds() -> None:
    stepped = paced(800.0)
    for _ in range(9):
        stepped.now += 1.0
        assert stepped.interval(2, leave=2) == [None, None]
        assert stepped.admission.pace == 800.0
    stepped.interval(20, leave=10)
    stepped.interval(1, busy_s=0.9 * 0.0625, leave=1)
    for _ in range(9):
        stepped.now += 1.0
        stepped.interval(1, leave=1)
        assert stepped.admission.pace < inf, "it was met, ten seconds ago at the most"
    stepped.now += 1.0
    stepped.interval(1, leave=1)
    assert stepped.admission.pace == inf


@pytest.mark.parametrize(("wait_s", "grows"), [(0.005, True), (0.0078125, False)])
def test_a_pace_grows_only_where_waits_are_less_than_half_too_long(wait_s: float, grows: bool) -> None:
    stepped = paced(800.0)
    stepped.interval(30, busy_s=0.01, waited_s=wait_s)
    stepped.interval(1, busy_s=0.01, waited_s=wait_s)
    assert (stepped.admission.pace > 800.0) is grows
    assert stepped.admission.pace >= 800.0


def test_once_there_is_a_pace_one_long_interval_is_enough_to_slow_down_and_none_makes_it_quicker() -> None:
    stepped = paced(1200.0)
    stepped.interval(300, busy_s=1 / 64, waited_s=1 / 64)
    stepped.interval(1, busy_s=1 / 64, waited_s=1 / 64)
    fits = stepped.admission._fitting()
    assert fits < 1000.0
    assert stepped.admission.pace == pytest.approx(1200.0 + (fits - 1200.0) * 0.3), (
        "by and by: estimates scatter"
    )
    stepped = paced(500.0)
    stepped.interval(50, busy_s=1 / 64, waited_s=1 / 64)
    stepped.admission._cost_s = 1 / 1600
    stepped.interval(1, busy_s=1 / 64, waited_s=1 / 64)
    assert stepped.admission.pace == 500.0, "more would fit; but waits are long"


def test_the_pace_keeps_a_quarter_of_the_loop_for_those_it_lets_in() -> None:
    stepped = paced(100_000.0)
    stepped.admission._offered = 1e6
    for _ in range(60):
        stepped.interval(1000, busy_s=0.0625, waited_s=1 / 64, leave=stepped.admission.in_flight)
    assert stepped.admission.pace == pytest.approx(0.9 / stepped.admission._cost_s / 4, rel=0.05)


def test_waits_ten_times_too_long_are_told_until_they_are_short() -> None:
    stepped = Stepped()
    for _ in range(3):
        stepped.interval(1, busy_s=0.0625, waited_s=0.1249999)
        assert not stepped.admission.shedding
    stepped.interval(1, busy_s=0.0625, waited_s=0.0)
    for _ in range(2):
        stepped.interval(1, busy_s=0.0625, waited_s=0.1250001)
        assert not stepped.admission.shedding
    stepped.interval(1, busy_s=0.0625, waited_s=0.1250001)
    assert stepped.admission.shedding
    stepped.interval(1, busy_s=0.0625, waited_s=0.02)
    assert stepped.admission.shedding
    stepped.interval(1, busy_s=0.0625, waited_s=0.0)
    assert stepped.admission.shedding, "the interval that ended had long ones"
    stepped.interval(1, busy_s=0.0625, waited_s=0.0)
    assert not stepped.admission.shedding


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


@pytest.mark.parametrize("adapts", [True, False])
def test_what_waits_in_a_new_connection_is_hopeless_where_it_would_be_refused(*, adapts: bool) -> None:
    admission = Admission(1, Turns(), adapts=adapts)
    assert not admission.is_hopeless(0.25), "callers are taken for ones of a second"
    assert admission.is_hopeless(0.2501) is adapts
    admission.try_enter(1.0, 10.0, 10.0)
    assert not admission.is_hopeless(0.0)
    admission.try_enter(1.0, 10.0, 10.0)
    assert admission.is_hopeless(0.0) is adapts, "whoever asked last was refused"
    admission.leave()
    admission.try_enter(1.0, 10.0, 10.0)
    assert not admission.is_hopeless(0.0)


def test_a_wait_on_a_loop_that_is_not_behind_is_not_ours() -> None:
    stepped = Stepped()
    for _ in range(4):
        assert stepped.interval(1, waited_s=0.5) == [None]
    assert stepped.admission.pace == inf


@pytest.mark.parametrize(("timeout_s", "patience_s"), [(0.1, 0.91), (8.0, 1.014), (1.0, 1.0)])
def test_the_patience_of_callers_falls_fast_and_rises_slowly(timeout_s: float, patience_s: float) -> None:
    admission = Admission(1000, Turns())
    admission.try_enter(timeout_s, 0.0, 0.0)
    assert admission.long_wait_s == pytest.approx(patience_s / 80)
    assert admission.interval_s == pytest.approx(min(patience_s / 16, 0.5))
