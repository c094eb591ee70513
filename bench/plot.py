"""`python -m bench.plot RESULT.json ...`: an SVG beside each result. Curves for W3, bars for the others."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import click

WIDTH, PANEL_HEIGHT = 760, 330
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 40, 45
BAR_LEFT, BAR_HEIGHT, BAR_STEP = 110, 20, 30
COLOURS = {
    "hedgerow": "#1a7f37",
    "compiled": "#2da44e",
    "unprotected": "#9a6700",
    "other": "#7ac28f",
    "nginx": "#888888",
    "envoy": "#8250df",
    "go-cancel": "#0969da",
    "go-drain": "#54aeff",
    "aiohttp": "#cf222e",
    "asynchedging": "#fa4549",
    "hedge-python": "#ff8182",
    "uvicorn": "#d4a72c",
    "fastapi": "#bf3989",
    "granian": "#bc4c00",
}
BARS = {
    "W1": ("CPU µs/request",),
    "W2": ("CPU µs/request", "KiB/in flight"),
    "W4": ("CPU µs/request", "KiB/in flight"),
    "W5": ("KiB/in flight",),
    "W6": ("start ms", "idle MiB"),
    "W7": ("CPU µs/request",),
    "W8": ("CPU µs/request",),
    "W9": ("CPU µs/request",),
}
TITLES = {
    "CPU µs/request": "CPU per request, µs",
    "KiB/in flight": "memory per request in flight, KiB",
    "start ms": "from the start to the first answer, ms",
    "idle MiB": "memory at rest, MiB",
}
STYLE = "<style>text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:14px;font-weight:600}</style>"


@dataclass(slots=True)
class Drawing:
    """A list of SVG elements that grows downwards."""

    height: float = 10
    elements: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> None:
        self.elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.elements.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )

    def svg(self) -> str:
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height:.0f}">'
        ground = '<rect width="100%" height="100%" fill="white"/>'
        return "\n".join([head, STYLE, ground, *self.elements, "</svg>"]) + "\n"


def bars(drawing: Drawing, title: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Draw one bar for each server: the median, and a line from the lowest round to the highest."""
    y = drawing.height + 20
    drawing.text(10, y, title, kind="title")
    scale = (WIDTH - BAR_LEFT - 80) / max(figure["high"] for figure in figures.values())
    for name, figure in sorted(figures.items(), key=lambda item: item[1]["median"]):
        y += BAR_STEP
        length = max(1.0, figure["median"] * scale)
        drawing.elements.append(
            f'<rect x="{BAR_LEFT}" y="{y - BAR_HEIGHT + 5}" width="{length:.1f}" height="{BAR_HEIGHT}" '
            f'fill="{COLOURS.get(name, "#999999")}"/>'
        )
        middle = y - BAR_HEIGHT / 2 + 5
        ends = [(BAR_LEFT + figure[end] * scale, middle) for end in ("low", "high")]
        drawing.line(ends, "#111111", 2)
        drawing.text(BAR_LEFT - 8, y, name, anchor="end")
        drawing.text(max(ends[1][0], BAR_LEFT + length) + 6, y, f"{figure['median']:.1f}")
    drawing.height = y + 20


@dataclass(frozen=True, slots=True)
class Axis:
    """Where a value lies along one direction of a panel."""

    start: float
    end: float
    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def curves(
    drawing: Drawing, title: str, series: Mapping[str, Sequence[tuple[float, float]]], y_axis: Axis, unit: str
) -> None:
    """Draw one curve for each server over the offered rate."""
    above = drawing.height
    highest = max(x for points in series.values() for x, _ in points)
    x_axis = Axis(LEFT, WIDTH - RIGHT, 0, highest)
    drawing.text(10, above + 20, title, kind="title")
    ticks = (
        [y_axis.low * 10**i for i in range(9) if y_axis.low * 10**i <= y_axis.high]
        if y_axis.logarithmic
        else [y_axis.low + (y_axis.high - y_axis.low) * i / 5 for i in range(6)]
    )
    for tick in ticks:
        y = above + y_axis.at(tick)
        drawing.line([(LEFT, y), (WIDTH - RIGHT, y)], "#dddddd")
        drawing.text(LEFT - 6, y + 4, f"{tick:g}{unit}", anchor="end")
    spacing = 1000 * math.ceil(highest / 8000)
    for rate in range(0, int(highest) + 1, spacing):
        drawing.text(x_axis.at(rate), above + PANEL_HEIGHT - BOTTOM + 18, str(rate), anchor="middle")
    drawing.text((LEFT + WIDTH - RIGHT) / 2, above + PANEL_HEIGHT - 8, "offered requests/s", anchor="middle")
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS.get(name, "#999999")
        drawing.line([(x_axis.at(x), above + y_axis.at(y)) for x, y in points], colour, 2)
        key_y = above + TOP + 18 * number
        drawing.line([(WIDTH - RIGHT + 12, key_y), (WIDTH - RIGHT + 34, key_y)], colour, 3)
        drawing.text(WIDTH - RIGHT + 40, key_y + 4, name)
    drawing.height = above + PANEL_HEIGHT


def curve(rounds: Sequence[Mapping[str, Any]], read: Callable[[Any], float]) -> list[tuple[float, float]]:
    """Return (rate, mean over the rounds) for each rate that any round offered."""
    values: dict[int, list[float]] = {}
    for run in rounds:
        for rate, step in run["steps"].items():
            values.setdefault(int(rate), []).append(read(step))
    return [(rate, sum(seen) / len(seen)) for rate, seen in sorted(values.items())]


def good_per_s(rounds: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return (rate, good answers a second)."""
    return [(rate, share * rate) for rate, share in curve(rounds, lambda step: float(step["good_share"]))]


def draw(document: Mapping[str, Any]) -> str:
    """Return the SVG of a result."""
    drawing, workload = Drawing(), document["workload"]
    rounds: Mapping[str, Any] = document["rounds"]
    if workload == "W3":
        bottom = PANEL_HEIGHT - BOTTOM
        good = {name: good_per_s(runs) for name, runs in rounds.items()}
        most = 1000 * math.ceil(max(y for points in good.values() for _, y in points) / 1000)
        p99 = {
            name: curve(runs, lambda step: step["load"]["latency_from_send"]["p99_ms"])
            for name, runs in rounds.items()
        }
        curves(drawing, "Good answers a second: 200 within the timeout", good, Axis(bottom, TOP, 0, most), "")
        curves(drawing, "p99 latency of all answers", p99, Axis(bottom, TOP, 100, 10_000, True), " ms")
        return drawing.svg()
    for column in BARS[workload]:
        title = f"{workload}: {TITLES[column]} (less is better)"
        bars(drawing, title, {name: figures[column] for name, figures in document["summary"].items()})
    return drawing.svg()


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(results: tuple[Path, ...]) -> None:
    """Draw results as SVG, each beside its file."""
    for path in results:
        target = path.with_suffix(".svg")
        target.write_text(draw(json.loads(path.read_text())))
        click.echo(target)


if __name__ == "__main__":
    main()
