"""C05: answers in time past capacity: at twice and three times the knee, and in a burst from nothing."""

from prove.campaign import Campaign, Findings
from prove.under_load import Load, knee, tell, under_load

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
    _, twice, thrice = under_load(Load(peak // 2, (2 * peak, 3 * peak), seconds, seed=seed))
    quiet, burst = under_load(Load(peak // 2, (10,), max(seconds / 4, 1.0), seed=seed, burst=BURST))
    del quiet
    for name, step in (("twice the knee", twice), ("three times", thrice), (f"a burst of {BURST}", burst)):
        tell(findings, name, step)
        late, refused_ms = step["late"]["count"], step["latency_of_refused"]["p99_ms"]
        findings.check(
            late <= step["planned"] * LATE_SHARE, "at most 1 in 100 000 is late", f"{name}: {late}"
        )
        findings.check(
            refused_ms <= REFUSED_P99_MS, "refusals come within 10 ms (p99)", f"{name}: {refused_ms} ms"
        )
    return findings


CAMPAIGN = Campaign(
    id="C05",
    title="deadlines past capacity",
    proves="Past capacity answers still come in time, and refusals at once.",
    must_reach="late <= 1 in 100 000; refusals p99 <= 10 ms",
    run=run,
)
