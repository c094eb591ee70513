"""The curves of a few plans as SVG: the share of requests with a success, by the time waited.

The scale of shares is one of nines, for the tail is what hedging is about: 90 %, 99 % and 99.9 % are equally far apart.
"""

from math import log10
from typing import Final
from xml.sax.saxutils import escape

from hedgerow.planning.advice import Advice
from hedgerow.planning.latency_sketch import LARGEST_S
from hedgerow.planning.plan_report import longest_shown_s, round_step_s
from hedgerow.planning.what_if import Plan, WhatIf

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 36, 44, 76
POINTS: Final = 240
NINES: Final = 3.0
"""The top of the plot: 99.9 %."""
_STYLE: Final = """\
svg{background:#fff;font:13px system-ui,sans-serif}text{fill:#222}.soft{fill:#666}.rule{stroke:#ddd}
.curve{fill:none;stroke-width:2.5}.without{stroke:#b4532a;stroke-dasharray:7 5}.with{stroke:#1f5fa8}.used{stroke:#777;\
stroke-dasharray:2 4}
@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#e8e8e8}.soft{fill:#aaa}.rule{stroke:#3a3d44}\
.without{stroke:#f0935f}.with{stroke:#74aef2}.used{stroke:#aaa}}"""


def svg(what_if: WhatIf, advice: Advice, current: Plan | None) -> str:
    """Return the plot: without hedging, by the recommended plan, and by the one in use."""
    curves = [("without", "without hedging", Plan(LARGEST_S, 0))]
    if advice.recommended is not None:
        plan = advice.recommended.plan
        curves.append(
            ("with", f"{_named(plan)}: {advice.recommended.attempts:.2f} attempts per request", plan)
        )
    if current is not None and current.hedges and current not in [plan for _, _, plan in curves]:
        label = f"in use, {_named(current)}: {what_if.attempts(current):.2f} attempts per request"
        curves.append(("used", label, current))
    longest_s = longest_shown_s(what_if, [plan for _, _, plan in curves])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(advice.reason)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text x="{LEFT}" y="24">Requests with a success, by the time waited</text>',
        *_axes(longest_s),
    ]
    for index, (name, label, plan) in enumerate(curves):
        points = " ".join(
            f"{_x(at_s, longest_s):.1f},{_y(what_if.success_by(plan, at_s)):.1f}"
            for at_s in (longest_s * step / POINTS for step in range(POINTS + 1))
        )
        y = HEIGHT - BOTTOM + 38 + 15 * index
        parts += [
            f'<polyline class="curve {name}" points="{points}"/>',
            f'<path class="curve {name}" d="M{LEFT} {y - 4}h34"/>',
            f'<text x="{LEFT + 42}" y="{y}">{escape(label)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _named(plan: Plan) -> str:
    hedges = "1 hedge" if plan.hedges == 1 else f"{plan.hedges} hedges"
    early = ", or at a failure" if plan.immediate else ""
    return f"{hedges} after {plan.hedge_after_s * 1000:.0f} ms{early}"


def _axes(longest_s: float) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 0.9, 0.99, 0.999):
        y = _y(share)
        parts += [
            f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>',
            f'<text class="soft" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share * 100:g} %</text>',
        ]
    step_s = round_step_s(longest_s)
    for number in range(round(longest_s / step_s) + 1):
        x = _x(number * step_s, longest_s)
        parts.append(
            f'<text class="soft" x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">'
            f"{number * step_s * 1000:.0f} ms</text>"
        )
    return parts


def _x(at_s: float, longest_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at_s / longest_s


def _y(share: float) -> float:
    nines = min(-log10(max(1 - share, 1e-9)), NINES)
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - nines / NINES)
