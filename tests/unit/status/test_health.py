"""The verdicts: one on the upstream, which is about the upstream alone, and one on the gateway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.status.error_rates import HUNG_S, ErrorRates, attempts_by_outcome
from hedgerow.status.health import (
    MIN_ATTEMPTS,
    MIN_FOR_DEGRADED,
    HealthState,
    HealthTransitions,
    Window,
    Workers,
    assess_gateway,
    assess_upstream,
)
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import BUCKET_STEP_S, BUCKETS_S, Histogram, Snapshot

ALL_WELL = Workers(wanted=2, ready=2)


def lasting(*seconds: float) -> Histogram:
    counter = HistogramCounter(BUCKETS_S, BUCKET_STEP_S)
    for value in seconds:
        counter.observe(value)
    return Histogram(counter.counts, counter.sum_s)


def counts(
    success: int = 0, failed: int = 0, *, served: int = 0, late: int = 0, in_flight: int = 0
) -> Snapshot:
    return Snapshot(
        attempts={"1": {"success": success}, "2": {"status_5xx": failed}},
        attempt_duration={"success": lasting(*[0.2] * success)},
        requests={"success": served, "out_of_time": late},
        in_flight=in_flight,
    )


def upstream(counted: Snapshot, *, is_first: bool = False) -> tuple[HealthState, str]:
    verdict = assess_upstream(Window(counted, 30.0, is_first=is_first))
    return verdict.state, verdict.reason


@pytest.mark.parametrize(
    ("counted", "state", "reason"),
    [
        (
            counts(85, 15, served=99, late=1),
            HealthState.HEALTHY,
            "85 % of 100 attempts and 99 % of 100 requests succeeded in the last 30 s.",
        ),
        (
            counts(38, 62, served=100),
            HealthState.FAILING,
            "62 % of 100 attempts failed in the last 30 s, most by status_5xx.",
        ),
        (
            counts(74, 26, served=100),
            HealthState.DEGRADED,
            "26 % of 100 attempts failed in the last 30 s, most by status_5xx.",
        ),
        (
            counts(0, 5),
            HealthState.FAILING,
            "100 % of 5 attempts failed in the last 30 s, most by status_5xx.",
        ),
        (
            counts(),
            HealthState.UNKNOWN,
            "No requests in the last 30 s, so nothing is known about the upstream.",
        ),
        (
            counts(0, 4),
            HealthState.UNKNOWN,
            "4 attempts ended in the last 30 s, 4 of them failed: too few to judge.",
        ),
        (
            counts(6, 4),
            HealthState.UNKNOWN,
            "10 attempts ended in the last 30 s, 4 of them failed: too few to judge.",
        ),
        (
            counts(1, in_flight=7),
            HealthState.UNKNOWN,
            "7 requests waiting; 1 attempt ended in the last 30 s.",
        ),
        (
            counts(9_999, 1, served=9_999, late=1),
            HealthState.HEALTHY,
            "99.9 % of 10000 attempts and 99.9 % of 10000 requests succeeded in the last 30 s.",
        ),
    ],
)  # fmt: skip
def test_the_verdict_on_the_upstream_and_its_reason(
    counted: Snapshot, state: HealthState, reason: str
) -> None:
    assert upstream(counted) == (state, reason)


@pytest.mark.parametrize(
    "counted", [counts(), counts(0, MIN_ATTEMPTS - 1), counts(3, 2), counts(MIN_FOR_DEGRADED - 20, 18)]
)
def test_a_gateway_that_was_just_started_has_no_verdict_from_too_few(counted: Snapshot) -> None:
    state, reason = upstream(counted, is_first=True)
    assert state is HealthState.STARTING
    assert "not enough data" in reason
    assert upstream(counts(0, MIN_ATTEMPTS), is_first=True)[0] is HealthState.FAILING, "these are enough"


def test_f9_short_timeouts_of_clients_are_not_the_upstreams_fault() -> None:
    state, reason = upstream(counts(92, 8, served=54, late=46))
    assert state is HealthState.HEALTHY
    assert reason == (
        "92 % of 100 attempts and 54 % of 100 requests succeeded in the last 30 s."
        " 46 % of 100 requests ran out of their own timeout (99 % of the upstream's successes take at most 200 ms)."
    )


def test_f9_not_even_if_no_client_waits_long_enough() -> None:
    assert upstream(counts(92, 8, late=100))[0] is HealthState.HEALTHY


def cut_off(*seconds: float, successes: tuple[float, ...] = ()) -> Snapshot:
    return Snapshot(
        attempts={"1": {"timeout": len(seconds), "success": len(successes)}},
        attempt_duration={"timeout": lasting(*seconds), "success": lasting(*successes)},
        requests={"out_of_time": len(seconds), "success": len(successes)},
    )


def test_f9_attempts_that_we_cut_off_early_say_nothing() -> None:
    assert upstream(cut_off(*[0.4] * 60, successes=(0.2,) * 40))[0] is HealthState.HEALTHY
    state, reason = upstream(cut_off(*[0.4] * 60))
    assert state is HealthState.UNKNOWN
    assert "60 more were cancelled too early to know" in reason


def test_an_upstream_that_hangs_fails() -> None:
    state, reason = upstream(cut_off(*[1.9] * 60))
    assert (state, reason) == (
        HealthState.FAILING,
        (
            "100 % of 60 attempts failed in the last 30 s, most by timeout."
            " 100 % of 60 requests ran out of their own timeout."
        ),
    )
    assert upstream(cut_off(*[HUNG_S + 0.01] * 60))[0] is HealthState.FAILING


def test_f9_where_successes_take_long_an_attempt_hangs_only_after_longer() -> None:
    slow = (2.0,) * 50
    assert upstream(cut_off(*[1.4] * 50, successes=slow))[0] is HealthState.HEALTHY
    assert upstream(cut_off(*[5.5] * 50, successes=slow))[0] is HealthState.FAILING


def test_f10_a_status_is_named_by_its_number() -> None:
    refused = Snapshot(
        attempts={"1": {"status_other": 538, "reset": 2}}, statuses={"401": 530, "404": 5}, requests={"all_failed": 180}
    )  # fmt: skip
    assert attempts_by_outcome(refused) == {"status_401": 530, "status_404": 5, "status_other": 3, "reset": 2}
    assert upstream(refused) == (
        HealthState.FAILING,
        "100 % of 540 attempts failed in the last 30 s, most by status_401.",
    )


def test_rejections_of_the_gateway_are_its_own() -> None:
    overloaded = counts(92, 8, served=50)
    overloaded.requests["overloaded"] = 950
    overloaded.shed = {"rate_limit": 950}
    assert upstream(overloaded)[0] is HealthState.HEALTHY
    verdict = assess_gateway(Window(overloaded, 30.0), ALL_WELL)
    assert (verdict.state, verdict.reason) == (
        HealthState.DEGRADED,
        "95 % of requests were rejected in the last 30 s: overloaded.",
    )


def test_internal_errors_of_the_gateway_are_its_own() -> None:
    broken = counts(100, served=50)
    broken.requests["internal"], broken.internal_errors = 50, 50
    assert upstream(broken)[0] is HealthState.HEALTHY
    verdict = assess_gateway(Window(broken, 30.0), ALL_WELL)
    assert (verdict.state, verdict.reason) == (
        HealthState.DEGRADED,
        "50 internal errors in the last 30 s: see the log.",
    )


@pytest.mark.parametrize(
    ("workers", "state", "reason"),
    [
        (ALL_WELL, HealthState.HEALTHY, "2 of 2 workers serve."),
        (Workers(2, 2, unresponsive=1), HealthState.DEGRADED, "1 of 2 workers do not report."),
        (Workers(2, 1), HealthState.DEGRADED, "1 of 2 workers serve."),
        (Workers(2, 0), HealthState.FAILING, "No worker serves: clients are not answered."),
        (Workers(2, 0, ever_ready=False), HealthState.STARTING, "No worker serves yet."),
    ],
)
def test_the_verdict_on_the_gateway(workers: Workers, state: HealthState, reason: str) -> None:
    verdict = assess_gateway(Window(counts(90, 10, served=99, late=1), 30.0), workers)
    assert (verdict.state, verdict.reason) == (state, reason)


COUNT = st.integers(0, 3_000)


@given(success=COUNT, failed=COUNT, served=COUNT, late=COUNT, shed=COUNT, internal=COUNT, early=COUNT)
def test_what_clients_got_never_changes_the_upstreams_verdict(
    success: int, failed: int, served: int, late: int, shed: int, internal: int, early: int
) -> None:
    attempts = {"1": {"success": success, "reset": failed}}
    alone = Snapshot(attempts=attempts)
    with_clients = Snapshot(
        attempts={"1": {**attempts["1"], "timeout": early}},
        attempt_duration={"timeout": lasting(*[0.3] * early)},
        requests={"success": served, "out_of_time": late, "overloaded": shed, "internal": internal},
        shed={"rate_limit": shed},
        internal_errors=internal,
    )
    assert upstream(with_clients)[0] is upstream(alone)[0]


def rates(failed: int, of: int) -> ErrorRates:
    return ErrorRates(attempts=of, failed=failed, cut_off=0, requests=0, unserved=0, out_of_time=0, shed=0)


def test_the_watch_reports_each_change_once() -> None:
    watch = HealthTransitions()
    reported = [
        watch.update(rates(*seen), now)
        for now, seen in enumerate(
            [(10, 100), (40, 100), (50, 100), (90, 100), (40, 100), (26, 100), (24, 100), (20, 100), (60, 100)]
        )
    ]  # fmt: skip
    assert reported == [None, None, "unhealthy", None, None, None, "recovered", None, "unhealthy"]


def test_the_watch_says_nothing_of_too_few() -> None:
    watch = HealthTransitions()
    assert watch.update(rates(4, 4), 0.0) is None
    assert watch.update(rates(5, 5), 1.0) == "unhealthy"
    assert watch.update(rates(0, 4), 2.0) is None, "hardly anything was asked: that is no recovery"
    assert watch.update(rates(0, 5), 3.0) == "recovered"
