"""A log to observations: what it holds of latencies and statuses, and what was left out of it and why."""

import re
from collections import Counter
from itertools import accumulate, pairwise
from typing import Any, BinaryIO, Final

from hedgerow.plan_command.log_format import LogFormat, open_log, recognise
from hedgerow.plan_command.source import Source, SourceError
from hedgerow.planning.advice import Symptoms
from hedgerow.planning.latency_sketch import BOUNDS_S, CUT, FAILURE, SUCCESS
from hedgerow.planning.observations import Observations

MAX_LATENCY_S: Final = 3_600.0
"""No request is worth waiting for longer: what claims to have taken more was not measured so."""
MAX_SECONDS: Final = 100_000
"""Seconds of a log whose load is compared, a little more than a day."""
MIN_PER_LOAD: Final = 50
"""Requests of quiet and of busy seconds, for their means to say anything."""
BUSY: Final = 1.5
"""Times as many requests a second as in quiet ones."""
UNREADABLE: Final = 0.5
"""Share of lines that are not of the format, from which the format is wrong."""
MIXED_GAP: Final = 15.0
MIXED_RATIO: Final = (100.0, 3_000.0)
"""Latencies in two heaps with nothing for a factor of 15 between them, whose medians differ by about 1 000; or by
less, for what is below 1 ms counts as that."""
_UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_WITH_UNIT: Final = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*(s|ms|us|µs|ns)\s*", re.ASCII)
_CLIENT_ERRORS: Final = range(400, 499)
_FAILED: Final = frozenset({408, 425, 429})
"""Of the client errors: asking again may help."""
_REJECTED: Final = frozenset({429, 503})


def read_log(path: str, *, name: str | None, unit: str | None, field: str | None) -> Source:
    """Read the log at `path` (`-`: standard input); raises SourceError.

    `name` is a format as `--format` has it, found out if None; `unit` and `field` are for logs of JSON and CSV.
    """
    with open_log(path) as file:
        return _Reading(path, recognise(path, file, name=name, unit=unit, field=field)).read(file)


class _Reading:
    """One log as it is read."""

    def __init__(self, path: str, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._observations = Observations()
        self._lines = 0
        self._rejected = 0
        self._left_out: Counter[str] = Counter()
        self._load: dict[Any, list[float]] = {}
        """By second: requests, and the sum of the latencies of their successes."""
        self._outcomes: dict[Any, Any] = {}
        self._not_its_format = f"that are not {log_format.name}"
        self._first_bad = 0

    def read(self, file: BinaryIO) -> Source:
        """Read all of it: some 3 µs for each line."""
        read_line, scale_s = self._format.read, self._format.unit_s
        observe, load, outcomes = self._observations.observe, self._load, self._outcomes
        for line in file:
            self._lines += 1
            found = read_line(line)
            if found is None:
                if line.strip():
                    self._leave_out(self._not_its_format)
                continue
            latency, status, second = found
            try:
                latency_s = float(latency) * scale_s
            except (TypeError, ValueError):
                latency_s = _seconds(latency)
            if not 0.0 <= latency_s <= MAX_LATENCY_S:  # also for what is no number
                self._leave_out(_why(latency, latency_s))
                continue
            try:
                outcome = outcomes[status]
            except (KeyError, TypeError):
                outcome = self._outcome(status)
            if outcome.__class__ is str:
                self._leave_out(outcome)
                continue
            observe(latency_s, outcome)
            if outcome != SUCCESS:
                self._rejected += _status(status) in _REJECTED
            elif second and len(load) < MAX_SECONDS:
                if second in load:
                    seen = load[second]
                    seen[0] += 1
                    seen[1] += latency_s
                else:
                    load[second] = [1, latency_s]
        return self._result()

    def _outcome(self, status: Any) -> Any:
        """Return what a status stands for, or why the line is left out; kept for the lines that follow."""
        number = _status(status)
        outcome: int | str
        if status is None and not self._format.has_status:
            outcome = SUCCESS
        elif number is None:
            outcome = "without a status"
        elif number == 499:
            outcome = CUT
        elif number in _CLIENT_ERRORS and number not in _FAILED:
            outcome = "with a client's error (4xx), which asking again does not change"
        else:
            outcome = SUCCESS if 200 <= number < 400 else FAILURE
        if isinstance(status, int | str | bytes | None) and len(self._outcomes) < 1_000:
            self._outcomes[status] = outcome
        return outcome

    def _leave_out(self, why: str) -> None:
        self._left_out[why] += 1
        if not self._first_bad:
            self._first_bad = self._lines

    def _result(self) -> Source:
        left_out = "; ".join(f"{times} {why}" for why, times in self._left_out.most_common())
        used = self._observations.count
        if not used:
            raise SourceError(
                f"{self._path}: none of {self._lines} lines can be used: {left_out or 'all are blank'}"
            )
        unreadable = self._left_out[self._not_its_format]
        if unreadable > UNREADABLE * self._lines:
            raise SourceError(
                f"{self._path}: {unreadable} of {self._lines} lines are not {self._format.name}, the first is line "
                f"{self._first_bad}; --format accepts auto, json, csv, nginx, envoy or haproxy"
            )
        mixed = _mixed_units(self._observations)
        if mixed is not None and not self._format.unit_was_given:
            raise SourceError(
                f"{self._path}: latencies in two units are mixed, some are about {mixed[0]:g} s and others about "
                f"{mixed[1]:g} s; write one unit, or pass --latency-unit if they are right"
            )
        said = f"{self._path} ({self._format.name}): {used} of {self._lines} lines"
        return Source(
            self._observations,
            Symptoms(self._rejected / used, _slower_under_load(list(self._load.values()))),
            f"{said}; left out: {left_out}" if left_out else said,
        )


def _status(status: Any) -> int | None:
    if isinstance(status, bool):
        return None
    try:
        number = int(status)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 100 <= number <= 599 else None


def _seconds(latency: Any) -> float:
    """Return a latency that was written with its unit, as `120ms` or `0.5 s`; not a number if it is none."""
    text = latency.decode("latin-1") if isinstance(latency, bytes) else latency
    match = _WITH_UNIT.fullmatch(text) if isinstance(text, str) else None
    return float(match[1]) * _UNITS_S[match[2]] if match else float("nan")


def _why(latency: Any, latency_s: float) -> str:
    if latency_s < 0:
        return "with a negative latency"
    if latency_s > MAX_LATENCY_S:
        return f"with a latency above {MAX_LATENCY_S / 3600:g} h"
    return (
        "without a latency" if latency in (None, "", b"", "-", b"-") else "with a latency that is no number"
    )


def _slower_under_load(seconds: list[list[float]]) -> float | None:
    """Compare the mean latency in the busiest third of the seconds with that in the quietest."""
    seconds = sorted(seconds)
    third = len(seconds) // 3
    quiet, busy = seconds[:third], seconds[len(seconds) - third :]
    (quiet_times, quiet_s), (busy_times, busy_s) = (
        (sum(second[0] for second in some), sum(second[1] for second in some)) for some in (quiet, busy)
    )
    if min(quiet_times, busy_times) < MIN_PER_LOAD or busy_times < BUSY * quiet_times or not quiet_s:
        return None
    return (busy_s / busy_times) / (quiet_s / quiet_times)


def _mixed_units(observations: Observations) -> tuple[float, float] | None:
    """Return the medians of two heaps of latencies that look like the same in two units, in seconds."""
    filled = [index for index, times in enumerate(observations.successes[:-1]) if times]
    total = sum(observations.successes)
    for low, high in pairwise(filled):
        if BOUNDS_S[high] < MIXED_GAP * BOUNDS_S[low]:
            continue
        heaps = observations.successes[: low + 1], [0] * high + observations.successes[high:]
        if min(map(sum, heaps)) < total / 100:
            continue
        medians = [_median(heap) for heap in heaps]
        if MIXED_RATIO[0] <= medians[1] / medians[0] <= MIXED_RATIO[1]:
            return medians[0], medians[1]
    return None


def _median(counts: list[int]) -> float:
    half = sum(counts) / 2
    index = next(index for index, reached in enumerate(accumulate(counts)) if reached >= half)
    return BOUNDS_S[min(index, len(BOUNDS_S) - 1)]
