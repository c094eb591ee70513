"""Success and upstream load over time, through a disturbance, as a picture.

`python -m verification.hold_plot RUN.json ... --out FILE.svg`. Each file is one run of
the same row, by `verification.harness.finite_upstream --out`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from bench.plot import BOTTOM, LEFT, PANEL_HEIGHT, RIGHT, TOP, WIDTH, Axis, Drawing
from verification.harness.finite_upstream import Run

NAMES = {
    "none": ("no hedging", "#888888"),
    "off": ("hold = off", "#cf222e"),
    "auto": ("hold = auto", "#1a7f37"),
    "ceiling": ("ceiling", "#0969da"),
    "envoy": ("Envoy, budget", "#8250df"),
}
EVERY_S, BEFORE = 10, 2
"""Seconds between two marks of the axis, and how many of these are shown before the disturbance."""
SMOOTH_S = 3
"""Seconds that a point of a curve is the mean of: a second has some hundred requests."""
Points = Sequence[tuple[float, float]]


def panel(
    drawing: Drawing, title: str, series: Mapping[str, Points], y_axis: Axis, run: Run, unit: str
) -> None:
    """Draw one curve for each mode over time, from the beginning of the disturbance, which is shaded."""
    above = drawing.height
    first, last = -EVERY_S * BEFORE, len(run.asked) - int(run.disturbed_at_s) - EVERY_S
    x_axis = Axis(LEFT, WIDTH - RIGHT, first, last)
    begin, end = (x_axis.at(at) for at in (0, run.disturbed_for_s))
    drawing.elements.append(
        f'<rect x="{begin:.1f}" y="{above + TOP:.1f}" width="{end - begin:.1f}" '
        f'height="{PANEL_HEIGHT - TOP - BOTTOM}" fill="#fff1d6"/>'
    )
    drawing.text(10, above + 20, title, kind="title")
    for tick in range(6):
        value = y_axis.low + (y_axis.high - y_axis.low) * tick / 5
        y = above + y_axis.at(value)
        drawing.line([(LEFT, y), (WIDTH - RIGHT, y)], "#dddddd")
        drawing.text(LEFT - 6, y + 4, f"{value:g}{unit}", anchor="end")
    for second in range(first, last + 1, EVERY_S):
        drawing.text(x_axis.at(second), above + PANEL_HEIGHT - BOTTOM + 18, str(second), anchor="middle")
    drawing.text((LEFT + WIDTH - RIGHT) / 2, above + PANEL_HEIGHT - 8, "seconds", anchor="middle")
    for number, (mode, points) in enumerate(series.items()):
        name, colour = NAMES[mode]
        shown = [(x_axis.at(x), above + y_axis.at(y)) for x, y in points if first <= x <= last]
        drawing.line(shown, colour, 2)
        key_y = above + TOP + 18 * number
        drawing.line([(WIDTH - RIGHT + 12, key_y), (WIDTH - RIGHT + 34, key_y)], colour, 3)
        drawing.text(WIDTH - RIGHT + 40, key_y + 4, name)
    drawing.height = above + PANEL_HEIGHT


def smooth(values: Sequence[float], run: Run) -> Points:
    """Return means over `SMOOTH_S` seconds, at their middles, in seconds from the beginning of the disturbance."""
    spans = (values[begin : begin + SMOOTH_S] for begin in range(len(values) - SMOOTH_S + 1))
    middle_s = SMOOTH_S / 2 - run.disturbed_at_s
    return [(begin + middle_s, sum(span) / SMOOTH_S) for begin, span in enumerate(spans)]


def good_percent(run: Run) -> list[float]:
    """Return the share of good answers of each second, in per cent."""
    return [100 * good / max(asked, 1) for good, asked in zip(run.good, run.asked, strict=True)]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option(
    "--capacity", default=100, show_default=True, help="Of the upstream; the load is shown beside it."
)
def main(files: Sequence[Path], out: Path, capacity: int) -> None:
    """Draw the runs in one picture."""
    runs = [Run(**json.loads(file.read_text())) for file in files]
    drawing, first = Drawing(), runs[0]
    good = {run.mode: smooth(good_percent(run), run) for run in runs}
    working = {run.mode: smooth([min(each / capacity, 5.0) for each in run.working], run) for run in runs}
    axis = Axis(PANEL_HEIGHT - BOTTOM, TOP, 0, 100)
    panel(drawing, f"{first.row}: good answers within 800 ms", good, axis, first, " %")
    title = "requests at the upstream, working or queued, of what it can work on at once (5: and more)"
    panel(drawing, title, working, Axis(PANEL_HEIGHT - BOTTOM, TOP, 0, 5), first, "")
    out.write_text(drawing.svg())


if __name__ == "__main__":
    main()
