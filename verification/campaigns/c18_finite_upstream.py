"""C18: hedging before an upstream that can be overloaded, beside no hedging, hedging without holding, and Envoy."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from typing import Final

from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.finite_upstream import ROWS, SECONDS, Row, Run, describe, run_row

SEEDS: Final = 3
AT_ONCE: Final = 8
"""Runs side by side: together some 1 500 requests/s, for which one core is more than enough."""
SAME_ATTEMPTS: Final = 0.01
HEALTHY_SHARE: Final = 0.99
LOADED_SHARE: Final = 0.93
TYPICAL_MS: Final = 480.0
LOADED_ATTEMPTS: Final = (1.45, 1.75)
SLOW_ATTEMPTS: Final = 2.6
NO_WORSE: Final = 0.01
"""A share of good answers that is this close to another one is no worse; three standard errors of 100 s at 171/s."""
WITHIN_S: Final = 5.0
LOST_S, LOST_BY_RESTART_S = 5.0, 15.0
GONE_SHARE: Final = 0.05
"""Where less is good without holding, it would be of no use to measure its recovery."""
Runs = dict[str, Run]
"""By mode."""


def run(seed: int, share: float) -> Findings:
    """Run the campaign; a smaller share has fewer seeds, and one of less than a seed fewer rows."""
    findings = Findings()
    seeds = counted(SEEDS, share)
    rows = ROWS[: max(round(len(ROWS) * share * SEEDS), 1)] if share * SEEDS < 1 else ROWS
    for number in range(seeds):
        for row, runs in zip(rows, _run_side_by_side(rows, seed + number), strict=True):
            for mode, each in runs.items():
                findings.count += sum(each.asked)
                findings.figures[f"{row.name}, {mode}, seed {seed + number}"] = describe(each)
            CHECKS[row.name](findings, row, runs)
    return findings


def _run_side_by_side(rows: Sequence[Row], seed: int) -> list[Runs]:
    """Return the runs of each row by mode."""
    with ThreadPoolExecutor(AT_ONCE) as executor:
        started = [
            {mode: executor.submit(run_row, row, mode, seed, SECONDS) for mode in row.modes} for row in rows
        ]
        return [{mode: each.result() for mode, each in runs.items()} for runs in started]


def healthy(findings: Findings, row: Row, runs: Runs) -> None:
    """Hold nothing."""
    auto, off = runs["auto"], runs["off"]
    ratio = auto.attempts_per_request() / off.attempts_per_request()
    findings.check(
        abs(ratio - 1) <= SAME_ATTEMPTS, f"{row.name}: as many attempts as without holding", f"{ratio:.4f}"
    )
    findings.check(
        auto.good_share() >= HEALTHY_SHARE, f"{row.name}: 99 % are good", f"{auto.good_share():.2%}"
    )


def loaded(findings: Findings, row: Row, runs: Runs) -> None:
    """Hedge as far as it does good."""
    held = runs.get("auto") or runs["ceiling"]
    share, p50_ms, attempts = held.good_share(), held.typical_ms(), held.attempts_per_request()
    findings.check(share >= LOADED_SHARE, f"{row.name}: 93 % are good", f"{share:.2%}")
    findings.check(p50_ms <= TYPICAL_MS, f"{row.name}: p50 of at most 480 ms", f"{p50_ms:.0f} ms")
    if "auto" in runs:
        least, most = LOADED_ATTEMPTS
        findings.check(least <= attempts <= most, f"{row.name}: 1.45 to 1.75 attempts", f"{attempts:.2f}")
        gone(findings, row, runs)


def gone(findings: Findings, row: Row, runs: Runs) -> None:
    """Show that without holding it would be an outage."""
    share = runs["off"].good_share(2 * SECONDS // 3)
    findings.check(share < GONE_SHARE, f"{row.name}: without holding nearly nothing is good", f"{share:.2%}")


def never_recovers(findings: Findings, row: Row, runs: Runs) -> None:
    """Show that without holding the disturbance has no end."""
    recovery_s = runs["off"].recovery_s()
    collapsed = runs["off"].good_share(2 * SECONDS // 3) < runs["none"].good_share(2 * SECONDS // 3) / 2
    invariant = f"{row.name}: without holding it does not recover"
    findings.check(not isfinite(recovery_s) or collapsed, invariant, f"after {recovery_s:.0f} s")


def loses_little(findings: Findings, row: Row, runs: Runs, more_s: float = LOST_S) -> None:
    """Lose hardly more than without hedging, by the share of good answers that is usual there."""
    reference = runs["none"].before
    lost_s, alone_s = runs["auto"].lost_s(reference), runs["none"].lost_s(reference)
    invariant = f"{row.name}: at most {more_s:g} s more are lost than without hedging"
    findings.check(lost_s <= alone_s + more_s, invariant, f"{lost_s:.1f} s, {alone_s:.1f} s")


def recovers(findings: Findings, row: Row, runs: Runs) -> None:
    """Be good again as soon as without hedging, and 5 s."""
    recovery_s, alone_s = runs["auto"].recovery_s(), runs["none"].recovery_s()
    invariant = f"{row.name}: good again within 5 s of what it is without hedging"
    findings.check(recovery_s <= alone_s + WITHIN_S, invariant, f"{recovery_s:.0f} s, {alone_s:.0f} s")


def no_worse(findings: Findings, row: Row, runs: Runs) -> None:
    """Have as many good answers as without hedging."""
    share, alone = runs["auto"].good_share(), runs["none"].good_share()
    findings.check(
        share >= alone - NO_WORSE, f"{row.name}: no worse than without hedging", f"{share:.2%}, {alone:.2%}"
    )


def dip(findings: Findings, row: Row, runs: Runs) -> None:
    recovery_s = runs["auto"].recovery_s()
    findings.check(recovery_s <= WITHIN_S, f"{row.name}: good again within 5 s", f"{recovery_s:.0f} s")
    loses_little(findings, row, runs)
    never_recovers(findings, row, runs)


def near_capacity(findings: Findings, row: Row, runs: Runs) -> None:
    no_worse(findings, row, runs)
    recovers(findings, row, runs)
    never_recovers(findings, row, runs)


def slow(findings: Findings, row: Row, runs: Runs) -> None:
    loses_little(findings, row, runs)
    never_recovers(findings, row, runs)


def rejecting(findings: Findings, row: Row, runs: Runs) -> None:
    no_worse(findings, row, runs)
    recovers(findings, row, runs)
    share = runs["off"].good_share()
    findings.check(share < 0.35, f"{row.name}: without holding less than 35 % are good", f"{share:.2%}")


def restarted(findings: Findings, row: Row, runs: Runs) -> None:
    loses_little(findings, row, runs, LOST_BY_RESTART_S)
    never_recovers(findings, row, runs)


def slow_by_nature(findings: Findings, row: Row, runs: Runs) -> None:
    """Hedge what is slow by nature."""
    for mode, each in runs.items():
        attempts = each.attempts_per_request()
        findings.check(
            attempts >= SLOW_ATTEMPTS, f"{row.name}, {mode}: at least 2.6 attempts", f"{attempts:.2f}"
        )


CHECKS: Final[dict[str, Callable[[Findings, Row, Runs], None]]] = {
    "57/s": healthy,
    "100/s, dip": dip,
    "171/s": loaded,
    "229/s, dip": near_capacity,
    "171/s, slow": slow,
    "171/s, queue, dip": rejecting,
    "143/s, restart": restarted,
    "171/s, ceiling": loaded,
    "570/s, slow by nature": slow_by_nature,
}

CAMPAIGN = Campaign(
    id="C18",
    title="an upstream of finite capacity",
    proves="Hedging that is held while nearly all requests are late never makes an outage worse, and costs a healthy "
    "upstream's clients nothing.",
    acceptance_threshold="no worse than without hedging up to 0.8 of capacity, where hedging without holding never "
    "recovers; as many attempts as without holding where nothing is wrong",
    run=run,
)
