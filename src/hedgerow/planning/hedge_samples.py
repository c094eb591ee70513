"""Hedged requests whose attempts were all followed to their own end: what shows how alike attempts of a request are."""

from array import array
from typing import Final, TypeAlias

from hedgerow.planning.latency_sketch import CUT

MAX_SAMPLES: Final = 256
"""Of one worker, 6 KiB: chance moves a predicted success rate by 1.2 points (one deviation) where 40 % are hedged."""
SAMPLED_ATTEMPTS: Final = 3
"""Of each request: the first, and two hedges, which say how alike hedges are."""
SAMPLES_LAST_S: Final = 86_400.0
"""The longest window."""

Sample: TypeAlias = tuple[float, tuple[tuple[float, int], ...]]
"""The hedge delay in seconds, and of each attempt its latency and outcome (`latency_sketch.SUCCESS`, ...)."""


class HedgeSamples:
    """The newest samples."""

    __slots__ = ("_added", "_at", "_delays_s", "_latencies_s", "_outcomes")

    def __init__(self) -> None:
        self._at = array("f")
        self._delays_s = array("f")
        self._latencies_s = array("f")
        self._outcomes = array("B")
        self._added = 0

    def add(self, hedge_delay_s: float, attempts: list[tuple[float, int]], at: float) -> None:
        """Add a hedged request: latency in seconds and outcome of its first attempt and of its hedges."""
        if not self._added:  # a route that hedges nothing takes no memory
            places = MAX_SAMPLES * SAMPLED_ATTEMPTS
            self._at = array("f", [0.0]) * MAX_SAMPLES
            self._delays_s = array("f", [0.0]) * MAX_SAMPLES
            self._latencies_s = array("f", [0.0]) * places
            self._outcomes = array("B", [0]) * places
        place = self._added % MAX_SAMPLES
        self._added += 1
        self._at[place] = at
        self._delays_s[place] = hedge_delay_s
        for number in range(SAMPLED_ATTEMPTS):
            latency_s, outcome = attempts[number] if number < len(attempts) else (0.0, CUT)
            self._latencies_s[place * SAMPLED_ATTEMPTS + number] = latency_s
            self._outcomes[place * SAMPLED_ATTEMPTS + number] = outcome

    def within(self, last_s: float, now: float) -> list[Sample]:
        """Return the samples of the last `last_s` seconds; a hedge that there was none of is CUT after 0 s."""
        samples: list[Sample] = []
        for place in range(min(self._added, MAX_SAMPLES)):
            if self._at[place] >= now - min(last_s, SAMPLES_LAST_S):
                start = place * SAMPLED_ATTEMPTS
                attempts = tuple(
                    (round(self._latencies_s[index], 6), self._outcomes[index])
                    for index in range(start, start + SAMPLED_ATTEMPTS)
                )
                samples.append((round(self._delays_s[place], 6), attempts))
        return samples
