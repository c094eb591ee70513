"""C20: the supervision of workers in virtual time, among processes that fail in every way and signals at any moment."""

from collections import Counter

from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.simulated_processes import Simulation

SIMULATIONS = 100_000


def run(seed: int, share: float) -> Findings:
    """Play one simulation after the other."""
    findings = Findings(count=counted(SIMULATIONS, share))
    did: Counter[str] = Counter()
    for number in range(findings.count):
        simulation = Simulation(f"{seed}/{number}")
        try:
            simulation.run()
        except Exception as error:  # noqa: BLE001 (supervision must not end by itself, so this is a finding)
            findings.violation("nothing is raised", f"{seed}/{number}: {error!r}")
        for invariant in simulation.broken:
            findings.violation(invariant, f"{seed}/{number}")
        did += simulation.did
    findings.figures["what happened"] = ", ".join(f"{what} {times}" for what, times in sorted(did.items()))
    return findings


CAMPAIGN = Campaign(
    id="C20",
    title="supervision in virtual time",
    proves="Whatever worker processes do, whatever the system rejects and whenever signals come: as many workers "
    "as asked for serve again, none is killed that does what it should, and a gateway that is stopped ends and leaves "
    "nothing.",
    acceptance_threshold="100 000 simulations, 0 violations",
    run=run,
)
