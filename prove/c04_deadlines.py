"""C04: no late answer at capacity, whatever the timeout, on the caller's own clock."""

from prove.campaign import Campaign, Findings
from prove.under_load import KNEE, Load, tell, under_load

ANSWERS = 1_000_000
RATE = KNEE * 9 // 10
"""Just below the knee: past it, C05."""


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    _, step = under_load(Load((RATE,), max(ANSWERS * share / RATE, 1.0), timeout="1-2000", seed=seed))
    tell(findings, f"{RATE}/s, timeouts 1 to 2 000 ms", step)
    late = step["late"]["count"]
    findings.check(late == 0, "no answer is late", f"{late}, by up to {step['late']['worst_ms']} ms")
    return findings


CAMPAIGN = Campaign(
    id="C04",
    title="deadlines at capacity",
    proves="At capacity no answer is late on the caller's clock, whatever timeout it was asked with.",
    must_reach="1 000 000 answers, 0 late",
    run=run,
)
