"""`python -m prove`: run campaigns, and write `prove/RESULTS.md` with those that ran at full size."""

import pkgutil
import secrets
import signal
import sys
import time
from importlib import import_module

import click

import prove
from prove.campaign import Campaign, Findings
from prove.results import RESULTS, render, save, verdict

MAX_SEED = 2**32 - 1


def campaigns() -> dict[str, Campaign]:
    """Find every module `cNN_…` here, in order."""
    names = sorted(module.name for module in pkgutil.iter_modules(prove.__path__))
    found = (import_module(f"prove.{name}") for name in names if name[:1] == "c" and name[1:3].isdigit())
    return {module.CAMPAIGN.id: module.CAMPAIGN for module in found}


def chosen(_: click.Context, __: click.Parameter, value: str | None) -> list[Campaign]:
    """Split a list with commas and refuse what does not exist."""
    known = campaigns()
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
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Drawn without it, and told.")
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
        tell(campaign, findings, took_s)
        all_hold = all_hold and findings.holds
        if share == 1:
            save(campaign, findings, seed=seed, took_s=took_s)
            RESULTS.write_text(render())
    sys.exit(not all_hold)


def tell(campaign: Campaign, findings: Findings, took_s: float) -> None:
    """Print what a run came to."""
    for name, value in findings.figures.items():
        print(f"  {name}: {value}")
    for law, times in findings.broken.items():
        print(f"  BROKEN {times} times: {law}")
        for example in findings.examples[law]:
            print(f"    {example}")
    print(
        f"{campaign.id} {findings.count} in {took_s:.0f} s, must reach {campaign.must_reach}: {verdict(findings)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
