"""The arithmetic of the results. Pure: numbers in, numbers out."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.processes import Sample

SATURATED_SHARE = 0.9
DISTURBED_SHARE = 0.05
CAPACITY_GOOD_SHARE = 0.98


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and how far the rounds lie apart."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median of the rounds with the smallest and the largest."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(values: Sequence[float], reference: Sequence[float]) -> Spread:
    """Return how many times the reference's figure each one is, round by round: the machine drifts."""
    return spread([value / base for value, base in zip(values, reference, strict=True)])


@dataclass(frozen=True, slots=True)
class Window:
    """What a measured window of load cost. Shares are of one core."""

    seconds: float
    requests: int
    requests_per_s: float
    cpu_us_per_request: float
    server_core_share: float
    saturated: bool  # the server's core was the limit, so requests_per_s means something
    upstream_core_share: float
    generator_core_share: float
    load_core_share: float  # the two together: they share a core
    foreign_share: float  # used by programs that are not ours, on either core, or withheld by the hypervisor
    disturbed: bool


def window(before: Sample, after: Sample, requests: int, generator_core_share: float) -> Window:
    """Divide what was used between two samples by the requests that were answered between them."""
    seconds = after.at_s - before.at_s
    server_s = after.server_cpu_s - before.server_cpu_s
    upstream_share = (after.upstream_cpu_s - before.upstream_cpu_s) / seconds
    foreign_s = (after.foreign_cpu_s - before.foreign_cpu_s) + (after.stolen_s - before.stolen_s)
    return Window(
        seconds=seconds,
        requests=requests,
        requests_per_s=requests / seconds,
        cpu_us_per_request=server_s / max(1, requests) * 1e6,
        server_core_share=server_s / seconds,
        saturated=server_s / seconds >= SATURATED_SHARE,
        upstream_core_share=upstream_share,
        generator_core_share=generator_core_share,
        load_core_share=upstream_share + generator_core_share,
        foreign_share=foreign_s / seconds,
        disturbed=foreign_s / seconds > DISTURBED_SHARE,
    )


def kib_per_request(idle_bytes: int, loaded_bytes: int, in_flight: int) -> float:
    """Return what each request in flight adds to a server's memory."""
    return (loaded_bytes - idle_bytes) / in_flight / 1024


def capacity(good_share_of_rate: Mapping[int, float]) -> int:
    """Return the highest rate up to which every step had enough good answers; 0 if the first had not."""
    best = 0
    for rate, share in sorted(good_share_of_rate.items()):
        if share < CAPACITY_GOOD_SHARE:
            break
        best = rate
    return best
