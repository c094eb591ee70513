"""What is decided about workers, as timelines in virtual time. C20 plays the same at random."""

from math import inf

import pytest

from hedgerow.processes.supervision import (
    KILL_AFTER_S,
    ONE_SIGNAL_S,
    START_ATTEMPTS,
    TICK_S,
    UNRESPONSIVE_KILL_S,
)
from hedgerow.processes.worker_state import (
    RESTART_BACKOFF_S,
    STABLE_S,
    STARTUP_KILL_S,
    Action,
    Kill,
    Report,
    Start,
    State,
    Terminate,
)
from support.supervised import DRAIN_S, acts, died, logged, plan_of, serving, until


def test_all_workers_are_started_at_once() -> None:
    plan = plan_of(3)
    assert acts(plan.start(0.0)) == [Start(0), Start(1), Start(2)]
    assert not plan.has_served
    plan.serving(1, 0.5)
    assert plan.has_served


def test_a_worker_that_dies_is_started_again_with_back_off() -> None:
    plan = serving(1)
    now = 1.0
    for wait_s in [*RESTART_BACKOFF_S, RESTART_BACKOFF_S[-1]]:
        actions = died(plan, 0, now)
        assert logged(actions) == ["worker died"]
        done = [(now, action) for action in acts(actions)] + until(plan, now + wait_s)
        assert done == [(now + wait_s, Start(0))]
        now += wait_s
        plan.serving(0, now)
    until(plan, now + STABLE_S + 0.1)
    assert acts(died(plan, 0, now + STABLE_S + 0.1)) == [Start(0)], (
        "what ran for long is started again at once"
    )


def test_e1_a_start_that_the_system_rejects_is_tried_again_and_each_time_logged() -> None:
    plan = serving(1)
    assert acts(died(plan, 0, 2.0)) == [Start(0)]
    now = 2.0
    for wait_s in (0.1, 0.5, 1.0, 2.0, 5.0, 5.0):
        actions = plan.start_failed(0, "OSError: no", now)
        assert actions == [
            Report("error", "worker cannot be started", {"error": "OSError: no", "restart_in_s": wait_s})
        ]
        assert until(plan, now + wait_s) == [(now + wait_s, Start(0))]
        now += wait_s
    plan.serving(0, now + 0.1)
    assert [worker.state for worker in plan.workers] == [State.SERVING]


def test_a_worker_that_hangs_before_it_serves_is_killed_and_replaced() -> None:
    plan = plan_of(1)
    plan.start(0.0)
    assert until(plan, STARTUP_KILL_S) == [(STARTUP_KILL_S, Kill(0))]
    assert until(plan, STARTUP_KILL_S + 5) == [], "once"
    assert acts(died(plan, 0, STARTUP_KILL_S + 5)) == [Start(0)]


def test_a_worker_that_says_that_it_serves_as_it_is_killed_is_not_counted() -> None:
    plan = plan_of(1)
    plan.start(0.0)
    until(plan, STARTUP_KILL_S)
    plan.serving(0, STARTUP_KILL_S)
    assert not plan.has_served


def test_a_worker_that_leaves_a_question_unanswered_is_killed() -> None:
    plan = serving(2)
    plan.request_sent(0, 2.0)
    plan.request_sent(1, 2.0)
    until(plan, 11.0)
    plan.reply_received(1, 11.0, all_requests=False)
    assert until(plan, 13.0) == [(2.0 + UNRESPONSIVE_KILL_S, Kill(0))]
    plan.reply_received(1, 13.0, all_requests=True)
    assert until(plan, 60.0) == [], "what is asked nothing need not answer"


def test_a_stall_of_the_supervisor_is_not_its_workers_fault() -> None:
    plan = serving(1)
    plan.request_sent(0, 2.0)
    assert acts(plan.tick(100.0)) == []
    plan.reply_received(0, 100.0, all_requests=True)
    plan.request_sent(0, 101.0)
    assert until(plan, 111.0) == [(111.0, Kill(0))]


@pytest.mark.parametrize("reason", ["", "it sent an invalid reply"])
def test_a_worker_without_a_channel_is_ended_and_replaced(reason: str) -> None:
    plan = serving(1)
    assert acts(plan.channel_closed(0, reason, 2.0)) == [Terminate(0)]
    assert until(plan, 60.0) == [(2.0 + UNRESPONSIVE_KILL_S, Kill(0))]
    (report, start) = plan.exited(0, -9, "", 60.0)
    assert isinstance(report, Report)
    assert report.fields["reason"] == (reason or "its drain took too long")
    assert start == Start(0)


def test_a_start_that_cannot_succeed_has_failed_after_five_attempts_of_each_worker() -> None:
    plan = plan_of(2)
    plan.start(0.0)
    for attempt in range(START_ATTEMPTS):
        assert not plan.has_failed
        until(plan, 10.0 * attempt)
        plan.exited(0, 1, "Traceback\nImportError: no random\n", 10.0 * attempt)
        plan.start_failed(1, "OSError: no", 10.0 * attempt)
    assert plan.has_failed
    assert plan.last_failure == "OSError: no"


def test_a_start_is_not_given_up_once_a_worker_has_served() -> None:
    plan = serving(1)
    for attempt in range(10):
        now = 2.0 + 10.0 * attempt
        died(plan, 0, now)
        until(plan, now + 9)
    assert not plan.has_failed


def test_last_words_are_reported() -> None:
    plan = plan_of(1)
    plan.start(0.0)
    (report, _) = plan.exited(0, 1, "Traceback\nImportError: no random\n", 0.1)
    assert report == Report(
        "error",
        "worker died",
        {"exit_code": 1, "last_words": "Traceback\nImportError: no random\n", "restart_in_s": 0.0},
    )
    assert plan.last_failure == "ImportError: no random"


# -- SIGTERM


def test_sigterm_drains_all_and_nothing_is_started_again() -> None:
    plan = serving(2)
    assert acts(plan.terminate(2.0)) == [Terminate(0), Terminate(1)]
    assert acts(plan.exited(0, 0, "", 3.0)) == []
    assert [worker.slot for worker in plan.workers] == [1]
    assert acts(plan.exited(1, 0, "", 4.0)) == []
    assert plan.has_ended
    assert plan.restarts == 0


def test_sigterm_before_the_start_starts_nothing() -> None:
    plan = plan_of(2)
    plan.terminate(0.0)
    assert plan.start(0.1) == []
    assert plan.has_ended


def test_e2_sigterm_ends_every_back_off() -> None:
    plan = serving(1)
    died(plan, 0, 1.0)
    plan.start_failed(0, "OSError: no", 1.0)
    assert plan.terminate(1.05) == []
    assert plan.has_ended
    assert plan.next_due_at == 1.05 + TICK_S


def test_sigterm_ends_a_rolling_restart_with_all_that_it_has_started() -> None:
    plan = serving(1)
    plan.hangup(2.0)
    assert acts(plan.terminate(2.1)) == [Terminate(0), Terminate(1)]
    assert plan.hangup(2.2) == []
    assert plan.exited(1, -15, "", 2.3) == [], "it was not ready to drain"
    assert plan.exited(0, 0, "", 3.0) == []
    assert plan.has_ended


def test_a_drain_that_takes_too_long_is_ended() -> None:
    plan = serving(1)
    plan.terminate(2.0)
    assert until(plan, 60.0) == [(2.0 + DRAIN_S + KILL_AFTER_S, Kill(0))]


@pytest.mark.parametrize(
    ("second_at", "done"),
    [
        (2.0, []),
        (2.002, []),
        (2.0 + ONE_SIGNAL_S - 0.01, []),
        (2.0 + ONE_SIGNAL_S, [Kill(0)]),
        (9.0, [Kill(0)]),
    ],
)
def test_e6_two_sigterms_within_half_a_second_are_one(second_at: float, done: list[Action]) -> None:
    plan = serving(1)
    plan.terminate(2.0)
    until(plan, second_at)
    assert acts(plan.terminate(second_at)) == done


def test_sigterm_does_not_give_a_worker_that_drains_more_time() -> None:
    plan = serving(1)
    plan.channel_closed(0, "", 2.0)
    plan.terminate(3.0)
    assert until(plan, 60.0) == [(2.0 + UNRESPONSIVE_KILL_S, Kill(0))]


def test_all_that_is_left_can_be_killed() -> None:
    plan = serving(2)
    died(plan, 0, 1.0)
    died(plan, 0, 1.0)
    assert plan.kill_all() == [Kill(1)]
    assert plan.workers[0].due_at == inf
    plan.exited(1, -9, "", 1.2)
    assert plan.has_ended
