"""What SIGHUP does to the workers, as timelines in virtual time. C20 plays the same at random."""

from hedgerow.processes.supervision import KILL_AFTER_S
from hedgerow.processes.worker_state import Kill, Report, Start, State, Terminate
from support.supervised import DRAIN_S, acts, died, logged, serving, until


def test_sighup_replaces_one_worker_after_the_other_once_its_successor_serves() -> None:
    plan = serving(2)
    assert acts(plan.hangup(2.0)) == [Start(2)]
    assert acts(plan.serving(2, 2.5)) == [Terminate(0)]
    assert acts(plan.exited(0, 0, "", 3.0)) == [Start(0)]
    assert acts(plan.serving(0, 3.5)) == [Terminate(1)]
    assert plan.exited(1, 0, "", 4.0) == [Report("info", "workers replaced", {"workers": 2})]
    assert sorted(worker.slot for worker in plan.workers) == [0, 2]
    assert plan.restarts == 0


def test_e2_a_worker_that_waits_out_its_back_off_is_not_replaced_but_started_once() -> None:
    plan = serving(1)
    assert acts(died(plan, 0, 1.0)) == [Start(0)]
    died(plan, 0, 1.0)
    assert logged(plan.hangup(1.05)) == ["workers replaced"]
    assert until(plan, 5.0) == [(1.1, Start(0))], "and nothing ends it"


def test_e2_a_worker_that_dies_while_its_successor_starts_has_been_replaced() -> None:
    plan = serving(1)
    assert acts(plan.hangup(2.0)) == [Start(1)]
    assert logged(died(plan, 0, 2.1)) == ["worker died", "workers replaced"]
    assert until(plan, 3.0) == []
    plan.serving(1, 3.0)
    assert [(worker.slot, worker.state) for worker in plan.workers] == [(1, State.SERVING)]


def test_a_successor_that_dies_is_started_again_while_the_old_worker_serves() -> None:
    plan = serving(1)
    plan.hangup(2.0)
    assert acts(died(plan, 1, 2.1)) == [Start(1)]
    plan.start_failed(1, "OSError: no", 2.1)
    assert [action for _, action in until(plan, 2.3)] == [Start(1)]
    assert acts(plan.serving(1, 2.5)) == [Terminate(0)]


def test_a_sighup_during_a_sighup_replaces_what_was_started_before_it() -> None:
    plan = serving(1)
    plan.hangup(2.0)
    assert plan.hangup(2.1) == []
    assert acts(plan.serving(1, 2.5)) == [Terminate(0)]
    assert acts(plan.exited(0, 0, "", 3.0)) == [Start(0)]
    assert acts(plan.serving(0, 3.5)) == [Terminate(1)]
    assert logged(plan.exited(1, 0, "", 4.0)) == ["workers replaced"]


def test_a_replaced_worker_that_does_not_end_is_killed() -> None:
    plan = serving(1)
    plan.hangup(2.0)
    plan.serving(1, 2.5)
    assert until(plan, 60.0) == [(2.5 + DRAIN_S + KILL_AFTER_S, Kill(0))]
    assert logged(plan.exited(0, -9, "", 60.0)) == ["workers replaced"], "its end was logged as it was killed"


def test_a_replaced_worker_that_crashes_in_its_drain_is_logged() -> None:
    plan = serving(1)
    plan.hangup(2.0)
    plan.serving(1, 2.5)
    assert logged(plan.exited(0, -11, "", 3.0)) == ["worker died while draining", "workers replaced"]
