"""Plans of supervision, as timelines in virtual time."""

from hedgerow.processes.supervision import Supervision
from hedgerow.processes.worker_state import Action, Report

DRAIN_S = 30.0


def acts(actions: list[Action]) -> list[Action]:
    """Return what is done, without what is logged."""
    return [action for action in actions if not isinstance(action, Report)]


def logged(actions: list[Action]) -> list[str]:
    return [action.event for action in actions if isinstance(action, Report)]


def plan_of(workers: int) -> Supervision:
    return Supervision(workers, DRAIN_S, now=0.0)


def serving(workers: int) -> Supervision:
    """Return a plan of which all workers serve since 1.0."""
    plan = plan_of(workers)
    plan.start(0.0)
    for slot in range(workers):
        plan.serving(slot, 1.0)
    return plan


def until(plan: Supervision, at: float) -> list[tuple[float, Action]]:
    """Let time pass; return what is done meanwhile, and when."""
    done: list[tuple[float, Action]] = []
    while plan.next_due_at <= at:
        now = plan.next_due_at
        done += [(now, action) for action in acts(plan.tick(now))]
    return done


def died(plan: Supervision, slot: int, now: float, code: int = -9) -> list[Action]:
    plan.channel_closed(slot, "", now)
    return plan.exited(slot, code, "", now)
