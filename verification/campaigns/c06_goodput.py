"""C06: good answers past capacity, beside the bare race with admission, and how soon all is well after it."""

import statistics
from collections import Counter
from collections.abc import Sequence

from bench.servers import BARE_RACE_ADMISSION
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.load import JUMP_S, Load, Step, capacity, hedgerow, record, under_load

SECONDS = 10.0
ROUNDS = 2
FACTORS = (1.0, 1.25, 1.5, 1.75, 2.0, 3.0)
"""Of capacity. Both servers are offered the same, in turns, each time freshly started; the peak is the best of them."""
SHARE_OF_PEAK = {1.5: 0.95, 2.0: 0.85, 3.0: 0.60}
"""How much of the peak must be left at each of these, or of what is offered if that is less."""
OF_THE_BARE_RACE = 0.9
"""Of its peak."""
OVERLOAD_S = 5
AFTER_S = 5
AFTER_SHARE = 0.98
"""Of what is asked from a second after the overload on. A perfect gateway has 98.9 % good answers in 800 ms, before an
upstream with 10 % failures and 2 % malformed answers."""


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    rate = capacity(seed, share)
    findings.figures["capacity"] = f"{rate}/s"
    compare(findings, rate, seed, share)
    recover(findings, rate, seed)
    return findings


def compare(findings: Findings, rate: int, seed: int, share: float) -> None:
    """Offer multiples of capacity to both servers."""
    servers = {"hedgerow": hedgerow(), "bare race": BARE_RACE_ADMISSION}
    seen: dict[str, dict[float, list[float]]] = {name: {each: [] for each in FACTORS} for name in servers}
    for number in range(counted(ROUNDS, share)):
        for factor in FACTORS:
            load = Load(
                rate // 2, (int(rate * factor),), max(SECONDS * share, 1.0), jump_s=JUMP_S, seed=seed + number
            )
            for name, server in servers.items():
                *_, step = under_load(load, server)
                record(findings, f"{name} at {factor:g} times capacity, round {number + 1}", step)
                seen[name][factor].append(step["outcomes"]["good"] / step["seconds"])
    good = {name: {each: statistics.median(of[each]) for each in FACTORS} for name, of in seen.items()}
    peak = {name: max(of.values()) for name, of in good.items()}
    for name, of in good.items():
        shares = ", ".join(f"{each:g}x {per_s:.0f} ({per_s / peak[name]:.0%})" for each, per_s in of.items())
        findings.figures[f"{name}: good answers a second (of the peak)"] = shares
    for factor, least in SHARE_OF_PEAK.items():
        left = good["hedgerow"][factor] / min(peak["hedgerow"], rate * factor)
        findings.check(left >= least, f"{least:.0%} of the peak at {factor:g} times capacity", f"{left:.1%}")
    ratio = peak["hedgerow"] / peak["bare race"]
    findings.figures["peak, of the bare race's"] = f"{ratio:.2f}"
    findings.check(ratio >= OF_THE_BARE_RACE, "the peak is 0.9 of the bare race's", f"{ratio:.2f}")


def recover(findings: Findings, rate: int, seed: int) -> None:
    """Overload the gateway for some seconds; then offer what it can do. Each second is a step."""
    rest = rate // 2
    rates = (rest, rest, *(3 * rate,) * OVERLOAD_S, *(rest,) * AFTER_S)
    steps = under_load(Load(rest, rates, 1.0, seed=seed))
    first, *later = steps[-AFTER_S:]
    record(findings, "the second after an overload", first)
    after = good_share(later)
    findings.figures["good from then on"] = f"{after:.2%}"
    findings.check(after >= AFTER_SHARE, "98 % are good from a second after the overload on", f"{after:.1%}")


def good_share(steps: Sequence[Step]) -> float:
    """Return the share of good answers in all of some steps."""
    outcomes: Counter[str] = Counter()
    for step in steps:
        outcomes.update(step["outcomes"])
    return outcomes["good"] / max(outcomes.total(), 1)


CAMPAIGN = Campaign(
    id="C06",
    title="good answers past capacity",
    proves="Past capacity most of it is still used for good answers, and after it nothing is left of it.",
    acceptance_threshold=(
        ">= 95 % of the peak at 1.5x, >= 85 % at 2x, >= 60 % at 3x; the peak >= 0.9 of the bare race's with "
        "admission; back to >= 98 % within 1 s"
    ),
    run=run,
)
