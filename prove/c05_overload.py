"""C05: answers in time past capacity: at twice and three times the knee, and in a burst from nothing."""

from prove.campaign import Campaign, Findings
from prove.under_load import JUMP_S, Load, knee, tell, under_load

SECONDS = 60.0
BURST = 8_000
LATE_SHARE = 1e-5
REFUSED_P99_MS = 10.0


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    seconds = max(SECONDS * share, 1.0)
    peak = knee(seed, share)
    findings.figures["the knee"] = f"{peak}/s"
    load = Load(peak // 2, (2 * peak, 3 * peak), seconds, jump_s=JUMP_S, seed=seed)
    _, to_twice, twice, to_thrice, thrice = under_load(load)
    _, burst = under_load(Load(peak // 2, (10,), max(seconds / 4, 1.0), seed=seed, burst=BURST))
    for name, step, is_jump in (
        ("a jump to twice the knee", to_twice, True),
        ("twice the knee", twice, False),
        ("a jump to three times", to_thrice, True),
        ("three times the knee", thrice, False),
        (f"a burst of {BURST}", burst, False),
    ):
        tell(findings, name, step)
        late, refused_ms = step["late"]["count"], step["latency_of_refused"]["p99_ms"]
        findings.check(
            late <= step["planned"] * LATE_SHARE, "at most 1 in 100 000 is late", f"{name}: {late}"
        )
        # In a jump most refusals are to new connections, for a second; that is told, and no law.
        findings.check(
            is_jump or refused_ms <= REFUSED_P99_MS,
            "refusals come within 10 ms (p99)",
            f"{name}: {refused_ms} ms",
        )
    return findings


CAMPAIGN = Campaign(
    id="C05",
    title="deadlines past capacity",
    proves="Past capacity answers still come in time, and refusals at once.",
    must_reach="late <= 1 in 100 000; refusals p99 <= 10 ms",
    run=run,
)
