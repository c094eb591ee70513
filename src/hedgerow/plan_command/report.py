"""What `hedgerow plan` prints: for people, and as data."""

from typing import Final

import msgspec

from hedgerow.plan_command.source import Source
from hedgerow.planning.advice import Advice, Verdict, percent
from hedgerow.planning.correlation import Likeness
from hedgerow.planning.plan_report import plan_report
from hedgerow.planning.what_if import SHOWN_BY_MS, Plan, Prediction, WhatIf

DELAY_SHARES: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
"""Hedge delays of the table: what these shares of successes take."""
COLUMNS_BY_MS: Final = (200, 500, 1_000, 2_000)
HEADLINES: Final = {
    Verdict.HELPS: "Hedging would help",
    Verdict.NOT_NEEDED: "Hedging is not needed",
    Verdict.DOES_NOT_HELP: "Hedging will not help",
    Verdict.TOO_COSTLY: "Hedging costs too much here",
    Verdict.UNKNOWN: "Too little is known",
}


def shown_plans(what_if: WhatIf, advice: Advice, current: Plan | None) -> list[Prediction]:
    """Return the rows of the table: without hedging, by percentiles, the recommended plan and the one in use."""
    delays = [what_if.law.reached_at(share * what_if.law.succeeding) for share in DELAY_SHARES]
    delays_s = sorted({round(delay_s, 3) for delay_s in delays if delay_s is not None and delay_s >= 0.001})
    plans = [Plan(delay_s, hedges) for hedges in (1, 2) for delay_s in delays_s]
    plans += [prediction.plan for prediction in (advice.recommended,) if prediction is not None]
    plans += [current] if current is not None and current.hedges else []
    kept = sorted(dict.fromkeys(plans), key=lambda plan: (plan.hedges, plan.immediate, plan.hedge_after_s))
    return [advice.without, *map(what_if.predict, kept)]


def text(source: Source, what_if: WhatIf, advice: Advice) -> str:
    """Return the report for people."""
    lines = [f"{HEADLINES[advice.verdict]}: {advice.reason}.", ""]
    if advice.recommended is not None:
        lines += [f"  {_settings(source, advice.recommended.plan)}", ""]
    lines += [f"Aim: {advice.aim}. From {source.description}.", ""]
    lines += _table(what_if, advice, source.current)
    likeness = advice.likeness
    if likeness is None:
        how = "`--hedge-sample`" if source.route is None else "`sample` of `hedge`"
        lines += ["", f"Attempts are taken as independent, which was not measured: see {how}."]
    else:
        lines += ["", _measured(likeness, is_corrected=what_if.correlation.is_measured)]
    lines += [f"Note: {finding.text}." for finding in advice.findings]
    return "\n".join(lines) + "\n"


def _measured(likeness: Likeness, *, is_corrected: bool) -> str:
    how = "less than" if likeness.is_significant else "about"
    return (
        f"Measured on {likeness.samples} hedged requests: {percent(likeness.measured)} of hedges succeeded within "
        f"{likeness.by_s * 1000:.0f} ms, {how} the {percent(likeness.independent)} of independent ones"
        f"{'; predictions are corrected' if is_corrected else ''}."
    )


def _settings(source: Source, plan: Plan) -> str:
    if source.route is None:
        return f"hedgerow serve {flags(plan)}"
    return f"{toml(plan)}  # of route {source.route}"


def toml(plan: Plan) -> str:
    """Return the settings of a route for a plan, as a line of a configuration file."""
    if not plan.hedges:
        return 'hedge = { mode = "off" }'
    given = f'after = "{_delay_ms(plan)}ms", max_hedges = {plan.hedges}'
    return "hedge = { " + given + (', retry_on_failure = "immediate"' if plan.immediate else "") + " }"


def flags(plan: Plan) -> str:
    """Return the flags of `hedgerow serve` for a plan."""
    if not plan.hedges:
        return "--hedges 0"
    given = f"--hedge-after-ms {_delay_ms(plan)} --hedges {plan.hedges}"
    return f"{given} --hedge-on-failure immediate" if plan.immediate else given


def _delay_ms(plan: Plan) -> int:
    return max(round(plan.hedge_after_s * 1000), 1)


def _table(what_if: WhatIf, advice: Advice, current: Plan | None) -> list[str]:
    head = ["hedges", "after", "attempts", "p50", "p90", "p99", "p99.9"]
    rows = [[*head, *(f"by {by_ms} ms" for by_ms in COLUMNS_BY_MS), ""]]
    for row in shown_plans(what_if, advice, current):
        marks = []
        if advice.recommended is not None and row.plan == advice.recommended.plan:
            marks.append("<- recommended")
        if current is not None and row.plan == current:
            marks.append("<- in use")
        rows.append([
            str(row.plan.hedges),
            f"{row.plan.hedge_after_s * 1000:.0f} ms{'*' * row.plan.immediate}" if row.plan.hedges else "-",
            f"{row.attempts:.2f}",
            *(_ms(at_s) for at_s in (row.p50_s, row.p90_s, row.p99_s, row.p999_s)),
            *(percent(row.success_by[SHOWN_BY_MS.index(by_ms)]) for by_ms in COLUMNS_BY_MS),
            " ".join(marks),
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_aligned(row, widths) for row in rows]
    if any("*" in row[1] for row in rows):
        lines += ["* or as soon as the first attempt has failed"]
    return lines


def _aligned(row: list[str], widths: list[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)]
    return "  ".join([*cells, row[-1]]).rstrip()


def _ms(at_s: float | None) -> str:
    if at_s is None:
        return "never"
    return f"{at_s * 1000:.0f} ms" if at_s < 10 else f"{at_s:.1f} s"


def as_json(source: Source, what_if: WhatIf, advice: Advice) -> bytes:
    """Return the report as data."""
    plans = [row.plan for row in shown_plans(what_if, advice, source.current) if row.plan.hedges]
    report = msgspec.to_builtins(plan_report(what_if, advice, plans, source.current))
    recommended = advice.recommended
    report["source"] = source.description
    report["flags"] = None if recommended is None or source.route is not None else flags(recommended.plan)
    report["route"] = source.route
    report["toml"] = None if recommended is None else toml(recommended.plan)
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"
