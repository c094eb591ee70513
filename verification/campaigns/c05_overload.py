"""C05: answers in time past capacity: at twice and three times capacity, and in a burst from nothing.

As in C04, late is what came after its time by more than the load generator's own lag at that moment, and by more than
the gateway did not have its core for. A priority of real time, as there, is of no use: from a process that needs all of
a core the kernel takes 5 % back (sched(7), sched_rt_runtime_us).
"""

from verification.harness.campaign import Campaign, Findings
from verification.harness.load import JUMP_S, Load, capacity, record, under_load

SECONDS = 60.0
BURST = 8_000
BURST_S = 3.0
"""At least: it comes after the first second of a step."""
QUIET = 10
"""Requests a second before and after a burst."""
LATE_SHARE = 1e-5


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    seconds = max(SECONDS * share, 1.0)
    peak = capacity(seed, share)
    findings.figures["capacity"] = f"{peak}/s"
    load = Load(peak // 2, (2 * peak, 3 * peak), seconds, jump_s=JUMP_S, seed=seed)
    _, to_twice, twice, to_thrice, thrice = under_load(load)
    burst_s = max(seconds / 4, BURST_S)
    _, burst = under_load(Load(peak // 2, (QUIET,), burst_s, seed=seed, burst=BURST))
    _, cold_burst = under_load(Load(QUIET, (QUIET,), burst_s, seed=seed, burst=BURST))
    for name, step in (
        ("a jump to twice capacity", to_twice),
        ("twice capacity", twice),
        ("a jump to three times", to_thrice),
        ("three times capacity", thrice),
        (f"a burst of {BURST} on a quiet gateway", burst),
        (f"a burst of {BURST} on a cold gateway", cold_burst),
    ):
        record(findings, name, step)
        late = step["late"]["beyond_own_lag"]["unexplained"]
        findings.check(
            late["count"] <= step["planned"] * LATE_SHARE,
            "at most 1 in 100 000 is late",
            f"{name}: {late['count']}, by up to {late['worst_ms']:.1f} ms",
        )
        rejected = step["rejected_after_a_quarter"]["unexplained"]
        findings.check(
            rejected["count"] == 0,
            "every rejection comes within a quarter of its timeout",
            f"{name}: {rejected['count']}, later by up to {rejected['worst_ms']:.1f} ms",
        )
    return findings


CAMPAIGN = Campaign(
    id="C05",
    title="deadlines past capacity",
    proves="Past capacity answers still come in time, and rejections soon enough to be of use.",
    acceptance_threshold="late <= 1 in 100 000; every rejection within a quarter of its timeout",
    run=run,
)
