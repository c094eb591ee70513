"""What docs/discussion.md calculates is what its formulas give."""

from collections.abc import Callable

import pytest

from docs.markdown import ROOT, table

DISCUSSION = ROOT / "docs" / "discussion.md"
HEDGE_DELAY_MS = 300


def spread(ms: float) -> float:
    """Return the share of the reference upstream's answers that take at most `ms`."""
    return min(max((ms - 100) / 500, 0.0), 1.0)


def success_by(ms: float, failures: float, hedges: int) -> float:
    """Return the share of requests with a success by `ms`, if attempts are independent."""
    first = 1 - (1 - failures) * spread(ms)
    hedge = 1 - (1 - failures) * spread(ms - HEDGE_DELAY_MS)
    return 1 - first * hedge**hedges


def reached(share: float, success: Callable[[float], float]) -> str:
    """Return the first millisecond by which a share has been reached."""
    return next((f"{ms} ms" for ms in range(2_000) if success(ms) >= share - 1e-9), "never")


ROWS = table(DISCUSSION, "What hedging does for clients")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_success_by(row: list[str]) -> None:
    percent, how = row[0].split(" %, ")
    failures, hedges = int(percent) / 100, {"with hedging": 2, "without": 0}[how]

    def success(ms: float) -> float:
        return success_by(ms, failures, hedges)

    shares = [f"{success(ms):.1%}".replace("%", " %") for ms in (400, 500, 600, 900)]
    assert row[1:] == [*shares, reached(0.5, success), reached(0.9, success)]


@pytest.mark.parametrize(
    "row", table(DISCUSSION, "What hedging does to the upstream"), ids=lambda row: row[0]
)
def test_what_the_upstream_is_asked(row: list[str]) -> None:
    failures = int(row[0].split()[0]) / 100
    hedged = 1 - (1 - failures) * spread(HEDGE_DELAY_MS)
    asked = 1 + 2 * hedged
    assert row[1].endswith(f"= {hedged:.2f}")
    assert row[2] == f"1 + 2 · {hedged:.2f} = {asked:.2f}"
    (run,) = (
        line
        for line in (ROOT / "docs/verification/hedging-cost.md").read_text().splitlines()
        if line.startswith(f"| {failures:.0%} ")
    )
    assert row[3] == run.split("|")[4].strip()


def test_the_readme_has_the_same_figures() -> None:
    readme = (ROOT / "README.md").read_text()
    for failures in (0.0, 0.1, 0.3):
        with_hedging = f"{success_by(600, failures, 2):.1%}".replace("%", " %").replace("100.0", "100")
        asked = 1 + 2 * (1 - (1 - failures) * spread(HEDGE_DELAY_MS))
        assert (
            f"| {failures * 100:.0f} % | {with_hedging} | {100 * (1 - failures):.0f} % | {asked:.2f} |"
            in readme
        )
