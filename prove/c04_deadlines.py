"""C04: no late answer at capacity, whatever the timeout, on the caller's own clock. The jump to it is told apart."""

from prove.campaign import Campaign, Findings
from prove.under_load import JUMP_S, Load, knee, tell, under_load

ANSWERS = 1_000_000
BELOW_KNEE = 0.9
"""Of the knee's rate: past it, C05."""


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    rate = int(BELOW_KNEE * knee(seed, share))
    seconds = max(ANSWERS * share / rate, 1.0)
    load = Load(rate // 2, (rate,), seconds, jump_s=JUMP_S, timeout="1-2000", seed=seed)
    _, jump, step = under_load(load)
    tell(findings, "the jump from half of that", jump)
    tell(findings, f"{rate}/s, timeouts 1 to 2 000 ms", step)
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
