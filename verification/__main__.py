"""`python -m verification`: run campaigns; those at full size are recorded in `docs/verification/results.md`."""

import secrets
import signal
import sys
import time

import click

from verification.campaigns import all_campaigns
from verification.harness.campaign import Campaign, Findings
from verification.harness.results import PAGE, render, save, verdict

MAX_SEED = 2**32 - 1


def chosen(_: click.Context, __: click.Parameter, value: str | None) -> list[Campaign]:
    """Split a list with commas and reject unknown names."""
    known = all_campaigns()
    names = list(known) if value is None else [name.strip().upper() for name in value.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names]


@click.command()
@click.option("--only", callback=chosen, help="Campaigns, with commas: C01,C08. All without it.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Of the full size. Below 1 no result is written.",
)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Without it one is drawn and printed.")
def main(only: list[Campaign], share: float, seed: int | None) -> None:
    """Run the campaigns one after the other; exit code 1 if a claim does not hold."""
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # so that what was started is ended
    seed = secrets.randbelow(MAX_SEED + 1) if seed is None else seed
    all_hold = True
    for campaign in only:
        print(f"{campaign.id} {campaign.title}: seed {seed}, share {share:g}", flush=True)
        began = time.monotonic()
        findings = campaign.run(seed, share)
        took_s = time.monotonic() - began
        print_findings(campaign, findings, took_s)
        all_hold = all_hold and findings.holds
        if share == 1:
            save(campaign, findings, seed=seed, took_s=took_s)
            PAGE.write_text(render())
    sys.exit(not all_hold)


def print_findings(campaign: Campaign, findings: Findings, took_s: float) -> None:
    """Print the findings of a run."""
    for name, value in findings.figures.items():
        print(f"  {name}: {value}")
    for invariant, times in findings.broken.items():
        print(f"  BROKEN {times} times: {invariant}")
        for example in findings.examples[invariant]:
            print(f"    {example}")
    print(
        f"{campaign.id} {findings.count} in {took_s:.0f} s, "
        f"threshold {campaign.acceptance_threshold}: {verdict(findings)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
