"""One worker as a state machine."""

from math import inf

import pytest

from hedgerow.processes.worker_state import (
    RESTART_BACKOFF_S,
    STABLE_S,
    STARTUP_KILL_S,
    Kill,
    Report,
    Start,
    State,
    Terminate,
    WorkerState,
)


@pytest.fixture
def worker() -> WorkerState:
    return WorkerState(3)


def test_a_start_is_bounded(worker: WorkerState) -> None:
    assert worker.start(7, 100.0) == Start(3)
    assert (worker.state, worker.generation, worker.due_at) == (State.STARTING, 7, 100.0 + STARTUP_KILL_S)


@pytest.mark.parametrize("state", [State.STARTING, State.SERVING])
def test_a_worker_is_asked_to_drain_once(worker: WorkerState, state: State) -> None:
    worker.start(1, 0.0)
    worker.state = state
    assert worker.drain(9.0) == [Terminate(3)]
    assert (worker.state, worker.due_at) == (State.DRAINING, 9.0)
    assert worker.drain(12.0) == []
    assert worker.due_at == 9.0, "the earlier end counts"
    assert worker.drain(5.0) == []
    assert worker.due_at == 5.0


def test_a_worker_that_is_gone_is_not_asked(worker: WorkerState) -> None:
    assert worker.drain(9.0) == []
    assert worker.state is State.GONE


def test_a_kill_is_reported_with_its_reason_and_not_repeated(worker: WorkerState) -> None:
    worker.start(1, 0.0)
    report, kill = worker.kill("hangs")
    assert isinstance(report, Report)
    assert (report.level, report.fields) == ("error", {"reason": "hangs"})
    assert kill == Kill(3)
    assert worker.due_at == inf


def test_each_failure_in_a_row_waits_longer_up_to_a_bound(worker: WorkerState) -> None:
    waits = []
    for _ in range(len(RESTART_BACKOFF_S) + 2):
        worker.start(1, 0.0)
        waits.append(worker.failed(50.0))
        assert (worker.state, worker.due_at) == (State.GONE, 50.0 + waits[-1])
    assert tuple(waits) == (*RESTART_BACKOFF_S, RESTART_BACKOFF_S[-1], RESTART_BACKOFF_S[-1])


@pytest.mark.parametrize(
    ("served", "ran_s", "failures"), [(True, STABLE_S + 1, 1), (True, STABLE_S, 3), (False, 60.0, 3)]
)
def test_a_worker_that_served_for_long_enough_begins_again(
    worker: WorkerState, served: bool, ran_s: float, failures: int
) -> None:
    worker.failures = 2
    worker.start(1, 0.0)
    worker.has_served = served
    worker.failed(ran_s)
    assert worker.failures == failures
