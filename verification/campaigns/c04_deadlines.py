"""C04: no late answer at capacity, on the client's own clock: with timeouts of 800 ms, and with random ones.

The jump to each rate is reported apart, as are timeouts below 25 ms. An answer is late if it comes after its timeout by
more than the load generator's own lag at that moment, and by more than the gateway's core stood still for. No other
program of the machine may take that core from the gateway: it runs at a priority of real time, if it may.
"""

from verification.harness.campaign import Campaign, Findings
from verification.harness.load import (
    JUMP_S,
    Load,
    before_all_others,
    capacity,
    hedgerow,
    may_have_real_time_priority,
    record,
    under_load,
)

ANSWERS = 1_000_000
BELOW_CAPACITY = 0.9
"""Of the capacity's rate: past it, C05."""
TIMEOUTS = {"timeout=800": "800", "timeouts of 1 to 2 000 ms": "1-2000"}


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    real_time = may_have_real_time_priority()
    server = before_all_others(hedgerow()) if real_time else hedgerow()
    findings.figures["priority of the gateway"] = "real time" if real_time else "ordinary"
    rate = int(BELOW_CAPACITY * capacity(seed, share))
    seconds = max(ANSWERS * share / rate, 1.0)
    for name, timeout in TIMEOUTS.items():
        load = Load(rate // 2, (rate,), seconds, jump_s=JUMP_S, timeout=timeout, seed=seed)
        _, jump, step = under_load(load, server)
        record(findings, f"{name}: the jump from half of that", jump)
        record(findings, f"{name}: {rate}/s", step)
        late = step["late"]["beyond_own_lag"]["unexplained"]
        seen = f"{late['count']}, by up to {late['worst_ms']:.1f} ms"
        findings.check(late["count"] == 0, f"no answer is late ({name})", seen)
        unanswered = step["outcomes"]["no_answer"]
        findings.check(unanswered == 0, f"every request is answered ({name})", f"{unanswered} are not")
    return findings


CAMPAIGN = Campaign(
    id="C04",
    title="deadlines at capacity",
    proves="At capacity no answer is late on the client's clock, with any timeout of 25 ms or more.",
    acceptance_threshold=(
        "1 000 000 answers with each, none missing; 0 late beyond stalls of the generator and the gateway's core"
    ),
    run=run,
)
