"""Results as a file for later and as a table for now."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.stats import Spread, ratios, spread

Rounds = Sequence[Mapping[str, Any]]  # one measured thing per round
Results = Mapping[str, Rounds]  # by server

REFERENCE = "hedgerow"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a table, and how it is shown."""

    title: str
    read: Callable[[Mapping[str, Any]], float]
    form: str
    with_spread: bool = False

    def of(self, rounds: Rounds) -> Spread:
        return spread([self.read(run) for run in rounds])


COLUMNS: dict[str, list[Column]] = {
    "W1": [
        Column("CPU µs/request", lambda run: run["window"]["cpu_us_per_request"], ".1f", with_spread=True),
        Column("requests/s", lambda run: run["window"]["requests_per_s"], ".0f"),
        Column("server core", lambda run: run["window"]["server_core_share"], ".0%"),
        Column("load core", lambda run: run["window"]["load_core_share"], ".0%"),
    ],
    "W5": [
        Column(
            "KiB/in flight", lambda run: run["memory"]["kib_per_request_in_flight"], ".1f", with_spread=True
        ),
        Column("good", lambda run: run["load"]["good_share"], ".3%"),
        Column("requests/s", lambda run: run["window"]["requests_per_s"], ".0f"),
        Column("p99 ms", lambda run: run["load"]["latency_from_send"]["p99_ms"], ".0f"),
    ],
    "W6": [
        Column("start ms", lambda run: run["start_ms"], ".0f", with_spread=True),
        Column("idle MiB", lambda run: run["idle_uss_bytes"] / 2**20, ".1f"),
        Column("idle CPU", lambda run: run["idle_cpu_share"], ".2%"),
    ],
    "W2": [
        Column("CPU µs/request", lambda run: run["window"]["cpu_us_per_request"], ".1f", with_spread=True),
        Column(
            "KiB/in flight", lambda run: run["memory"]["kib_per_request_in_flight"], ".1f", with_spread=True
        ),
        Column("requests/s", lambda run: run["window"]["requests_per_s"], ".0f"),
        Column("p50 ms", lambda run: run["load"]["latency_from_send"]["p50_ms"], ".0f"),
        Column("p99 ms", lambda run: run["load"]["latency_from_send"]["p99_ms"], ".0f"),
        Column("good", lambda run: run["load"]["good_share"], ".2%"),
        Column("server core", lambda run: run["window"]["server_core_share"], ".0%"),
        Column("load core", lambda run: run["window"]["load_core_share"], ".0%"),
    ],
}
COLUMNS["W4"] = COLUMNS["W2"]
COLUMNS["W7"] = COLUMNS["W8"] = COLUMNS["W9"] = COLUMNS["W1"]
CLOSED_LOOPS = ("W1", "W7", "W8", "W9")


def save(path: Path, workload: str, provenance: Mapping[str, Any], results: Results) -> None:
    """Write everything that was measured, with where it comes from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"workload": workload, "provenance": provenance, "summary": summary(workload, results)}
    path.write_text(json.dumps(document | {"rounds": results}, indent=1, default=str) + "\n")


def summary(workload: str, results: Results) -> dict[str, Any]:
    """Reduce the rounds of each server to medians and spreads."""
    if workload == "W3":
        return {name: {"capacity": asdict(capacities(rounds))} for name, rounds in results.items()}
    return {
        name: {column.title: asdict(column.of(rounds)) for column in COLUMNS[workload]}
        | {"ratio": asdict(ratio_to_reference(workload, results, name))}
        for name, rounds in results.items()
    }


def capacities(rounds: Rounds) -> Spread:
    return spread([run["capacity"] for run in rounds])


def reference_of(results: Results) -> str:
    return REFERENCE if REFERENCE in results else next(iter(results))


def ratio_to_reference(workload: str, results: Results, name: str) -> Spread:
    """Compare the first column with hedgerow's, or with the first server's where hedgerow did not run."""
    reference = reference_of(results)

    def figures(rounds: Rounds) -> list[float]:
        return [COLUMNS[workload][0].read(run) for run in rounds]

    pairs = min(len(results[name]), len(results[reference]))  # an interrupted last round has no partner
    return ratios(figures(results[name])[:pairs], figures(results[reference])[:pairs])


def table(workload: str, results: Results) -> str:
    """Lay the results out for a terminal."""
    rows = capacity_rows(results) if workload == "W3" else figure_rows(workload, results)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        [f"{workload} ({len(next(iter(results.values())))} rounds)", *lines, *remarks(workload, results)]
    )


def figure_rows(workload: str, results: Results) -> list[list[str]]:
    columns = COLUMNS[workload]
    rows = [["server", f"x {reference_of(results)}", *(column.title for column in columns)]]
    for name, rounds in results.items():
        row = [name, cell(ratio_to_reference(workload, results, name), ".2f")]
        row += [cell(column.of(rounds), column.form, column.with_spread) for column in columns]
        rows.append(row)
    return rows


def cell(value: Spread, form: str, with_spread: bool = True) -> str:
    if value.low == value.high or not with_spread:
        return format(value.median, form)
    return f"{value.median:{form}} [{value.low:{form}}..{value.high:{form}}]"


def capacity_rows(results: Results) -> list[list[str]]:
    rows = [
        [
            "server",
            "capacity",
            "offered",
            "good",
            "late",
            "worst late ms",
            "p99 ms",
            "server core",
            "load core",
            "own p99",
        ]
    ]
    for name, rounds in results.items():
        steps = rounds[-1]["steps"]
        capacity = cell(capacities(rounds), ".0f")
        for rate, step in steps.items():
            load, used = step["load"], step["window"]
            rows.append(
                [
                    *(name, capacity, rate, f"{step['good_share']:.2%}"),
                    f"{load['late']['count'] / max(1, load['planned']):.2%}",
                    *(f"{load['late']['worst_ms']:.1f}", f"{load['latency_from_send']['p99_ms']:.0f}"),
                    *(f"{used['server_core_share']:.0%}", f"{used['load_core_share']:.0%}"),
                    f"{load['own']['send_lag']['p99_ms']:.1f}",
                ]
            )
    return rows


def remarks(workload: str, results: Results) -> list[str]:
    """Say what makes a figure weaker than it looks."""
    said: list[str] = []
    if workload == "W6":
        return said
    for name, rounds in results.items():
        runs = [step for run in rounds for step in run["steps"].values()] if workload == "W3" else rounds
        disturbed = sum(run["window"]["disturbed"] for run in runs)
        if disturbed:
            said.append(
                f"{name}: other programs took more than 5 % of a core in {disturbed} of {len(runs)} windows"
            )
        full = sum(run["window"]["load_core_share"] > 0.9 for run in runs)
        unsaturated = sum(not run["window"]["saturated"] for run in runs)
        if full and workload not in CLOSED_LOOPS:
            said.append(f"{name}: upstream and load filled their core in {full} of {len(runs)} windows")
        if workload in CLOSED_LOOPS and unsaturated:
            said.append(
                f"{name}: its core was not full in {unsaturated} of {len(runs)} windows: "
                "CPU per request holds, requests/s is not its limit"
            )
    return said
