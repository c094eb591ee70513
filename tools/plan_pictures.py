"""`python -m tools.plan_pictures`: draw the plots of docs/guides/should-i-hedge.md, and print its reports.

Each is of 5 000 requests that are drawn with a seed: what `hedgerow plan` would read from a log.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from hedgerow.plan_command.plot import svg
from hedgerow.plan_command.report import text
from hedgerow.plan_command.source import Source
from hedgerow.planning.advice import NO_SYMPTOMS, Advice, advise
from hedgerow.planning.aim import Aim
from hedgerow.planning.hedge_samples import Sample
from hedgerow.planning.latency_sketch import FAILURE, SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import WhatIf

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = ROOT / "docs" / "images"
REQUESTS: Final = 5_000
SAMPLED_AFTER_S: Final = 0.25

Attempt = tuple[float, int]
Draw = Callable[[Random, int], list[Attempt]]
"""Draws that many attempts of one request."""


def tail(random: Random, attempts: int) -> list[Attempt]:
    """2 % of attempts take ten times as long."""
    return [
        (random.uniform(0.08, 0.16) * (10 if random.random() < 0.02 else 1), SUCCESS) for _ in range(attempts)
    ]


def failing(random: Random, attempts: int) -> list[Attempt]:
    """Return attempts at the reference upstream: 100 to 600 ms, 10 % of failures."""
    return [
        (random.uniform(0.1, 0.6), FAILURE if random.random() < 0.1 else SUCCESS) for _ in range(attempts)
    ]


def slow_queries(random: Random, attempts: int) -> list[Attempt]:
    """5 % of the requests ask for what is slow, each time that it is asked."""
    factor = 8 if random.random() < 0.05 else 1
    return [(random.uniform(0.08, 0.16) * factor, SUCCESS) for _ in range(attempts)]


class Example(NamedTuple):
    """One picture."""

    draw: Draw
    aim: Aim
    source: str
    sampled: bool = False


EXAMPLES: Final = {
    "plan-tail": Example(tail, Aim(0.99, 0.4), "access.log (nginx's format): 5000 of 5000 lines"),
    "plan-failing": Example(failing, Aim(0.95, 0.6), "requests.json (JSON): 5000 of 5000 lines"),
    "plan-slow-queries": Example(
        slow_queries,
        Aim(0.99, 0.4),
        "http://127.0.0.1:8081/status.json: 5000 first attempts of the last hour",
        True,
    ),
}


def planned(example: Example) -> tuple[Source, WhatIf, Advice]:
    """Return what `hedgerow plan` would find."""
    random, observations = Random(7), Observations()  # noqa: S311 (the same picture each time)
    samples: list[Sample] = []
    for _ in range(REQUESTS):
        first, *hedges = example.draw(random, 3)
        observations.observe(*first)
        if example.sampled and first[0] > SAMPLED_AFTER_S:
            samples.append((SAMPLED_AFTER_S, (first, *hedges)))
    observations.samples = samples
    source = Source(observations, NO_SYMPTOMS, example.source)
    what_if = WhatIf.of(observations)
    return source, what_if, advise(what_if, example.aim)


def picture(name: str) -> str:
    """Return a plot."""
    source, what_if, advice = planned(EXAMPLES[name])
    return svg(what_if, advice, source.current)


def report(name: str) -> str:
    """Return the report that belongs to it."""
    return text(*planned(EXAMPLES[name]))


def main() -> None:
    """Write the plots, and print the reports."""
    for name in EXAMPLES:
        (IMAGES / f"{name}.svg").write_text(picture(name))
        print(f"== {name}\n{report(name)}")


if __name__ == "__main__":
    main()
