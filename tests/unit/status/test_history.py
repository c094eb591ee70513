"""Laws of the history, in virtual time: what is read is a function of the instant of reading and of the counts then."""

from hypothesis import given
from hypothesis import strategies as st

from hedgerow.settings import Settings
from hedgerow.status.health import HealthState, Workers
from hedgerow.status.history import SAMPLE_S, SERIES_S, WINDOW_S, History
from hedgerow.status.report import About
from hedgerow.status.report_schema import ConfigurationStatus, Status
from hedgerow.telemetry.snapshot import Snapshot

ABOUT = About.of(Settings(), ConfigurationStatus())
WORKERS = Workers(wanted=1, ready=1)
BEGAN_AT = 5_000.0


def counted(failed: int, succeeded: int = 0, in_flight: int = 0) -> Snapshot:
    return Snapshot(
        requests={"success": succeeded, "all_failed": failed},
        attempts={"1": {"reset": failed, "success": succeeded}},
        in_flight=in_flight,
    )


def read(history: History, counts: Snapshot, now: float, utc_offset_s: float = 0.0) -> Status:
    return history.status(WORKERS, [], counts, now=now, utc_offset_s=utc_offset_s)


def sampled(
    counts: Snapshot, seconds: int, history: History | None = None, began_at: float = BEGAN_AT
) -> History:
    history = history or History(ABOUT)
    for second in range(seconds):
        history.sample(counts, began_at + second * SAMPLE_S)
    return history


def test_gauges_and_figures_are_those_of_now_and_not_of_the_last_sample() -> None:
    history = sampled(counted(0), 3)
    status = read(history, counted(7, in_flight=3), BEGAN_AT + 2.5)
    assert (status.load.in_flight, status.requests.total, status.window_s) == (3, 7, 2.5)
    assert status.verdict.state is HealthState.FAILING
    assert read(history, counted(7), BEGAN_AT + 2.6).load.in_flight == 0


def test_what_is_older_than_the_window_is_not_counted_without_any_traffic() -> None:
    history = sampled(counted(0), 1)
    states = []
    for second in range(1, int(WINDOW_S) + 3):
        now = BEGAN_AT + second
        states.append(read(history, counted(100), now).verdict.state)
        history.sample(counted(100), now)
    assert states == [HealthState.FAILING] * int(WINDOW_S) + [HealthState.UNKNOWN] * 2


def test_a_read_does_not_change_what_is_read() -> None:
    history = sampled(counted(10), 20)
    now = BEGAN_AT + 19.5
    assert [read(history, counted(30), now) for _ in range(3)] == [read(history, counted(30), now)] * 3


@given(pause_s=st.floats(WINDOW_S + 1, 1e6), before=st.integers(1, 50), failed=st.integers(0, 10_000))
def test_after_a_pause_nothing_from_before_is_counted(pause_s: float, before: int, failed: int) -> None:
    """SIGSTOP, `docker pause`: a window of 31 samples reached back over the whole of it."""
    history = sampled(counted(failed), before)
    resumed_at = BEGAN_AT + before - 1 + pause_s
    for now in (resumed_at, resumed_at + 1.0):
        status = read(history, counted(failed + 100), now)
        assert status.window_s <= WINDOW_S + 1
        assert status.requests.total == 0
        assert all(second >= now - SERIES_S - 1 for second in status.series.at)
        history.sample(counted(failed + 100), now)


@given(
    samples=st.lists(st.floats(0.01, 40.0), min_size=1, max_size=60),
    read_after_s=st.floats(0.0, 60.0),
)
def test_the_window_never_reaches_back_further_than_it_says(
    samples: list[float], read_after_s: float
) -> None:
    history, now, failed = History(ABOUT), BEGAN_AT, 0
    counts_at = []
    for gap_s in samples:
        now, failed = now + gap_s, failed + 1
        counts_at.append((now, failed))
        history.sample(counted(failed), now)
    now += read_after_s
    window = history.window(counted(failed), now)
    assert window.span_s <= WINDOW_S + SAMPLE_S / 2
    before = max((count for at, count in counts_at if at <= now - window.span_s + 1e-6), default=0)
    assert window.counts.requests["all_failed"] == (failed - before if window.span_s else 0)


@given(set_by_s=st.floats(-1e9, 1e9))
def test_the_time_of_day_changes_nothing_but_how_instants_are_shown(set_by_s: float) -> None:
    history = sampled(counted(3, 50), 10)
    before = read(history, counted(5, 90), BEGAN_AT + 9.5, utc_offset_s=1e9)
    after = read(history, counted(5, 90), BEGAN_AT + 9.5, utc_offset_s=1e9 + set_by_s)
    for one, other in zip(after.series.at, before.series.at, strict=True):
        assert abs((after.at - one) - (before.at - other)) <= 1, "whole seconds"
    for status in (before, after):
        status.at, status.series.at = 0.0, []
    assert before == after
