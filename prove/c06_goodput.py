"""C06: good answers past capacity, and how soon all is well after it."""

from prove.campaign import Campaign, Findings
from prove.under_load import Load, knee, tell, under_load

SECONDS = 20.0
TWICE_SHARE, THRICE_SHARE = 0.90, 0.75
"""Of the good answers at the knee."""
AFTER_SHARE = 0.99
"""Of the share of good answers before the overload: with 10 % failures and 2 % malformed answers a perfect gateway has
98.9 % good ones in 800 ms."""


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    seconds = max(SECONDS * share, 1.0)
    rate = knee(seed, share)
    rest = rate // 2
    _, peak, twice, thrice = under_load(Load(rest, (rate, 2 * rate, 3 * rate), seconds, seed=seed))
    jump = Load(rest, (3 * rate, rest, rest), max(seconds / 10, 1.0), seed=seed)
    before, over, first, after = under_load(jump)
    for name, step in (("the knee", peak), ("twice", twice), ("three times", thrice), ("an overload", over)):
        tell(findings, name, step)
    tell(findings, "the second after the overload", first)
    tell(findings, "from then on", after)
    good = peak["outcomes"]["good"]
    for law, step, share_of_peak in (
        ("90 % at twice", twice, TWICE_SHARE),
        ("75 % at three times", thrice, THRICE_SHARE),
    ):
        seen = step["outcomes"]["good"] / good
        findings.check(seen >= share_of_peak, f"good answers: {law} the knee's load", f"{seen:.1%}")
    good_before, good_after = (step["outcomes"]["good"] / step["planned"] for step in (before, after))
    findings.check(
        good_after >= AFTER_SHARE * good_before,
        "all is well a second after the overload",
        f"{good_after:.1%}",
    )
    return findings


CAMPAIGN = Campaign(
    id="C06",
    title="good answers past capacity",
    proves="Past capacity most of it is still used for good answers, and after it nothing is left of it.",
    must_reach=">= 90 % of the peak at 2x, >= 75 % at 3x; back within 1 s",
    run=run,
)
