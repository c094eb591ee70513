"""The plot: its curves are the predictions."""

import xml.etree.ElementTree as ET
from random import Random

from hedgerow.plan_command.plot import BOTTOM, HEIGHT, NINES, TOP, svg
from hedgerow.planning.advice import advise
from hedgerow.planning.aim import Aim
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import Plan, WhatIf
from support.latency_laws import LAWS, observed

SVG = "{http://www.w3.org/2000/svg}"


def shares(curve: ET.Element) -> list[float]:
    ys = [float(point.split(",")[1]) for point in str(curve.get("points")).split()]
    nines = [NINES * (1 - (y - TOP) / (HEIGHT - TOP - BOTTOM)) for y in ys]
    return [1 - 10**-one for one in nines]


def test_each_curve_ends_at_its_share_of_successes() -> None:
    law, plan = LAWS["lognormal"]
    what_if = WhatIf.of(observed(law, 3_000, Random(2)))
    root = ET.fromstring(svg(what_if, advise(what_if, Aim(), current=plan), plan))
    without, recommended, used = map(shares, root.findall(f"{SVG}polyline"))
    assert abs(without[-1] - what_if.law.succeeding) < 0.01
    assert min(recommended[-1], used[-1]) > without[-1]
    assert without[0] == 0
    labels = [str(text.text) for text in root.findall(f"{SVG}text")]
    assert any(label.startswith("in use, 1 hedge after 350 ms: ") for label in labels)


def test_a_plot_of_nothing_is_one() -> None:
    what_if = WhatIf.of(Observations())
    root = ET.fromstring(svg(what_if, advise(what_if, Aim()), Plan(0.3, 2)))
    assert len(root.findall(f"{SVG}polyline")) == 2
