"""H05: what the verdict says of holding, word by word."""

import pytest

from hedgerow.status.holding import HoldStatus, describe_holding, hold_status, quick_first_attempts
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import BUCKET_STEP_S, BUCKETS_S, Histogram, Snapshot


def histogram(number: int, seconds: float) -> Histogram:
    made = HistogramCounter(BUCKETS_S, BUCKET_STEP_S)
    for _ in range(number):
        made.observe(seconds)
    return Histogram(made.counts, made.sum_s)


def collapse(*, out_of_time: int = 90, quick: int = 0, first: int = 100) -> Snapshot:
    """A hundred requests and three attempts for each, while nearly all requests are late."""
    return Snapshot(
        requests={"success": 100 - out_of_time, "out_of_time": out_of_time},
        attempts={"1": {"timeout": first}, "2": {"timeout": first}, "3": {"timeout": first}},
        first_attempt_duration={
            "success": histogram(quick, 0.2), "out_of_time": histogram(first - quick, 1.5),
        },
        hedges={"fired": 2 * first},
    )  # fmt: skip


def words(counts: Snapshot, mode: str = "off", hedges: int = 2) -> str:
    return describe_holding(counts, mode, 300, hedges, 30.0)


def test_where_nothing_is_held_and_hedging_does_harm_it_says_what_would_help() -> None:
    assert words(collapse()) == (
        " Hedging does harm: nearly all first attempts take longer than 300 ms, and each request has become 3.0."
        ' `--hedge-hold auto` (`hold = "auto"` in a route) would hold hedges back until some are quick again, and'
        " spare the upstream up to 67 % of its load."
    )


@pytest.mark.parametrize(
    "counts",
    [
        collapse(quick=5),
        collapse(out_of_time=19),
        collapse(first=19),
        Snapshot(),
    ],
    ids=["some are quick", "slow by nature, and successful", "too few", "nothing"],
)
def test_otherwise_it_says_nothing(counts: Snapshot) -> None:
    assert words(counts) == ""


def test_it_says_nothing_of_hedges_that_there_are_not_or_that_would_be_held() -> None:
    assert words(collapse(), hedges=0) == ""
    assert words(collapse(), mode="auto") == ""


def test_what_holding_has_spared() -> None:
    counts = collapse()
    counts.hedges["held"] = 100
    assert words(counts, mode="auto") == (
        " Hedges are held: the upstream was spared 100 attempts in the last 30 s"
        " (25 % of what it would have been sent)."
    )
    counts.hedges["held"] = 2
    assert words(counts, mode="auto") == "", "a hundredth is nothing"


def test_the_figures() -> None:
    counts = Snapshot(
        hedges={"held": 7}, hedge_limited_workers=2, hedge_limit=12.345, attempts_in_flight=40,
        first_attempts_judged={"quick": 1, "late": 3}, hedge_limit_halvings={"late": 2, "unanswered": 0},
    )  # fmt: skip
    assert hold_status(counts, "auto", 300) == HoldStatus("auto", 7, 12.3, 2, 40, 0.25, {"late": 2})
    nothing = hold_status(Snapshot(), "off", 300)
    assert nothing == HoldStatus("off", 0, None, 0, 0, None, {})


@pytest.mark.parametrize(
    ("hedge_after_ms", "quick"), [(100, 0), (175, 5), (200, 10), (300, 10), (60_000, 10)]
)
def test_without_a_limit_quick_ones_are_read_from_the_histogram(hedge_after_ms: int, quick: float) -> None:
    """Ten of them took between 150 and 200 ms; six of these had a final answer, which ends the race, too."""
    counts = Snapshot(
        first_attempt_duration={
            "success": histogram(4, 0.19), "final": histogram(6, 0.19), "all_failed": histogram(5, 0.1),
        }
    )  # fmt: skip
    found, total = quick_first_attempts(counts, hedge_after_ms)
    assert found == pytest.approx(quick)
    assert total == 15
