"""C01: the race against its oracle, every schedule of a grid in virtual time."""

from itertools import islice

from support.race_grid import disagreements, schedules
from verification.harness.campaign import Campaign, Findings


def run(seed: int, share: float) -> Findings:  # noqa: ARG001 (exhaustive)
    """Play every schedule, or a share of them, spread over all axes of the grid."""
    findings = Findings()
    step = max(round(1 / share), 1)

    def counted_schedules() -> islice:  # type: ignore[type-arg]
        return islice(schedules(), 0, None, step)

    findings.count = sum(1 for _ in counted_schedules())
    for schedule, right, played in disagreements(counted_schedules()):
        findings.violation("the race agrees with its oracle", f"{schedule}: oracle {right}, played {played}")
    return findings


CAMPAIGN = Campaign(
    id="C01",
    title="the race against its oracle",
    proves="For every combination of latencies, outcomes, timeout and plan the race launches what it should when it "
    "should, and answers what and when arithmetic says.",
    acceptance_threshold="at least 1 000 000 schedules, 0 disagreements",
    run=run,
    exhaustive=True,
)
