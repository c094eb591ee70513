"""Decisions as timelines: instants are seconds of virtual time, the hedge delay is 0.3 s."""

from math import inf

import pytest

from hedgerow.core.hedge_limit import FIRST_ATTEMPTS, HedgeBudget, HedgeLimit

DELAY_S = 0.3


class Upstream:
    """What a route does with its limit, for requests that are all alike."""

    def __init__(self, limit: HedgeLimit) -> None:
        self.limit = limit
        self.now = 7.0
        self.in_flight = 0

    def quick(self, number: int = FIRST_ATTEMPTS) -> None:
        for _ in range(number):
            self.limit.first_was_quick(self.now, self.in_flight)

    def late(self, number: int = FIRST_ATTEMPTS, *, wanted: int = 2, answered: bool = False) -> int:
        """Return how many hedges were sent in all."""
        sent = 0
        for _ in range(number):
            late = self.limit.first_was_late(self.now, self.in_flight, wanted, first_failed=False)
            sent += late.sent
            late.answered = answered
        return sent

    def sent(self, wanted: int, *, first_failed: bool = False) -> int:
        return self.limit.first_was_late(self.now, self.in_flight, wanted, first_failed=first_failed).sent

    def wait(self, seconds: float = DELAY_S) -> None:
        self.now += seconds


def sent(limit: HedgeLimit, wanted: int, *, first_failed: bool, in_flight: int = 0) -> int:
    return limit.first_was_late(7.0, in_flight, wanted, first_failed=first_failed).sent


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(HedgeLimit(DELAY_S, holds=True))


def decide(upstream: Upstream, *, in_flight: int, quick: int = 0) -> float:
    """Have one decision made of 20 first attempts, and return the limit."""
    upstream.wait(DELAY_S + 0.001)
    upstream.in_flight = in_flight
    upstream.quick(quick)
    upstream.late(FIRST_ATTEMPTS - quick, answered=True)
    return upstream.limit.limit


def test_without_a_reason_every_hedge_is_sent(upstream: Upstream) -> None:
    upstream.in_flight = 100_000
    assert upstream.late(19) == 38
    assert (upstream.limit.limit, upstream.limit.held) == (inf, 0)


def test_all_late_halves_what_is_in_flight_as_soon_as_twenty_say_so(upstream: Upstream) -> None:
    upstream.in_flight = 60
    upstream.late(19, answered=True)
    assert upstream.limit.limit == inf
    upstream.late(1, answered=True)
    assert upstream.limit.limit == 30
    assert (upstream.limit.halvings_late, upstream.limit.halvings_stuck) == (1, 0)


@pytest.mark.parametrize(("quick", "limit"), [(0, 30.0), (1, inf)])
def test_one_in_twenty_is_enough(upstream: Upstream, quick: int, limit: float) -> None:
    assert decide(upstream, in_flight=60, quick=quick) == limit


def test_decisions_are_a_hedge_delay_apart(upstream: Upstream) -> None:
    assert decide(upstream, in_flight=64) == 32
    upstream.in_flight = 0
    upstream.wait(DELAY_S - 0.001)
    upstream.late(40, answered=True)
    assert upstream.limit.limit == 32
    upstream.in_flight = 24
    upstream.wait(0.002)
    upstream.late(1, answered=True)
    assert upstream.limit.limit == 12


def test_the_limit_closes_by_halves_and_never_below_one_attempt(upstream: Upstream) -> None:
    limits = [decide(upstream, in_flight=in_flight) for in_flight in (40, 15, 3, 1, 0)]
    assert limits == [20, 7.5, 1.5, 1, 1]


def test_a_limit_that_holds_everything_is_not_halved_for_what_others_do(upstream: Upstream) -> None:
    """Without a hedge of ours the upstream is late for reasons of its own."""
    decide(upstream, in_flight=40)
    upstream.in_flight = 1_000
    upstream.late()
    upstream.wait()
    upstream.late()
    assert upstream.limit.limit == 20


def test_hedges_beyond_the_limit_are_held_one_by_one(upstream: Upstream) -> None:
    decide(upstream, in_flight=40)
    held = upstream.limit.held
    upstream.in_flight = 17  # the last tenth of 20 is for requests whose first attempt has failed
    assert upstream.sent(2, first_failed=False) == 1
    assert upstream.sent(2, first_failed=True) == 2
    assert upstream.sent(4, first_failed=True) == 3
    upstream.in_flight = 21
    assert upstream.sent(2, first_failed=True) == 0
    assert upstream.limit.held - held == 1 + 1 + 2


def test_it_opens_by_a_twentieth_when_hedges_are_held_and_the_signs_are_gone(upstream: Upstream) -> None:
    decide(upstream, in_flight=40)
    upstream.in_flight = 30
    upstream.wait()
    upstream.late(10, answered=True)
    upstream.wait()
    upstream.quick(10)
    assert upstream.limit.limit == pytest.approx(21)
    upstream.wait()
    upstream.quick(20)
    assert upstream.limit.limit == pytest.approx(21), "nothing was held"


def test_late_requests_that_stay_without_an_answer_close_it_behind_quick_ones(upstream: Upstream) -> None:
    """A cache before the bottleneck: half of the first attempts are quick."""
    upstream.in_flight = 60
    upstream.late(10, answered=False)
    upstream.wait(DELAY_S + 0.001)
    upstream.quick(20)
    assert (upstream.limit.limit, upstream.limit.halvings_stuck) == (30, 1)


@pytest.mark.parametrize(("unanswered", "limit"), [(40, inf), (41, 50.0)])
def test_some_may_stay_without_an_answer(upstream: Upstream, unanswered: int, limit: float) -> None:
    upstream.in_flight = 100
    upstream.quick(20)  # a decision, so that the next one has all of the following
    upstream.late(100 - unanswered, answered=True)
    upstream.late(unanswered, answered=False)
    upstream.quick(20)
    upstream.wait(DELAY_S + 0.001)
    upstream.quick(1)
    assert upstream.limit.limit == limit


def test_a_ceiling_holds_without_any_sign() -> None:
    limit = HedgeLimit(DELAY_S, holds=False, ceiling=10)
    assert [sent(limit, 2, first_failed=failed, in_flight=9) for failed in (False, True)] == [1, 1]
    upstream = Upstream(limit)
    decide(upstream, in_flight=10)
    assert limit.limit == 10


def test_with_a_ceiling_the_limit_never_grows_beyond_it() -> None:
    upstream = Upstream(HedgeLimit(DELAY_S, holds=True, ceiling=21))
    assert decide(upstream, in_flight=20) == 10
    for _ in range(40):
        upstream.in_flight = 50
        upstream.late(19, answered=True)
        upstream.wait()
        upstream.quick(1)
    assert upstream.limit.limit == 21


def test_a_budget_is_a_share_of_requests() -> None:
    limit = HedgeLimit(DELAY_S, holds=False, budget=HedgeBudget(10.0))
    number_sent = 0
    for number in range(1_000):
        limit.request_started(7.0 + number)
        number_sent += sent(limit, 2, first_failed=False)
    assert number_sent == 10 + 99, "a full one earns nothing with the first"
    assert limit.held == 2_000 - 109


def test_what_a_budget_has_not_used_is_kept_up_to_a_burst() -> None:
    limit = HedgeLimit(DELAY_S, holds=False, budget=HedgeBudget(10.0))
    for number in range(1_000):
        limit.request_started(7.0 + number)
    assert sent(limit, 100, first_failed=False) == 10


def test_a_budget_may_be_a_rate() -> None:
    limit = HedgeLimit(DELAY_S, holds=False, budget=HedgeBudget(0.0, min_per_second=2.0))
    limit.request_started(7.0)
    assert sent(limit, 100, first_failed=False) == 20, "ten seconds of it are kept"
    limit.request_started(7.9)
    assert sent(limit, 100, first_failed=False) == 1
    limit.request_started(7.0)  # a clock that is read elsewhere in the iteration
    assert sent(limit, 100, first_failed=False) == 0


def test_first_attempts_are_counted(upstream: Upstream) -> None:
    upstream.quick(3)
    upstream.late(4)
    assert (upstream.limit.judged, upstream.limit.quick) == (7, 3)
