"""C02: the worker in simulated worlds: server, gateway, race and pool as they are; time, network and peers drawn."""

import gc
from collections import Counter

from prove.campaign import Campaign, Findings, counted
from prove.world.laws import Laws
from prove.world.loop import Endless
from prove.world.world import play, simulated

SEEDS = 100_000
AGAIN = 20
"""One seed in so many is played twice, and must play the same."""
COLLECT_EVERY = 100
"""Worlds between two collections: what a world itself is made of does hold itself."""


def run(seed: int, share: float) -> Findings:
    """Play so many worlds. A violation tells its world: `play("SEED/NUMBER")` is the same again."""
    findings = Findings()
    told: Counter[str] = Counter()
    with simulated():
        for number in range(counted(SEEDS, share)):
            play_one(f"{seed}/{number}", findings, told, again=number % AGAIN == 0)
            if number % COLLECT_EVERY == 0:
                gc.collect()
    findings.figures |= {name: f"{times:,}" for name, times in sorted(told.items())}
    return findings


def play_one(name: str, findings: Findings, told: Counter[str], *, again: bool) -> None:
    """Play the world of one seed and hold it against the laws."""
    findings.count += 1
    try:
        played = play(name)
    except Endless:
        findings.violation("a world comes to an end", f"seed {name}")
        gc.collect()  # so that what is left of it does not go in the middle of the next one
        return
    Laws(name, played, findings.violation).check()
    told["callers"] += len(played.callers)
    told["requests"] += sum(len(caller.asked) for caller in played.callers)
    told["attempts"] += sum(map(len, played.seen.launches.values()))
    told["attempts sent again"] += played.seen.died
    told["attempts that met a full pool, of which some was closing"] += played.seen.met_closing
    told["stalls"] += len(played.stalled)
    for code, times in played.snapshot.requests.items():
        told[f"answers: {code}"] += times
    if again:
        told["played twice"] += 1
        findings.check(play(name).digest() == played.digest(), "a seed plays the same twice", f"seed {name}")


CAMPAIGN = Campaign(
    id="C02",
    title="the worker in simulated worlds",
    proves="Whatever callers, upstream, network and a loop that stands still do, and in whatever order: attempts leave "
    "when they should, each caller gets one answer in time, it is its own, and nothing is left of it.",
    must_reach="100 000 seeds, 0 violations, equal replays",
    run=run,
)
