"""C02: the worker in simulations: server, gateway, race and pool as they are; time, network and peers drawn."""

import gc
from collections import Counter

from verification.harness.campaign import Campaign, Findings, counted
from verification.simulation.invariants import check
from verification.simulation.simulation import play, simulated
from verification.simulation.timeline import Endless

SEEDS = 100_000
REPLAY_EVERY = 20
"""One seed in this many is played twice, and must play the same."""
COLLECT_EVERY = 100
"""Simulations between two collections: what a simulation itself is made of holds itself."""


def run(seed: int, share: float) -> Findings:
    """Play simulations. A violation names its seed: `play("SEED/NUMBER")` is the same again."""
    findings = Findings()
    counts: Counter[str] = Counter()
    with simulated():
        for number in range(counted(SEEDS, share)):
            play_one(f"{seed}/{number}", findings, counts, again=number % REPLAY_EVERY == 0)
            if number % COLLECT_EVERY == 0:
                gc.collect()
    findings.figures |= {name: f"{times:,}" for name, times in sorted(counts.items())}
    return findings


def play_one(name: str, findings: Findings, counts: Counter[str], *, again: bool) -> None:
    """Play the simulation of one seed and check the invariants."""
    findings.count += 1
    try:
        played = play(name)
    except Endless:
        findings.violation("a simulation comes to an end", f"seed {name}")
        gc.collect()  # so that what is left of it does not go in the middle of the next one
        return
    check(name, played, findings.violation)
    counts["clients"] += len(played.clients)
    counts["requests"] += sum(len(client.asked) for client in played.clients)
    counts["attempts"] += sum(map(len, played.seen.launches.values()))
    counts["attempts sent again"] += played.seen.stale_retries
    counts["name lookups"] += len(played.lookups)
    counts["iterations"] += len(played.seen.iterations)
    counts["stalls"] += len(played.stalled)
    for code, times in played.snapshot.requests.items():
        counts[f"answers: {code}"] += times
    if again:
        counts["played twice"] += 1
        findings.check(play(name).digest() == played.digest(), "a seed plays the same twice", f"seed {name}")


CAMPAIGN = Campaign(
    id="C02",
    title="the worker in simulations",
    proves="Whatever clients, upstream, network, name lookup and a process that is stopped do, and in whatever order: "
    "attempts are sent when they should be, each client gets one answer in time, it is its own, and nothing is left.",
    acceptance_threshold="100 000 seeds, 0 violations, equal replays",
    run=run,
)
