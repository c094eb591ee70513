"""`python -m tools.capacity_chart`: draw docs/images/capacity.svg from results of `make bench` (W3).

Good responses (200, within the timeout) a second, over the requests a second that were offered, on one core.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "docs" / "images" / "capacity.svg"
RESULTS: Final = ROOT / "bench" / "results"


class Curve(NamedTuple):
    """One server, of result files whose rates differ or are the same twice: then the last file counts."""

    name: str
    colour: str
    files: tuple[str, ...]
    server: str


LATEST: Final = ("2026-11-29T2140-W3.json", "2026-11-29T2144-W3.json")
CURVES: Final = (
    Curve("hedgerow", "#2da44e", LATEST, "compiled"),
    Curve("Envoy 1.40", "#a371f7", LATEST, "envoy"),
    Curve("Go net/http", "#388bfd", ("2026-11-26T1557-W3.json",), "go-cancel"),
)
WIDTH, HEIGHT = 760, 314
LEFT, RIGHT, TOP, BOTTOM = 64, 36, 70, 262
MAX_OFFERED, MAX_GOOD = 36_000, 12_000
LEGEND_STEP = 130

STYLE: Final = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 12px; fill: #59636e }
.title { font-size: 15px; font-weight: 600 } .ground { fill: #ffffff } .grid { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .ground { fill: #0d1117 } .grid { stroke: #3d444d } }
</style>"""


def points(curve: Curve) -> list[tuple[float, float]]:
    """Return offered and good requests a second, for each rate that was measured."""
    good: dict[float, float] = {}
    for file in curve.files:
        rounds = json.loads((RESULTS / file).read_text())["rounds"][curve.server]
        (steps,) = (one["steps"] for one in rounds)
        good |= {float(rate): float(rate) * step["good_share"] for rate, step in steps.items()}
    return sorted(good.items())


def _x(offered: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * offered / MAX_OFFERED


def _y(good: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * good / MAX_GOOD


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "small") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}">{words}</text>'


def _elements() -> Iterator[str]:
    yield f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
    yield _text(LEFT, 26, "Good responses per second, one core, timeout=800", kind="title")
    for tick in range(0, MAX_GOOD + 1, 2_000):
        yield f'<path class="grid" d="M{LEFT} {_y(tick):.1f}H{WIDTH - RIGHT}"/>'
        if tick % 4_000 == 0:
            yield _text(LEFT - 8, _y(tick) + 4, f"{tick:,}".replace(",", " "), "end")
    for tick in range(0, MAX_OFFERED + 1, 4_000):
        yield _text(_x(tick), BOTTOM + 18, f"{tick:,}".replace(",", " "), "middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, BOTTOM + 38, "requests offered per second", "middle")
    for number, curve in enumerate(CURVES):
        line = " ".join(f"{_x(offered):.1f},{_y(good):.1f}" for offered, good in points(curve))
        yield f'<polyline points="{line}" fill="none" stroke="{curve.colour}" stroke-width="3"/>'
        for offered, good in points(curve):
            yield f'<circle cx="{_x(offered):.1f}" cy="{_y(good):.1f}" r="3.5" fill="{curve.colour}"/>'
        legend_x = LEFT + LEGEND_STEP * number
        yield f'<rect x="{legend_x}" y="44" width="14" height="4" fill="{curve.colour}"/>'
        yield _text(legend_x + 20, 51, curve.name)


def drawing() -> str:
    """Return the chart as SVG, which follows the reader's light or dark scheme."""
    label = "; ".join(
        f"{curve.name}: at most {max(good for _, good in points(curve)):.0f}" for curve in CURVES
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Good responses per second. {label}">'
    )
    return "\n".join([head, STYLE, *_elements(), "</svg>", ""])


def main(arguments: Sequence[str]) -> int:
    """Write the chart, or with `--check` only compare; return the exit code."""
    if CHART.read_text() == drawing():
        return 0
    if "--check" in arguments:
        print(f"{CHART.relative_to(ROOT)} is out of date: run make docs", file=sys.stderr)
        return 1
    CHART.write_text(drawing())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
